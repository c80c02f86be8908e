/** The few words that a screen reader hears by itself: what began, rests, ended. Never a line for every update. */
import { byId, setText } from "./dom.ts";

export function announce(text: string): void {
  setText(byId("announcer", HTMLElement), text);
}

/** What the chosen preset can show, near the results and below them. */
import { byId, setText } from "./dom.ts";

/** How large it is: the sentences before "Arms whose bands overlap are not told apart." */
const SCALE: Record<string, string> = {
  quick:
    "It is one seed, a few dozen problems and a model of some fifty thousand weights, and the base already solves almost everything within 64 tries.",
  tiny: "The preset tiny is a smoke test: four problems and a base of four pretraining steps, which may solve none of them.",
};
const ANY_SCALE = "It is one seed and a small model, on the problems of one game.";

const NOTE: Record<string, string> = {
  tiny: "The preset tiny is a smoke test: zeros are expected. It shows that everything runs, in seconds, and measures nothing.",
};

export function showPresetNote(preset: string): void {
  const note = byId("preset-note", HTMLElement);
  setText(note, NOTE[preset] ?? "");
  note.hidden = note.textContent === "";
  setText(byId("about-scale", HTMLElement), SCALE[preset] ?? ANY_SCALE);
}

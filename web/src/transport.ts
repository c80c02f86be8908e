/** Start, step, stop, reset: buttons and keys, enabled by the state of the run. */
import { byId, setText } from "./dom.ts";
import { recall, remember } from "./memory.ts";
import type { RunState } from "./session.ts";
import { toggleTheme } from "./theme.ts";

export interface TransportActions {
  /** Start, pause or resume, whichever the state asks for. */
  start(): void;
  step(): void;
  stop(): void;
  reset(): void;
}

const OFF = "shortcuts";

/** Whether single keys act: a visitor who speaks to the computer can switch them off. */
export function shortcutsOn(): boolean {
  return recall(OFF) !== "off";
}

export function setShortcuts(on: boolean): void {
  remember(OFF, on ? null : "off");
}

export class Transport {
  private readonly buttons = {
    start: byId("start", HTMLButtonElement),
    step: byId("step", HTMLButtonElement),
    stop: byId("stop", HTMLButtonElement),
    reset: byId("reset", HTMLButtonElement),
  };

  constructor(actions: TransportActions) {
    const keys = { start: "p", step: "s", stop: "x", reset: "r" } as const;
    for (const [name, button] of Object.entries(this.buttons) as [keyof typeof keys, HTMLButtonElement][]) {
      button.addEventListener("click", () => actions[name]());
      button.setAttribute("aria-keyshortcuts", keys[name]);
    }
    this.buttons.step.title = "One update, then a pause (S)";
    this.buttons.stop.title = "End the run and keep what is done (X)";
    this.buttons.reset.title = "Discard the run and begin anew (R)";
    document.addEventListener("keydown", (event) => {
      if (!isShortcut(event)) return;
      const key = event.key.toLowerCase();
      const name = (Object.keys(keys) as (keyof typeof keys)[]).find((one) => keys[one] === key);
      if (key === "t") toggleTheme();
      else if (name && !this.buttons[name].disabled) actions[name]();
    });
  }

  /** `goesOn`: whether starting continues what was stopped. */
  show(state: RunState, { ready, goesOn, empty }: { ready: boolean; goesOn: boolean; empty: boolean }): void {
    const { start, step, stop, reset } = this.buttons;
    const active = ["running", "pausing", "paused"].includes(state);
    const label =
      state === "running"
        ? "Pause"
        : state === "paused" || state === "pausing"
          ? "Resume"
          : goesOn
            ? "Continue"
            : "Start";
    setText(start, label);
    start.title = `${label} (P)`;
    const busy = !ready || state === "stopping";
    start.disabled = busy;
    step.disabled = busy || state === "pausing";
    stop.disabled = busy || !active;
    reset.disabled = busy || (!active && empty);
  }
}

/** A letter alone, typed where it is not text. */
function isShortcut(event: KeyboardEvent): boolean {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || !shortcutsOn()) return false;
  const target = event.target as HTMLElement;
  if (document.querySelector("dialog[open]")) return false;
  if (target instanceof HTMLInputElement) return ["checkbox", "range", "file"].includes(target.type);
  return !(target instanceof HTMLSelectElement || target instanceof HTMLTextAreaElement);
}

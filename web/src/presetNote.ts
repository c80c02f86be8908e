/** What the chosen task asks and what the chosen preset can show, near the results and below them. */
import { byId, element, setText } from "./dom.ts";
import type { Settings } from "./settings.ts";
import { hasShippedBase, TASKS } from "./taskChoices.ts";

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

export function showPresetNote(settings: Settings): void {
  const { preset, task } = settings;
  const note = byId("preset-note", HTMLElement);
  setText(note, NOTE[preset] ?? "");
  note.hidden = note.textContent === "";
  const known = preset !== "quick" || hasShippedBase(settings);
  setText(byId("about-scale", HTMLElement), (known ? SCALE[preset] : undefined) ?? ANY_SCALE);
  const [before, problem, after] = TASKS[task].says;
  byId("task-says", HTMLElement).replaceChildren(`${before} `, element("code", {}, problem), ` ${after}`);
}

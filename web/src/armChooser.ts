/** The choice of arms: the paper's own and GRPO in sight, every other algorithm below a fold with what it is and whence. */
import { armName } from "../../src/rl/presets.ts";
import { ALGORITHM_GROUPS, ALGORITHM_TEXTS, FIRST_ALGORITHMS } from "./algorithmTexts.ts";
import { armKey } from "./armLook.ts";
import { element, setText, withCode } from "./dom.ts";
import type { FieldHost } from "./numberField.ts";
import { ARM_WORDS, armOf } from "./settings.ts";

const OTHERS = ALGORITHM_GROUPS.flatMap(([, words]) => words);

export function armChooser(host: FieldHost): HTMLElement {
  const grid = element("div", { class: "arm-choice" });
  grid.append(
    element("span", { class: "heading" }, "as it is"),
    element("span", { class: "heading" }, "flipped"),
    armBox(host, "base"),
    element("span"),
    ...FIRST_ALGORITHMS.flatMap((word) => [armBox(host, word), armBox(host, `${word}-flipped`)]),
  );
  const title = "Flipped: every sign turned, a control that must unlearn.";
  return element(
    "fieldset",
    { class: "group", title },
    element("legend", {}, "Arms"),
    grid,
    otherAlgorithms(host),
  );
}

/** Every other algorithm, each with its line. */
function otherAlgorithms(host: FieldHost): HTMLElement {
  const summary = element("summary");
  const fold = element("details", { id: "more-arms" }, summary);
  for (const [title, words] of ALGORITHM_GROUPS) {
    const grid = element("div", { class: "arm-choice" });
    for (const word of words) {
      const { says, source } = ALGORITHM_TEXTS[word];
      const text = element(
        "p",
        { class: "hint" },
        ...withCode(says.replaceAll(" -1", " −1")),
        " ",
        element("cite", {}, sourceText(source)),
      );
      grid.append(armBox(host, word), armBox(host, `${word}-flipped`), text);
    }
    fold.append(element("h3", {}, title), grid);
  }
  const chosen = (): number =>
    host.settings.arms.filter((word) => OTHERS.includes(word.replace(/-flipped$/, ""))).length;
  host.refresh(() => {
    const count = chosen();
    setText(summary, `${OTHERS.length} more algorithms${count > 0 ? `, ${count} chosen` : ""}`);
  });
  // What a link chose is not to be hidden.
  fold.open = chosen() > 0;
  return fold;
}

function armBox(host: FieldHost, word: string): HTMLElement {
  const box = element("input", { type: "checkbox", id: `arm-${word}` });
  const flipped = word.endsWith("-flipped");
  const name = (): string => armName(armOf(word, host.settings), { algorithm: {} });
  const text = element("span");
  const label = element("label", { class: "check" }, box, armKey(name()), text);
  box.addEventListener("change", () => {
    const arms = ARM_WORDS.filter((one) => (one === word ? box.checked : host.settings.arms.includes(one)));
    // One arm at least: the last one stays.
    if (arms.length === 0) box.checked = true;
    else host.update({ arms });
  });
  host.refresh(() => {
    box.checked = host.settings.arms.includes(word);
    // The column says "flipped" to the eye; a reader needs the whole name.
    if (flipped) box.setAttribute("aria-label", name());
    else text.textContent = name();
  });
  return label;
}

const sourceText = (source: string): string => `${source === "this project" ? "This project" : source}.`;

/** How an arm looks wherever it appears: one colour and dash by algorithm, dash and dot for its flipped control. */
import { COLOURS, DASHES } from "../../src/eval/palette.ts";
import { nameWithoutNumbers, WORD_BY_NAME } from "./algorithmTexts.ts";
import { element } from "./dom.ts";

export interface ArmLook {
  light: string;
  dark: string;
  /** Lengths of dash and gap; empty for a whole line. */
  dash: number[];
}

/** The default arms of a report, in its order, so that report and page agree on colours; after them all others. */
const FIRST = ["base", "psr", "nsr", "w-reinforce", "grpo"];
const ORDER = [...FIRST, ...[...WORD_BY_NAME.values()].filter((word) => !FIRST.includes(word))];
const FLIPPED = / flipped$/;
/** No default arm has it, so a control differs from its own arm too. */
const FLIPPED_DASH = "9 3 2 3";

/** Colours and dashes in turn: the second time round a colour comes with another dash. The base's grey is its own. */
function styleOf(at: number): { colour: readonly [string, string]; dash: string } {
  if (at < COLOURS.length) return { colour: COLOURS[at], dash: DASHES[at] };
  const rest = at - COLOURS.length;
  const around = COLOURS.length - 1;
  return {
    colour: COLOURS[1 + (rest % around)],
    dash: DASHES[(1 + rest + 2 * (1 + Math.floor(rest / around))) % DASHES.length],
  };
}

/** The look of an arm by its name in results, such as `W-REINFORCE 0.1 flipped`. */
export function armLook(name: string): ArmLook {
  const plain = name.replace(FLIPPED, "");
  const word = plain === "base" ? plain : WORD_BY_NAME.get(nameWithoutNumbers(plain));
  const found = word === undefined ? -1 : ORDER.indexOf(word);
  const style = styleOf(found < 0 ? FIRST.length : found);
  const [light, dark] = style.colour;
  const dash = FLIPPED.test(name) ? FLIPPED_DASH : style.dash;
  return { light, dark, dash: dash === "none" ? [] : dash.split(" ").map(Number) };
}

/** Dashes of the runs that are compared with the one on show. */
const RUN_DASHES: Readonly<Record<string, number[]>> = {
  B: [11, 5],
  C: [2, 3],
  D: [10, 3, 2, 3],
  E: [4, 8],
};

/** Dash of an arm's line; `run` is the letter of a compared run. */
export function armDash(name: string, run?: string): number[] {
  return run === undefined ? armLook(name).dash : (RUN_DASHES[run] ?? RUN_DASHES.B);
}

/** A short piece of the arm's line, to stand before its name. */
export function armKey(name: string, run?: string): HTMLElement {
  const key = element("span", { class: "key", "aria-hidden": "true" });
  const dash = armDash(name, run);
  if (dash.length > 0) {
    let at = 0;
    const stops = dash.map((length, i) => {
      const from = at;
      at += length;
      return `${i % 2 === 0 ? "var(--arm)" : "transparent"} ${from}px ${at}px`;
    });
    key.style.background = `repeating-linear-gradient(90deg, ${stops.join(", ")})`;
  }
  return paintAs(key, name);
}

/** Gives an element the arm's colour as `--arm`. */
export function paintAs<T extends HTMLElement>(target: T, name: string): T {
  const { light, dark } = armLook(name);
  target.style.setProperty("--arm", `light-dark(${light}, ${dark})`);
  return target;
}

/** How an arm looks wherever it appears: one colour by algorithm, dots for its flipped control. */
import { COLOURS, DASHES } from "../../src/eval/palette.ts";
import { element } from "./dom.ts";

export interface ArmLook {
  light: string;
  dark: string;
  /** Lengths of dash and gap; empty for a whole line. */
  dash: number[];
}

/** The default arms of a report, in its order, so that report and page agree on colours. */
const ORDER = ["base", "PSR", "NSR", "W-REINFORCE", "GRPO"];
const FLIPPED = / flipped$/;

/** The look of an arm by its name in results, such as `W-REINFORCE 0.1 flipped`. */
export function armLook(name: string): ArmLook {
  const plain = name.replace(FLIPPED, "");
  const found = ORDER.findIndex((start) => plain === start || plain.startsWith(`${start} `));
  const style = found < 0 ? ORDER.length : found;
  const [light, dark] = COLOURS[style];
  const dash = FLIPPED.test(name) ? "1.5 3" : DASHES[style];
  return { light, dark, dash: dash === "none" ? [] : dash.split(" ").map(Number) };
}

/** A short piece of the arm's line, to stand before its name. */
export function armKey(name: string): HTMLElement {
  const key = element("span", { class: FLIPPED.test(name) ? "key dashed" : "key", "aria-hidden": "true" });
  return paintAs(key, name);
}

/** Gives an element the arm's colour as `--arm`. */
export function paintAs<T extends HTMLElement>(target: T, name: string): T {
  const { light, dark } = armLook(name);
  target.style.setProperty("--arm", `light-dark(${light}, ${dark})`);
  return target;
}

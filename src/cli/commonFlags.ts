/** Flags that several commands take alike, and what the engine is asked for by them. */

import { DETERMINISM_LEVELS, type Determinism, parseDeterminism } from "../tensor/determinism.ts";
import { TIERS } from "../tensor/tiers.ts";

export const HELP = { kind: "flag", help: "print this help" } as const;

export const TIER = {
  kind: "text",
  help: "take this tier; T4 only where it is named",
  choices: TIERS,
} as const;

// No choices: a level that is not built yet is told from a misspelt one.
export const DETERMINISM = {
  kind: "text",
  takes: DETERMINISM_LEVELS.join("|"),
  help: "fast: kernels with other bits are chosen too, where they are quicker (default NAYSAY_DETERMINISM, else repeatable)",
} as const;

/** The level that a flag names; undefined where it is left out. Throws `ConfigError` for an unknown one. */
export function determinismOf(text: string | undefined): Determinism | undefined {
  return text === undefined ? undefined : parseDeterminism(text, "--determinism");
}

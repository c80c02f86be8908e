/**
 * What a run may trade for speed. `repeatable`: same adapter, same seed, same bits, whatever was measured; a tuner enters only
 * kernels with equal bits. `fast`: it enters whatever is quickest, so bits depend on the tuning table too; for one table they
 * are still the same run after run.
 */
import { ConfigError } from "./errors.ts";
import { didYouMean } from "./suggest.ts";

export type Determinism = "repeatable" | "fast";

/** All levels, the default first. */
export const DETERMINISM_LEVELS: readonly Determinism[] = ["repeatable", "fast"];

/** Reads a level's name; `from` stands in the message. Throws `ConfigError` for an unknown one, and for one that is not built. */
export function parseDeterminism(name: unknown, from = "determinism"): Determinism {
  const level = DETERMINISM_LEVELS.find((known) => known === name);
  if (level !== undefined) return level;
  const expected = `${from}: ${DETERMINISM_LEVELS.join(" or ")} expected, got`;
  if (name === "strict") {
    throw new ConfigError(
      `${expected} strict, the same bits on every adapter, which is not built yet. Use repeatable: the same bits on one adapter.`,
    );
  }
  const text = typeof name === "string" ? name : String(name);
  throw new ConfigError(`${expected} "${text}". ${didYouMean(text, DETERMINISM_LEVELS)}`);
}

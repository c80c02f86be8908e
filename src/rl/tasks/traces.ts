/** What the traces of every task share: modes with uneven weights, a corrupted share, and the order of the draws. */

import { ConfigError } from "../../tensor/errors.ts";
import type { Rng } from "../../tensor/random.ts";
import { integer, list, number, optional, withDefault } from "../../tensor/validate.ts";
import type { Trace } from "../task.ts";

/** Keys of a configuration that every task has. */
export const traceRules = {
  /** Share of the traces that are corrupted. */
  corruption: withDefault(number({ min: 0, max: 1 }), 0.3),
  /** Weights of the modes in their order; renormalised over the modes that a problem accepts. */
  modeWeights: optional(list(number({ min: 0, max: 1e6 }), { min: 1, max: 16 })),
  /** Share of the problems kept from training. */
  heldOutShare: withDefault(number({ min: 0, max: 1 }), 0.2),
};

/** Key of tasks whose problems are drawn. */
export const poolRules = {
  /** Train on this many problems, always the same; 0: ever new ones. */
  pool: withDefault(integer({ min: 0, max: 1 << 20 }), 0),
};

/** The weights given, or the defaults; a `ConfigError` where their number is not that of the modes, or all are 0. */
export function modeWeightsOf(
  name: string,
  modes: readonly string[],
  given: readonly number[] | undefined,
  defaults: readonly number[],
): number[] {
  const weights = given ?? defaults;
  if (weights.length !== modes.length) {
    throw new ConfigError(
      `${name}: modeWeights: ${modes.length} elements expected (${modes.join(", ")}), got ${weights.length}. Give one for each mode.`,
    );
  }
  if (!weights.some((weight) => weight > 0)) {
    throw new ConfigError(
      `${name}: modeWeights: a positive weight expected, got none above 0. Give one mode a weight.`,
    );
  }
  return [...weights];
}

export interface TraceMaker {
  /** Every mode of the task, in the order of the weights. */
  modes: readonly string[];
  modeWeights: readonly number[];
  corruption: number;
  eos: number;
  /** A right answer in this mode, without EOS. */
  write(mode: string): readonly number[];
  /** The answer made wrong in a well-formed way; undefined where there is none. */
  corrupt(answer: readonly number[]): readonly number[] | undefined;
}

/** A trace of a problem that accepts `accepted`; a mode without weight is written only where no other is left. */
export function drawTrace(rng: Rng, accepted: readonly string[], maker: TraceMaker): Trace {
  const weights = accepted.map((mode) => maker.modeWeights[maker.modes.indexOf(mode)]);
  const anyWeight = weights.some((weight) => weight > 0);
  const mode = accepted[rng.pick(anyWeight ? weights : weights.map(() => 1))];
  const answer = maker.write(mode);
  const corrupted = rng.uniform() < maker.corruption ? maker.corrupt(answer) : undefined;
  return { completion: [...(corrupted ?? answer), maker.eos], correct: corrupted === undefined, mode };
}

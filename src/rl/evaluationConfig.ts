/** How a policy is measured on held-out problems: plain data with defaults, checked. */
import { boolean, integer, list, number, object, optional, withDefault } from "../tensor/validate.ts";

const count = integer({ min: 1, max: 1 << 24 });
const temperature = number({ min: 1e-3, max: 100 });

/** Numbers of a measurement, with every default filled in; all of them on a page: docs/configuration.md. */
export interface EvaluationConfig {
  /** Held-out problems. Default 32. */
  prompts: number;
  /** Samples of each problem: n of Pass@k. Default 256. */
  samples: number;
  /** Divides the logits of the measured samples. Default 1. */
  temperature: number;
  /** Draws among the likeliest so many tokens only; 0 is all. Default 0. */
  topK: number;
  /** Draws among the likeliest tokens of this mass only; 1 is all. Default 1. */
  topP: number;
  /**
   * Exact Pass@k from the probabilities of all right answers, for tasks that list them; `samples` is then unused. Default
   * false.
   */
  exact: boolean;
  /** Further temperatures at which exact Pass@k is taken. Default []. */
  alsoTemperatures: number[];
  /** Samples of each problem whose entropy is measured. Default 8. */
  entropySamples: number;
  /** Largest k of Pass@k. Default 256. */
  maxK: number;
  /** Training steps between measurements of a policy that is being trained; 0: only at the end. Default 0. */
  every: number;
  /** Seed of the held-out problems, where all runs are to have the same; else the run's own. */
  promptsSeed?: number;
}

export const evaluationRules = object<EvaluationConfig>({
  prompts: withDefault(count, 32),
  samples: withDefault(count, 256),
  temperature: withDefault(temperature, 1),
  topK: withDefault(integer({ min: 0 }), 0),
  topP: withDefault(number({ above: 0, max: 1 }), 1),
  exact: withDefault(boolean(), false),
  alsoTemperatures: withDefault(list(temperature, { min: 0, max: 8 }), []),
  entropySamples: withDefault(count, 8),
  maxK: withDefault(count, 256),
  every: withDefault(integer({ min: 0 }), 0),
  promptsSeed: optional(integer({ min: 0, max: Number.MAX_SAFE_INTEGER })),
});

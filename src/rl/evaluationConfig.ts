/** How a policy is measured on held-out problems: plain data with defaults, checked. */
import {
  boolean,
  type Infer,
  integer,
  list,
  number,
  object,
  optional,
  withDefault,
} from "../tensor/validate.ts";

const count = integer({ min: 1, max: 1 << 24 });
const temperature = number({ min: 1e-3, max: 100 });

export const evaluationRules = object({
  /** Held-out problems, and samples of each: n of Pass@k. */
  prompts: withDefault(count, 32),
  samples: withDefault(count, 256),
  temperature: withDefault(temperature, 1),
  topK: withDefault(integer({ min: 0 }), 0),
  topP: withDefault(number({ above: 0, max: 1 }), 1),
  /** Exact Pass@k from the probabilities of all right answers, for tasks that list them; `samples` is then unused. */
  exact: withDefault(boolean(), false),
  /** Further temperatures at which exact Pass@k is taken. */
  alsoTemperatures: withDefault(list(temperature, { min: 0, max: 8 }), []),
  /** Samples of each prompt whose entropy is measured. */
  entropySamples: withDefault(count, 8),
  /** Largest k of Pass@k. */
  maxK: withDefault(count, 256),
  /** Training steps between measurements of a policy that is being trained; 0: only at the end. */
  every: withDefault(integer({ min: 0 }), 0),
  /** Seed of the held-out problems, where all runs are to have the same; else the run's own. */
  promptsSeed: optional(integer({ min: 0, max: Number.MAX_SAFE_INTEGER })),
});
export type EvaluationConfig = Infer<typeof evaluationRules>;

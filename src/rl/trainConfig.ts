/** The numbers of a training run: plain data with defaults, checked. */
import { ConfigError } from "../tensor/errors.ts";
import {
  boolean,
  type Infer,
  integer,
  number,
  object,
  oneOf,
  optional,
  type Rule,
  validate,
  withDefault,
} from "../tensor/validate.ts";

const count = integer({ min: 1, max: 1 << 20 });

const nullable =
  <T>(rule: Rule<T>): Rule<T | null> =>
  (value, path) =>
    value === null ? null : rule(value, path);

const miniBatches = object({
  kind: oneOf("whole", "rows", "count"),
  rows: optional(count),
  count: optional(count),
});

export const trainRules = object({
  /** Rollouts, each with its updates. */
  steps: withDefault(integer({ min: 0, max: 1e7 }), 20),
  promptsPerStep: withDefault(count, 16),
  /** Samples of each prompt. */
  numGenerations: withDefault(count, 8),
  temperature: withDefault(number({ min: 1e-3, max: 100 }), 1),
  topK: withDefault(integer({ min: 0 }), 0),
  topP: withDefault(number({ above: 0, max: 1 }), 1),
  learningRate: withDefault(number({ min: 0, max: 10 }), 1e-3),
  /** Steps over which the learning rate rises to its value. */
  warmupSteps: withDefault(integer({ min: 0 }), 0),
  weightDecay: withDefault(number({ min: 0, max: 10 }), 0.01),
  beta1: withDefault(number({ min: 0, below: 1 }), 0.9),
  beta2: withDefault(number({ min: 0, below: 1 }), 0.999),
  eps: withDefault(number({ above: 0, below: 1 }), 1e-8),
  /** Largest norm of the gradient; null: not clipped. */
  maxGradNorm: withDefault(nullable(number({ above: 0 })), 1),
  /** How a rollout is split into updates: `whole`, `rows` of so many rows, `count` of so many mini-batches. */
  miniBatches: withDefault(miniBatches, { kind: "whole", rows: undefined, count: undefined }),
  /** Cut to the kept rows before splitting, as in the paper's code. */
  cutFirst: withDefault(boolean(), true),
  /** How often a rollout is gone over. */
  epochs: withDefault(integer({ min: 1, max: 1000 }), 1),
  /** Most milliseconds to wait for a verifier that answers later. */
  verifierTimeout: withDefault(number({ above: 0, max: 3.6e6 }), 10_000),
  /** Rows of a gradient program. */
  microBatchRows: withDefault(count, 64),
});
/** Numbers of a training run; every key with its default and meaning: docs/configuration.md. */
export type TrainConfig = Infer<typeof trainRules>;

/** The configuration with its defaults; throws `ConfigError` with the nearest known key for an unknown one. */
export function trainConfig(given: Partial<TrainConfig> = {}): TrainConfig {
  const config = validate("train", trainRules, given);
  const { kind, rows, count: batches } = config.miniBatches;
  if ((kind === "rows" && rows === undefined) || (kind === "count" && batches === undefined)) {
    throw new ConfigError(
      `train: miniBatches.${kind}: a number expected, got none. Write { kind: "${kind}", ${kind}: 4 }.`,
    );
  }
  return config;
}

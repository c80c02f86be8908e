/** The numbers of a training run: plain data with defaults, checked. */
import { ConfigError } from "../tensor/errors.ts";
import {
  boolean,
  integer,
  nullable,
  number,
  object,
  oneOf,
  optional,
  type Rule,
  validate,
  withDefault,
} from "../tensor/validate.ts";

const count = integer({ min: 1, max: 1 << 20 });

/** How a rollout is split into updates. */
export interface MiniBatchChoice {
  /** `whole`: one update; `rows` of so many rows each; `count` of so many updates. */
  kind: "whole" | "rows" | "count";
  /** Rows of an update, for `rows`. */
  rows?: number;
  /** Updates of a rollout, for `count`. */
  count?: number;
}

const miniBatchFields = object<MiniBatchChoice>({
  kind: oneOf("whole", "rows", "count"),
  rows: optional(count),
  count: optional(count),
});

/** A choice whose number is given where its kind has one. */
export const miniBatchRule: Rule<MiniBatchChoice> = (value, path) => {
  const choice = miniBatchFields(value, path);
  const { kind } = choice;
  if (kind === "whole" || choice[kind] !== undefined) return choice;
  throw new ConfigError(
    `${path}.${kind}: a number expected, got none. Write { kind: "${kind}", ${kind}: 4 }.`,
  );
};

/** Numbers of a training run, as `trainConfig` fills them in; all of them on a page: docs/configuration.md. */
export interface TrainConfig {
  /** Rollouts, each with its updates. Default 20. */
  steps: number;
  /** Problems of a rollout. Default 16. */
  promptsPerStep: number;
  /** Samples of each problem. Default 8. */
  numGenerations: number;
  /** Divides the logits of the training samples. Default 1. */
  temperature: number;
  /** Draws among the likeliest so many tokens only; 0 is all. Default 0. */
  topK: number;
  /** Draws among the likeliest tokens of this mass only; 1 is all. Default 1. */
  topP: number;
  /** Of the optimizer. Default 0.001. */
  learningRate: number;
  /** Steps over which the learning rate rises to its value. Default 0. */
  warmupSteps: number;
  /** Decoupled, of AdamW. Default 0.01. */
  weightDecay: number;
  /** Of AdamW: decay of the mean of gradients. Default 0.9. */
  beta1: number;
  /** Of AdamW: decay of the mean of their squares. Default 0.999. */
  beta2: number;
  /** Of AdamW: added to the root of that mean. Default 1e-8. */
  eps: number;
  /** Largest norm of the gradient; `null`: not clipped. Default 1. */
  maxGradNorm: number | null;
  /** How a rollout is split into updates. Default {"kind":"whole"}. */
  miniBatches: MiniBatchChoice;
  /** Cut to the kept rows before splitting, as in the paper's code. Default true. */
  cutFirst: boolean;
  /** How often a rollout is gone over. Default 1. */
  epochs: number;
  /** Most milliseconds to wait for a verifier that answers later. Default 10000. */
  verifierTimeout: number;
  /** Rows of a gradient program: a matter of speed, memory, and the last bits. Default 64. */
  microBatchRows: number;
}

export const trainRules = object<TrainConfig>({
  steps: withDefault(integer({ min: 0, max: 1e7 }), 20),
  promptsPerStep: withDefault(count, 16),
  numGenerations: withDefault(count, 8),
  temperature: withDefault(number({ min: 1e-3, max: 100 }), 1),
  topK: withDefault(integer({ min: 0 }), 0),
  topP: withDefault(number({ above: 0, max: 1 }), 1),
  learningRate: withDefault(number({ min: 0, max: 10 }), 1e-3),
  warmupSteps: withDefault(integer({ min: 0 }), 0),
  weightDecay: withDefault(number({ min: 0, max: 10 }), 0.01),
  beta1: withDefault(number({ min: 0, below: 1 }), 0.9),
  beta2: withDefault(number({ min: 0, below: 1 }), 0.999),
  eps: withDefault(number({ above: 0, below: 1 }), 1e-8),
  maxGradNorm: withDefault(nullable(number({ above: 0 })), 1),
  miniBatches: withDefault(miniBatchRule, { kind: "whole", rows: undefined, count: undefined }),
  cutFirst: withDefault(boolean(), true),
  epochs: withDefault(integer({ min: 1, max: 1000 }), 1),
  verifierTimeout: withDefault(number({ above: 0, max: 3.6e6 }), 10_000),
  microBatchRows: withDefault(count, 64),
});

/** The configuration with its defaults; throws `ConfigError` with the nearest known key for an unknown one. */
export function trainConfig(given: Partial<TrainConfig> = {}): TrainConfig {
  return validate("train", trainRules, given);
}

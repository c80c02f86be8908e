/** Experiments as plain data: the presets, and the check of a configuration made from one. */

import { ConfigError } from "../tensor/errors.ts";
import { didYouMean } from "../tensor/suggest.ts";
import {
  integer,
  list,
  object,
  optional,
  type Rule,
  type Rules,
  show,
  string,
  validate,
  withDefault,
} from "../tensor/validate.ts";
import type { Algorithm } from "./algorithm.ts";
import { type AlgorithmChanges, algorithmByName, checkAlgorithm, flipped } from "./algorithms.ts";
import { type EvaluationConfig, evaluationRules } from "./evaluationConfig.ts";
import { type PretrainConfig, pretrainRules } from "./pretrain.ts";
import { type TrainConfig, trainConfig, trainRules } from "./trainConfig.ts";

const count = integer({ min: 1, max: 1 << 24 });

/** An object whose keys are checked where it is used. */
export const plain: Rule<Record<string, unknown>> = (value, path) => {
  if (value !== null && typeof value === "object" && !Array.isArray(value))
    return value as Record<string, unknown>;
  throw new ConfigError(
    `${path}: an object expected, got ${String(value).slice(0, 60)}. Write { key: value }.`,
  );
};

/** Everything that decides the numbers of an experiment, but its seed; all keys on a page: docs/configuration.md. */
export interface ExperimentConfig {
  /** Name of the task and its own configuration. */
  task: { name: string; config: Record<string, unknown> };
  /** Hugging Face style sizes; the vocabulary is the task's. */
  model: Record<string, unknown>;
  /** File name of the shipped base; without one the base is pretrained. */
  base?: string;
  /** How the base is made. */
  pretrain: PretrainConfig;
  /** How each arm is trained. */
  train: TrainConfig;
  /** How each arm is measured. */
  evaluation: EvaluationConfig;
  /** `base`, and algorithms by name, such as `nsr` or `w-reinforce:0.1`; `-flipped` at the end turns the sign. */
  arms: string[];
  /** Changes of every algorithm: the controls. Default {}. */
  algorithm: Record<string, unknown>;
  /** Rows that decode together: a matter of speed and memory. Default 128. */
  rows: number;
  /** Rows that are scored together: a matter of speed and memory. Default 64. */
  scoreRows: number;
  /** Steps between checkpoints within an arm; 0: only at its end. Default 0. */
  checkpointEvery: number;
}

const fields: Rules<ExperimentConfig> = {
  task: object<ExperimentConfig["task"]>({ name: string(), config: withDefault(plain, {}) }),
  model: plain,
  base: optional(string()),
  pretrain: pretrainRules,
  train: trainRules,
  evaluation: evaluationRules,
  arms: list(string(), { min: 1, max: 64 }),
  algorithm: withDefault(plain, {}),
  rows: withDefault(count, 128),
  scoreRows: withDefault(count, 64),
  checkpointEvery: withDefault(integer({ min: 0 }), 0),
};
const rules = object(fields);

/** The keys of an experiment's configuration. */
export const experimentKeys: readonly string[] = Object.keys(fields);

/** A configuration as one writes it: any part may be missing. */
export interface ExperimentChanges extends Partial<Omit<ExperimentConfig, "task" | "base" | Part>> {
  /** Name of the task and its own configuration. */
  task?: { name: string; config?: Record<string, unknown> };
  /** File name of the shipped base; `null`: none of the preset's, the base is pretrained. */
  base?: string | null;
  /** How the base is made. */
  pretrain?: Partial<PretrainConfig>;
  /** How each arm is trained. */
  train?: Partial<TrainConfig>;
  /** How each arm is measured. */
  evaluation?: Partial<EvaluationConfig>;
}
type Part = "pretrain" | "train" | "evaluation";

const ARMS = ["base", "psr", "nsr", "w-reinforce:0.1", "grpo"];

const quick: ExperimentChanges = {
  task: { name: "countdown", config: {} },
  model: { hiddenSize: 48, numLayers: 2, numHeads: 4, maxPositions: 16 },
  base: "quick-base.safetensors",
  pretrain: { steps: 1200, batchRows: 64, microBatchRows: 64, learningRate: 3e-3 },
  train: {
    steps: 20,
    promptsPerStep: 16,
    numGenerations: 8,
    learningRate: 3e-4,
    microBatchRows: 32,
  },
  evaluation: { prompts: 32, samples: 256, entropySamples: 4 },
  arms: ARMS,
  rows: 128,
  scoreRows: 128,
};

/** The paper's shape, small: several mini-batches a rollout, products, minority modes. For a GPU. */
const gpu: ExperimentChanges = {
  task: {
    name: "countdown",
    config: { numbers: [1, 12], targets: [1, 60], operators: ["+", "-", "*"] },
  },
  model: { hiddenSize: 192, numLayers: 4, numHeads: 6, maxPositions: 16 },
  pretrain: { steps: 4000, batchRows: 256, microBatchRows: 256, learningRate: 1.5e-3 },
  train: {
    steps: 200,
    promptsPerStep: 128,
    numGenerations: 8,
    learningRate: 1e-4,
    miniBatches: { kind: "rows", rows: 256 },
    microBatchRows: 256,
  },
  evaluation: { prompts: 256, samples: 256, entropySamples: 8 },
  arms: ARMS,
  rows: 1024,
  scoreRows: 512,
  checkpointEvery: 25,
};

/** A whole run in seconds, to see that everything works; it measures nothing. */
const tiny: ExperimentChanges = {
  task: { name: "countdown", config: { numbers: [1, 4], targets: [1, 9] } },
  model: { hiddenSize: 16, numLayers: 1, numHeads: 2, maxPositions: 16 },
  pretrain: { steps: 4, batchRows: 16, microBatchRows: 16, learningRate: 1e-2, warmupSteps: 2 },
  train: { steps: 2, promptsPerStep: 4, numGenerations: 4, learningRate: 1e-3, microBatchRows: 16 },
  evaluation: { prompts: 4, samples: 8, entropySamples: 2 },
  arms: ["base", "nsr"],
  rows: 16,
  scoreRows: 16,
};

export const PRESETS: Readonly<Record<string, ExperimentChanges>> = { quick, gpu, tiny };

/** Changes key by key, those of a part (`train`, `model` ...) too; the parts named in `whole` are replaced. */
export function mergeChanges(
  old: object,
  changes: object,
  whole: readonly string[] = ["task"],
): Record<string, unknown> {
  const merged: Record<string, unknown> = { ...old };
  for (const [key, value] of Object.entries(changes)) {
    if (value === undefined) continue;
    // Assigned it would be the object's prototype, which no rule sees.
    if (key === "__proto__") throw new ConfigError("experiment: __proto__: a known key expected. Remove it.");
    const both = [merged[key], value].every((x) => x !== null && typeof x === "object" && !Array.isArray(x));
    merged[key] = both && !whole.includes(key) ? { ...(merged[key] as object), ...value } : value;
  }
  return merged;
}

/** A preset with changes, checked and with every default filled in. Throws `ConfigError`. */
export function experimentConfig(preset: string, changes: ExperimentChanges = {}): ExperimentConfig {
  if (typeof preset !== "string" || !Object.hasOwn(PRESETS, preset)) {
    throw new ConfigError(
      `preset: one of ${Object.keys(PRESETS).join(", ")} expected, got ${show(preset)}. ${didYouMean(String(preset), Object.keys(PRESETS))}`,
    );
  }
  const merged = mergeChanges(PRESETS[preset], changes);
  if (merged.base === null) delete merged.base;
  const config = validate("experiment", rules, merged);
  trainConfig(config.train);
  for (const arm of config.arms) {
    const algorithm = armAlgorithm(arm, config);
    if (algorithm) checkAlgorithm(algorithm, config.train.numGenerations);
  }
  const names = config.arms.map((arm) => armName(arm, config));
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) {
    throw new ConfigError(`experiment: arms: distinct arms expected, got ${twice} twice. Remove one.`);
  }
  const { exact, maxK, samples } = config.evaluation;
  if (!exact && maxK > samples && maxK !== 256) {
    throw new ConfigError(
      `experiment: evaluation.maxK: at most samples=${samples} expected, got ${maxK}. Draw more samples or ask for a smaller k.`,
    );
  }
  return config;
}

/** The algorithm of an arm, `null` for the base; `-flipped` at its end turns the advantage's sign. */
export function armAlgorithm(arm: string, config: Pick<ExperimentConfig, "algorithm">): Algorithm | null {
  const word = arm.toLowerCase();
  if (word === "base") return null;
  const turned = word.endsWith("-flipped");
  const found = algorithmByName(
    turned ? word.slice(0, -"-flipped".length) : word,
    config.algorithm as AlgorithmChanges,
  );
  return turned ? flipped(found) : found;
}

/** The name of an arm in tables and files. */
export function armName(arm: string, config: Pick<ExperimentConfig, "algorithm">): string {
  return armAlgorithm(arm, config)?.name ?? "base";
}

/**
 * What a visitor can set: a table of numbers, one of choices (controls.ts), and preset, task, arms and tier. The link, the
 * form, the request to the worker and the command line for Node are all derived from them, so none of them can know a
 * setting that the others do not.
 */
import { ALGORITHMS } from "../../src/rl/algorithms.ts";
import {
  type ExperimentChanges,
  type ExperimentConfig,
  experimentConfig,
  PRESETS,
} from "../../src/rl/presets.ts";
import { ConfigError } from "../../src/tensor/errors.ts";
import { TIERS, type Tier } from "../../src/tensor/tiers.ts";
import { integer, type NumberLimits, number } from "../../src/tensor/validate.ts";
import { CHOICE_KEYS, type ChoiceKey, choice } from "./controls.ts";
import { hasShippedBase, OWN_TASK, presetConfig, taskChanges } from "./taskChoices.ts";

/** Algorithms by the words that arms use. */
export const ALGORITHM_WORDS: readonly string[] = Object.keys(ALGORITHMS);
/** Arms in the order in which they run, are drawn and are listed, without their numbers: those are settings. */
export const ARM_WORDS: readonly string[] = [
  "base",
  ...ALGORITHM_WORDS,
  ...ALGORITHM_WORDS.map((word) => `${word}-flipped`),
];

/** The setting that is the number of these algorithms. */
const NUMBER_OF_ARM: Readonly<Record<string, "lambda" | "k">> = {
  "w-reinforce": "lambda",
  "nsr-to-w": "lambda",
  "pass-k": "k",
  pkpo: "k",
};

export const TIER_CHOICES = ["auto", ...TIERS] as const;

/** One number that can be set. */
export interface NumberSetting {
  label: string;
  /** A sentence for whoever does not know the word. */
  help: string;
  kind: "integer" | "number";
  limits: NumberLimits & { min: number; max: number };
  /** Ends of the slider where there is one; without a step equal factors stand at equal distances. */
  slider?: { min: number; max: number; step?: number };
  /** Where it stands in an experiment's configuration. Without one it is the page's own. */
  path?: readonly [string] | readonly [string, string];
  /** How it stands in a configuration where that is no plain number at a path. */
  as?: { read(config: ExperimentConfig): number; write(value: number): ExperimentChanges };
  /** Value where neither the link nor a preset says one. */
  fallback?: number;
}

const count = (max: number) => ({ kind: "integer" as const, limits: { min: 1, max } });

export const NUMBERS = {
  seed: {
    label: "Seed",
    help: "The same seed gives the same run, bit for bit, on the same adapter and tier.",
    kind: "integer",
    limits: { min: 0, max: Number.MAX_SAFE_INTEGER },
    fallback: 1,
  },
  updates: {
    label: "Updates",
    help: "Rollouts of each arm: an update each, unless mini-batches make more of one.",
    kind: "integer",
    limits: { min: 0, max: 10_000 },
    slider: { min: 1, max: 200 },
    path: ["train", "steps"],
  },
  learningRate: {
    label: "Learning rate",
    help: "Of the optimizer, AdamW unless the controls say SGD.",
    kind: "number",
    limits: { min: 0, max: 1 },
    slider: { min: 1e-5, max: 1e-2 },
    path: ["train", "learningRate"],
  },
  temperature: {
    label: "Temperature",
    help: "Of the training samples: above 1 they are more varied.",
    kind: "number",
    limits: { min: 0.05, max: 10 },
    slider: { min: 0.5, max: 2, step: 0.05 },
    path: ["train", "temperature"],
  },
  lambda: {
    label: "λ of W-REINFORCE",
    help: "Weight of right answers; wrong ones weigh 1. The paper uses 0.1.",
    kind: "number",
    limits: { min: 0, max: 10 },
    slider: { min: 0, max: 1, step: 0.05 },
    fallback: 0.1,
  },
  k: {
    label: "k of Pass@k, PKPO",
    help: "Tries that the arms pass-k and pkpo train for: at most the samples of a prompt.",
    ...count(1024),
    fallback: 4,
  },
  splitSize: {
    label: "how many of them",
    help: "Mini-batches of a rollout, or rows of a mini-batch.",
    ...count(1 << 20),
    // What it is part of, the choice `split` writes.
    as: { read: ({ train: { miniBatches: m } }) => m.rows ?? m.count ?? 4, write: () => ({}) },
  },
  epochs: {
    label: "Times over a rollout",
    help: "How often each rollout is gone over.",
    ...count(1000),
    path: ["train", "epochs"],
  },
  maxGradNorm: {
    label: "Largest gradient norm",
    help: "A gradient beyond it is scaled down to it; 0: never.",
    kind: "number",
    limits: { min: 0, max: 1e6 },
    as: {
      read: ({ train }) => train.maxGradNorm ?? 0,
      write: (value) => ({ train: { maxGradNorm: value === 0 ? null : value } }),
    },
  },
  weightDecay: {
    label: "Weight decay",
    help: "Of the optimizer.",
    kind: "number",
    limits: { min: 0, max: 10 },
    path: ["train", "weightDecay"],
  },
  entropyBonus: {
    label: "Entropy bonus",
    help: "Weight of the policy's entropy in the loss. The paper: 0.0001.",
    kind: "number",
    limits: { min: 0, max: 1000 },
    as: {
      read: ({ algorithm }) => (algorithm.entropy as { coefficient: number } | undefined)?.coefficient ?? 0,
      write: (coefficient) => ({ algorithm: { entropy: { coefficient } } }),
    },
  },
  kl: {
    label: "KL to the base",
    help: "Weight of the divergence from the base (k3) in the loss of every arm. The paper: 0.001, for GRPO.",
    kind: "number",
    limits: { min: 0, max: 1000 },
    as: {
      read: ({ algorithm }) => (algorithm.kl as { coefficient: number } | undefined)?.coefficient ?? 0,
      write: (coefficient) => ({ algorithm: { kl: { estimator: "k3", where: "loss", coefficient } } }),
    },
  },
  pretrainSteps: {
    label: "Pretraining steps",
    help: "Of a base that is made here; the shipped base is made already.",
    kind: "integer",
    limits: { min: 0, max: 1_000_000 },
    path: ["pretrain", "steps"],
  },
  promptsPerStep: {
    label: "Prompts per update",
    help: "Problems posed in each rollout.",
    ...count(4096),
    path: ["train", "promptsPerStep"],
  },
  numGenerations: {
    label: "Samples per prompt",
    help: "Answers drawn for each problem.",
    ...count(1024),
    path: ["train", "numGenerations"],
  },
  evalPrompts: {
    label: "Held-out problems",
    help: "Problems that no arm trains on.",
    ...count(4096),
    path: ["evaluation", "prompts"],
  },
  evalSamples: {
    label: "Samples of each",
    help: "n of Pass@k; the largest k that can be measured.",
    ...count(65_536),
    path: ["evaluation", "samples"],
  },
  entropySamples: {
    label: "of them for entropy",
    help: "Samples of each held-out problem whose entropy is measured.",
    ...count(4096),
    path: ["evaluation", "entropySamples"],
  },
  checkpointEvery: {
    label: "Checkpoint every",
    help: "Updates between two checkpoints. At 1 a reload or a lost device loses nothing; 0 keeps none within an arm.",
    kind: "integer",
    limits: { min: 0, max: 1_000_000 },
    path: ["checkpointEvery"],
    fallback: 1,
  },
  showRows: {
    label: "Completions shown",
    help: "Samples of each rollout to look at; 0 is a little faster.",
    kind: "integer",
    limits: { min: 0, max: 64 },
    fallback: 16,
  },
  rows: {
    label: "Rows decoded together",
    help: "A matter of speed and memory.",
    ...count(16_384),
    path: ["rows"],
  },
  scoreRows: {
    label: "Rows scored together",
    help: "A matter of speed and memory.",
    ...count(16_384),
    path: ["scoreRows"],
  },
  microBatchRows: {
    label: "Rows of a gradient",
    help: "Rows whose gradient is computed at once: a matter of speed, memory, and the last bits.",
    ...count(16_384),
    path: ["train", "microBatchRows"],
  },
} as const satisfies Record<string, NumberSetting>;

export type NumberKey = keyof typeof NUMBERS;
export const NUMBER_KEYS = Object.keys(NUMBERS) as NumberKey[];

/** Everything that a visitor chose, with nothing left open. */
export type Settings = Record<NumberKey, number> &
  Record<ChoiceKey, string> & {
    preset: string;
    task: string;
    /** In the order of `ARM_WORDS`, at least one. */
    arms: string[];
    tier: Tier | "auto";
  };

/** The table with its rows as what they have in common. */
export function setting(key: NumberKey): NumberSetting {
  return NUMBERS[key];
}

/** Throws `ConfigError` for a value that the setting does not take. */
export function checkSetting(key: NumberKey, value: unknown, where: string): number {
  const { kind, limits } = setting(key);
  return (kind === "integer" ? integer : number)(limits)(value, `${where}: ${key}`);
}

/** What a configuration says of a number; `undefined` where it is the page's own. */
function readNumber(key: NumberKey, config: ExperimentConfig): number | undefined {
  const { path, as } = setting(key);
  if (as) return as.read(config);
  if (!path) return undefined;
  let found: unknown = config;
  for (const part of path) found = (found as Record<string, unknown>)[part];
  return found as number;
}

function writeNumber(key: NumberKey, value: number): ExperimentChanges {
  const { path, as } = setting(key);
  if (as) return as.write(value);
  if (!path) return {};
  return path.length === 1 ? { [path[0]]: value } : { [path[0]]: { [path[1]]: value } };
}

/** The word of an arm of a configuration: the page keeps its number apart. */
function wordOf(arm: string): string {
  return arm.replace(/:[^-]*/, "");
}

/** What a preset says with a task, with the page's own defaults where it says nothing. */
export function presetSettings(preset: string, task = OWN_TASK): Settings {
  const config = presetConfig(preset, task);
  const numbers = NUMBER_KEYS.map((key) => [key, setting(key).fallback ?? readNumber(key, config)]);
  const choices = CHOICE_KEYS.map((key) => [key, choice(key).read(config)]);
  return {
    ...(Object.fromEntries(numbers) as Record<NumberKey, number>),
    ...(Object.fromEntries(choices) as Record<ChoiceKey, string>),
    preset,
    task,
    arms: config.arms.map(wordOf),
    tier: "auto",
  };
}

/** An arm as the experiment takes it. */
export function armOf(word: string, settings: Pick<Settings, "lambda" | "k">): string {
  const plain = word.replace(/-flipped$/, "");
  const key = NUMBER_OF_ARM[plain];
  return key ? word.replace(plain, `${plain}:${decimal(settings[key])}`) : word;
}

/** A number without an exponent: arms take no other. */
function decimal(value: number): string {
  const text = String(value);
  return text.includes("e") ? value.toFixed(12).replace(/\.?0+$/, "") : text;
}

/** Puts `more` into `changes`, section by section. */
function merge(changes: Record<string, unknown>, more: ExperimentChanges): void {
  for (const [key, value] of Object.entries(more)) {
    const section = typeof value === "object" && value !== null && !Array.isArray(value);
    changes[key] = section ? { ...(changes[key] as object), ...value } : value;
  }
}

/** What the settings change in their preset: the content of a file for `--config`. */
export function changesOf(settings: Settings): ExperimentChanges {
  const { preset, task } = settings;
  const config = presetConfig(preset, task);
  const changes: Record<string, unknown> = {};
  const arms = settings.arms.map((word) => armOf(word, settings));
  if (arms.join() !== config.arms.join()) changes.arms = arms;
  merge(changes, taskChanges(preset, task));
  for (const key of NUMBER_KEYS) {
    // The shipped base is made: the steps would name another run and change nothing.
    if (key === "pretrainSteps" && hasShippedBase(settings)) continue;
    const own = readNumber(key, config);
    if (own !== undefined && own !== settings[key]) merge(changes, writeNumber(key, settings[key]));
  }
  for (const key of CHOICE_KEYS) {
    const size = settings.splitSize;
    const same = choice(key).read(config) === settings[key];
    const sized = key === "split" && settings.split !== "whole" && readNumber("splitSize", config) !== size;
    if (!same || sized) merge(changes, choice(key).write(settings[key], size));
  }
  return changes as ExperimentChanges;
}

/** The whole configuration of the settings; `null` where they do not go together. */
export function settledConfig(settings: Settings): ExperimentConfig | null {
  return conflictOf(settings) === null ? experimentConfig(settings.preset, changesOf(settings)) : null;
}

/** What does not go together in the settings, in the experiment's own words; `null` where all does. */
export function conflictOf(settings: Settings): string | null {
  try {
    experimentConfig(settings.preset, changesOf(settings));
    return null;
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
}

export const PRESET_NAMES = Object.keys(PRESETS);

/**
 * What a visitor can set: one table of numbers, and arms, preset and tier. The link, the form, the request to the worker
 * and the command line for Node are all derived from it, so none of them can know a setting that the others do not.
 */
import {
  type ExperimentChanges,
  type ExperimentConfig,
  experimentConfig,
  PRESETS,
} from "../../src/rl/presets.ts";
import { TIERS, type Tier } from "../../src/tensor/tiers.ts";
import { integer, type NumberLimits, number } from "../../src/tensor/validate.ts";

/** Arms in the order in which they run, are drawn and are listed. `w-reinforce` takes the setting `lambda`. */
export const ARM_WORDS = [
  "base",
  "psr",
  "nsr",
  "w-reinforce",
  "grpo",
  "psr-flipped",
  "nsr-flipped",
  "w-reinforce-flipped",
  "grpo-flipped",
] as const;
export type ArmWord = (typeof ARM_WORDS)[number];

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
    help: "Rollouts of each arm, with one update each.",
    kind: "integer",
    limits: { min: 0, max: 10_000 },
    slider: { min: 1, max: 200 },
    path: ["train", "steps"],
  },
  learningRate: {
    label: "Learning rate",
    help: "Of AdamW.",
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
export type Settings = Record<NumberKey, number> & {
  preset: string;
  /** In the order of `ARM_WORDS`, at least one. */
  arms: ArmWord[];
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

/** The value at a setting's place in a configuration. */
function at(config: ExperimentConfig, path: readonly string[]): number {
  let found: unknown = config;
  for (const part of path) found = (found as Record<string, unknown>)[part];
  return found as number;
}

/** The word of an arm of a configuration: the page keeps lambda apart. */
function wordOf(arm: string): ArmWord {
  return arm.replace(/:[^-]*/, "") as ArmWord;
}

/** What a preset says, with the page's own defaults where it says nothing. */
export function presetSettings(preset: string): Settings {
  const config = experimentConfig(preset);
  const numbers = NUMBER_KEYS.map((key) => {
    const { path, fallback } = setting(key);
    return [key, fallback ?? at(config, path as readonly string[])];
  });
  return {
    ...(Object.fromEntries(numbers) as Record<NumberKey, number>),
    preset,
    arms: config.arms.map(wordOf),
    tier: "auto",
  };
}

/** An arm as the experiment takes it. */
export function armOf(word: ArmWord, { lambda }: Pick<Settings, "lambda">): string {
  return word.replace("w-reinforce", `w-reinforce:${decimal(lambda)}`);
}

/** A number without an exponent: arms take no other. */
function decimal(value: number): string {
  const text = String(value);
  return text.includes("e") ? value.toFixed(12).replace(/\.?0+$/, "") : text;
}

/** What the settings change in their preset: the content of a file for `--config`. */
export function changesOf(settings: Settings): ExperimentChanges {
  const preset = experimentConfig(settings.preset);
  const changes: Record<string, unknown> = {};
  const arms = settings.arms.map((word) => armOf(word, settings));
  if (arms.join() !== preset.arms.join()) changes.arms = arms;
  for (const key of NUMBER_KEYS) {
    const path = setting(key).path as readonly string[] | undefined;
    if (!path || at(preset, path) === settings[key]) continue;
    if (path.length === 1) changes[path[0]] = settings[key];
    else changes[path[0]] = { ...(changes[path[0]] as object), [path[1]]: settings[key] };
  }
  return changes as ExperimentChanges;
}

export const PRESET_NAMES = Object.keys(PRESETS);

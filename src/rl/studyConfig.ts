/**
 * A study as plain data: one experiment for every seed, under each of several controls. A control is a change of the
 * training or of every algorithm; what it leaves out stays as in the experiment.
 *
 *     { "arms": ["psr", "nsr"], "seeds": [1, 2, 3], "controls": { "native": {}, "clip-off": { "algorithm": { "clip": false } } } }
 */
import { ConfigError } from "../tensor/errors.ts";
import { didYouMean } from "../tensor/suggest.ts";
import {
  integer,
  list,
  number,
  object,
  oneOf,
  optional,
  type Rule,
  show,
  string,
  validate,
  withDefault,
} from "../tensor/validate.ts";
import { checkAlgorithm } from "./algorithms.ts";
import {
  armAlgorithm,
  armName,
  type ExperimentChanges,
  type ExperimentConfig,
  experimentConfig,
  experimentKeys,
  mergeChanges,
  plain,
} from "./presets.ts";
import { trainConfig } from "./trainConfig.ts";

/** A change for every arm; `about` says in a report what it holds equal or leaves out. */
export interface Control {
  about?: string;
  train?: Record<string, unknown>;
  algorithm?: Record<string, unknown>;
}

/** Keys of a study beside those of an experiment. */
export interface StudyKeys {
  /** Seeds of prompts and sampling; every arm meets the same ones. */
  seeds?: number[];
  /**
   * `shared`: all seeds start from one base and differ in prompts and samples alone. `own`: each seed has a base of its
   * own, so that what is found holds for policies of this kind and not for one checkpoint.
   */
  bases?: "shared" | "own";
  controls?: Record<string, Control>;
  /** The arm that the others are compared with. */
  focus?: string;
  /** Runs before the study that tell how small a difference it can see; `null`: none. */
  pilot?: null | {
    /** Other seeds than the study's. */
    seeds: number[];
    arms: [string, string];
    control?: string;
    /** The difference in Pass@k, in [0, 1], that the study is meant to see. */
    difference: number;
  };
}

/** A study as one writes it: changes to a preset, or to an experiment's preset. */
export interface StudyChanges extends ExperimentChanges, StudyKeys {
  /** Preset of the experiment that a study's preset starts from. */
  experiment?: string;
}

/** Everything that decides the numbers of a study. */
export interface StudyConfig {
  /** The experiment of a control that changes nothing, with every default filled in. */
  experiment: ExperimentConfig;
  seeds: number[];
  bases: "shared" | "own";
  controls: Record<string, Control>;
  focus: string;
  pilot: { seeds: number[]; arms: [string, string]; control: string; difference: number } | null;
}

const seed = integer({ min: 0, max: Number.MAX_SAFE_INTEGER });

const control = object({ about: optional(string()), train: optional(plain), algorithm: optional(plain) });

/** What a study keeps beside its controls' folders. */
const TAKEN = ["base", "pilot", "study.json", "summary.json", "report.html", "report.md"];

/**
 * Names of folders, so nothing but these characters, and no dot at the end. A number would change places: JavaScript
 * puts such keys first, and the first control is the one that the others are compared with.
 */
const controls: Rule<Record<string, Control>> = (value, path) => {
  const given = plain(value, path);
  for (const name of Object.keys(given)) {
    const fits = /^[a-z0-9][a-z0-9.-]{0,40}$/.test(name) && !/^\d+$|\.$/.test(name);
    if (fits && !TAKEN.includes(name)) continue;
    throw new ConfigError(
      `${path}: names of a-z, 0-9, "-" and "." (no number, no dot at the end, not ${TAKEN.join(", ")}) expected, got "${name.slice(0, 60)}". Rename the control.`,
    );
  }
  if (Object.keys(given).length === 0)
    throw new ConfigError(`${path}: at least one control expected, got none. Write { "native": {} }.`);
  return Object.fromEntries(
    Object.entries(given).map(([name, one]) => [name, withoutUndefined(control(one, `${path}.${name}`))]),
  );
};

const withoutUndefined = <T extends object>(value: T): T =>
  Object.fromEntries(Object.entries(value).filter(([, part]) => part !== undefined)) as T;

const rules = {
  seeds: withDefault(list(seed, { min: 1, max: 64 }), [1, 2, 3, 4, 5]),
  bases: withDefault(oneOf("shared", "own"), "shared"),
  controls: withDefault(controls, { native: {} }),
  focus: optional(string()),
  pilot: optional(
    object({
      seeds: list(seed, { min: 2, max: 16 }),
      arms: list(string(), { min: 2, max: 2 }),
      control: optional(string()),
      difference: number({ above: 0, max: 1 }),
    }),
  ),
};

/** The keys of a study beside those of its experiment. */
export const studyKeys: readonly string[] = Object.keys(rules);

/** Four mini-batches of a rollout's rows; cut to the kept rows before the split, as in the paper's code. */
const FOUR_BY_ROWS = { miniBatches: { kind: "rows", rows: 32 }, cutFirst: true } as const;

const NATIVE: Control = {
  about: "as the paper's code: cut to the kept rows, then mini-batches of 32 rows, clip 0.2, AdamW",
};
const MATCHED_UPDATES: Control = {
  about: "four updates of every rollout for every arm, whatever it keeps",
  train: { miniBatches: { kind: "count", count: 4 } },
};

/**
 * The question at a size that two processor cores can answer: every objective under the paper's code's own semantics and
 * with one confound at a time taken away. docs/results/controls.md has what came out and how the sizes were chosen.
 */
const controlsStudy: StudyChanges = {
  experiment: "quick",
  task: { name: "countdown", config: { numbers: [1, 15], targets: [1, 45], corruption: 0.2 } },
  model: { hiddenSize: 32, numLayers: 2, numHeads: 2, maxPositions: 16 },
  base: null,
  pretrain: { steps: 1200, batchRows: 64, microBatchRows: 64, learningRate: 5e-3 },
  train: {
    steps: 60,
    promptsPerStep: 16,
    numGenerations: 8,
    learningRate: 3e-4,
    microBatchRows: 32,
    ...FOUR_BY_ROWS,
  },
  evaluation: {
    prompts: 64,
    exact: true,
    alsoTemperatures: [0.6],
    entropySamples: 4,
    every: 10,
    promptsSeed: 1,
  },
  arms: ["psr", "nsr", "w-reinforce:0.1", "grpo", "ppo"],
  seeds: [1, 2, 3, 4, 5],
  bases: "own",
  focus: "nsr",
  controls: {
    native: NATIVE,
    "matched-updates": MATCHED_UPDATES,
    "common-normaliser": {
      about:
        "all rows of the rollout in the normaliser, kept or not, shared out over four updates for every arm",
      train: { cutFirst: false },
      algorithm: { normaliser: "all" },
    },
    "clip-off": { about: "no clipping of the ratio", algorithm: { clip: false } },
    sgd: {
      about: "SGD in place of AdamW, with a learning rate of its own",
      train: { learningRate: 0.03 },
      algorithm: { optimizer: "sgd" },
    },
    "on-policy": {
      about: "one update of every rollout, of all its kept rows: the ratio is 1",
      train: { miniBatches: { kind: "whole" } },
    },
  },
  pilot: { seeds: [101, 102, 103], arms: ["psr", "nsr"], difference: 0.057 },
};

/**
 * The same question where large k is not solved: sums and products, of which the base reaches nine in ten with 256
 * samples. Two of the controls, at the same size.
 */
const hardStudy: StudyChanges = {
  ...controlsStudy,
  task: {
    name: "countdown",
    config: { numbers: [1, 9], targets: [1, 60], operators: ["+", "*"], corruption: 0.2 },
  },
  evaluation: { ...controlsStudy.evaluation, prompts: 128 },
  arms: ["psr", "nsr", "w-reinforce:0.1", "grpo"],
  controls: { native: NATIVE, "matched-updates": MATCHED_UPDATES },
};

/** The 17 x 17 maze of MaxRL, nearly (docs/tasks.md): for a GPU. */
const mazeStudy: StudyChanges = {
  experiment: "gpu",
  task: { name: "maze", config: { size: 17, pool: 4096 } },
  model: { hiddenSize: 256, numLayers: 4, numHeads: 8, maxPositions: 192 },
  pretrain: { steps: 1500, batchRows: 256, microBatchRows: 64, learningRate: 5e-4 },
  train: {
    steps: 500,
    promptsPerStep: 128,
    numGenerations: 8,
    learningRate: 1e-4,
    miniBatches: { kind: "rows", rows: 256 },
    microBatchRows: 64,
  },
  evaluation: { prompts: 256, samples: 256, entropySamples: 4, every: 100, promptsSeed: 1 },
  arms: ["psr", "nsr", "w-reinforce:0.1", "grpo", "maxrl"],
  seeds: [1, 2, 3, 4, 5],
  bases: "own",
  focus: "nsr",
  controls: {
    native: { about: "as the paper's code: cut to the kept rows, then mini-batches of 256 rows" },
    "matched-updates": MATCHED_UPDATES,
  },
  checkpointEvery: 25,
};

export const STUDIES: Readonly<Record<string, StudyChanges>> = {
  controls: controlsStudy,
  hard: hardStudy,
  maze: mazeStudy,
};

/** Whether a preset, or changes to one, ask for a study and not for one experiment. */
export function isStudy(preset: string, given: object): boolean {
  return Object.hasOwn(STUDIES, preset) || studyKeys.some((key) => Object.hasOwn(given, key));
}

/** A study's preset, or an experiment's, with changes: checked and with every default filled in. Throws `ConfigError`. */
export function studyConfig(preset: string, given: StudyChanges = {}): StudyConfig {
  const own = Object.hasOwn(STUDIES, preset) ? STUDIES[preset] : { experiment: preset };
  const { experiment = "quick", ...all } = mergeChanges(own, given, ["task", "controls"]) as StudyChanges;
  const keys: Record<string, unknown> = {};
  const rest: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(all)) (studyKeys.includes(key) ? keys : rest)[key] = value;
  if (keys.pilot === null) delete keys.pilot;
  for (const key of Object.keys(rest)) {
    const known = [...experimentKeys, ...studyKeys];
    if (known.includes(key)) continue;
    throw new ConfigError(
      `study: ${key.slice(0, 60)}: a known key expected, got an unknown one. ${didYouMean(key, known)}`,
    );
  }
  const shared = experimentConfig(experiment, rest as ExperimentChanges);
  const checked = validate("study", object(rules), keys);
  const config: StudyConfig = {
    experiment: { ...shared, arms: shared.arms.filter((arm) => arm !== "base") },
    seeds: checked.seeds,
    bases: checked.bases,
    controls: checked.controls,
    focus: "",
    pilot: null,
  };
  checkStudy(config);
  config.focus = focusOf(config, checked.focus);
  if (checked.pilot) {
    const { seeds, control = Object.keys(config.controls)[0], difference } = checked.pilot;
    config.pilot = { seeds, arms: checked.pilot.arms as [string, string], control, difference };
    checkPilot(config, config.pilot);
  }
  return config;
}

/** The parts of a whole study. */
export const STUDY_PARTS = ["experiment", "seeds", "bases", "controls", "focus", "pilot"] as const;

/** Throws `ConfigError` where a part of a whole study, but its experiment, is not as `studyConfig` makes it. */
export function checkParts(config: StudyConfig): void {
  const { experiment, focus, pilot, ...others } = config;
  validate("study", object(rules), { ...others, ...(pilot ? { pilot } : {}) });
  checkStudy(config);
  const names = experiment.arms.map((arm) => armName(arm, experiment));
  if (!names.includes(focus)) {
    throw new ConfigError(
      `study: focus: one of the arms' names ${names.join(", ")} expected, got ${show(focus)}. ${didYouMean(String(focus), names)}`,
    );
  }
  if (pilot) checkPilot(config, pilot);
}

function checkStudy(config: StudyConfig): void {
  const { experiment, seeds, bases } = config;
  checkDifferent("seeds", seeds);
  if (experiment.evaluation.prompts < 2)
    throw new ConfigError(
      `study: evaluation.prompts: at least 2 for intervals over seeds expected, got ${experiment.evaluation.prompts}. Use 32 or more.`,
    );
  if (experiment.arms.length === 0)
    throw new ConfigError("study: arms: at least one that trains expected, got none. Add nsr and psr.");
  if (bases === "own" && experiment.base !== undefined) {
    throw new ConfigError(
      `study: bases: "shared" expected with a base of the preset's, got "own" and ${experiment.base}. Use --from-scratch, or bases: "shared".`,
    );
  }
  for (const name of Object.keys(config.controls)) {
    const cell = cellConfig(config, name);
    const names = cell.arms.map((arm) => armName(arm, cell));
    for (const arm of cell.arms) {
      const algorithm = armAlgorithm(arm, cell);
      if (algorithm) checkAlgorithm(algorithm, cell.train.numGenerations);
    }
    checkDifferent("arms", names);
  }
}

function checkDifferent(key: string, values: readonly (number | string)[]): void {
  const twice = values.find((one, i) => values.indexOf(one) !== i);
  if (twice === undefined) return;
  throw new ConfigError(`study: ${key}: different ones expected, got ${twice} twice. Remove one.`);
}

function focusOf(config: StudyConfig, given: string | undefined): string {
  const { arms } = config.experiment;
  const names = arms.map((arm) => armName(arm, config.experiment));
  if (given === undefined) return names[Math.max(0, arms.indexOf("nsr"))];
  const at = arms.indexOf(given.toLowerCase());
  if (at < 0) {
    throw new ConfigError(
      `study: focus: one of the arms ${arms.join(", ")} expected, got "${given.slice(0, 60)}". ${didYouMean(given, arms)}`,
    );
  }
  return names[at];
}

function checkPilot(config: StudyConfig, pilot: NonNullable<StudyConfig["pilot"]>): void {
  const { seeds, controls: known } = config;
  if (!Object.hasOwn(known, pilot.control)) {
    throw new ConfigError(
      `study: pilot.control: one of ${Object.keys(known).join(", ")} expected, got "${pilot.control.slice(0, 60)}". ${didYouMean(pilot.control, Object.keys(known))}`,
    );
  }
  const shared = pilot.seeds.find((one) => seeds.includes(one));
  if (shared !== undefined) {
    throw new ConfigError(
      `study: pilot.seeds: other seeds than the study's expected, got ${shared} in both. Choose another: a pilot that is part of the result makes it look surer than it is.`,
    );
  }
  checkDifferent("pilot.seeds", pilot.seeds);
  const cell = cellConfig(config, pilot.control);
  const names = pilot.arms.map((arm) => armName(arm, cell));
  for (const arm of pilot.arms) {
    const algorithm = armAlgorithm(arm, cell);
    if (algorithm) checkAlgorithm(algorithm, cell.train.numGenerations);
  }
  checkDifferent("pilot.arms", names);
}

/** The experiment of one control. Throws `ConfigError` for keys that an experiment refuses. */
export function cellConfig({ experiment, controls: all }: StudyConfig, name: string): ExperimentConfig {
  const { train = {}, algorithm = {} } = all[name];
  return {
    ...experiment,
    train: trainConfig({ ...experiment.train, ...train }),
    algorithm: { ...experiment.algorithm, ...algorithm },
  };
}

/** What was done, in words for a report: names with what they were set to. What a control changes stands with it. */
export function studySetting({ experiment, bases }: StudyConfig): Record<string, string> {
  const { task, model, base, pretrain, train, evaluation, algorithm } = experiment;
  const { kind, rows, count } = train.miniBatches;
  const batches =
    kind === "whole"
      ? "one mini-batch"
      : kind === "rows"
        ? `mini-batches of ${rows} rows`
        : `${count} mini-batches`;
  const cut = train.cutFirst ? "of the kept rows" : "of all rows, then cut to the kept ones";
  const clip =
    train.maxGradNorm === null
      ? "gradients not clipped"
      : `gradients clipped to a norm of ${train.maxGradNorm}`;
  const top = [
    evaluation.topK > 0 ? `, top-k ${evaluation.topK}` : "",
    evaluation.topP < 1 ? `, top-p ${evaluation.topP}` : "",
  ].join("");
  return {
    task: [task.name, configWords(task.config)].filter((text) => text !== "").join(": "),
    model: configWords(model),
    base:
      base ??
      `${bases === "own" ? "one for each seed" : "one for all seeds"}, pretrained: ${pretrain.steps} steps of ${pretrain.batchRows} traces, learning rate ${pretrain.learningRate}`,
    training: `${train.steps} rollouts of ${train.promptsPerStep} problems x ${train.numGenerations} samples at T = ${train.temperature}, ${batches} ${cut}, ${train.epochs === 1 ? "one epoch" : `${train.epochs} epochs`}, learning rate ${train.learningRate}, ${clip}`,
    ...(Object.keys(algorithm).length > 0 ? { "every algorithm": configWords(algorithm) } : {}),
    evaluation: `T = ${evaluation.temperature}${top}${evaluation.every > 0 ? `, every ${evaluation.every} rollouts on the way` : ""}`,
  };
}

/** A record as text: `digits 3, corruption 0.2`. */
export const configWords = (record: Record<string, unknown>): string =>
  Object.entries(record)
    .map(([key, value]) => `${key} ${typeof value === "string" ? value : JSON.stringify(value)}`)
    .join(", ");

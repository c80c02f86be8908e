/** What an experiment and a study are given alike: a whole configuration, the task, and what has a default. */
import * as platformFiles from "#fs";
import { type AdapterSummary, adapterSummary } from "../eval/summary.ts";
import type { Files } from "../model/files.ts";
import { backend } from "../tensor/backend.ts";
import type { Device } from "../tensor/device.ts";
import { ConfigError } from "../tensor/errors.ts";
import { Rng, Stream } from "../tensor/random.ts";
import { show } from "../tensor/validate.ts";
import type { EvaluationConfig } from "./evaluationConfig.ts";
import { type ExperimentConfig, experimentConfig } from "./presets.ts";
import { canonical, difference } from "./runFolder.ts";
import { checkParts, STUDY_PARTS, type StudyConfig } from "./studyConfig.ts";
import type { AnyTask, Problem } from "./task.ts";
import { makeTask } from "./taskTable.ts";

/** Options that have a default. */
export interface RunDefaults {
  /** Where files go. Default: the disk in Node, the origin's private file system in a page. */
  files?: Files;
  /** Part of the run's identity. Default: that of the current device. */
  adapter?: AdapterSummary;
  /** What a user would type, for the record. Default: the name of the function. */
  command?: string;
}

/** The options with their defaults. Throws `DeviceError` where the adapter is asked for before `init()`. */
export function withRunDefaults<T extends RunDefaults>(
  options: T,
  command: string,
): T & Required<RunDefaults> {
  const { files = platformFiles, adapter = currentAdapter() } = options;
  return { ...options, files, adapter, command: options.command ?? command };
}

function currentAdapter(): AdapterSummary {
  const { device } = backend() as { device?: Device };
  if (!device) {
    const description = "reference interpreter";
    return { vendor: "naysay", description, backend: "reference", tier: "T0", software: true };
  }
  return adapterSummary(device.info);
}

/** The task that was given, or the one that the configuration names. Throws `ConfigError` where the two disagree. */
export function taskOf(op: string, given: AnyTask | undefined, named: ExperimentConfig["task"]): AnyTask {
  const task = given ?? makeTask(named);
  if (task.name === named.name) return task;
  throw new ConfigError(
    `${op}: task: the configuration's "${named.name}" expected, got "${task.name}". Give task.name in the configuration as well.`,
  );
}

/** The problems that every arm is measured on. Throws `ConfigError` where the task has fewer. */
export function heldOutProblems(
  op: string,
  task: AnyTask,
  { prompts, promptsSeed }: EvaluationConfig,
  seed: number,
): Problem[] {
  try {
    return task.distinct(new Rng(promptsSeed ?? seed, Stream.data), "heldOut", prompts);
  } catch (cause) {
    if (!(cause instanceof ConfigError)) throw cause;
    throw new ConfigError(`${op}: evaluation.prompts: ${cause.message}`, { cause });
  }
}

/**
 * Throws `ConfigError` where a configuration is not what `experimentConfig` makes: nothing would fill in what is missing.
 */
export function checkWholeConfig(op: string, config: ExperimentConfig): void {
  const remedy = 'Make it with experimentConfig("quick", { ... }).';
  if (config === null || typeof config !== "object" || Array.isArray(config)) {
    throw new ConfigError(`${op}: config: a whole configuration expected, got ${show(config)}. ${remedy}`);
  }
  // Made once more it is itself; what it lacks would come from the preset.
  let again: ExperimentConfig;
  try {
    again = experimentConfig("tiny", { ...config, base: config.base ?? null });
    // Sizes have defaults of their own.
    if (config.model !== undefined) again.model = config.model;
  } catch (cause) {
    if (!(cause instanceof ConfigError)) throw cause;
    throw new ConfigError(`${cause.message} ${remedy}`, { cause });
  }
  if (canonical(config) === canonical(again)) return;
  const [missing] = difference(config, again).split(":");
  throw new ConfigError(
    `${op}: config: a whole configuration expected, got one without ${missing}. ${remedy}`,
  );
}

/** Throws `ConfigError` where a configuration is not what `studyConfig` makes. */
export function checkStudyConfig(config: StudyConfig): void {
  const remedy = 'Make it with studyConfig("quick", { seeds: [1, 2, 3] }).';
  if (config === null || typeof config !== "object" || Array.isArray(config)) {
    throw new ConfigError(`study: config: a whole configuration expected, got ${show(config)}. ${remedy}`);
  }
  const missing = STUDY_PARTS.find((key) => config[key] === undefined);
  if (missing !== undefined) {
    throw new ConfigError(
      `study: config: a whole configuration expected, got one without ${missing}. ${remedy}`,
    );
  }
  checkWholeConfig("study", config.experiment);
  checkParts(config);
}

/**
 * An experiment: every arm trained from one base on the same prompts, measured by unbiased Pass@k on the same held-out
 * problems with the same random numbers. The same function runs under Node and in a page: files, clock and progress
 * are handed in.
 */
import { bootstrapMeans } from "../eval/bootstrap.ts";
import { mean } from "../eval/estimators.ts";
import { type Measurement, modeCoverageAtK, passRows } from "../eval/measurement.ts";
import { renderReport } from "../eval/report.ts";
import type { ArmSummary, MetricsRow, PassAtK, Summary } from "../eval/summary.ts";
import {
  type DecodedCheckpoint,
  decodeCheckpoint,
  encodeCheckpoint,
  parametersFrom,
  weightsSha256,
} from "../model/checkpoint.ts";
import type { FlatTensors } from "../tensor/create.ts";
import { CheckpointError, ConfigError } from "../tensor/errors.ts";
import { type Seed, seedWords } from "../tensor/random.ts";
import { Progress, type ProgressEvent } from "./experimentProgress.ts";
import { makeBase, taskModel } from "./makeBase.ts";
import { checkAnswers, checkMeasurable, ksOf, measurePolicy } from "./measure.ts";
import { armAlgorithm, armName, type ExperimentConfig } from "./presets.ts";
import { type ArmRecord, canonical, decodeOwn, RunFolder } from "./runFolder.ts";
import {
  checkWholeConfig,
  heldOutProblems,
  type RunDefaults,
  taskOf,
  withRunDefaults,
} from "./runOptions.ts";
import type { AnyTask, Problem } from "./task.ts";
import { clock, type SharedPrograms, type StepDetails, sharedPrograms, Trainer } from "./trainer.ts";

export interface ExperimentOptions extends RunDefaults {
  /** As `experimentConfig` makes it. */
  config: ExperimentConfig;
  /** A task of one's own in place of the one that the configuration names; its name must be the configuration's. */
  task?: AnyTask;
  /** Programs of an earlier experiment with the same model, `rows` and `scoreRows`; they stay the caller's. */
  shared?: SharedPrograms;
  /** Name of the preset, for the record. */
  preset: string;
  seed: number;
  /** The run's folder. */
  out: string;
  versions?: Record<string, string>;
  /** Bytes of the base checkpoint that the configuration names; without it the base is pretrained here. */
  loadBase?: (name: string) => Promise<Uint8Array>;
  onProgress?(event: ProgressEvent): void;
  observer?: ExperimentObserver;
  signal?: AbortSignal;
  /** Seconds; for times in results only. */
  now?(): number;
}

/** A look at an experiment while it runs. Each call is awaited; none may change what is computed. */
export interface ExperimentObserver {
  /**
   * Before each training step, each call of the evaluation and, with `null` for the arm, each step that pretrains the base:
   * a pause is a promise that is not resolved yet.
   */
  gate?(arm: string | null): Promise<void> | void;
  beforeUpdate?(arm: string, details: StepDetails): Promise<void> | void;
  afterUpdate?(arm: string, details: StepDetails): Promise<void> | void;
  /** After a step's metrics are written. */
  metrics?(row: MetricsRow): Promise<void> | void;
  /** After an arm is measured, or found measured in the run's folder. */
  arm?(record: ArmRecord): Promise<void> | void;
}

type WholeOptions = ExperimentOptions & Required<RunDefaults>;

/** What every arm of an experiment shares. */
interface Bench {
  options: WholeOptions;
  config: ExperimentConfig;
  task: AnyTask;
  seed: Seed;
  base: DecodedCheckpoint;
  shared: SharedPrograms;
  heldOut: Problem[];
  folder: RunFolder;
  progress: Progress;
  now(): number;
  /** Seconds of all sittings up to now. */
  spent(): number;
}

/** Text as part of a file name. */
export function slug(name: string): string {
  return name.toLowerCase().replace(/[^a-z0-9.]+/g, "-");
}

/**
 * Runs the arms that the run folder does not have yet and writes summary.json, metrics.jsonl, checkpoints/ and
 * report.html. Throws `ConfigError` for a configuration that is not whole and where the folder holds another,
 * `CheckpointError` where it cannot be written (before anything is computed), and the signal's reason when aborted; what was
 * finished stays.
 */
export async function runExperiment(given: ExperimentOptions): Promise<Summary> {
  checkWholeConfig("experiment", given.config);
  const options = withRunDefaults(given, "runExperiment");
  const { config, files, out } = options;
  const now = options.now ?? clock;
  const started = now();
  const task = taskOf("experiment", options.task, config.task);
  checkMeasurable(task, config.evaluation);
  // Before anything is computed or written: the base may take hours.
  const seed = seedWords(options.seed);
  const { evaluation, train } = config;
  const heldOut = heldOutProblems("experiment", task, evaluation, options.seed);
  const { verifierTimeout } = train;
  await checkAnswers({ task, problems: heldOut, evaluation, verifierTimeout, signal: options.signal });
  const known = task.count?.("train");
  if (known !== undefined && known < train.promptsPerStep) {
    throw new ConfigError(
      `experiment: train.promptsPerStep: at most the task's ${known} training problems expected, got ${train.promptsPerStep}. Lower it, or widen the task.`,
    );
  }
  const wanted = taskModel(task, config.model);
  const shipped = options.loadBase && config.base ? await options.loadBase(config.base) : null;
  const folder = await RunFolder.open(files, out, {
    preset: options.preset,
    seed: options.seed,
    config: { ...config, arms: undefined },
    base: shipped ? await sha256(shipped) : "pretrained",
    adapter: options.adapter,
  });
  const before = folder.seconds;
  const spent = (): number => before + (now() - started);
  const progress = new Progress(config, options.onProgress, now);
  const base = shipped ? decodeCheckpoint(shipped) : await ownBase(options, task, folder, progress);
  if (base.config.vocabSize !== task.tokenizer.vocabSize) {
    throw new ConfigError(
      `experiment: a base of the task's ${task.tokenizer.vocabSize} tokens expected, got ${base.config.vocabSize}. Use --from-scratch after changing the task.`,
    );
  }
  if (canonical(wanted) !== canonical(base.config)) {
    throw new ConfigError(
      "experiment: a base with the configured model's sizes expected, got one of other sizes. Use --from-scratch after changing the model.",
    );
  }
  const names = config.arms.map((arm) => armName(arm, config));
  // A run that is only shown keeps its command, its time and its versions.
  const shown = names.every((name) => folder.arm(name)) ? folder.made : undefined;
  const { rows, scoreRows } = config;
  const own = options.shared ? null : sharedPrograms(base.config, { rows, scoreRows });
  const shared = (options.shared ?? own) as SharedPrograms;
  try {
    const bench: Bench = { options, config, task, seed, base, shared, heldOut, folder, progress, now, spent };
    for (const arm of config.arms) {
      const name = armName(arm, config);
      const finished = folder.arm(name);
      if (finished) {
        // Still there where the process ended between the two.
        await folder.remove(partialPath(name));
        progress.skip(name);
        await options.observer?.arm?.(finished);
        continue;
      }
      await runArm(bench, arm, name);
    }
  } finally {
    own?.dispose();
  }
  const { command, versions } = options;
  const made = shown ?? { command, versions, seconds: spent() };
  if (!shown) await folder.keepMade(made);
  const summary: Summary = {
    adapter: options.adapter,
    seed: options.seed,
    preset: options.preset,
    command: made.command,
    seconds: made.seconds,
    arms: names.map((name) => (folder.arm(name) as { summary: ArmSummary }).summary),
    level: 0.95,
    config,
    versions: made.versions,
  };
  await folder.write("report.html", renderReport(summary, await folder.metrics()));
  await folder.write("summary.json", `${JSON.stringify(summary, null, 2)}\n`);
  return summary;
}

async function sha256(bytes: Uint8Array): Promise<string> {
  const digest = await globalThis.crypto.subtle.digest("SHA-256", new Uint8Array(bytes));
  return Array.from(new Uint8Array(digest), (b) => b.toString(16).padStart(2, "0")).join("");
}

/** The base of a run from scratch: pretrained once, then read from the run's folder. */
async function ownBase(
  options: WholeOptions,
  task: AnyTask,
  folder: RunFolder,
  progress: Progress,
): Promise<DecodedCheckpoint> {
  const { config, files } = options;
  const path = folder.path("checkpoints/pretrained.safetensors");
  if (await files.exists(path)) return decodeOwn(await files.readFile(path), path);
  const { bytes } = await makeBase({
    task,
    model: config.model,
    pretrain: config.pretrain,
    seed: options.seed,
    signal: options.signal,
    gate: () => options.observer?.gate?.(null),
    onStep: (step) => progress.pretraining(step),
  });
  await folder.write("checkpoints/pretrained.safetensors", bytes);
  return decodeCheckpoint(bytes);
}

async function runArm(bench: Bench, arm: string, name: string): Promise<void> {
  const { config, base, folder, options } = bench;
  const { observer } = options;
  const algorithm = armAlgorithm(arm, config);
  const file = `checkpoints/${slug(name)}.safetensors`;
  const metadata = {
    arm: name,
    preset: options.preset,
    seed: String(options.seed),
    task: JSON.stringify(config.task),
  };
  if (!algorithm) {
    const params = parametersFrom(base);
    try {
      await folder.keepUpTo(name, -1);
      const none = { updates: 0, rolloutTokens: 0, trainSeconds: 0, rolloutSeconds: 0 };
      const tokenizer = JSON.stringify(bench.task.tokenizer.toJSON());
      const contents = { config: base.config, params, metadata: { ...metadata, tokenizer } };
      await folder.write(file, await encodeCheckpoint(contents));
      await finishArm(bench, name, params, none);
    } finally {
      params.dispose();
    }
    return;
  }
  const trainer = new Trainer({
    task: bench.task,
    algorithm,
    config: config.train,
    seed: bench.seed,
    params: parametersFrom(base),
    shared: bench.shared,
    observer: {
      beforeUpdate: (details) => observer?.beforeUpdate?.(name, details),
      afterUpdate: (details) => observer?.afterUpdate?.(name, details),
    },
    now: bench.now,
  });
  try {
    const spent = await resume(bench, trainer, name);
    const { every } = config.evaluation;
    while (trainer.state.step < config.train.steps) {
      await observer?.gate?.(name);
      const metrics = await trainer.step(options.signal);
      spent.rollout += metrics.rollout_time;
      spent.train += metrics.step_time - metrics.rollout_time;
      const row: MetricsRow = { arm: name, update: metrics.step, ...metrics };
      await folder.addMetrics(row);
      bench.progress.trained(name, metrics);
      await observer?.metrics?.(row);
      if (metrics.step === config.train.steps) break;
      if (every > 0 && metrics.step % every === 0) {
        await addEvaluation(bench, name, metrics.step, await measure(bench, trainer.params, name));
        bench.progress.measured();
      }
      if (config.checkpointEvery > 0 && metrics.step % config.checkpointEvery === 0) {
        await folder.write(partialPath(name), await trainer.checkpoint(partialMetadata(metadata, spent)));
        await folder.spend(bench.spent(), true);
      }
    }
    await folder.write(file, await trainer.checkpoint(metadata));
    await finishArm(bench, name, trainer.params, {
      updates: trainer.state.updates,
      rolloutTokens: trainer.state.numTokens,
      trainSeconds: spent.train,
      rolloutSeconds: spent.rollout,
    });
  } finally {
    trainer.dispose();
  }
}

interface Spent {
  train: number;
  rollout: number;
}

const partialPath = (name: string): string => `checkpoints/${slug(name)}.partial.safetensors`;

const partialMetadata = (metadata: Record<string, string>, spent: Spent): Record<string, string> => ({
  ...metadata,
  spent: JSON.stringify(spent),
});

/** Goes on from an arm's last checkpoint, where there is one; drops the metrics that came after it. */
async function resume(bench: Bench, trainer: Trainer, name: string): Promise<Spent> {
  const { folder, options } = bench;
  const path = folder.path(partialPath(name));
  const spent: Spent = { train: 0, rollout: 0 };
  if (await options.files.exists(path)) {
    const partial = decodeOwn(await options.files.readFile(path), path);
    const arm = partial.metadata.get("arm");
    if (arm !== name) {
      throw new CheckpointError(
        `experiment: a checkpoint of ${name} expected in ${path}, got one of ${arm ?? "no arm"}. Remove it and run again.`,
      );
    }
    trainer.restore(partial);
    Object.assign(spent, JSON.parse(partial.metadata.get("spent") ?? "{}"));
  }
  await folder.keepUpTo(name, trainer.state.step);
  bench.progress.resume(trainer.state.step);
  return spent;
}

type TrainTotals = Pick<ArmSummary, "updates" | "rolloutTokens" | "trainSeconds" | "rolloutSeconds">;

async function finishArm(
  bench: Bench,
  name: string,
  params: FlatTensors,
  totals: TrainTotals,
): Promise<void> {
  const { config, options, folder } = bench;
  const started = bench.now();
  const measurement = await measure(bench, params, name);
  const ks = ksOf(config.evaluation);
  const table = passRows(measurement, ks);
  const intervals = bootstrapMeans(table, { seed: bench.seed });
  const summary: ArmSummary = {
    name,
    ...measured(measurement, ks),
    intervals: Object.fromEntries(ks.map((k, i) => [k, [intervals[i].low, intervals[i].high]])),
    ...totals,
    evaluationSeconds: bench.now() - started,
    weightsSha256: await weightsSha256(params),
  };
  const record: ArmRecord = { summary, measurement };
  if (config.evaluation.every > 0) {
    await addEvaluation(bench, name, name === "base" ? 0 : config.train.steps, measurement);
  }
  await folder.spend(bench.spent());
  await folder.finish(name, record);
  await folder.remove(partialPath(name));
  bench.progress.finished(name, summary);
  await options.observer?.arm?.(record);
  options.signal?.throwIfAborted();
}

/** What a summary says of a measurement. */
function measured(measurement: Measurement, ks: readonly number[]) {
  const means = (rows: number[][]): PassAtK =>
    Object.fromEntries(ks.map((k, i) => [k, mean(rows.map((row) => row[i]))]));
  const coverage = modeCoverageAtK(measurement, ks[ks.length - 1]);
  const { entropy, samplingEntropy, verifierFailures, also, rightMass } = measurement;
  return {
    passAtK: means(passRows(measurement, ks)),
    ...(rightMass ? { exact: true } : {}),
    entropy,
    ...(samplingEntropy === undefined ? {} : { samplingEntropy }),
    ...(coverage === undefined ? {} : { modeCoverage: coverage }),
    ...(also === undefined
      ? {}
      : {
          also: also.map(({ temperature, rightMass }) => ({
            temperature,
            passAtK: means(passRows({ rightMass, entropy }, ks)),
          })),
        }),
    ...(verifierFailures === undefined ? {} : { verifierFailures }),
  };
}

async function addEvaluation(
  { folder, config }: Bench,
  arm: string,
  update: number,
  measurement: Measurement,
): Promise<void> {
  const { passAtK, entropy, modeCoverage } = measured(measurement, ksOf(config.evaluation));
  const { tallies, rightMass } = measurement;
  await folder.addEvaluation({ arm, update, passAtK, entropy, modeCoverage, tallies, rightMass });
}

async function measure(bench: Bench, params: FlatTensors, name: string): Promise<Measurement> {
  const { config, task, heldOut, shared, seed, options } = bench;
  const { evaluation, train } = config;
  // The shape of a training rollout, so that its programs serve here.
  const samplesPerCall = Math.min(train.numGenerations, evaluation.samples);
  const { measurement } = await measurePolicy(params, {
    task,
    problems: heldOut,
    shared,
    seed,
    evaluation,
    samplesPerCall,
    promptsPerCall: Math.max(1, Math.min(train.promptsPerStep, Math.floor(config.rows / samplesPerCall))),
    verifierTimeout: train.verifierTimeout,
    signal: options.signal,
    gate: () => options.observer?.gate?.(name),
    onProgress: (share) => bench.progress.evaluated(name, share),
  });
  return measurement;
}

export type { MetricsRow, ProgressEvent };

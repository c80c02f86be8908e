/**
 * An experiment: every arm trained from one base on the same prompts, measured by unbiased Pass@k on the same held-out
 * problems with the same random numbers. The same function runs under Node and in a page: files, clock and progress
 * are handed in.
 */
import { bootstrapMeans } from "../eval/bootstrap.ts";
import { mean, passTable, powersOfTwo, type Tally } from "../eval/estimators.ts";
import { evaluate } from "../eval/harness.ts";
import { renderReport } from "../eval/report.ts";
import type { AdapterSummary, ArmSummary, MetricsRow, Summary } from "../eval/summary.ts";
import {
  type DecodedCheckpoint,
  decodeCheckpoint,
  encodeCheckpoint,
  parametersFrom,
  weightsSha256,
} from "../model/checkpoint.ts";
import type { Files } from "../model/files.ts";
import { packRows } from "../model/sequences.ts";
import type { FlatTensors } from "../tensor/create.ts";
import { ConfigError } from "../tensor/errors.ts";
import { Rng, type Seed, Stream, seedWords } from "../tensor/random.ts";
import { Progress, type ProgressEvent } from "./experimentProgress.ts";
import { makeBase, taskModel } from "./makeBase.ts";
import { armAlgorithm, armName, type ExperimentConfig } from "./presets.ts";
import { canonical, RunFolder } from "./runFolder.ts";
import type { Problem, Task } from "./task.ts";
import { makeTask } from "./taskTable.ts";
import { clock, maskedMean, type SharedPrograms, sharedPrograms, Trainer } from "./trainer.ts";

export interface ExperimentOptions {
  config: ExperimentConfig;
  /** Name of the preset, for the record. */
  preset: string;
  seed: number;
  files: Files;
  /** The run's folder. */
  out: string;
  adapter: AdapterSummary;
  /** What a user would type, for the record. */
  command: string;
  versions?: Record<string, string>;
  /** Bytes of the base checkpoint that the configuration names; without it the base is pretrained here. */
  loadBase?: (name: string) => Promise<Uint8Array>;
  onProgress?(event: ProgressEvent): void;
  signal?: AbortSignal;
  /** Seconds; for times in results only. */
  now?(): number;
}

/** What every arm of an experiment shares. */
interface Bench {
  options: ExperimentOptions;
  config: ExperimentConfig;
  task: Task;
  seed: Seed;
  base: DecodedCheckpoint;
  shared: SharedPrograms;
  heldOut: Problem[];
  folder: RunFolder;
  progress: Progress;
  now(): number;
  /** Adds the time since the last call to the run's seconds. */
  spend(): Promise<void>;
}

/** Text as part of a file name. */
export function slug(name: string): string {
  return name.toLowerCase().replace(/[^a-z0-9.]+/g, "-");
}

/**
 * Runs the arms that the run folder does not have yet and writes summary.json, metrics.jsonl, checkpoints/ and
 * report.html. Throws `ConfigError` where the folder holds another configuration, `CheckpointError` where it cannot be
 * written (before anything is computed), and the signal's reason when aborted; what was finished stays.
 */
export async function runExperiment(options: ExperimentOptions): Promise<Summary> {
  const { config, files, out } = options;
  const now = options.now ?? clock;
  const started = now();
  const task = makeTask(config.task);
  const shipped = options.loadBase && config.base ? await options.loadBase(config.base) : null;
  const folder = await RunFolder.open(files, out, {
    preset: options.preset,
    seed: options.seed,
    config: { ...config, arms: undefined },
    base: shipped ? await sha256(shipped) : "pretrained",
    adapter: options.adapter,
  });
  let counted = started;
  const spend = async (): Promise<void> => {
    const at = now();
    const seconds = at - counted;
    counted = at;
    await folder.spend(seconds);
  };
  try {
    await runArms(options, task, shipped, folder, spend, now);
  } catch (error) {
    // A sitting that was stopped counts too. Where the folder cannot be written, `error` is the better answer.
    await spend().catch(() => {});
    throw error;
  }
  await spend();
  const names = config.arms.map((arm) => armName(arm, config));
  const summary: Summary = {
    adapter: options.adapter,
    seed: options.seed,
    preset: options.preset,
    command: options.command,
    seconds: folder.seconds,
    arms: names.map((name) => (folder.arm(name) as { summary: ArmSummary }).summary),
    level: 0.95,
    config,
    versions: options.versions,
  };
  const rows = await folder.metrics();
  await folder.write("report.html", renderReport(summary, rows));
  await folder.write("summary.json", `${JSON.stringify(summary, null, 2)}\n`);
  return summary;
}

/** Runs the arms that the folder does not have yet. */
async function runArms(
  options: ExperimentOptions,
  task: Task,
  shipped: Uint8Array | null,
  folder: RunFolder,
  spend: () => Promise<void>,
  now: () => number,
): Promise<void> {
  const { config } = options;
  const progress = new Progress(config, options.onProgress, now);
  const base = shipped ? decodeCheckpoint(shipped) : await ownBase(options, task, folder, progress);
  if (base.config.vocabSize !== task.tokenizer.vocabSize) {
    throw new ConfigError(
      `experiment: a base of the task's ${task.tokenizer.vocabSize} tokens expected, got ${base.config.vocabSize}. Use --from-scratch after changing the task.`,
    );
  }
  const wanted = taskModel(task, config.model);
  if (canonical(wanted) !== canonical(base.config)) {
    throw new ConfigError(
      "experiment: a base with the configured model's sizes expected, got one of other sizes. Use --from-scratch after changing the model.",
    );
  }
  const shared = sharedPrograms(base.config, config);
  try {
    const heldOut = task.distinct(new Rng(options.seed, Stream.data), "heldOut", config.evaluation.prompts);
    const seed = seedWords(options.seed);
    const bench: Bench = { options, config, task, seed, base, shared, heldOut, folder, progress, now, spend };
    for (const arm of config.arms) {
      const name = armName(arm, config);
      if (folder.arm(name)) {
        progress.skip(name);
        continue;
      }
      await runArm(bench, arm, name);
      await spend();
    }
  } finally {
    shared.dispose();
  }
}

async function sha256(bytes: Uint8Array): Promise<string> {
  const digest = await globalThis.crypto.subtle.digest("SHA-256", new Uint8Array(bytes));
  return Array.from(new Uint8Array(digest), (b) => b.toString(16).padStart(2, "0")).join("");
}

/** The base of a run from scratch: pretrained once, then read from the run's folder. */
async function ownBase(
  options: ExperimentOptions,
  task: Task,
  folder: RunFolder,
  progress: Progress,
): Promise<DecodedCheckpoint> {
  const { config, files } = options;
  const path = folder.path("checkpoints/pretrained.safetensors");
  if (await files.exists(path)) return decodeCheckpoint(await files.readFile(path));
  const { bytes } = await makeBase({
    task,
    model: config.model,
    pretrain: config.pretrain,
    seed: options.seed,
    signal: options.signal,
    onStep: (step) => progress.pretraining(step),
  });
  await folder.write("checkpoints/pretrained.safetensors", bytes);
  return decodeCheckpoint(bytes);
}

async function runArm(bench: Bench, arm: string, name: string): Promise<void> {
  const { config, base, folder, options } = bench;
  const algorithm = armAlgorithm(arm, config);
  const file = `checkpoints/${slug(name)}.safetensors`;
  const metadata = { arm: name, preset: options.preset, seed: String(options.seed) };
  if (!algorithm) {
    const params = parametersFrom(base);
    try {
      const none = { updates: 0, rolloutTokens: 0, trainSeconds: 0, rolloutSeconds: 0 };
      await folder.write(file, await encodeCheckpoint({ config: base.config, params, metadata }));
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
    now: bench.now,
  });
  try {
    const spent = await resume(bench, trainer, name);
    for await (const metrics of trainer.steps(options.signal)) {
      spent.rollout += metrics.rollout_time;
      spent.train += metrics.step_time - metrics.rollout_time;
      await folder.addMetrics({ arm: name, update: metrics.step, ...metrics });
      bench.progress.trained(name, metrics);
      const every = config.checkpointEvery;
      if (every > 0 && metrics.step % every === 0 && metrics.step < config.train.steps) {
        await folder.write(partialPath(name), await trainer.checkpoint(partialMetadata(metadata, spent)));
        await bench.spend();
      }
    }
    await folder.write(file, await trainer.checkpoint(metadata));
    await finishArm(bench, name, trainer.params, {
      updates: trainer.state.updates,
      rolloutTokens: trainer.state.numTokens,
      trainSeconds: spent.train,
      rolloutSeconds: spent.rollout,
    });
    await folder.remove(partialPath(name));
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
async function resume({ folder, options }: Bench, trainer: Trainer, name: string): Promise<Spent> {
  const path = folder.path(partialPath(name));
  const spent: Spent = { train: 0, rollout: 0 };
  if (await options.files.exists(path)) {
    const partial = decodeCheckpoint(await options.files.readFile(path));
    trainer.restore(partial);
    Object.assign(spent, JSON.parse(partial.metadata.get("spent") ?? "{}"));
  }
  await folder.keepMetrics(name, trainer.state.step);
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
  const { tallies, entropy } = await measure(bench, params, name);
  const ks = powersOfTwo(config.evaluation.samples, config.evaluation.maxK);
  const table = passTable(tallies, ks);
  const intervals = bootstrapMeans(table, { seed: bench.seed });
  const summary: ArmSummary = {
    name,
    passAtK: Object.fromEntries(ks.map((k, i) => [k, mean(table.map((row) => row[i]))])),
    intervals: Object.fromEntries(ks.map((k, i) => [k, [intervals[i].low, intervals[i].high]])),
    entropy,
    ...totals,
    evaluationSeconds: bench.now() - started,
    weightsSha256: await weightsSha256(params),
  };
  await folder.finish(name, { summary, tallies });
  bench.progress.finished(name, summary);
  options.signal?.throwIfAborted();
}

/** Pass@k tallies, and the entropy at temperature 1 over the first samples of every prompt. */
async function measure(
  bench: Bench,
  params: FlatTensors,
  name: string,
): Promise<{ tallies: Tally[]; entropy: number }> {
  const { config, task, heldOut, shared, seed, options } = bench;
  const { samples, temperature, topK, topP } = config.evaluation;
  const entropySamples = Math.min(config.evaluation.entropySamples, samples);
  const drawn: Uint32Array[] = new Array(heldOut.length * entropySamples);
  const prompts = heldOut.map(({ prompt }) => prompt);
  // The shape of a training rollout, so that its programs serve here.
  const samplesPerCall = Math.min(config.train.numGenerations, samples);
  const { tallies } = await evaluate(shared.generator, params.tensors, prompts, {
    samples,
    samplesPerCall,
    promptsPerCall: Math.max(
      1,
      Math.min(config.train.promptsPerStep, Math.floor(config.rows / samplesPerCall)),
    ),
    temperature,
    topK,
    topP,
    seed,
    maxCompletionLength: task.maxCompletionLength,
    promptLength: task.promptLength,
    eosTokenId: task.tokenizer.eos,
    padTokenId: task.tokenizer.pad,
    signal: options.signal,
    isRight(prompt, completion, sample) {
      if (sample < entropySamples) drawn[prompt * entropySamples + sample] = completion.slice();
      return task.verify(prompts[prompt], Array.from(completion)).reward === 1;
    },
    onProgress: (share) => bench.progress.evaluated(name, share),
  });
  const batch = packRows(
    drawn.map((_, i) => prompts[Math.floor(i / entropySamples)]),
    drawn,
    {
      promptLength: task.promptLength,
      completionLength: task.maxCompletionLength,
      padTokenId: task.tokenizer.pad,
    },
  );
  const scores = await shared.scorer.score(params.tensors, batch, 1);
  return { tallies, entropy: maskedMean(scores.entropy, batch.completionMask) };
}

export type { MetricsRow, ProgressEvent };

/**
 * Reinforcement learning of one policy, a step at a time:
 *
 *     problems -> rollout -> rewards -> scores (log-probabilities and entropy before the update) -> advantages
 *     -> mini-batches -> optimizer updates -> metrics
 *
 * Every random number depends on (seed, step) alone, so two arms of one seed meet the same prompts, and a restored
 * trainer goes on as if it had never stopped. Log-probabilities before the update come from the scoring program, never
 * from the sampler. With one update a rollout the ratio is 1 there, up to the rounding between two programs.
 */
import {
  type DecodedCheckpoint,
  encodeCheckpoint,
  parametersFrom,
  weightsSha256,
  writeWeights,
} from "../model/checkpoint.ts";
import { Generator } from "../model/generate.ts";
import { Scorer } from "../model/scoring.ts";
import { Transformer } from "../model/transformer.ts";
import type { FlatTensors } from "../tensor/create.ts";
import { CheckpointError, ConfigError } from "../tensor/errors.ts";
import { Rng, type Seed, Stream, seedWords } from "../tensor/random.ts";
import { type MiniBatches, meanAndStd, planUpdates, type UpdatePlan } from "./advantages.ts";
import type { Algorithm } from "./algorithms.ts";
import { Learner } from "./learner.ts";
import { type Rollout, rollOut } from "./rollout.ts";
import type { Task } from "./task.ts";
import { type TrainConfig, trainConfig } from "./trainConfig.ts";

/** What one step did; names as in TRL. Times are in seconds, everything else is the same run after run. */
export interface StepMetrics {
  /** Rollouts so far, from 1. */
  step: number;
  /** Optimizer updates so far. */
  updates: number;
  /** Rollouts so far that gave nothing to learn from. */
  skipped: number;
  reward: number;
  /** Mean over prompts of the sample deviation of their rewards. */
  reward_std: number;
  /** Share of prompts whose rewards are all equal. */
  frac_reward_zero_std: number;
  /** Of the policy before the update, at temperature 1, over all completion tokens; nats. */
  entropy: number;
  "completions/mean_length": number;
  "completions/min_length": number;
  "completions/max_length": number;
  /** Share of completions cut at maxCompletionLength. */
  "completions/clipped_ratio": number;
  /** Completion tokens drawn so far. */
  num_tokens: number;
  /** Rows that the normaliser counted, and rows with a weight. */
  kept_rows: number;
  trained_rows: number;
  /** Mean over the step's updates; `null` where there was none. */
  loss: number | null;
  grad_norm: number | null;
  /** Share of trained tokens whose ratio was clipped. */
  clip_ratio: number | null;
  learning_rate: number;
  /** How often each reason of the verifier came. */
  reasons: Record<string, number>;
  /** What a user should hear: a step that cannot learn and why. */
  warnings: string[];
  step_time: number;
  rollout_time: number;
}

/** What a checkpoint holds beside weights and moments. */
export interface TrainerState {
  step: number;
  updates: number;
  skipped: number;
  numTokens: number;
}

const STATE_KEY = "naysay.trainer";

/** Programs that trainers and evaluations of one model share, so that an arm more compiles nothing more. */
export interface SharedPrograms {
  model: Transformer;
  generator: Generator;
  scorer: Scorer;
}

/** A step as it happens, for whoever wants to look: rows in rollout order. */
export interface StepDetails {
  step: number;
  algorithm: Algorithm;
  task: Task;
  model: Transformer;
  rollout: Rollout;
  /** [rows, maxCompletionLength], nats, before the update at the rollout's temperature; meaningless in the padding. */
  oldLogProbs: ArrayLike<number>;
  /** [rows]: the weight w = A / Z of each token of a row in its update; 0 where a row took no part. */
  rowWeights: Float64Array;
  /** The policy's parameters as they are now; they belong to the trainer. */
  params: FlatTensors;
}

/** What is called, and awaited, in the middle of a step. It may read the parameters and must not write them. */
export interface StepObserver {
  beforeUpdate?(details: StepDetails): Promise<void> | void;
  afterUpdate?(details: StepDetails): Promise<void> | void;
}

export interface TrainerOptions {
  task: Task;
  algorithm: Algorithm;
  config: Partial<TrainConfig>;
  seed: number | bigint | string | Seed;
  /** The trainer owns them from here on. */
  params: FlatTensors;
  shared: SharedPrograms;
  observer?: StepObserver;
  /** Seconds; for metrics only. */
  now?(): number;
}

/** The clock of metrics, in seconds. */
export function clock(): number {
  return performance.now() / 1000;
}

export class Trainer {
  readonly algorithm: Algorithm;
  readonly config: TrainConfig;
  readonly params: FlatTensors;
  private readonly task: Task;
  private readonly seed: Seed;
  private readonly shared: SharedPrograms;
  private readonly learner: Learner;
  private readonly observer: StepObserver;
  private readonly now: () => number;
  private progress: TrainerState = { step: 0, updates: 0, skipped: 0, numTokens: 0 };

  constructor(options: TrainerOptions) {
    this.task = options.task;
    this.algorithm = options.algorithm;
    this.config = trainConfig(options.config);
    this.seed = seedWords(options.seed);
    this.params = options.params;
    this.shared = options.shared;
    this.observer = options.observer ?? {};
    this.now = options.now ?? clock;
    const { vocabSize } = options.shared.model.config;
    if (vocabSize < options.task.tokenizer.vocabSize) {
      throw new ConfigError(
        `trainer: a model of at least the tokenizer's ${options.task.tokenizer.vocabSize} tokens expected, got vocabSize ${vocabSize}. Use the task that the model was pretrained on.`,
      );
    }
    this.learner = new Learner(options.shared.model, options.params, {
      form: options.algorithm.form,
      microBatchRows: this.config.microBatchRows,
    });
  }

  /** Where the trainer stands. */
  get state(): TrainerState {
    return { ...this.progress };
  }

  /** Steps up to the configured number; throws the signal's reason when aborted, between or within steps. */
  async *steps(signal?: AbortSignal): AsyncGenerator<StepMetrics> {
    while (this.progress.step < this.config.steps) yield await this.step(signal);
  }

  /** One rollout and its updates. */
  async step(signal?: AbortSignal): Promise<StepMetrics> {
    signal?.throwIfAborted();
    const { config, task } = this;
    const started = this.now();
    const step = this.progress.step + 1;
    const problems = task.distinct(new Rng(this.seed, Stream.data, step), "train", config.promptsPerStep);
    const rollout = await rollOut(this.shared.generator, this.params.tensors, task, problems, {
      numGenerations: config.numGenerations,
      temperature: config.temperature,
      topK: config.topK,
      topP: config.topP,
      seed: this.seed,
      rollout: step,
      signal,
    });
    const rolloutTime = this.now() - started;
    signal?.throwIfAborted();
    const scores = await this.scores(rollout);
    const learned = await this.learn(rollout, scores.oldLogProbs, step, signal);
    this.progress = {
      step,
      updates: this.learner.updates,
      skipped: this.progress.skipped + (learned.updates === 0 ? 1 : 0),
      numTokens: this.progress.numTokens + rollout.tokens,
    };
    return {
      step,
      updates: this.progress.updates,
      skipped: this.progress.skipped,
      ...rolloutMetrics(rollout),
      entropy: scores.entropy,
      num_tokens: this.progress.numTokens,
      kept_rows: learned.kept,
      trained_rows: learned.trained,
      loss: learned.loss,
      grad_norm: learned.gradNorm,
      clip_ratio: learned.clipRatio,
      learning_rate: learned.learningRate,
      reasons: rollout.reasons,
      warnings: warningsOf(rollout, learned.updates, this.algorithm),
      step_time: this.now() - started,
      rollout_time: rolloutTime,
    };
  }

  private async scores(rollout: Rollout): Promise<{ oldLogProbs: ArrayLike<number>; entropy: number }> {
    const { scorer } = this.shared;
    const { temperature } = this.config;
    const atOne = await scorer.score(this.params.tensors, rollout.batch, 1);
    const old =
      temperature === 1 ? atOne : await scorer.score(this.params.tensors, rollout.batch, temperature);
    return {
      oldLogProbs: old.logProbs,
      entropy: maskedMean(atOne.entropy, rollout.batch.completionMask),
    };
  }

  private async learn(
    rollout: Rollout,
    oldLogProbs: ArrayLike<number>,
    step: number,
    signal: AbortSignal | undefined,
  ) {
    const { config, algorithm, observer } = this;
    const { numGenerations, temperature, weightDecay, beta1, beta2, eps, maxGradNorm } = config;
    const count = rollout.rewards.length;
    const split = config.miniBatches.kind !== "whole";
    const plans = planUpdates(rollout.rewards, rollout.lengths, {
      algorithm,
      numGenerations,
      maxCompletionLength: this.task.maxCompletionLength,
      miniBatches: config.miniBatches as MiniBatches,
      cutFirst: config.cutFirst,
      // Mini-batches of neighbours would hold whole groups only: rows are dealt out at random.
      order: split
        ? new Rng(this.seed, Stream.shuffle, step).shuffle(Array.from({ length: count }, (_, i) => i))
        : undefined,
    });
    const details: StepDetails = {
      step,
      algorithm,
      task: this.task,
      model: this.shared.model,
      rollout,
      oldLogProbs,
      rowWeights: rowWeights(plans, count),
      params: this.params,
    };
    await observer.beforeUpdate?.(details);
    const warm = config.warmupSteps > 0 ? Math.min(1, step / config.warmupSteps) : 1;
    const lr = config.learningRate * warm;
    const sums = { loss: 0, gradNorm: 0, clipped: 0, tokens: 0, kept: 0, trained: 0 };
    for (const plan of plans) {
      signal?.throwIfAborted();
      const done = await this.learner.update(
        {
          batch: rollout.batch,
          rows: plan.rows,
          weights: plan.weights,
          oldLogProbs,
          temperature,
          clipLow: algorithm.clipLow,
          clipHigh: algorithm.clipHigh,
        },
        { lr, weightDecay, beta1, beta2, eps, maxGradNorm: maxGradNorm ?? undefined },
      );
      if (!done) continue;
      sums.loss += done.loss;
      sums.gradNorm += done.gradNorm;
      sums.clipped += done.clipped;
      sums.tokens += done.tokens;
      sums.kept += plan.counted;
      sums.trained += plan.rows.length;
    }
    await observer.afterUpdate?.(details);
    const n = plans.length;
    return {
      updates: n,
      kept: sums.kept,
      trained: sums.trained,
      loss: n > 0 ? sums.loss / n : null,
      gradNorm: n > 0 ? sums.gradNorm / n : null,
      clipRatio: sums.tokens > 0 ? sums.clipped / sums.tokens : null,
      learningRate: lr,
    };
  }

  /** Weights, moments and counters as one file's bytes. */
  async checkpoint(metadata: Readonly<Record<string, string>> = {}): Promise<Uint8Array<ArrayBuffer>> {
    const { m, v } = this.learner.optimizer;
    return encodeCheckpoint({
      config: this.shared.model.config,
      params: this.params,
      optimizer: { m, v },
      metadata: { ...metadata, [STATE_KEY]: JSON.stringify(this.progress) },
    });
  }

  /** Goes on from what `checkpoint` gave. Throws `CheckpointError` where moments or counters are missing. */
  restore(from: DecodedCheckpoint): void {
    const state = readState(from.metadata.get(STATE_KEY));
    if (!from.optimizer || !state) {
      throw new CheckpointError(
        "trainer: a checkpoint with optimizer moments and a step count expected, got weights only. Start a new run from it instead.",
      );
    }
    writeWeights(this.params, from.weights);
    writeWeights(this.learner.optimizer.m, from.optimizer.m);
    writeWeights(this.learner.optimizer.v, from.optimizer.v);
    this.progress = state;
    this.learner.updates = state.updates;
  }

  /** SHA-256 of the weights. */
  weightsSha256(): Promise<string> {
    return weightsSha256(this.params);
  }

  /** Releases parameters, optimizer and programs; what is shared stays. */
  dispose(): void {
    this.learner.dispose();
    this.params.dispose();
  }
}

/** The programs for one model; `rows` decode together, `scoreRows` are scored together. */
export function sharedPrograms(
  config: Transformer["config"],
  { rows, scoreRows }: { rows: number; scoreRows: number },
): SharedPrograms & { dispose(): void } {
  const model = new Transformer(config);
  const generator = new Generator(model, { rows });
  const scorer = new Scorer(model, scoreRows);
  return {
    model,
    generator,
    scorer,
    dispose() {
      generator.dispose();
      scorer.dispose();
      model.dispose();
    },
  };
}

/** A trainer that starts from a checkpoint's weights with a fresh optimizer. */
export function trainerFrom(base: DecodedCheckpoint, options: Omit<TrainerOptions, "params">): Trainer {
  return new Trainer({ ...options, params: parametersFrom(base) });
}

/** Mean over the elements whose mask is 1; 0 where there is none. */
export function maskedMean(values: ArrayLike<number>, mask: ArrayLike<number>): number {
  let sum = 0;
  let count = 0;
  for (let i = 0; i < values.length; i++) {
    if (mask[i] === 0) continue;
    sum += values[i];
    count++;
  }
  return count === 0 ? 0 : sum / count;
}

/** Token weight of each of `count` rows over a rollout's plans; a row is in one plan at most. */
function rowWeights(plans: readonly UpdatePlan[], count: number): Float64Array {
  const weights = new Float64Array(count);
  for (const plan of plans) {
    plan.rows.forEach((row, i) => {
      weights[row] = plan.weights[i];
    });
  }
  return weights;
}

function rolloutMetrics(rollout: Rollout) {
  const { rewards, lengths, numGenerations, clipped, tokens } = rollout;
  let stds = 0;
  let flat = 0;
  const groups = rewards.length / numGenerations;
  for (let at = 0; at < rewards.length; at += numGenerations) {
    const group = rewards.slice(at, at + numGenerations);
    stds += meanAndStd(group).std;
    flat += group.every((r) => r === group[0]) ? 1 : 0;
  }
  return {
    reward: meanAndStd(rewards).mean,
    reward_std: stds / groups,
    frac_reward_zero_std: flat / groups,
    "completions/mean_length": tokens / lengths.length,
    "completions/min_length": Math.min(...lengths),
    "completions/max_length": Math.max(...lengths),
    "completions/clipped_ratio": clipped / lengths.length,
  };
}

function warningsOf(rollout: Rollout, updates: number, algorithm: Algorithm): string[] {
  const { rewards, clipped } = rollout;
  const found: string[] = [];
  if (clipped === rewards.length)
    found.push("every completion was cut before EOS: raise maxCompletionLength or pretrain longer");
  if (rewards.every((r) => r === rewards[0]))
    found.push(`every reward is ${rewards[0]}: the task is too ${rewards[0] > 0 ? "easy" : "hard"}`);
  if (updates === 0) found.push(`nothing for ${algorithm.name} to learn from: no update was made`);
  return found;
}

function readState(text: string | undefined): TrainerState | undefined {
  if (text === undefined) return undefined;
  try {
    const { step, updates, skipped, numTokens } = JSON.parse(text);
    const numbers = [step, updates, skipped, numTokens];
    return numbers.every((n) => Number.isSafeInteger(n) && n >= 0)
      ? { step, updates, skipped, numTokens }
      : undefined;
  } catch {
    return undefined;
  }
}

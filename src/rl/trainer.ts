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
  readWeights,
  type Weights,
  weightsSha256,
  writeWeights,
} from "../model/checkpoint.ts";
import { modelDifference } from "../model/config.ts";
import { Generator } from "../model/generate.ts";
import { Scorer } from "../model/scoring.ts";
import { Transformer } from "../model/transformer.ts";
import { FlatTensors } from "../tensor/create.ts";
import { CheckpointError, ConfigError } from "../tensor/errors.ts";
import { Rng, type Seed, Stream, seedWords } from "../tensor/random.ts";
import { requireKnown } from "../tensor/suggest.ts";
import { integer, object, show, validate } from "../tensor/validate.ts";
import {
  type MiniBatches,
  planUpdates,
  type RowFacts,
  type TokenReturns,
  tokenAdvantages,
  type UpdatePlan,
} from "./advantages.ts";
import type { Algorithm } from "./algorithm.ts";
import { algorithmOf, checkAlgorithm } from "./algorithms.ts";
import { Learner } from "./learner.ts";
import { klOf } from "./loss.ts";
import { type Rollout, rollOut } from "./rollout.ts";
import { canonical, difference } from "./runFolder.ts";
import {
  collapseWarning,
  gradedWarning,
  type Learned,
  maskedMean,
  rolloutMetrics,
  type StepMetrics,
  warningsOf,
} from "./stepMetrics.ts";
import type { AnyTask } from "./task.ts";
import { type TrainConfig, trainConfig } from "./trainConfig.ts";
import { stateMetadata, type TrainerState, trainerState } from "./trainerState.ts";
import { ValueHead } from "./valueHead.ts";

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
  task: AnyTask;
  model: Transformer;
  rollout: Rollout;
  /** [rows, maxCompletionLength], nats, before the update at the rollout's temperature; meaningless in the padding. */
  oldLogProbs: ArrayLike<number>;
  /** [rows, maxCompletionLength]: the weight w = A / Z of each token in its first update; 0 where it took no part. */
  tokenWeights: Float64Array;
  /** The policy's parameters as they are now; they belong to the trainer. */
  params: FlatTensors;
}

/** What is called, and awaited, in the middle of a step. It may read the parameters and must not write them. */
export interface StepObserver {
  beforeUpdate?(details: StepDetails): Promise<void> | void;
  afterUpdate?(details: StepDetails): Promise<void> | void;
}

export interface TrainerOptions {
  task: AnyTask;
  /** A record, or a name as in arms: `nsr`, `w-reinforce:0.1`. */
  algorithm: Algorithm | string;
  config: Partial<TrainConfig>;
  seed: number | bigint | string | Seed;
  /** The trainer owns them from here on. */
  params: FlatTensors;
  shared: SharedPrograms;
  observer?: StepObserver;
  /** Seconds; for metrics only. */
  now?(): number;
}

/** What to do where an option is left out. */
const NEEDED = {
  task: "Take one of makeTask({ name }), or one of your own by defineTask({ ... }).",
  shared: "Make it by sharedPrograms(config, { rows, scoreRows }).",
  params: "Make them by initializeParameters(config, seed), or take trainerFrom(checkpoint, { ... }).",
};
const OPTIONS = ["algorithm", "config", "seed", "observer", "now", ...Object.keys(NEEDED)];

/** Throws `ConfigError` for an option that is none, or is needed and left out: types tell TypeScript alone. */
function checkOptions(options: Partial<TrainerOptions>, needed: readonly (keyof typeof NEEDED)[]): void {
  requireKnown("trainer", options, OPTIONS);
  for (const key of needed) {
    const given = options[key];
    if (typeof given !== "object" || given === null) {
      throw new ConfigError(`trainer: ${key}: an object expected, got ${show(given)}. ${NEEDED[key]}`);
    }
  }
}

/** The clock of metrics, in seconds. */
export function clock(): number {
  return performance.now() / 1000;
}

export class Trainer {
  readonly algorithm: Algorithm;
  readonly config: TrainConfig;
  readonly params: FlatTensors;
  private readonly task: AnyTask;
  private readonly seed: Seed;
  private readonly shared: SharedPrograms;
  private readonly learner: Learner;
  private readonly observer: StepObserver;
  private readonly now: () => number;
  private reference: Promise<FlatTensors> | null;
  private progress: TrainerState = { step: 0, updates: 0, skipped: 0, numTokens: 0 };

  constructor(options: TrainerOptions) {
    checkOptions(options, ["task", "shared", "params"]);
    this.task = options.task;
    const algorithm = algorithmOf("trainer", options.algorithm);
    this.algorithm = algorithm;
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
    checkAlgorithm(algorithm, this.config.numGenerations);
    const { model } = options.shared;
    this.learner = new Learner(model, options.params, {
      form: algorithm.form,
      microBatchRows: this.config.microBatchRows,
      kl: algorithm.kl?.where === "loss" ? algorithm.kl.estimator : null,
      entropy: Boolean(algorithm.entropy),
      dualClip: algorithm.dualClip != null,
      value:
        algorithm.advantage.kind === "gae"
          ? new ValueHead(model, this.config.microBatchRows, algorithm.optimizer)
          : null,
      optimizer: algorithm.optimizer,
    });
    if (algorithm.entropy) this.progress.entropyCoefficient = algorithm.entropy.coefficient;
    // The policy that KL is measured to: the weights that the run began with.
    this.reference = algorithm.kl ? copyOf(options.params) : null;
    this.reference?.catch(() => {}); // Heard where it is awaited.
  }

  /** Where the trainer stands. */
  get state(): TrainerState {
    return { ...this.progress };
  }

  /** Optimizer updates, those of a step under way among them. */
  get updatesMade(): number {
    return this.learner.updates;
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
      verifierTimeout: config.verifierTimeout,
      signal,
    });
    const rolloutTime = this.now() - started;
    signal?.throwIfAborted();
    const scores = await this.scores(rollout);
    const learned = await this.learn(rollout, scores, step, signal);
    const { entropyCoefficient, firstEntropy = scores.entropy } = this.progress;
    const collapse = collapseWarning(firstEntropy, scores.entropy);
    const { gradedTold = false } = this.progress;
    const graded = gradedTold ? null : gradedWarning(rollout.rewards, this.algorithm);
    const collapsed = collapse !== null || firstEntropy === 0;
    this.progress = {
      step,
      updates: this.learner.updates,
      skipped: this.progress.skipped + (learned.updates === 0 ? 1 : 0),
      numTokens: this.progress.numTokens + rollout.tokens,
      firstEntropy: collapse === null ? firstEntropy : 0,
      ...(gradedTold || graded !== null ? { gradedTold: true } : {}),
      ...this.nextEntropyCoefficient(scores.entropy),
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
      ...(scores.kl === undefined ? {} : { kl: scores.kl }),
      ...(entropyCoefficient === undefined ? {} : { entropy_coefficient: entropyCoefficient }),
      learning_rate: learned.learningRate,
      reasons: rollout.reasons,
      verifier_failures: rollout.failures,
      warnings: [
        ...warningsOf(rollout, learned, this.algorithm, collapsed),
        ...[graded, collapse].filter((told) => told !== null),
      ],
      step_time: this.now() - started,
      rollout_time: rolloutTime,
    };
  }

  private async scores(rollout: Rollout): Promise<Scores> {
    const { scorer } = this.shared;
    const { temperature } = this.config;
    const { batch } = rollout;
    const atOne = await scorer.score(this.params.tensors, batch, 1);
    const old = temperature === 1 ? atOne : await scorer.score(this.params.tensors, batch, temperature);
    const entropy = maskedMean(atOne.entropy, batch.completionMask);
    const { kl } = this.algorithm;
    if (!kl) return { oldLogProbs: old.logProbs, entropy };
    const reference = await scorer.score(
      (await (this.reference as Promise<FlatTensors>)).tensors,
      batch,
      temperature,
    );
    const terms = old.logProbs.map((l, i) => klOf(kl.estimator, l, reference.logProbs[i]));
    return {
      oldLogProbs: old.logProbs,
      entropy,
      reference: reference.logProbs,
      klTerms: terms,
      kl: maskedMean(terms, batch.completionMask),
    };
  }

  /** The weight of an entropy bonus in the next step: towards the target, where there is one. */
  private nextEntropyCoefficient(entropy: number): Pick<TrainerState, "entropyCoefficient"> {
    const term = this.algorithm.entropy;
    const now = this.progress.entropyCoefficient;
    if (!term || now === undefined) return {};
    if (term.target === undefined) return { entropyCoefficient: now };
    const rate = term.rate ?? term.coefficient / 10;
    const next = entropy < term.target ? now + rate : now - rate;
    return { entropyCoefficient: Math.min(Math.max(next, 0), 100 * term.coefficient) };
  }

  /** Advantages by token under a value head; none otherwise. */
  private async returns(rollout: Rollout, scores: Scores): Promise<TokenReturns | null> {
    const { advantage, kl, flip } = this.algorithm;
    if (advantage.kind !== "gae" || !this.learner.value) return null;
    const width = rollout.batch.completionLength;
    const rewards = new Float64Array(rollout.rewards.length * width);
    rollout.rewards.forEach((reward, row) => {
      const length = rollout.lengths[row];
      for (let t = 0; t < length; t++) {
        const i = row * width + t;
        if (kl?.where === "reward") rewards[i] = -kl.coefficient * (scores.klTerms as Float64Array)[i];
        if (t === length - 1) rewards[i] += reward;
      }
    });
    const values = await this.learner.value.values(this.params.tensors, rollout.batch);
    const found = tokenAdvantages(rewards, values, rollout.lengths, advantage);
    if (flip)
      found.advantages.forEach((a, i) => {
        found.advantages[i] = 0 - a;
      });
    return found;
  }

  /** What advantages may need of the rows beside their rewards. */
  private facts(rollout: Rollout, scores: Scores, step: number): RowFacts {
    const { kl, advantage, unlikeliness } = this.algorithm;
    const width = rollout.batch.completionLength;
    const sums = (values: ArrayLike<number>): number[] =>
      rollout.lengths.map((length, row) => {
        let sum = 0;
        for (let t = 0; t < length; t++) sum += values[row * width + t];
        return sum;
      });
    const facts: RowFacts = { step, finished: rollout.finished, failed: rollout.failed };
    if (unlikeliness) facts.logProbs = sums(scores.oldLogProbs);
    if (kl?.where === "reward" && advantage.kind !== "gae") {
      const terms = sums(scores.klTerms as Float64Array);
      facts.shaped = rollout.rewards.map((r, i) => r - kl.coefficient * terms[i]);
    }
    return facts;
  }

  private async learn(
    rollout: Rollout,
    scores: Scores,
    step: number,
    signal: AbortSignal | undefined,
  ): Promise<Learned> {
    const { config, algorithm, observer } = this;
    const { numGenerations, temperature, weightDecay, beta1, beta2, eps, maxGradNorm } = config;
    const count = rollout.rewards.length;
    const miniBatches = (algorithm.miniBatches ?? config.miniBatches) as MiniBatches;
    const epochs = algorithm.epochs ?? config.epochs;
    const facts = this.facts(rollout, scores, step);
    const byToken = await this.returns(rollout, scores);
    const plansOf = (epoch: number): UpdatePlan[] =>
      planUpdates(rollout.rewards, rollout.lengths, {
        algorithm,
        numGenerations,
        maxCompletionLength: this.task.maxCompletionLength,
        miniBatches,
        cutFirst: algorithm.cutFirst ?? config.cutFirst,
        // Mini-batches of neighbours would hold whole groups only: rows are dealt out at random.
        order:
          miniBatches.kind === "whole"
            ? undefined
            : new Rng(this.seed, Stream.shuffle, (step - 1) * epochs + epoch + 1).shuffle(
                Array.from({ length: count }, (_, i) => i),
              ),
        facts,
      });
    const first = plansOf(0);
    const details: StepDetails = {
      step,
      algorithm,
      task: this.task,
      model: this.shared.model,
      rollout,
      oldLogProbs: scores.oldLogProbs,
      tokenWeights: tokenWeights(first, rollout, byToken),
      params: this.params,
    };
    await observer.beforeUpdate?.(details);
    // The last place: a step that has begun to update is finished, or a checkpoint would hold half of it.
    signal?.throwIfAborted();
    const warm = config.warmupSteps > 0 ? Math.min(1, step / config.warmupSteps) : 1;
    const lr = config.learningRate * warm;
    const sums = { loss: 0, gradNorm: 0, clipped: 0, tokens: 0, kept: 0, trained: 0, updates: 0 };
    for (let epoch = 0; epoch < epochs; epoch++) {
      for (const plan of epoch === 0 ? first : plansOf(epoch)) {
        const done = await this.learner.update(
          {
            batch: rollout.batch,
            rows: plan.rows,
            weights: plan.weights,
            divisors: plan.divisors,
            tokenAdvantages: byToken?.advantages,
            returns: byToken?.returns,
            oldLogProbs: scores.oldLogProbs,
            reference: scores.reference,
            temperature,
            clipLow: algorithm.clipLow,
            clipHigh: algorithm.clipHigh,
            dualClip: algorithm.dualClip,
            klCoefficient: algorithm.kl?.coefficient,
            entropyCoefficient: this.progress.entropyCoefficient,
            valueCoefficient: algorithm.valueCoefficient,
          },
          { lr, weightDecay, beta1, beta2, eps, maxGradNorm: maxGradNorm ?? undefined },
        );
        if (!done) continue;
        sums.updates++;
        sums.loss += done.loss;
        sums.gradNorm += done.gradNorm;
        sums.clipped += done.clipped;
        sums.tokens += done.tokens;
        if (epoch > 0) continue;
        sums.kept += plan.counted;
        sums.trained += plan.rows.length;
      }
    }
    await observer.afterUpdate?.(details);
    const n = sums.updates;
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

  /** Weights, moments, counters and the task's tokenizer as one file's bytes. */
  async checkpoint(metadata: Readonly<Record<string, string>> = {}): Promise<Uint8Array<ArrayBuffer>> {
    const { moments, value, valueMoments } = this.learner;
    const head = value && { head: value.params };
    const headMoments = valueMoments && { head_m: valueMoments.m, head_v: valueMoments.v };
    const reference = this.reference && { reference: await this.reference };
    return encodeCheckpoint({
      config: this.shared.model.config,
      params: this.params,
      optimizer: moments ?? undefined,
      extras: { ...head, ...headMoments, ...reference },
      metadata: {
        tokenizer: JSON.stringify(this.task.tokenizer.toJSON()),
        ...metadata,
        ...stateMetadata({ state: this.progress, algorithm: this.algorithm, task: this.task.name }),
      },
    });
  }

  /**
   * Goes on from what `checkpoint` gave. Throws `CheckpointError`, and leaves all as it is, where that is of another model,
   * algorithm or task, or lacks what this algorithm goes on from.
   */
  restore(from: DecodedCheckpoint): void {
    const other = modelDifference(from.config, this.shared.model.config);
    if (other) {
      throw new CheckpointError(
        `trainer: a checkpoint of this trainer's model expected, got ${other}. Make a trainer by trainerFrom instead.`,
      );
    }
    const kept = trainerState(from.metadata);
    const own = { algorithm: this.algorithm, task: this.task.name };
    const { algorithm = own.algorithm, task = own.task } = kept ?? {};
    if (canonical({ algorithm, task }) !== canonical(own)) {
      throw new CheckpointError(
        `trainer: a checkpoint of a run with ${own.algorithm.name} on ${own.task} expected, got one of another (${difference({ algorithm, task }, own)}). Start a new run from its weights by trainerFrom instead.`,
      );
    }
    const { moments, value, valueMoments } = this.learner;
    const head = value ? [value.params, ...(valueMoments ? [valueMoments.m, valueMoments.v] : [])] : [];
    const extras = ["head", "head_m", "head_v"].slice(0, head.length).map((group) => from.extras.get(group));
    const reference = from.extras.get("reference");
    const lacks = [
      ...(kept ? [] : ["a step count"]),
      ...(moments && !from.optimizer ? ["optimizer moments"] : []),
      ...(extras.every((group) => group) ? [] : ["the value head"]),
      ...(this.reference && !reference ? ["the reference policy"] : []),
    ];
    if (!kept || lacks.length > 0) {
      throw new CheckpointError(
        `trainer: a checkpoint of a run with ${this.algorithm.name} expected, got one without ${lacks.join(" and ")}. Start a new run from it instead.`,
      );
    }
    writeWeights(this.params, from.weights);
    if (moments && from.optimizer) {
      writeWeights(moments.m, from.optimizer.m);
      writeWeights(moments.v, from.optimizer.v);
    }
    for (const [i, flat] of head.entries()) writeWeights(flat, extras[i] as Weights);
    // The policy that KL is measured to is the one the run began with, whatever this trainer was made from.
    if (reference && this.reference) {
      const written = this.reference.then((flat) => {
        writeWeights(flat, reference);
        return flat;
      });
      written.catch(() => {}); // Heard where it is awaited.
      this.reference = written;
    }
    this.progress = kept.state;
    this.learner.updates = kept.state.updates;
  }

  /** SHA-256 of the weights. */
  weightsSha256(): Promise<string> {
    return weightsSha256(this.params);
  }

  /** Releases parameters, optimizer and programs; what is shared stays. */
  dispose(): void {
    this.learner.dispose();
    this.params.dispose();
    this.reference?.then((reference) => reference.dispose()).catch(() => {});
  }
}

/** Another set of the same weights. */
async function copyOf(params: FlatTensors): Promise<FlatTensors> {
  const copy = new FlatTensors(params.layout, "reference");
  writeWeights(copy, await readWeights(params));
  return copy;
}

/** A rollout under the policy before the update. */
interface Scores {
  /** [rows, maxCompletionLength] at the rollout's temperature, nats. */
  oldLogProbs: Float64Array;
  /** Mean over completion tokens at temperature 1, nats. */
  entropy: number;
  /** The same shape under the reference policy, and the KL estimates; with a KL term only. */
  reference?: Float64Array;
  klTerms?: Float64Array;
  kl?: number;
}

const sharedRules = object({ rows: integer({ min: 1 }), scoreRows: integer({ min: 1 }) });

/** The programs for one model; `rows` decode together, `scoreRows` are scored together. Throws `ConfigError` for other options. */
export function sharedPrograms(
  config: Transformer["config"],
  options: { rows: number; scoreRows: number },
): SharedPrograms & { dispose(): void } {
  const { rows, scoreRows } = validate("sharedPrograms", sharedRules, options);
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

/**
 * A trainer that starts from a checkpoint's weights with a fresh optimizer. Throws `ConfigError` where `shared` holds programs of
 * another model.
 */
export function trainerFrom(base: DecodedCheckpoint, options: Omit<TrainerOptions, "params">): Trainer {
  checkOptions(options, ["task", "shared"]);
  const other = modelDifference(base.config, options.shared.model.config);
  if (other) {
    throw new ConfigError(
      `trainer: programs of the checkpoint's model expected, got ${other}. Make them by sharedPrograms(checkpoint.config, ...) of what decodeCheckpoint gives.`,
    );
  }
  const params = parametersFrom(base);
  try {
    return new Trainer({ ...options, params });
  } catch (error) {
    params.dispose();
    throw error;
  }
}

/** Weight of each token over a rollout's plans; a row is in one plan at most. */
function tokenWeights(
  plans: readonly UpdatePlan[],
  { batch, lengths }: Rollout,
  byToken: TokenReturns | null,
): Float64Array {
  const width = batch.completionLength;
  const weights = new Float64Array(batch.rows * width);
  for (const plan of plans) {
    plan.rows.forEach((row, i) => {
      for (let t = row * width; t < row * width + lengths[row]; t++) {
        weights[t] = byToken ? byToken.advantages[t] / plan.divisors[i] : plan.weights[i];
      }
    });
  }
  return weights;
}

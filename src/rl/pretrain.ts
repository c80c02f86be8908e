/**
 * Pretraining on traces: next-token cross-entropy over completion tokens, AdamW with linear warm-up and decay.
 *
 *     loss = - 1/N  sum over completion tokens  log pi(token | what stands before)
 *
 * It is the masked-advantage loss in its log form with every weight 1/N, so it runs the learner's program.
 */

import { packRows } from "../model/sequences.ts";
import type { Transformer } from "../model/transformer.ts";
import type { FlatTensors } from "../tensor/create.ts";
import { Rng, type Seed, Stream, seedWords } from "../tensor/random.ts";
import { integer, number, object, validate, withDefault } from "../tensor/validate.ts";
import { Learner } from "./learner.ts";
import type { AnyTask } from "./task.ts";

/** Numbers of pretraining, as `pretrainConfig` fills them in; all of them on a page: docs/configuration.md. */
export interface PretrainConfig {
  /** Updates. Default 1000. */
  steps: number;
  /** Traces of each step. Default 64. */
  batchRows: number;
  /** Rows of a gradient program. Default 64. */
  microBatchRows: number;
  /** At its top. Default 0.003. */
  learningRate: number;
  /** Steps over which the learning rate rises from 0; then it falls in a straight line to `finalShare` of its top. Default 50. */
  warmupSteps: number;
  /** Share of its top that the learning rate ends at. Default 0.1. */
  finalShare: number;
  /** Decoupled, of AdamW. Default 0.01. */
  weightDecay: number;
  /** Of AdamW: decay of the mean of squared gradients. Default 0.99. */
  beta2: number;
  /** Largest norm of the gradient. Default 1. */
  maxGradNorm: number;
}

export const pretrainRules = object<PretrainConfig>({
  steps: withDefault(integer({ min: 0, max: 1e7 }), 1000),
  batchRows: withDefault(integer({ min: 1, max: 1 << 16 }), 64),
  microBatchRows: withDefault(integer({ min: 1, max: 1 << 16 }), 64),
  learningRate: withDefault(number({ min: 0, max: 10 }), 3e-3),
  warmupSteps: withDefault(integer({ min: 0 }), 50),
  finalShare: withDefault(number({ min: 0, max: 1 }), 0.1),
  weightDecay: withDefault(number({ min: 0, max: 10 }), 0.01),
  beta2: withDefault(number({ min: 0, below: 1 }), 0.99),
  maxGradNorm: withDefault(number({ above: 0 }), 1),
});

/** The configuration with its defaults; throws `ConfigError`. */
export function pretrainConfig(given: Partial<PretrainConfig> = {}): PretrainConfig {
  return validate("pretrain", pretrainRules, given);
}

export interface PretrainStep {
  step: number;
  steps: number;
  /** Mean negative log-probability of a completion token, nats. */
  loss: number;
  learningRate: number;
  grad_norm: number;
}

/** The learning rate of a step, counted from 1. */
export function warmupDecay(
  step: number,
  { steps, learningRate, warmupSteps, finalShare }: PretrainConfig,
): number {
  if (step <= warmupSteps) return (learningRate * step) / warmupSteps;
  const done = (step - warmupSteps) / Math.max(steps - warmupSteps, 1);
  return learningRate * (1 - (1 - finalShare) * done);
}

/** What pretraining is given beside the policy and its task. */
export interface PretrainOptions {
  seed: number | bigint | string | Seed;
  signal?: AbortSignal;
  /** Awaited before each step: a pause. */
  gate?(): Promise<void> | void;
}

/** Trains `params` in place; yields after every step. Ends with the signal's reason when aborted. */
export async function* pretrain(
  model: Transformer,
  params: FlatTensors,
  task: AnyTask,
  given: Partial<PretrainConfig>,
  { seed, signal, gate }: PretrainOptions,
): AsyncGenerator<PretrainStep> {
  const config = pretrainConfig(given);
  const words = seedWords(seed);
  const learner = new Learner(model, params, { form: "log", microBatchRows: config.microBatchRows });
  try {
    for (let step = 1; step <= config.steps; step++) {
      await gate?.();
      signal?.throwIfAborted();
      const rng = new Rng(words, Stream.pretrain, step);
      const prompts: (readonly number[])[] = [];
      const completions: (readonly number[])[] = [];
      let tokens = 0;
      for (let i = 0; i < config.batchRows; i++) {
        const problem = task.sample(rng, "train");
        const { completion } = task.trace(rng, problem);
        prompts.push(problem.prompt);
        completions.push(completion);
        tokens += completion.length;
      }
      const batch = packRows(prompts, completions, {
        promptLength: task.promptLength,
        completionLength: task.maxCompletionLength,
        padTokenId: task.tokenizer.pad,
      });
      const rows = prompts.map((_, i) => i);
      const lr = warmupDecay(step, config);
      const { weightDecay, beta2, maxGradNorm } = config;
      const done = await learner.update(
        { batch, rows, weights: rows.map(() => 1 / tokens) },
        { lr, weightDecay, beta2, maxGradNorm },
      );
      yield {
        step,
        steps: config.steps,
        loss: done?.loss ?? 0,
        learningRate: lr,
        grad_norm: done?.gradNorm ?? 0,
      };
    }
  } finally {
    learner.dispose();
  }
}

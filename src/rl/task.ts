/**
 * What a verifiable task is: problems in two disjoint splits, traces to pretrain on, and an exact checker.
 *
 * `src/rl/tasks/` holds the tasks that come with the engine, `defineTask` makes one from a few functions.
 */

import type { Tokenizer } from "../model/tokenizer.ts";
import type { Rng } from "../tensor/random.ts";

/** A problem belongs to one split by a hash of its canonical key, whatever the seed. */
export type Split = "train" | "heldOut";

export interface Problem {
  /** The same for every way to pose the same problem. */
  readonly key: string;
  /** Token ids, BOS first; at most `promptLength` of them: what is missing is padded on the left. */
  readonly prompt: readonly number[];
  /** The solver modes that reach a right answer. */
  readonly modes: readonly string[];
}

/** A written-out answer for pretraining. */
export interface Trace {
  /** Token ids after the prompt, EOS last. */
  readonly completion: readonly number[];
  /** False for a corrupted trace: well formed, wrong answer. */
  readonly correct: boolean;
  readonly mode: string;
}

export interface Verdict {
  /** In [0, 1]: 1 for a right answer, 0 for a wrong one, between them where a verifier grades. */
  readonly reward: number;
  /** Whether the form is right, whatever the value. */
  readonly valid: boolean;
  /** One word for counting what goes wrong; `right` when nothing does. */
  readonly reason: string;
}

/**
 * A task. `V` is what `verify` gives: the tasks of this package judge at once (`Task<Verdict>`), one's own may ask
 * something slower (`Task<Promise<Verdict>>`); who awaits the verdict takes an `AnyTask`.
 */
export interface Task<V extends Verdict | Promise<Verdict> = Verdict> {
  readonly name: string;
  readonly tokenizer: Tokenizer;
  /** Columns of a prompt: tokens of the longest. */
  readonly promptLength: number;
  /** Most tokens of a completion, EOS included. */
  readonly maxCompletionLength: number;
  /** A random problem of the split. */
  sample(rng: Rng, split: Split): Problem;
  /** `count` problems of the split with different keys; a `ConfigError` where there are fewer. */
  distinct(rng: Rng, split: Split, count: number): Problem[];
  /**
   * A trace for the problem, corrupted with the configured probability. Throws a `ConfigError` where the task has no
   * traces: such a task cannot be pretrained on.
   */
  trace(rng: Rng, problem: Problem): Trace;
  /**
   * Judges a completion; tokens after the first EOS must be padding. It may throw, or reject: the caller counts that,
   * and the completion earns 0.
   */
  verify(prompt: readonly number[], completion: readonly number[]): V;
  /** How many problems a split has; `undefined` where they are drawn and not listed. */
  count?(split: Split): number | undefined;
  /**
   * Every right completion, EOS included and without padding, each once: the sum of their probabilities is the exact
   * Pass@1, and gives the exact Pass@k. Throws a `ConfigError` where a problem has too many to list.
   */
  answers?(problem: Problem): Iterable<readonly number[]>;
  /**
   * The solver mode that a right completion belongs to; `null` for a completion that is wrong or fits no mode. How many
   * of `problem.modes` come among a policy's samples is its mode coverage.
   */
  modeOf?(problem: Problem, completion: readonly number[]): string | null;
}

/** A task whose verdicts come at once or later. */
export type AnyTask = Task<Verdict | Promise<Verdict>>;

/** What a verifiable task is: problems in two disjoint splits, traces to pretrain on, and an exact checker. */

import type { Tokenizer } from "../model/tokenizer.ts";
import type { Rng } from "../tensor/random.ts";

/** A problem belongs to one split by a hash of its canonical key, whatever the seed. */
export type Split = "train" | "heldOut";

export interface Problem {
  /** The same for every way to pose the same problem. */
  readonly key: string;
  /** Token ids, BOS first, all prompts of a task equally long. */
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
  /** 1 for a right answer, else 0. */
  readonly reward: 0 | 1;
  /** Whether the form is right, whatever the value. */
  readonly valid: boolean;
  /** One word for counting what goes wrong; `right` when nothing does. */
  readonly reason: string;
}

export interface Task {
  readonly name: string;
  readonly tokenizer: Tokenizer;
  /** Tokens of every prompt. */
  readonly promptLength: number;
  /** Most tokens of a completion, EOS included. */
  readonly maxCompletionLength: number;
  /** A random problem of the split. */
  sample(rng: Rng, split: Split): Problem;
  /** `count` problems of the split with different keys. */
  distinct(rng: Rng, split: Split, count: number): Problem[];
  /** A trace for the problem, corrupted with the configured probability. */
  trace(rng: Rng, problem: Problem): Trace;
  /** Judges a completion; tokens after the first EOS must be padding. */
  verify(prompt: readonly number[], completion: readonly number[]): Verdict;
}

/** Rollouts: samples of each prompt, judged on the host. */
import type { Generated, Generator } from "../model/generate.ts";
import type { GenerateOptions } from "../model/generateOptions.ts";
import { packRows, type TokenRows } from "../model/sequences.ts";
import type { Parameters } from "../model/transformer.ts";
import type { Problem, Task } from "./task.ts";

export interface Rollout {
  readonly problems: readonly Problem[];
  readonly numGenerations: number;
  /** Rows in order: all samples of the first problem, then of the second, and so on. */
  readonly rewards: number[];
  /** Tokens of each completion, EOS included. */
  readonly lengths: number[];
  /** [rows]: 1 where a completion ended with EOS. */
  readonly finished: Uint8Array;
  /** Rows cut at maxCompletionLength. */
  readonly clipped: number;
  /** Completion tokens of all rows. */
  readonly tokens: number;
  /** How often each reason of the verifier came, in the order in which they came first. */
  readonly reasons: Record<string, number>;
  /** Prompts and completions, for scoring and learning. */
  readonly batch: TokenRows;
}

/** Completion tokens of one row. */
export function completionOf(generated: Generated, row: number): Uint32Array {
  const from = row * generated.maxCompletionLength;
  return generated.tokens.subarray(from, from + generated.lengths[row]);
}

export type RolloutOptions = Pick<
  GenerateOptions,
  "seed" | "temperature" | "topK" | "topP" | "rollout" | "stream" | "promptIds" | "firstSample" | "signal"
> & { numGenerations: number };

/** Samples `numGenerations` answers to each problem and judges them. */
export async function rollOut(
  generator: Generator,
  params: Parameters,
  task: Task,
  problems: readonly Problem[],
  options: RolloutOptions,
): Promise<Rollout> {
  const { tokenizer, promptLength, maxCompletionLength } = task;
  const prompts = problems.map((problem) => problem.prompt);
  const generated = await generator.generate(params, prompts, {
    ...options,
    maxCompletionLength,
    promptLength,
    eosTokenId: tokenizer.eos,
    padTokenId: tokenizer.pad,
  });
  const rewards: number[] = [];
  const lengths: number[] = [];
  const reasons: Record<string, number> = {};
  const completions: Uint32Array[] = [];
  let tokens = 0;
  let clipped = 0;
  for (let row = 0; row < generated.rows; row++) {
    const completion = completionOf(generated, row);
    const problem = problems[Math.floor(row / options.numGenerations)];
    const { reward, reason } = task.verify(problem.prompt, Array.from(completion));
    completions.push(completion);
    rewards.push(reward);
    lengths.push(completion.length);
    reasons[reason] = (reasons[reason] ?? 0) + 1;
    tokens += completion.length;
    clipped += generated.finished[row] === 0 ? 1 : 0;
  }
  const batch = packRows(
    completions.map((_, row) => prompts[Math.floor(row / options.numGenerations)]),
    completions,
    { promptLength, completionLength: maxCompletionLength, padTokenId: tokenizer.pad },
  );
  return {
    problems,
    numGenerations: options.numGenerations,
    rewards,
    lengths,
    finished: generated.finished,
    clipped,
    tokens,
    reasons,
    batch,
  };
}

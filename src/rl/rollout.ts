/** Rollouts: samples of each prompt, judged on the host. */
import type { Generated, Generator } from "../model/generate.ts";
import type { GenerateOptions } from "../model/generateOptions.ts";
import { packRows, type TokenRows } from "../model/sequences.ts";
import type { Parameters } from "../model/transformer.ts";
import { judge } from "./judge.ts";
import type { AnyTask, Problem } from "./task.ts";

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
  /** [rows] the verifier's reasons. */
  readonly rowReasons: string[];
  /** How often each of them came, in the order in which they came first. */
  readonly reasons: Record<string, number>;
  /** Completions on which the verifier itself failed, and what it said first. */
  readonly failures: number;
  readonly failure?: string;
  /** [rows]: whether it failed on this one. */
  readonly failed: boolean[];
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
> & {
  numGenerations: number;
  /** Most milliseconds to wait for a verifier that answers later. Default 10,000. */
  verifierTimeout?: number;
};

/** Most milliseconds that a verifier which answers later is waited for, unless told. */
export const VERIFIER_TIMEOUT = 10_000;

/** Verifiers that answer later are asked so many at once: their time to answer counts from when they are asked. */
export const ASKED_AT_ONCE = 32;

/** Results of `count` pieces of work in their order, `width` of them under way at a time. Rejects with the signal's reason. */
export async function inPool<T>(
  count: number,
  width: number,
  signal: AbortSignal | undefined,
  work: (i: number) => T | Promise<T>,
): Promise<T[]> {
  const results = new Array<T>(count);
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count) {
      signal?.throwIfAborted();
      const i = next++;
      const result = work(i);
      results[i] = result instanceof Promise ? await result : result;
    }
  };
  const all = Promise.all(Array.from({ length: Math.min(width, count) }, lane)).then(() => results);
  if (!signal) return all;
  let stop = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason);
    signal.addEventListener("abort", stop, { once: true });
  });
  return Promise.race([all, aborted]).finally(() => signal.removeEventListener("abort", stop));
}

/** Samples `numGenerations` answers to each problem and judges them. */
export async function rollOut(
  generator: Generator,
  params: Parameters,
  task: AnyTask,
  problems: readonly Problem[],
  { verifierTimeout = VERIFIER_TIMEOUT, ...options }: RolloutOptions,
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
  const lengths: number[] = [];
  const completions: Uint32Array[] = [];
  let tokens = 0;
  let clipped = 0;
  for (let row = 0; row < generated.rows; row++) {
    const completion = completionOf(generated, row);
    completions.push(completion);
    lengths.push(completion.length);
    tokens += completion.length;
    clipped += generated.finished[row] === 0 ? 1 : 0;
  }
  const verdicts = await inPool(completions.length, ASKED_AT_ONCE, options.signal, (row) =>
    judge(
      task,
      problems[Math.floor(row / options.numGenerations)].prompt,
      Array.from(completions[row]),
      verifierTimeout,
    ),
  );
  const reasons: Record<string, number> = {};
  for (const { reason } of verdicts) reasons[reason] = (reasons[reason] ?? 0) + 1;
  const failures = verdicts.filter((v) => v.failure !== undefined);
  const batch = packRows(
    completions.map((_, row) => prompts[Math.floor(row / options.numGenerations)]),
    completions,
    { promptLength, completionLength: maxCompletionLength, padTokenId: tokenizer.pad },
  );
  return {
    problems,
    numGenerations: options.numGenerations,
    rewards: verdicts.map((v) => v.reward),
    rowReasons: verdicts.map((v) => v.reason),
    failures: failures.length,
    failure: failures[0]?.failure,
    failed: verdicts.map((v) => v.failure !== undefined),
    lengths,
    finished: generated.finished,
    clipped,
    tokens,
    reasons,
    batch,
  };
}

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

/** Samples `numGenerations` answers to each problem and judges them. */
export async function rollOut(
  generator: Generator,
  params: Parameters,
  task: AnyTask,
  problems: readonly Problem[],
  { verifierTimeout = 10_000, ...options }: RolloutOptions,
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
  // Slow verifiers answer side by side; the order of rows is that of the rollout whoever is first.
  const verdicts = await Promise.all(
    completions.map((completion, row) =>
      judge(
        task,
        problems[Math.floor(row / options.numGenerations)].prompt,
        Array.from(completion),
        verifierTimeout,
      ),
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
    lengths,
    finished: generated.finished,
    clipped,
    tokens,
    reasons,
    batch,
  };
}

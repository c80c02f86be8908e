/**
 * Samples of a policy, judged: counted right or wrong for Pass@k, or with reward, answer and mode for the measures that
 * need more. Knows no task: the caller judges.
 */
import type { Generator } from "../model/generate.ts";
import type { GenerateOptions } from "../model/generateOptions.ts";
import type { Parameters } from "../model/transformer.ts";
import { Stream } from "../tensor/random.ts";
import { show } from "../tensor/validate.ts";
import { EstimatorError, type Tally } from "./estimators.ts";

/** What a caller has to say about one sample. */
export interface JudgedSample {
  /** 0 for wrong and 1 for right, or anything finite between and beyond; at least 1 counts as right in the tallies. */
  reward: number;
  /** The final answer, as votes of maj@k compare it; absent or `null` where there is none. */
  answer?: string | null;
  /** The kind of solution; absent or `null` where it has none. */
  mode?: string | null;
}

/** The judgements of one prompt's samples, each list in the order of sample numbers. */
export interface JudgedSamples {
  rewards: number[];
  answers: (string | null)[];
  modes: (string | null)[];
}

interface SamplingOptions
  extends Pick<
    GenerateOptions,
    | "maxCompletionLength"
    | "seed"
    | "temperature"
    | "topK"
    | "topP"
    | "eosTokenId"
    | "padTokenId"
    | "promptLength"
    | "signal"
  > {
  /** Samples of each prompt, n of Pass@k. */
  samples: number;
  /**
   * Samples of each prompt that are drawn together, and prompts that are: a call has both, so that its programs are
   * those of training. A sample is the same however many are drawn at once. Default: as many as the generator's rows.
   */
  samplesPerCall?: number;
  promptsPerCall?: number;
  /** Awaited before each call: a pause. */
  gate?(): Promise<void> | void;
  /** Called after each call with the share that is done. */
  onProgress?(done: number): void;
}

/** Right or wrong is all that Pass@k needs. */
export interface EvaluateOptions extends SamplingOptions {
  /** Whether a completion (EOS included) answers prompt number `prompt`. */
  isRight(prompt: number, completion: Uint32Array, sample: number): boolean;
  judge?: undefined;
}

export interface JudgeOptions extends SamplingOptions {
  /**
   * Judges a completion (EOS included) of prompt number `prompt`. Promises of one call of the generator are awaited
   * together; results keep the order of samples whichever comes first.
   */
  judge(prompt: number, completion: Uint32Array, sample: number): JudgedSample | Promise<JudgedSample>;
  isRight?: undefined;
}

export interface Evaluation {
  /** By prompt. */
  tallies: Tally[];
  /** Completion tokens drawn. */
  tokens: number;
}

export interface JudgedEvaluation extends Evaluation {
  /** By prompt. */
  judged: JudgedSamples[];
}

/**
 * Draws and judges `samples` completions of each prompt under the stream of evaluation. With `judge`, what it said of
 * every sample comes back too. Throws EstimatorError for no prompts, no samples, a reward that is not finite, and an
 * `isRight` that says neither true nor false.
 */
export async function evaluate(
  generator: Generator,
  params: Parameters,
  prompts: readonly ArrayLike<number>[],
  options: JudgeOptions,
): Promise<JudgedEvaluation>;
export async function evaluate(
  generator: Generator,
  params: Parameters,
  prompts: readonly ArrayLike<number>[],
  options: EvaluateOptions,
): Promise<Evaluation>;
export async function evaluate(
  generator: Generator,
  params: Parameters,
  prompts: readonly ArrayLike<number>[],
  options: EvaluateOptions | JudgeOptions,
): Promise<Evaluation | JudgedEvaluation> {
  const { samples, isRight, judge, gate, onProgress, samplesPerCall, promptsPerCall, ...request } = options;
  if ((isRight === undefined) === (judge === undefined)) {
    throw new EstimatorError(
      `evaluate: one of isRight and judge expected, got ${judge ? "both" : "neither"}. Pass judge for graded rewards.`,
    );
  }
  if (!(Number.isInteger(samples) && samples >= 1) || prompts.length === 0) {
    throw new EstimatorError(
      `evaluate: at least one prompt and one sample expected, got ${prompts.length} and ${samples}. Check the configuration.`,
    );
  }
  const step = Math.min(samplesPerCall ?? Math.min(samples, generator.rows), samples);
  const wide = promptsPerCall ?? Math.max(1, Math.floor(generator.rows / step));
  const right = new Array<number>(prompts.length).fill(0);
  const judged: JudgedSamples[] = prompts.map(() => ({ rewards: [], answers: [], modes: [] }));
  let tokens = 0;
  for (let first = 0; first < prompts.length; first += wide) {
    const some = prompts.slice(first, first + wide);
    for (let from = 0; from < samples; from += step) {
      await gate?.();
      request.signal?.throwIfAborted();
      const count = Math.min(step, samples - from);
      const g = await generator.generate(params, some, {
        ...request,
        numGenerations: count,
        firstSample: from,
        promptIds: some.map((_, i) => first + i),
        stream: Stream.eval,
      });
      const verdicts: (JudgedSample | Promise<JudgedSample>)[] = [];
      for (let row = 0; row < g.rows; row++) {
        const at = row * g.maxCompletionLength;
        const prompt = first + Math.floor(row / count);
        const completion = g.tokens.subarray(at, at + g.lengths[row]);
        tokens += completion.length;
        const sample = from + (row % count);
        if (judge) verdicts.push(judge(prompt, completion, sample));
        else if (said(isRight(prompt, completion, sample), prompt)) right[prompt]++;
      }
      (await Promise.all(verdicts)).forEach((verdict, row) => {
        const prompt = first + Math.floor(row / count);
        if (keep(judged[prompt], verdict, prompt) >= 1) right[prompt]++;
      });
      onProgress?.((first * samples + (from + count) * some.length) / (prompts.length * samples));
    }
  }
  const tallies = right.map((c) => ({ n: samples, c }));
  return judge ? { tallies, tokens, judged } : { tallies, tokens };
}

/** The word of `isRight` as it is; types tell TypeScript alone that it is true or false. */
function said(verdict: boolean | PromiseLike<unknown>, prompt: number): boolean {
  if (typeof verdict === "boolean") return verdict;
  const got = typeof verdict?.then === "function" ? "a promise" : show(verdict);
  throw new EstimatorError(
    `evaluate: isRight: true or false expected, got ${got} for prompt ${prompt}. Return a boolean, or give judge, which is awaited.`,
  );
}

/** Adds a judgement to those of its prompt; returns the reward. */
function keep(samples: JudgedSamples, { reward, answer, mode }: JudgedSample, prompt: number): number {
  if (!Number.isFinite(reward)) {
    throw new EstimatorError(
      `evaluate: a finite reward expected, got ${reward} for prompt ${prompt}. Check judge.`,
    );
  }
  samples.rewards.push(reward);
  samples.answers.push(answer ?? null);
  samples.modes.push(mode ?? null);
  return reward;
}

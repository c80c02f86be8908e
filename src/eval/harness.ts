/** Pass@k of a policy: samples of each prompt counted right or wrong. Knows no task: the caller judges. */
import type { Generator } from "../model/generate.ts";
import type { GenerateOptions } from "../model/generateOptions.ts";
import type { Parameters } from "../model/transformer.ts";
import { Stream } from "../tensor/random.ts";
import { EstimatorError, type Tally } from "./estimators.ts";

export interface EvaluateOptions
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
  /** Whether a completion (EOS included) answers prompt number `prompt`. */
  isRight(prompt: number, completion: Uint32Array, sample: number): boolean;
  /** Awaited before each call: a pause. */
  gate?(): Promise<void> | void;
  /** Called after each call with the share that is done. */
  onProgress?(done: number): void;
}

export interface Evaluation {
  /** By prompt. */
  tallies: Tally[];
  /** Completion tokens drawn. */
  tokens: number;
}

/** Draws and judges `samples` completions of each prompt under the stream of evaluation. */
export async function evaluate(
  generator: Generator,
  params: Parameters,
  prompts: readonly ArrayLike<number>[],
  options: EvaluateOptions,
): Promise<Evaluation> {
  const { samples, isRight, gate, onProgress, samplesPerCall, promptsPerCall, ...request } = options;
  if (!(Number.isInteger(samples) && samples >= 1) || prompts.length === 0) {
    throw new EstimatorError(
      `evaluate: at least one prompt and one sample expected, got ${prompts.length} and ${samples}. Check the configuration.`,
    );
  }
  const step = Math.min(samplesPerCall ?? Math.min(samples, generator.rows), samples);
  const wide = promptsPerCall ?? Math.max(1, Math.floor(generator.rows / step));
  const right = new Array<number>(prompts.length).fill(0);
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
      for (let row = 0; row < g.rows; row++) {
        const at = row * g.maxCompletionLength;
        const prompt = first + Math.floor(row / count);
        const completion = g.tokens.subarray(at, at + g.lengths[row]);
        tokens += completion.length;
        if (isRight(prompt, completion, from + (row % count))) right[prompt]++;
      }
      onProgress?.((first * samples + (from + count) * some.length) / (prompts.length * samples));
    }
  }
  return { tallies: right.map((c) => ({ n: samples, c })), tokens };
}

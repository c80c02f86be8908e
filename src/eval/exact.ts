/**
 * Exact Pass@k: where every right completion of a prompt can be listed, the policy's probability of being right is a
 * sum, and Pass@k at any k follows without drawing a sample (`exactPassAtK`).
 *
 *     p(prompt) = sum over right completions y of exp( sum_t log pi(y_t | prompt, y_<t) )     at one temperature
 *
 * Scored by teacher forcing in micro-batches of one shape, so a task with a million answers compiles what one with ten
 * does. Sums run in the order of answers and tokens, in float64 from f32 log-probabilities (relative error of p about
 * 1e-6 a token). It is the distribution of plain sampling: top-k and top-p cut it and are not modelled.
 */
import { packRows, type TokenRows } from "../model/sequences.ts";
import type { Parameters } from "../model/transformer.ts";
import { exp } from "../tensor/math.ts";
import { EstimatorError } from "./estimators.ts";

/** A prompt and all its right completions, each once, EOS included. The answers are read once, and lazily. */
export interface AnsweredPrompt {
  readonly prompt: ArrayLike<number>;
  readonly answers: Iterable<ArrayLike<number>>;
}

/** What is needed of `Scorer`: log-probabilities [rows, completionLength] of a batch's completions. */
export interface CompletionScorer {
  score(
    params: Parameters,
    batch: TokenRows,
    temperature?: number,
  ): Promise<{ readonly logProbs: ArrayLike<number> }>;
}

export interface RightMassOptions {
  /** Tokens after which generation cuts a completion, EOS included. A longer answer cannot be drawn: probability 0. */
  maxCompletionLength: number;
  eosTokenId: number;
  padTokenId?: number;
  /** That of the sampling to be predicted, above 0; 1 unless told. */
  temperature?: number;
  /** Columns of the prompts; the longest prompt's length unless told. Fix it where calls are to share programs. */
  promptLength?: number;
  /** Answers scored by one call of the scorer; 512 unless told. Changes no number. */
  rowsPerCall?: number;
  /** Awaited before each call: a pause. */
  gate?(): Promise<void> | void;
  signal?: AbortSignal;
  /** Called after each call with the number of prompts whose answers have all been read. */
  onProgress?(prompts: number): void;
}

export interface RightMass {
  /** Probability of a right completion, in [0, 1]. */
  mass: number;
  /** Answers listed. */
  answers: number;
  /** Those longer than `maxCompletionLength`, which count 0. */
  tooLong: number;
}

/** More than this above 1 is no rounding: the answers are no disjoint events. */
const EXCESS = 1e-3;

/**
 * The policy's probability of each prompt's right completions. An answer ends with its only EOS, or has none and fills
 * `maxCompletionLength` (generation cuts it there). Throws EstimatorError for any other answer, for one listed twice,
 * and for a sum above 1; rejects with the signal's reason when aborted.
 */
export async function rightMass(
  scorer: CompletionScorer,
  params: Parameters,
  prompts: readonly AnsweredPrompt[],
  options: RightMassOptions,
): Promise<RightMass[]> {
  const { maxCompletionLength: width, padTokenId, temperature = 1, rowsPerCall = 512 } = options;
  if (!(Number.isInteger(width) && width >= 1 && Number.isInteger(rowsPerCall) && rowsPerCall >= 1)) {
    throw new EstimatorError(
      `rightMass: maxCompletionLength and rowsPerCall of at least 1 expected, got ${width} and ${rowsPerCall}. Take the task's length.`,
    );
  }
  const promptLength =
    options.promptLength ?? prompts.reduce((longest, { prompt }) => Math.max(longest, prompt.length), 1);
  const found: RightMass[] = prompts.map(() => ({ mass: 0, answers: 0, tooLong: 0 }));
  let waiting: { prompt: number; answer: ArrayLike<number> }[] = [];
  const flush = async (read: number): Promise<void> => {
    if (waiting.length === 0) return;
    await options.gate?.();
    options.signal?.throwIfAborted();
    const rows = waiting;
    waiting = [];
    const batch = packRows(
      rows.map(({ prompt }) => prompts[prompt].prompt),
      rows.map(({ answer }) => answer),
      { promptLength, completionLength: width, padTokenId },
    );
    const { logProbs } = await scorer.score(params, batch, temperature);
    rows.forEach(({ prompt, answer }, row) => {
      let logProb = 0;
      for (let t = 0; t < answer.length; t++) logProb += logProbs[row * width + t];
      found[prompt].mass += exp(logProb);
    });
    options.onProgress?.(read);
  };
  for (const [prompt, { answers }] of prompts.entries()) {
    const seen = new Set<string>();
    for (const answer of answers) {
      checkAnswer(prompt, answer, options);
      const key = Array.prototype.join.call(answer);
      if (seen.has(key)) refuse(`each answer once expected, got [${key}] twice`, prompt, "Merge them");
      seen.add(key);
      found[prompt].answers++;
      if (answer.length > width) found[prompt].tooLong++;
      else if (waiting.push({ prompt, answer }) === rowsPerCall) await flush(prompt);
    }
  }
  await flush(prompts.length);
  for (const [prompt, one] of found.entries()) {
    if (!(one.mass <= 1 + EXCESS)) {
      refuse(
        `probabilities that sum to at most 1 expected, got ${one.mass}`,
        prompt,
        "Check that the scorer's model, parameters and shapes belong together",
      );
    }
    one.mass = Math.min(one.mass, 1);
  }
  return found;
}

function refuse(what: string, prompt: number, remedy: string): never {
  throw new EstimatorError(`rightMass: ${what} for prompt ${prompt}. ${remedy}.`);
}

function checkAnswer(
  prompt: number,
  answer: ArrayLike<number>,
  { eosTokenId, maxCompletionLength }: RightMassOptions,
): void {
  const end = Array.prototype.indexOf.call(answer, eosTokenId);
  const isCut = end < 0 && answer.length === maxCompletionLength;
  if (answer.length > 0 && (end === answer.length - 1 || isCut)) return;
  const tokens = Array.prototype.slice.call(answer, 0, 12).join(", ");
  refuse(`an answer that ends with its only EOS expected, got [${tokens}]`, prompt, "Append eosTokenId");
}

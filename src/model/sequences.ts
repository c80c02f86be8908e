/**
 * Prompts and completions of any length as rows of one shape: prompts end, and completions begin, at one column.
 *
 *     PAD PAD p p p | c c EOS PAD
 */
import { ConfigError } from "../tensor/errors.ts";

export interface TokenRows {
  readonly rows: number;
  readonly promptLength: number;
  readonly completionLength: number;
  /** [rows, promptLength + completionLength]. */
  readonly tokens: Uint32Array;
  /** [rows]: column where each prompt begins. */
  readonly starts: Uint32Array;
  /** [rows, completionLength]: 1 for tokens of the completion, 0 for padding. */
  readonly completionMask: Float32Array;
}

/** Lengths come in few sizes, so that few programs exist: the least of 8, 16, 24, 32, 48, 64, 96 ... that fits. */
export function bucketLength(length: number): number {
  for (let size = 8; ; size *= 2) {
    if (length <= size) return size;
    if (size >= 16 && length <= size * 1.5) return size * 1.5;
  }
}

export interface PackOptions {
  /** Columns of the prompt; default the bucket of the longest. */
  promptLength?: number;
  /** Columns of the completion; default the bucket of the longest. */
  completionLength?: number;
  padTokenId?: number;
}

/** Packs prompts and their completions. Throws `ConfigError` for an empty prompt and for what does not fit. */
export function packRows(
  prompts: readonly ArrayLike<number>[],
  completions: readonly ArrayLike<number>[],
  options: PackOptions = {},
): TokenRows {
  if (prompts.length !== completions.length) {
    throw new ConfigError(
      `packRows: a completion for each prompt expected, got ${prompts.length} prompts and ${completions.length} completions. Repeat the prompts.`,
    );
  }
  const longest = (list: readonly ArrayLike<number>[]): number =>
    list.reduce((m, x) => Math.max(m, x.length), 1);
  const rows = prompts.length;
  const promptLength = options.promptLength ?? bucketLength(longest(prompts));
  const completionLength = options.completionLength ?? bucketLength(longest(completions));
  const width = promptLength + completionLength;
  const tokens = new Uint32Array(rows * width).fill(options.padTokenId ?? 0);
  const starts = new Uint32Array(rows);
  const completionMask = new Float32Array(rows * completionLength);
  for (let r = 0; r < rows; r++) {
    const [prompt, completion] = [prompts[r], completions[r]];
    if (prompt.length === 0 || prompt.length > promptLength) {
      throw new ConfigError(
        `packRows: a prompt of 1 to ${promptLength} tokens expected, got ${prompt.length} in row ${r}. ${prompt.length === 0 ? "Begin it with BOS." : "Raise promptLength."}`,
      );
    }
    if (completion.length > completionLength) {
      throw new ConfigError(
        `packRows: at most ${completionLength} completion tokens expected, got ${completion.length} in row ${r}. Raise completionLength.`,
      );
    }
    starts[r] = promptLength - prompt.length;
    tokens.set(Array.from(prompt), r * width + starts[r]);
    tokens.set(Array.from(completion), r * width + promptLength);
    completionMask.fill(1, r * completionLength, r * completionLength + completion.length);
  }
  return { rows, promptLength, completionLength, tokens, starts, completionMask };
}

/** Rows by index; an index of -1 gives a row of padding with mask 0, which fills up a micro-batch. */
export function takeRows(batch: TokenRows, indices: readonly number[]): TokenRows {
  const { promptLength, completionLength } = batch;
  const width = promptLength + completionLength;
  const tokens = new Uint32Array(indices.length * width);
  const starts = new Uint32Array(indices.length);
  const completionMask = new Float32Array(indices.length * completionLength);
  indices.forEach((from, r) => {
    if (from < 0) return;
    tokens.set(batch.tokens.subarray(from * width, (from + 1) * width), r * width);
    starts[r] = batch.starts[from];
    completionMask.set(
      batch.completionMask.subarray(from * completionLength, (from + 1) * completionLength),
      r * completionLength,
    );
  });
  return { rows: indices.length, promptLength, completionLength, tokens, starts, completionMask };
}

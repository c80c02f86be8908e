/** Any number of rows through a program of one fixed shape: micro-batches, the last filled up with rows of padding. */
import { tensor } from "../tensor/create.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { type TokenRows, takeRows } from "./sequences.ts";

/**
 * Runs `program` on micro-batches of `rows` rows, `tokens` [rows, T] u32 and `start` [rows] u32, and gathers what it gives for
 * each token of the completions, [batch.rows, completionLength] for each result [rows, completionLength].
 */
export async function gatherMicroBatches<K extends string>(
  batch: TokenRows,
  rows: number,
  names: readonly K[],
  program: (tokens: Tensor, start: Tensor) => Readonly<Record<K, Tensor>>,
): Promise<Record<K, Float64Array>> {
  const width = batch.completionLength;
  const gathered = Object.fromEntries(
    names.map((name) => [name, new Float64Array(batch.rows * width)]),
  ) as Record<K, Float64Array>;
  for (let first = 0; first < batch.rows; first += rows) {
    const indices = Array.from({ length: rows }, (_, i) => (first + i < batch.rows ? first + i : -1));
    const part = takeRows(batch, indices);
    using tokens = tensor(part.tokens, { shape: [rows, part.promptLength + width], dtype: "u32" });
    using start = tensor(part.starts, { dtype: "u32" });
    const results = program(tokens, start);
    try {
      const count = Math.min(rows, batch.rows - first) * width;
      const read = await Promise.all(names.map((name) => results[name].data()));
      names.forEach((name, i) => {
        gathered[name].set(read[i].subarray(0, count), first * width);
      });
    } finally {
      for (const name of names) results[name].dispose();
    }
  }
  return gathered;
}

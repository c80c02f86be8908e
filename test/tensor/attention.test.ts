/** What attention promises beyond its cases: a row's bits are its own, and unseen memory is never read into them. */

import { beforeAll, expect, test } from "vitest";
import { valueAndGrad } from "../../src/tensor/autodiff.ts";
import { tensor } from "../../src/tensor/create.ts";
import { ops } from "../../src/tensor/ops/index.ts";
import { Rng, Stream } from "../../src/tensor/random.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { type TestBackend, useBackend } from "../helpers/backend.ts";
import { repeat, seed } from "../helpers/seed.ts";

let on: TestBackend;
beforeAll(async () => {
  on = await useBackend();
});

/** Rows of D numbers of one sample. */
type Rows = readonly Float32Array[];
const HEADS = 2;
const GROUPS = 2;
const D = 20;

function draw(rng: Rng, rows: number, width: number): Rows {
  return Array.from({ length: rows }, () =>
    Float32Array.from({ length: width }, () => 4 * rng.uniform() - 2),
  );
}

/** Puts each sample's rows at its place among `length`, with NaN around them. */
function place(
  samples: readonly Rows[],
  at: readonly number[],
  length: number,
  shape: readonly number[],
): Tensor {
  const width = samples[0][0].length;
  const all = new Float32Array(samples.length * length * width).fill(Number.NaN);
  samples.forEach((rows, b) => {
    rows.forEach((row, i) => {
      all.set(row, (b * length + at[b] + i) * width);
    });
  });
  return tensor(all, { shape: [samples.length, length, ...shape] });
}

interface Sample {
  q: Rows;
  k: Rows;
  v: Rows;
}

/** Out and logSumExp of each sample whose keys begin at `at`; the last query sees all of them. */
async function attend(
  samples: readonly Sample[],
  at: readonly number[],
  length: number,
): Promise<number[][]> {
  const queries = samples[0].q.length;
  const q = place(
    samples.map((x) => x.q),
    samples.map(() => 0),
    queries,
    [HEADS, GROUPS, D],
  );
  const [k, v] = (["k", "v"] as const).map((name) =>
    place(
      samples.map((x) => x[name]),
      at,
      length,
      [HEADS, D],
    ),
  );
  const visible = samples.flatMap(({ k }, b) =>
    Array.from({ length: queries }, (_, t) => [at[b], at[b] + k.length - queries + t + 1]).flat(),
  );
  const seen = tensor(visible, { shape: [samples.length, queries, 2], dtype: "u32" });
  const { out, logSumExp } = ops.attention(q, k, v, seen);
  const [o, l] = await Promise.all([out.data(), logSumExp.data()]);
  const [perOut, perLse] = [o.length / samples.length, l.length / samples.length];
  return samples.map((_, b) => [
    ...o.slice(b * perOut, (b + 1) * perOut),
    ...l.slice(b * perLse, (b + 1) * perLse),
  ]);
}

test.each([
  ["whole sequences", 21, 21, [40, 300]],
  ["decoding, one thread a query", 1, 50, [64, 128]],
  ["decoding, a split cache", 1, 83, [136, 300]],
] as const)("%s: bits depend on what is seen alone", async (_name, queries, keys, lengths) => {
  const rng = new Rng(seed, Stream.test, keys);
  const samples = [0, 1, 2].map(() => ({
    q: draw(rng, queries, HEADS * GROUPS * D),
    k: draw(rng, keys, HEADS * D),
    v: draw(rng, keys, HEADS * D),
  }));
  const [shortest, long] = lengths;
  const together = await attend(samples, [0, 3, shortest - keys], shortest);
  expect(together.flat().every(Number.isFinite), repeat).toBe(true);
  for (const [b, sample] of samples.entries()) {
    const [alone] = await attend([sample], [long - keys - 5 * b], long);
    expect(alone, `sample ${b}; ${repeat}`).toEqual(together[b]);
  }
});

test("gradients of packed segments are those of the segments", async () => {
  const rng = new Rng(seed, Stream.test, 7);
  const lengths = [5, 9, 3];
  const total = lengths.reduce((a, b) => a + b, 0);
  const rows = ([HEADS * GROUPS * D, HEADS * D, HEADS * D] as const).map((width) => draw(rng, total, width));
  const weight = draw(rng, total, HEADS * GROUPS * D);
  /** Gradients of all operands over rows `from` to `to`, which see what `first` says. */
  const gradients = async (from: number, to: number, first: (t: number) => number): Promise<number[][]> => {
    const cut = (x: Rows, shape: number[]): Tensor => place([x.slice(from, to)], [0], to - from, shape);
    const values = Array.from({ length: to - from }, (_, t) => [first(t), t + 1]).flat();
    const visible = tensor(values, { shape: [1, to - from, 2], dtype: "u32" });
    const w = cut(weight, [HEADS, GROUPS, D]);
    const operands = {
      q: cut(rows[0], [HEADS, GROUPS, D]),
      k: cut(rows[1], [HEADS, D]),
      v: cut(rows[2], [HEADS, D]),
    };
    const { grad } = valueAndGrad((x: typeof operands) =>
      ops.sum(ops.mul(ops.attention(x.q, x.k, x.v, visible).out, w)),
    )(operands);
    return Promise.all([grad.q, grad.k, grad.v].map(async (g) => Array.from(await g.data())));
  };
  const begins = lengths.map((_, i) => lengths.slice(0, i).reduce((a, b) => a + b, 0));
  const packed = await gradients(0, total, (t) => Math.max(...begins.filter((x) => x <= t)));
  for (const [i, length] of lengths.entries()) {
    const alone = await gradients(begins[i], begins[i] + length, () => 0);
    alone.forEach((g, which) => {
      const width = g.length / length;
      const same = packed[which].slice(begins[i] * width, (begins[i] + length) * width);
      const worst = Math.max(...g.map((x, j) => Math.abs(x - same[j])));
      expect(worst, `segment ${i}, operand ${which}; ${repeat}`).toBeLessThan(on.tolerance(1e-12, 1e-5));
    });
  }
});

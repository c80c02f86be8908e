/**
 * Attention of single queries over a cache, as decoding needs it: keys and values of a row stand in two stretches of the
 * cache, a beginning that rows may share (the prompt of several samples) and one of its own. Nothing is copied or joined,
 * and the bits are those of `attention` over the joined row.
 */
import { requireDType } from "../dtype.ts";
import { ShapeError } from "../errors.ts";
import { type NDArray, ndarray } from "../ndarray.ts";
import { type BadCase, bytesOf, type OpCase, type OpDef, type OpFunction } from "../opdef.ts";
import { sameShape, show } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { apply, requireTensor } from "../trace.ts";
import { type Dims, forwardSizes, MAX_HEAD_DIM } from "./attentionShapes.ts";

/** Words of a row in `rows`. */
const WORDS = 4;

function dimsOf(q: { shape: readonly number[] }, length: number): Dims {
  const [b, h, g, d] = q.shape;
  return { b, t: 1, h, g, d, s: length };
}

/** Calls `f` with each query and each key that it sees: positions of their rows in q and in the cache's keys. */
function forEachPair(
  [q, cache, rows, end]: readonly NDArray[],
  length: number,
  f: (query: number, key: number) => void,
): void {
  const { b, h, g } = dimsOf(q, length);
  for (let i = 0; i < b * h * g; i++) {
    const [from, split, before, after] = rows.data.slice(Math.floor(i / (h * g)) * WORDS);
    for (let s = from; s < Math.min(end.data[0], length); s++) {
      const at = (s + (s < split ? before : after)) % 2 ** 32;
      if (at < cache.shape[0]) f(i, 2 * at * h + (Math.floor(i / g) % h));
    }
  }
}

/** [first key, shared keys, where the shared begin, where the row's own begin] of each row, as they are written. */
type Place = readonly [number, number, number, number];

/** A case: `own` is where a row's own columns begin; key s of them stands at own + s - shared. */
function cacheCase(
  [c, h, g, d]: readonly number[],
  { length, end = length }: { length: number; end?: number },
  places: readonly Place[],
): OpCase {
  const values = places.flatMap(([from, shared, at, own]) => [from, shared, at, (own - shared) >>> 0]);
  return {
    inputs: [
      { shape: [places.length, h, g, d] },
      { shape: [c, 2, h, d] },
      { shape: [places.length, WORDS], dtype: "u32", values },
      { shape: [1], dtype: "u32", values: [end] },
    ],
    attrs: { length },
  };
}

const f32 = (...shape: number[]) => ({ shape });
const u32 = (...shape: number[]) => ({ shape, dtype: "u32" as const });
const bad = (error: BadCase["error"], inputs: BadCase["inputs"], length = 4): BadCase => ({
  inputs,
  attrs: { length },
  error,
});
const many = (n: number, place: (i: number) => Place): Place[] =>
  Array.from({ length: n }, (_, i) => place(i));

const cachedAttentionOp: OpDef = {
  name: "cachedAttention",
  signature: "q[B, KV, G, D], cache[C, 2, KV, D], rows[B, 4] u32, end[1] u32 -> out[B, KV, G, D]",
  doc: "Attention of one query a row over keys and values in a cache: row b sees the keys s of rows[b, 0] <= s < end[0], at most `length`; key s stands at s + rows[b, 2] of the cache for s < rows[b, 1] and at s + rows[b, 3], modulo 2^32, beyond.",
  source: "paged attention, arXiv 2309.06180, with two pages a row",
  infer([q, cache, rows, end], attrs) {
    requireDType("cachedAttention", "q", q.dtype, ["f32"]);
    requireDType("cachedAttention", "cache", cache.dtype, ["f32"]);
    requireDType("cachedAttention", "rows", rows.dtype, ["u32"]);
    requireDType("cachedAttention", "end", end.dtype, ["u32"]);
    const [b, h, g, d] = q.shape;
    const fits =
      q.shape.length === 4 &&
      g > 0 &&
      sameShape(cache.shape, [cache.shape[0], 2, h, d]) &&
      sameShape(rows.shape, [b, WORDS]) &&
      sameShape(end.shape, [1]);
    if (!fits || h === 0 || d === 0 || d > MAX_HEAD_DIM) {
      throw new ShapeError(
        `cachedAttention: q[B, KV, G, D], cache[C, 2, KV, D], rows[B, ${WORDS}] and end[1] with D up to ${MAX_HEAD_DIM} were expected, got q${show(q.shape)}, cache${show(cache.shape)}, rows${show(rows.shape)}, end${show(end.shape)}. Reshape them.`,
      );
    }
    const length = attrs.length as number;
    if (!Number.isInteger(length) || length < 0) {
      throw new ShapeError(
        `cachedAttention: length: a number of keys was expected, got ${length}. Give the most that a row may see.`,
      );
    }
    return [{ shape: q.shape, dtype: "f32" }];
  },
  noGradient: "decoding; attention has one",
  reference([q, cache, rows, end], attrs, [t]) {
    const length = attrs.length as number;
    const { h, d } = dimsOf(q, length);
    const dot = (i: number, k: number): number => {
      let x = 0;
      for (let c = 0; c < d; c++) x += q.data[i * d + c] * cache.data[k * d + c];
      return x / Math.sqrt(d);
    };
    const tops = new Float64Array(t.shape[0] * h * t.shape[2]).fill(Number.NEGATIVE_INFINITY);
    const sums = new Float64Array(tops.length);
    forEachPair([q, cache, rows, end], length, (i, k) => {
      tops[i] = Math.max(tops[i], dot(i, k));
    });
    forEachPair([q, cache, rows, end], length, (i, k) => {
      sums[i] += Math.exp(dot(i, k) - tops[i]);
    });
    const out = ndarray(t.shape, "f32");
    forEachPair([q, cache, rows, end], length, (i, k) => {
      const weight = Math.exp(dot(i, k) - tops[i]) / sums[i];
      for (let c = 0; c < d; c++) out.data[i * d + c] += weight * cache.data[(k + h) * d + c];
    });
    return [out];
  },
  lowering: {
    kind: "template",
    template: "cachedAttention",
    sizes: ([q], _results, attrs, lanes) =>
      forwardSizes(dimsOf(q, attrs.length as number), { ...lanes, quads: false }),
    strided: { 0: "q", 2: "r" },
  },
  cases: [
    cacheCase([1, 1, 1, 1], { length: 1 }, [[0, 1, 0, 0]]),
    // Two prompts of 4 columns, the second shared by two rows, each with 3 columns of its own.
    cacheCase([17, 2, 1, 8], { length: 7, end: 6 }, [
      [1, 4, 0, 8],
      [0, 4, 4, 11],
      [3, 4, 4, 14],
    ]),
    cacheCase(
      [40, 2, 3, 5],
      { length: 16, end: 12 },
      many(4, (i) => [i, 8, 0, 8 + 8 * i]),
    ),
    // Its own keys alone, no shared ones, nothing at all; nothing but the prompt; more than there may be.
    cacheCase([20, 1, 2, 4], { length: 12, end: 8 }, [
      [5, 4, 0, 12],
      [0, 0, 0, 4],
      [8, 4, 0, 12],
      [0xffffffff, 4, 0, 12],
    ]),
    cacheCase([20, 1, 2, 4], { length: 12, end: 3 }, [[0, 4, 0, 4]]),
    cacheCase([20, 1, 2, 4], { length: 12, end: 99 }, [[0, 12, 2, 0]]),
    cacheCase([300, 2, 1, 8], { length: 190, end: 180 }, [
      [3, 64, 0, 64],
      [130, 64, 0, 70],
    ]),
    cacheCase(
      [300, 1, 1, 37],
      { length: 200, end: 150 },
      many(3, (i) => [10 * i, 100, 0, 100 + 60 * i]),
    ),
    cacheCase([9, 1, 1, 201], { length: 9 }, [[0, 5, 0, 5]]),
    cacheCase([4, 1, 1, 4], { length: 4 }, []),
    cacheCase([0, 1, 1, 4], { length: 4, end: 0 }, [[0, 0, 0, 0]]),
  ],
  bad: [
    bad("ShapeError", [f32(2, 2, 4), f32(8, 2, 2, 4), u32(2, 4), u32(1)]),
    bad("ShapeError", [f32(2, 2, 1, 4), f32(8, 2, 4), u32(2, 4), u32(1)]),
    bad("ShapeError", [f32(2, 2, 1, 4), f32(8, 2, 1, 4), u32(2, 4), u32(1)]),
    bad("ShapeError", [f32(2, 2, 1, 4), f32(8, 2, 2, 4), u32(2, 2), u32(1)]),
    bad("ShapeError", [f32(2, 2, 1, 4), f32(8, 2, 2, 4), u32(2, 4), u32(2)]),
    bad("ShapeError", [f32(2, 2, 1, 4), f32(8, 2, 2, 4), u32(2, 4), u32(1)], 1.5),
    bad("ShapeError", [f32(2, 2, 0, 4), f32(8, 2, 2, 4), u32(2, 4), u32(1)]),
    bad("ShapeError", [f32(2, 1, 1, 260), f32(8, 2, 1, 260), u32(2, 4), u32(1)]),
    bad("DTypeError", [f32(2, 2, 1, 4), f32(8, 2, 2, 4), f32(2, 4), u32(1)]),
    bad("DTypeError", [f32(2, 2, 1, 4), f32(8, 2, 2, 4), u32(2, 4), f32(1)]),
  ],
  noCase: { one: "where a row's keys stand is four numbers" },
  tolerance: {
    forward: 2e-5,
    ofMagnitudes: true,
    reason:
      "weights are exp of sums of up to 256 products, whose rounding they show; means of values may cancel",
  },
  cost: (ins, outs, attrs) => {
    const { b, h, g, d, s } = dimsOf(ins[0], attrs.length as number);
    return { flops: b * h * g * s * (4 * d + 8), bytes: bytesOf(ins) + bytesOf(outs) };
  },
  perf: [
    cacheCase(
      [64 * 64, 4, 1, 32],
      { length: 64 },
      many(64, (i) => [0, 16, 16 * i, 64 * 16 + 48 * i]),
    ),
    cacheCase([1024, 12, 1, 64], { length: 1024 }, [[0, 512, 0, 512]]),
  ],
};

/**
 * Attention of `q` [B, KV, G, D], one query a row, over a cache [C, 2, KV, D] of keys and values. `rows` [B, 4] u32 and `end` [1]
 * u32 say what a row sees: its keys from rows[b, 0] up to, not including, end[0], of at most `length`. Key s stands at
 * s + rows[b, 2] of the cache where s < rows[b, 1], and at s + rows[b, 3] (modulo 2^32) beyond; where rows see nothing, the result
 * is 0. The bits are those of `attention` where a row's keys stand together in `length` columns; a key beyond the cache makes them
 * undefined. Throws `ShapeError` or `DTypeError` where operands do not fit.
 * Source: arXiv 2309.06180.
 */
export const cachedAttention: ((
  q: Tensor,
  cache: Tensor,
  rows: Tensor,
  end: Tensor,
  length: number,
) => Tensor) &
  OpFunction = Object.assign(
  (q: Tensor, cache: Tensor, rows: Tensor, end: Tensor, length: number): Tensor => {
    requireTensor("cachedAttention", q, cache, rows, end);
    return apply(cachedAttentionOp, [q, cache, rows, end], { length })[0];
  },
  { op: cachedAttentionOp },
);

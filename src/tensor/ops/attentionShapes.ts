/** What the attention ops share: their dimensions, what a thread of their kernels does, and the pairs that they run over. */
import type { NDArray } from "../ndarray.ts";
import { bytesOf, type OpDef, type TemplateSizes } from "../opdef.ts";

/** Rows of the other kind that a thread takes at a time. */
const BLOCK = 8;
/** The same of dK and dV, whose text is twice as long: it compiles in half the time, and ran no slower (bench/NOTES.md). */
export const SHORT_BLOCK = 4;

/**
 * Heads whose threads stand side by side, as far as their number allows: such threads walk the same intervals, so lanes that
 * run in lock step end together. No bit depends on it.
 */
const SIDE_BY_SIDE = 8;

/** Longest row of a head: what a thread keeps of it has to fit. */
export const MAX_HEAD_DIM = 256;

/** Keys up to which a single query's thread takes them all; beyond, so many threads share them. */
export const WHOLE_LENGTH = 128;
const PARTS = 8;

/** Threads that share a query's keys: a matter of shapes that no batch has a part in. */
export function partsOf({ t, s }: Dims): number {
  return t === 1 && s > WHOLE_LENGTH ? PARTS : 1;
}

export interface Dims {
  /** Batch, queries, heads of keys, heads of queries for each, head dim, keys. */
  b: number;
  t: number;
  h: number;
  g: number;
  d: number;
  s: number;
}

export function dimsOf([q, k]: readonly { shape: readonly number[] }[]): Dims {
  const [b, t, h, g, d] = q.shape;
  return { b, t, h, g, d, s: k.shape[1] };
}

/** Calls `f` with each query of a head and each key it sees: positions of their rows in q and k, and of the query alone. */
export function forEachPair(
  inputs: readonly NDArray[],
  visible: NDArray,
  f: (q: number, k: number) => void,
): void {
  const { b, t, h, g, s } = dimsOf(inputs);
  for (let i = 0; i < b * t * h * g; i++) {
    const at = Math.floor(i / (h * g)); // b, t
    const from = visible.data[2 * at];
    const to = Math.min(visible.data[2 * at + 1], s);
    const head = Math.floor(i / g) % h;
    for (let j = from; j < to; j++) f(i, (Math.floor(at / t) * s + j) * h + head);
  }
}

export function dot(a: NDArray, i: number, b: NDArray, j: number, d: number): number {
  let x = 0;
  for (let c = 0; c < d; c++) x += a.data[i * d + c] * b.data[j * d + c];
  return x;
}

export function addTo(into: NDArray, i: number, from: NDArray, j: number, weight: number, d: number): void {
  for (let c = 0; c < d; c++) into.data[i * d + c] += weight * from.data[j * d + c];
}

/** What the threads of a kernel do that have so many rows of their own in each head. */
export function template(
  { b, t, h, g, d, s }: Dims,
  rows: number,
  { parts = 1, block = BLOCK } = {},
): TemplateSizes {
  const most = parts > 1 ? 1 : d <= 128 ? 4 : 2;
  const own = rows >= most ? most : rows >= 2 ? 2 : 1;
  const tiles = Math.ceil(rows / own);
  let side = SIDE_BY_SIDE;
  while ((b * h) % side !== 0) side /= 2;
  let slots = 16;
  while (slots < d) slots *= 2;
  return {
    units: b * h * tiles,
    fields: { batch: b, queries: t, keys: s, heads: h, groups: g, width: d, tiles, side },
    scalars: { scale: Math.LOG2E / Math.sqrt(d), unit: 1 / Math.sqrt(d) },
    text: { own, block: own === 1 && parts === 1 ? 2 * block : block, slots, parts },
  };
}

/** Pairs of a query and a key, as far as shapes tell: those of a causal mask, and at most. */
function pairsOf({ b, t, h, g, s }: Dims): { causal: number; most: number } {
  const most = b * h * g * t * s;
  return { causal: s >= t ? most - (b * h * g * t * (t - 1)) / 2 : most, most };
}

/** Cost of a kernel that does so many multiply-adds of D elements for each pair. */
export const costOf =
  (products: number): OpDef["cost"] =>
  (ins, outs) => {
    const dims = dimsOf(ins);
    const { causal, most } = pairsOf(dims);
    const each = 2 * products * dims.d + 8;
    return { flops: each * causal, mostFlops: each * most, bytes: bytesOf(ins) + bytesOf(outs) };
  };

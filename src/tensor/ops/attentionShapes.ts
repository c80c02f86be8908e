/** What the attention ops share: their dimensions, what a thread of their kernels does, and the pairs that they run over. */
import type { NDArray } from "../ndarray.ts";
import { bytesOf, type OpDef, type TemplateLanes, type TemplateSizes } from "../opdef.ts";

/** Rows of the other kind that a thread takes at a time. */
const BLOCK = 8;

/**
 * Heads whose threads stand side by side, as far as their number allows: such threads walk the same intervals, so lanes that
 * run in lock step end together. No bit depends on it.
 */
const SIDE_BY_SIDE = 8;

/** Longest row of a head: what a thread keeps of it has to fit. */
export const MAX_HEAD_DIM = 256;

/** Threads of a workgroup, as in the code generator. */
const WORKGROUP = 64;

/** Keys up to which those of a single query have one sum; beyond, they have so many, which are joined. */
export const WHOLE_LENGTH = 128;
const SHARES = 8;

/** Shares of a query's keys: a matter of shapes that no batch has a part in. */
function sharesOf({ t, s }: Dims): number {
  return t === 1 && s > WHOLE_LENGTH ? SHARES : 1;
}

/** Operands that may be parts of another tensor. */
export const STRIDED: Readonly<Record<number, string>> = { 0: "q", 1: "k", 2: "v" };

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

/** Rows of its own that a thread has where a head has so many, and what it takes of the others at a time. */
function tileOf(
  { d }: Dims,
  rows: number,
  { shares = 1, together = false } = {},
): { own: number; block: number; tiles: number } {
  const most = together ? 1 : (d <= 128 ? 4 : 2) / (shares > 1 ? 2 : 1);
  const own = rows >= most ? most : rows >= 2 ? 2 : 1;
  return { own, block: own === 1 && shares === 1 ? 2 * BLOCK : BLOCK, tiles: Math.ceil(rows / own) };
}

function shared({ b, t, h, g, d, s }: Dims): Omit<TemplateSizes, "units"> & { slots: number } {
  let side = SIDE_BY_SIDE;
  while ((b * h) % side !== 0) side /= 2;
  let slots = 16;
  while (slots < d) slots *= 2;
  return {
    fields: { queries: t, keys: s, heads: h, groups: g, width: d, side },
    scalars: { scale: Math.LOG2E / Math.sqrt(d), unit: 1 / Math.sqrt(d) },
    slots,
  };
}

/** Quads of tiles. */
const fours = (tiles: number): number => Math.ceil(tiles / 4);

/** Whether tiles, of which a head has so many, go by quads: hardly a thread without any. */
const worthQuads = (tiles: number): boolean => tiles >= 4 && 4 * fours(tiles) <= 1.25 * tiles;

/**
 * What the threads of the kernel do: each has queries of its own, or, where a query's keys are shared out and it is done
 * `together`, a share of the keys.
 */
export function forwardSizes(dims: Dims, lanes: TemplateLanes): TemplateSizes {
  const shares = sharesOf(dims);
  const parts = lanes.together ? shares : 1;
  const { own, block, tiles } = tileOf(dims, dims.t * dims.g, { shares, together: parts > 1 });
  const quads = lanes.quads && shares === 1 && worthQuads(tiles);
  const { slots, fields, scalars } = shared(dims);
  return {
    units: dims.b * dims.h * (quads ? 4 * fours(tiles) : tiles),
    fields: { ...fields, tiles: quads ? fours(tiles) : tiles },
    scalars,
    text: { own, block, slots, parts, shares, quads },
  };
}

/** Where the gradients lie in the one tensor that holds them: side by side for each position, if there are as many keys. */
export function gradientPlaces({ b, t, h, g, d, s }: Dims): {
  shape: number[];
  fields: { dq0: number; dq1: number; dkAt: number; dvAt: number; dk0: number; dk1: number };
} {
  const [q, k] = [h * g * d, h * d];
  const row = q + 2 * k;
  if (t === s) {
    return {
      shape: [b, t, row],
      fields: { dq0: t * row, dq1: row, dkAt: q, dvAt: q + k, dk0: s * row, dk1: row },
    };
  }
  const keys = b * t * q;
  return {
    shape: [keys + 2 * b * s * k],
    fields: { dq0: t * q, dq1: q, dkAt: keys, dvAt: keys + b * s * k, dk0: s * k, dk1: k },
  };
}

/** Of the gradient's kernel: first the threads with queries of their own, then, from a whole workgroup on, those with keys. */
export function gradientSizes(dims: Dims, lanes: TemplateLanes): TemplateSizes {
  const queries = tileOf(dims, dims.t * dims.g);
  const keys = tileOf(dims, dims.s);
  const { slots, fields, scalars } = shared(dims);
  const quads = lanes.quads && worthQuads(queries.tiles) && worthQuads(keys.tiles);
  const [each, count] = quads ? [4, fours] : [1, (tiles: number) => tiles];
  const ownQueries = dims.b * dims.h * each * count(queries.tiles);
  const split = Math.ceil(ownQueries / WORKGROUP) * WORKGROUP;
  return {
    units: split + dims.b * dims.h * each * count(keys.tiles),
    fields: {
      ...fields,
      tiles: count(queries.tiles),
      keyTiles: count(keys.tiles),
      ownQueries,
      split,
      ...gradientPlaces(dims).fields,
    },
    scalars,
    text: {
      own: queries.own,
      block: queries.block,
      slots,
      parts: 1,
      shares: 1,
      quads,
      // Where threads load all by themselves it is half as much: a text that compiles in half the time, and ran no slower.
      keys: { own: keys.own, block: quads ? keys.block : keys.block / 2 },
    },
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

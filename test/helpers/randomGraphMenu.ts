/** What a random graph is made of: each dish calls ops on values of the graph so far, or declines. */

import { backward, checkpoint } from "../../src/tensor/autodiff.ts";
import { assign } from "../../src/tensor/compile.ts";
import type { NDArray } from "../../src/tensor/ndarray.ts";
import { ops } from "../../src/tensor/ops/index.ts";
import { opByName } from "../../src/tensor/ops/table.ts";
import { numel, sameShape } from "../../src/tensor/shape.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import type { Gen } from "./randomGraph.ts";

export interface Dish {
  name: string;
  weight: number;
  make(gen: Gen): readonly Tensor[] | null;
}

/** Least distance of two numbers that a comparison may tell apart. */
const MARGIN = 1e-3;

const apart = (x: number, y: number): boolean => Math.abs(x - y) > MARGIN * (1 + Math.abs(x) + Math.abs(y));

function broadcasts(a: readonly number[], b: readonly number[]): boolean {
  const n = Math.min(a.length, b.length);
  for (let i = 1; i <= n; i++) {
    const [x, y] = [a[a.length - i], b[b.length - i]];
    if (x !== y && x !== 1 && y !== 1) return false;
  }
  return true;
}

/** A partner that broadcasts with `x`, or a number. */
function partner(gen: Gen, x: Tensor): Tensor | number {
  if (gen.chance(12)) return gen.oneOf([0, 1, 2, x.dtype === "u32" ? 3 : -1]);
  return gen.find((t) => t.dtype === x.dtype && broadcasts(t.shape, x.shape)) ?? x;
}

/** Both operands at their common shape, in float64. */
function pairs(gen: Gen, a: Tensor, b: Tensor | number): [NDArray, NDArray] {
  const both = ops.sub(ops.mul(a, 0), ops.mul(b, 0));
  const spread = (x: Tensor | number): NDArray =>
    typeof x === "number"
      ? gen.valueOf(ops.full(both.shape, x, a.dtype))
      : gen.valueOf(ops.broadcastTo(x, both.shape));
  return [spread(a), spread(b)];
}

/** Whether no comparison of the two is a matter of rounding. */
function decided(gen: Gen, a: Tensor, b: Tensor | number): boolean {
  if (a.dtype !== "f32") return true;
  const [x, y] = pairs(gen, a, b);
  return x.data.every((v, i) => apart(v, y.data[i]));
}

function axesOf(gen: Gen, t: Tensor): number[] {
  const axes = t.shape.map((_, i) => i).filter(() => gen.chance(45));
  return axes.length > 0 ? axes : [gen.rng.int(t.shape.length)];
}

/** Whether the winner of each row is clear, or an exact copy of another. */
function clearWinner(gen: Gen, x: Tensor, axes: readonly number[], largest: boolean): boolean {
  const best = (largest ? ops.max : ops.min)(x, axes, true);
  const [v, b] = [gen.valueOf(x), gen.valueOf(ops.broadcastTo(best, x.shape))];
  return v.data.every((n, i) => n === b.data[i] || apart(n, b.data[i]));
}

function unary(gen: Gen): Tensor[] | null {
  const x = gen.of("f32");
  if (!x) return null;
  const inside = (low: number, high: number): boolean => gen.every(x, (v) => v >= low && v <= high);
  const positive = (): Tensor => (inside(0.1, 100) ? x : ops.add(ops.sigmoid(x), 0.2));
  switch (gen.rng.int(13)) {
    case 0:
      return [ops.neg(x)];
    case 1:
      return gen.every(x, (v) => apart(v, 0)) ? [ops.abs(x)] : null;
    case 2:
      return gen.every(x, (v) => apart(v, 0)) ? [ops.sign(x)] : null;
    case 3:
      return gen.every(x, (v) => apart(v, Math.round(v))) ? [ops.floor(x)] : null;
    case 4:
      return inside(-100, 4) ? [ops.exp(x)] : [ops.exp(ops.tanh(x))];
    case 5:
      return [ops.log(positive())];
    case 6:
      return [ops.sqrt(positive())];
    case 7:
      return [ops.rsqrt(positive())];
    case 8:
      return [ops.tanh(x)];
    case 9:
      return [ops.sigmoid(x)];
    case 10:
      return inside(-3, 3) ? [gen.chance(50) ? ops.sin(x) : ops.cos(x)] : null;
    case 11:
      return [ops.copy(x)];
    default:
      return [ops.stopGradient(x)];
  }
}

function binary(gen: Gen): Tensor[] | null {
  const x = gen.of("f32");
  if (!x) return null;
  const y = partner(gen, x);
  switch (gen.rng.int(8)) {
    case 0:
    case 1:
      return [ops.add(x, y)];
    case 2:
      return [ops.sub(x, y)];
    case 3:
    case 4:
      return [ops.mul(x, y)];
    case 5: {
      const safe = typeof y === "number" ? y !== 0 : gen.every(y, (v) => Math.abs(v) > 0.2);
      return safe ? [ops.div(x, y)] : null;
    }
    case 6:
      return decided(gen, x, y) ? [ops.maximum(x, y)] : null;
    default:
      return decided(gen, x, y) ? [ops.minimum(y, x)] : null;
  }
}

function integers(gen: Gen): Tensor[] | null {
  const x = gen.of(gen.chance(60) ? "u32" : "i32");
  if (!x) return null;
  const y = partner(gen, x);
  switch (gen.rng.int(10)) {
    case 0:
      return [ops.add(x, y)];
    case 1:
      return [ops.mul(x, y)];
    case 2:
      return [ops.maximum(x, y)];
    case 3:
      return [ops.minimum(x, y)];
    case 4:
      return [x.dtype === "i32" ? ops.sub(x, y) : ops.bitXor(x, y)];
    case 5:
      return [ops.div(x, y)];
    case 6:
      return x.dtype === "u32" ||
        (gen.every(x, (v) => v >= 0) && typeof y !== "number" && gen.every(y, (v) => v > 0))
        ? [ops.rem(x, y)]
        : null;
    case 7:
      return x.dtype === "u32" ? [ops.bitAnd(x, y), ops.shiftRight(x, 1)] : [ops.neg(x)];
    case 8:
      return x.dtype === "u32" ? [ops.bitOr(x, y)] : [ops.abs(x), ops.sign(x)];
    default:
      return [ops.cast(x, gen.oneOf(["f32", "i32", "bool"] as const))];
  }
}

function comparison(gen: Gen): Tensor[] | null {
  const x = gen.find((t) => t.dtype !== "bool");
  if (!x) return null;
  const y = partner(gen, x);
  if (!decided(gen, x, y)) return null;
  const compare = gen.oneOf([ops.eq, ops.ne, ops.lt, ops.le, ops.gt, ops.ge]);
  return [compare(x, y)];
}

function logic(gen: Gen): Tensor[] | null {
  const x = gen.of("bool");
  if (!x) return null;
  const y = gen.find((t) => t.dtype === "bool" && broadcasts(t.shape, x.shape)) ?? x;
  return [
    gen.oneOf([ops.and, ops.or])(x, y),
    ...(gen.chance(30) ? [ops.not(x)] : []),
    ...(gen.chance(30) ? [ops.cast(x, "f32")] : []),
  ];
}

function choice(gen: Gen): Tensor[] | null {
  const c = gen.of("bool");
  if (!c) return null;
  const x = gen.find((t) => broadcasts(t.shape, c.shape));
  if (!x) return null;
  const y = gen.find(
    (t) => t.dtype === x.dtype && broadcasts(t.shape, c.shape) && broadcasts(t.shape, x.shape),
  );
  return [ops.where(c, x, gen.chance(25) && x.dtype !== "bool" ? 0 : (y ?? x))];
}

/** A random shape of the same number of elements. */
function reshaped(gen: Gen, n: number): number[] {
  if (n === 0) return [gen.rng.int(4), 0];
  const shape: number[] = [];
  let left = n;
  for (let p = 2; p <= left; ) {
    if (left % p !== 0) {
      p++;
      continue;
    }
    left /= p;
    if (shape.length > 0 && (shape.length >= 4 || gen.chance(50))) shape[gen.rng.int(shape.length)] *= p;
    else shape.push(p);
  }
  gen.rng.shuffle(shape);
  if (shape.length < 4 && gen.chance(20)) shape.splice(gen.rng.int(shape.length + 1), 0, 1);
  return shape;
}

function movement(gen: Gen): Tensor[] | null {
  const x = gen.find(() => true);
  if (!x) return null;
  const rank = x.shape.length;
  switch (gen.rng.int(6)) {
    case 0:
      return [ops.reshape(x, reshaped(gen, x.size))];
    case 1:
    case 2:
      return [ops.permute(x, gen.rng.shuffle(x.shape.map((_, i) => i)))];
    case 3: {
      const shape = x.shape.map((d) => (d === 1 && gen.chance(70) ? gen.oneOf(gen.sizes) : d));
      if (rank < 4 && gen.chance(50)) shape.unshift(gen.oneOf(gen.sizes));
      return numel(shape) <= gen.options.elements ? [ops.broadcastTo(x, shape)] : null;
    }
    case 4: {
      const start = x.shape.map((d) => gen.rng.int(d + 1));
      const end = x.shape.map((d, i) => start[i] + gen.rng.int(d - start[i] + 1));
      // Mostly not empty: an empty box ends a graph's interest.
      if (numel(end.map((e, i) => e - start[i])) === 0 && gen.chance(90)) return null;
      return [ops.slice(x, start, end)];
    }
    default: {
      const widths = (): number[] => x.shape.map(() => (gen.chance(40) ? gen.oneOf([1, 2, 4]) : 0));
      return [ops.pad(x, widths(), widths())];
    }
  }
}

function joined(gen: Gen): Tensor[] | null {
  const x = gen.find((t) => t.shape.length > 0);
  if (!x) return null;
  const axis = gen.rng.int(x.shape.length);
  const fits = (t: Tensor): boolean =>
    t.dtype === x.dtype &&
    t.shape.length === x.shape.length &&
    t.shape.every((d, i) => i === axis || d === x.shape[i]);
  const parts = [x, gen.find(fits) as Tensor];
  if (gen.chance(25)) parts.push(gen.find(fits) as Tensor);
  return [ops.concat(parts, axis)];
}

function indexed(gen: Gen): Tensor[] | null {
  const x = gen.find((t) => t.shape.length > 0);
  if (!x || x.size === 0) return null;
  const axis = gen.rng.int(x.shape.length);
  const d = x.shape[axis];
  switch (gen.rng.int(6)) {
    case 0:
      return [ops.take(x, gen.indices(gen.shape(2), x.shape[0]))];
    case 1:
      return [ops.takeAlong(x, gen.indices(x.shape.slice(0, -1), x.shape.at(-1) as number))];
    case 2:
      return [ops.sliceAt(x, gen.indices([], d), axis, 1 + gen.rng.int(d))];
    case 3: {
      const shape = x.shape.map((n, i) => (i === axis ? 1 + gen.rng.int(n) : n));
      const patch =
        gen.find((t) => t.dtype === x.dtype && sameShape(t.shape, shape)) ?? gen.input(shape, x.dtype);
      if (axis === 0 && gen.chance(40)) return [ops.updateRows(x, patch, rowsFrom(gen, shape[0], d))];
      return [ops.updateAt(x, patch, gen.indices([], d), axis, gen.chance(30))];
    }
    case 4: {
      if (x.dtype !== "f32") return null;
      const rows = ops.reshape(x, [x.shape[0], -1]);
      return [ops.scatterAdd(rows, gen.indices([x.shape[0]], 5), 1 + gen.rng.int(6))];
    }
    default:
      return [ops.iota(x.shape, axis)];
  }
}

/** Rows of their own for a patch of `count`, from anywhere on: some may lie beyond the last. */
function rowsFrom(gen: Gen, count: number, rows: number): Tensor {
  return ops.add(ops.iota([count]), gen.indices([], rows));
}

function reduction(gen: Gen): Tensor[] | null {
  const x = gen.find((t) => t.dtype !== "bool" && t.shape.length > 0);
  if (!x) return null;
  const axes = axesOf(gen, x);
  const keep = gen.chance(40);
  const nothing = axes.some((a) => x.shape[a] === 0);
  switch (gen.rng.int(4)) {
    case 0:
      if (nothing || (x.dtype === "f32" && !clearWinner(gen, x, axes, true))) return null;
      return [ops.max(x, axes, keep)];
    case 1:
      if (nothing || (x.dtype === "f32" && !clearWinner(gen, x, axes, false))) return null;
      return [ops.min(x, axes, keep)];
    case 2:
      return x.dtype === "f32" && !nothing ? [ops.mean(x, axes, keep)] : null;
    default:
      return [ops.sum(x, axes, keep)];
  }
}

function row(gen: Gen): Tensor[] | null {
  const x = gen.find((t) => t.dtype === "f32" && t.shape.length > 0);
  if (!x || x.shape.at(-1) === 0) return null;
  const width = [x.shape.at(-1) as number];
  const vector = (): Tensor =>
    gen.find((t) => t.dtype === "f32" && sameShape(t.shape, width)) ?? gen.input(width, "f32");
  const axis = gen.rng.int(x.shape.length);
  switch (gen.rng.int(5)) {
    case 0:
      return x.shape[axis] > 0 && clearWinner(gen, x, [axis], true) ? [ops.softmax(x, axis)] : null;
    case 1:
      return clearWinner(gen, x, [x.shape.length - 1], true) ? [ops.logSoftmax(x)] : null;
    case 2:
      return clearWinner(gen, x, [x.shape.length - 1], true) ? [ops.entropy(x)] : null;
    case 3:
      return [ops.rmsNorm(x, vector(), 0.1)];
    default:
      return [ops.layerNorm(x, vector(), vector(), 0.1)];
  }
}

function product(gen: Gen): Tensor[] | null {
  const a = gen.find((t) => t.dtype === "f32" && t.shape.length >= 2);
  if (!a) return null;
  const ta = gen.chance(35);
  const tb = gen.chance(40);
  const r = a.shape.length;
  const k = ta ? a.shape[r - 2] : a.shape[r - 1];
  const fits = (t: Tensor): boolean =>
    t.dtype === "f32" &&
    (t.shape.length === r || t.shape.length === 2) &&
    t.shape.at(tb ? -1 : -2) === k &&
    broadcasts(t.shape.slice(0, -2), a.shape.slice(0, -2));
  const n = gen.oneOf(gen.sizes);
  const b = gen.find(fits) ?? gen.input(tb ? [n, k] : [k, n], "f32");
  return [ops.matmul(ops.tanh(a), b, { transposeA: ta, transposeB: tb })];
}

function draws(gen: Gen): Tensor[] | null {
  const shape = gen.shape(3);
  const at = shape.length > 0 ? ops.iota(shape, 0) : ops.full([], 3, "u32");
  const bits = ops.randomBits([at, gen.indices([], 1000), 0, 7], [gen.rng.next() >>> 12, 9]);
  return [ops.uniformFromBits(bits)];
}

function sampled(gen: Gen): Tensor[] | null {
  const x = gen.find((t) => t.dtype === "f32" && t.shape.length === 2 && t.size > 0);
  if (!x || !gen.every(x, (v) => Math.abs(v) < 20)) return null;
  const args = [
    gen.input([x.shape[0]], "f32", [0, 0.999]),
    ops.full([], gen.oneOf([0, 0.7, 1])),
    ops.full([], gen.oneOf([0, 0, 3]), "u32"),
    ops.full([], gen.oneOf([1, 1, 0.8])),
  ] as const;
  // Candidates have to differ clearly: thresholds and the greedy choice compare them.
  const data = gen.valueOf(x).data;
  const v = x.shape[1];
  for (let r = 0; r < x.shape[0]; r++) {
    const sorted = data.slice(r * v, (r + 1) * v).sort();
    for (let i = 1; i < v; i++) if (!apart(sorted[i], sorted[i - 1])) return null;
  }
  const unstable = opByName("sample").unstable?.(
    [x, ...args].map((t) => gen.valueOf(t)),
    {},
  );
  if (Array.from({ length: x.shape[0] }, (_, r) => unstable?.(0, r)).some(Boolean)) return null;
  const { token, logProb } = ops.sample(x, ...args);
  return [token, logProb];
}

function constant(gen: Gen): Tensor[] | null {
  return [ops.full(gen.shape(3), gen.oneOf([0, 1, -0.5, 2, gen.between(-2, 2)]))];
}

/** A host number: data of a run that is no tensor. */
function hostNumber(gen: Gen): Tensor[] | null {
  const dtype = gen.oneOf(["f32", "f32", "u32"] as const);
  const value = gen.trace.scalarInput(dtype);
  gen.data.set(value, gen.draw([], dtype));
  return [Tensor.traced(gen.trace, value)];
}

function gradients(gen: Gen): Tensor[] | null {
  const y = gen.of("f32");
  if (!y) return null;
  const value = gen.trace.valueOf(y);
  const wrt = [0, 1, 2].flatMap(() => {
    const x = gen.find((t) => t.dtype === "f32" && gen.trace.valueOf(t).node.id <= value.node.id);
    return x ? [gen.trace.valueOf(x)] : [];
  });
  const g =
    gen.find((t) => t.dtype === "f32" && sameShape(t.shape, y.shape) && t !== y) ?? ops.full(y.shape, 1);
  try {
    return backward(gen.trace, [{ value, g }], wrt).filter((t) => t !== null);
  } catch (error) {
    if ((error as Error).message.includes("has no derivative")) return null;
    throw error;
  }
}

function recomputed(gen: Gen): Tensor[] | null {
  const x = gen.of("f32");
  if (!x) return null;
  const y = partner(gen, x);
  return [checkpoint((t: Tensor) => ops.tanh(ops.mul(ops.sigmoid(t), y)))(x)];
}

/** A function of a state at other elements than its own: it may not be written over while it is read. */
function mixed(gen: Gen, s: Tensor): Tensor {
  const axis = gen.rng.int(s.shape.length);
  const d = s.shape[axis];
  const cut = gen.rng.int(d);
  const at = (v: number): number[] => s.shape.map((_, i) => (i === axis ? v : 0));
  const end = s.shape.map((n, i) => (i === axis ? cut : n));
  switch (gen.rng.int(5)) {
    case 0:
      return ops.take(s, gen.indices([s.shape[0]], s.shape[0]));
    case 1:
      return ops.sub(s, ops.mean(s, axis, true));
    case 2:
      return s.shape.length === 2 && s.shape[0] === s.shape[1] ? ops.transpose(s) : ops.mul(s, ops.mean(s));
    case 3:
      return ops.reshape(ops.permute(s, gen.rng.shuffle(s.shape.map((_, i) => i))), s.shape);
    default:
      return ops.concat([ops.slice(s, at(cut), s.shape), ops.slice(s, at(0), end)], axis);
  }
}

/** Gives a state a new value: a step, a swap, a patch, any that fits, one whose kernel needs the old. Declines where the graph has none. */
export function updateState(gen: Gen): Tensor[] | null {
  if (gen.states.length === 0) return null;
  const s = gen.oneOf(gen.states);
  const now = (t: Tensor): Tensor => Tensor.traced(gen.trace, gen.trace.valueOf(t));
  const like = (t: Tensor): boolean => t.dtype === s.dtype && sameShape(t.shape, s.shape);
  const bounded = (t: Tensor): Tensor => (s.dtype === "f32" ? ops.mul(t, 0.5) : ops.rem(t, 64));
  const some = s.shape.length > 0 && s.size > 0;
  const beside: Tensor[] = [];
  switch (gen.rng.int(7)) {
    case 0: {
      const other = gen.states.find((t) => t !== s && like(t));
      if (!other) return null;
      const [a, b] = [now(s), now(other)];
      assign(s, b);
      assign(other, a);
      break;
    }
    case 1: {
      if (!some) return null;
      const axis = gen.rng.int(s.shape.length);
      const shape = s.shape.map((d, i) => (i === axis ? 1 + gen.rng.int(d) : d));
      const patch =
        gen.find((t) => t.dtype === s.dtype && sameShape(t.shape, shape)) ?? gen.input(shape, s.dtype);
      const byRows = axis === 0 && gen.chance(40);
      const next = byRows
        ? ops.updateRows(s, patch, rowsFrom(gen, shape[0], s.shape[0]))
        : ops.updateAt(s, patch, gen.indices([], s.shape[axis]), axis);
      assign(s, next);
      break;
    }
    case 2:
      assign(s, ops.add(bounded(s), 1));
      break;
    case 3:
    case 4:
      if (!some || s.dtype !== "f32") return null;
      assign(s, bounded(mixed(gen, now(s))));
      break;
    case 5: {
      // A result of the same kernel, like as not, that reads the old value: the new one may not be written over it.
      const value = gen.find((t) => like(t) && t !== s);
      if (!value) return null;
      const [old, next] = [now(s), gen.chance(50) ? bounded(value) : now(value)];
      beside.push(gen.chance(70) ? ops.add(next, old) : ops.sub(ops.mul(old, 2), next));
      assign(s, next);
      break;
    }
    default: {
      const value = gen.find((t) => like(t) && t !== s);
      if (value) assign(s, now(value));
    }
  }
  // Whoever reads the new value reads the state's memory.
  const rows = some && s.dtype === "f32" && gen.chance(25);
  return rows
    ? [...beside, now(s), ops.scatterAdd(ops.reshape(now(s), [-1, 1]), gen.indices([s.size], 3), 3)]
    : [...beside, now(s)];
}

export const MENU: readonly Dish[] = [
  { name: "unary", weight: 14, make: unary },
  { name: "binary", weight: 18, make: binary },
  { name: "integers", weight: 5, make: integers },
  { name: "comparison", weight: 4, make: comparison },
  { name: "logic", weight: 3, make: logic },
  { name: "choice", weight: 5, make: choice },
  { name: "movement", weight: 14, make: movement },
  { name: "joined", weight: 4, make: joined },
  { name: "indexed", weight: 8, make: indexed },
  { name: "reduction", weight: 10, make: reduction },
  { name: "row", weight: 5, make: row },
  { name: "product", weight: 7, make: product },
  { name: "draws", weight: 2, make: draws },
  { name: "sampled", weight: 2, make: sampled },
  { name: "constant", weight: 2, make: constant },
  { name: "hostNumber", weight: 2, make: hostNumber },
  { name: "gradients", weight: 8, make: gradients },
  { name: "recomputed", weight: 2, make: recomputed },
  { name: "updateState", weight: 8, make: updateState },
];

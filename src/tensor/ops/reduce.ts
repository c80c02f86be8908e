/**
 * Reductions over axes. The order of accumulation is a fixed tree that depends on the reduction length and the axes
 * alone; `codegen/row.ts` states it.
 */
import { type DType, requireDType } from "../dtype.ts";
import { ShapeError } from "../errors.ts";
import { fillByIndex, flatIndex, type NDArray, ndarray } from "../ndarray.ts";
import { bytesOf, type OpCase, type OpDef, type OpFunction, type Tolerance } from "../opdef.ts";
import { normalizeAxis, numel, type Shape, show } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { apply, composite, requireTensor, type TensorLike, unchanged } from "../trace.ts";
import { show as showValue } from "../validate.ts";
import { cast, div, eq, mul, where } from "./elementwise.ts";
import { broadcastTo, reshape } from "./movement.ts";

function keptShape(shape: Shape, axes: readonly number[]): number[] {
  return shape.map((d, i) => (axes.includes(i) ? 1 : d));
}

interface ReduceSpec {
  name: string;
  doc: string;
  dtypes: readonly DType[];
  identity: (dtype: DType) => number;
  combine: (a: string, b: string) => string;
  ref: (acc: number, x: number) => number;
  vjp?: OpDef["vjp"];
  distinct?: boolean;
  tolerance?: Tolerance;
  hidesNan?: boolean;
}

function defineReduce(spec: ReduceSpec): OpDef {
  const shapes: [number[], number[]][] = [
    [[7], [0]],
    [[3, 5], [1]],
    [[5, 3], [0]],
    [[4, 1000], [1]],
    [[200, 3], [0]],
    [
      [2, 3, 4, 5],
      [1, 3],
    ],
    [
      [2, 3, 4],
      [0, 1, 2],
    ],
    [[1, 1], [0]],
    [[0, 4], [0]],
    [[4, 0], [0]],
    [[65, 64], [1]],
  ];
  const cases: OpCase[] = [];
  for (const dtype of spec.dtypes) {
    for (const [shape, axes] of dtype === "f32" ? shapes : shapes.slice(0, 5)) {
      cases.push({
        inputs: [{ shape, dtype, distinct: spec.distinct, range: dtype === "f32" ? undefined : [0, 50] }],
        attrs: { axes },
      });
    }
  }
  // All of one sign: a 0 that slips in among many lanes would win, or change the sum.
  for (const range of [[-3, -1] as const, [1, 3] as const])
    cases.push({ inputs: [{ shape: [3, 300], distinct: spec.distinct, range }], attrs: { axes: [1] } });
  return {
    name: spec.name,
    signature: "x[...] -> [...] without the reduced axes",
    doc: spec.doc,
    infer([x], attrs) {
      const axes = attrs.axes as number[];
      requireDType(spec.name, "the operand", x.dtype, spec.dtypes);
      const bad = axes.some((a, i) => !(a >= 0 && a < x.shape.length) || (i > 0 && axes[i - 1] >= a));
      if (bad) {
        throw new ShapeError(
          `${spec.name}: ascending axes of ${show(x.shape)} were expected, got ${show(axes)}. Name each axis once.`,
        );
      }
      return [{ shape: x.shape.filter((_, i) => !axes.includes(i)), dtype: x.dtype }];
    },
    vjp: spec.vjp,
    noGradient: spec.vjp ? undefined : "not needed by any model here",
    reference([x], attrs, [t]) {
      const axes = attrs.axes as number[];
      const out: NDArray = ndarray(t.shape, t.dtype);
      out.data.fill(spec.identity(t.dtype));
      fillByIndex(x.shape, x.dtype, (index, flat) => {
        const o = flatIndex(
          t.shape,
          index.filter((_, i) => !axes.includes(i)),
        );
        const v = spec.ref(out.data[o], x.data[flat]);
        out.data[o] = t.dtype === "u32" ? v >>> 0 : t.dtype === "i32" ? v | 0 : v;
        return 0;
      });
      return [out];
    },
    lowering: {
      kind: "reduce",
      identity: spec.identity,
      combine: spec.combine,
    },
    cases,
    bad: [
      { inputs: [{ shape: [3, 4] }], attrs: { axes: [2] }, error: "ShapeError" },
      {
        inputs: [{ shape: [3, 4], dtype: "bool", range: [0, 1] }],
        attrs: { axes: [0] },
        error: "DTypeError",
      },
    ],
    tolerance: spec.tolerance,
    hidesNan: spec.hidesNan,
    cost: (ins, outs) => ({ flops: numel(ins[0].shape), bytes: bytesOf(ins) + bytesOf(outs) }),
    perf: [
      { inputs: [{ shape: [2048, 512] }], attrs: { axes: [1] } },
      { inputs: [{ shape: [2048, 512] }], attrs: { axes: [0] } },
    ],
  };
}

/** What a maximum or minimum over nothing gives. */
const lowest = (d: DType): number => (d === "f32" ? -Infinity : d === "u32" ? 0 : -2147483648);
const highest = (d: DType): number => (d === "f32" ? Infinity : d === "u32" ? 4294967295 : 2147483647);

export type ReduceFunction = ((x: Tensor, axes?: readonly number[] | number, keepDims?: boolean) => Tensor) &
  OpFunction;

/** The axes of a call as a list. Throws `ShapeError` for what is none, `{ axis: 0 }` of other libraries among it. */
function axisList(op: string, axes: readonly number[] | number | undefined, rank: number): readonly number[] {
  if (axes === undefined) return Array.from({ length: rank }, (_, i) => i);
  if (typeof axes === "number") return [axes];
  if (Array.isArray(axes) && axes.every((a) => typeof a === "number")) return axes;
  throw new ShapeError(
    `${op}: axes: a number or a list of numbers was expected, got ${showValue(axes)}. Write ${op}(x, 0) or ${op}(x, [0, 1]), and true as the third argument to keep the axes.`,
  );
}

function reduction(op: OpDef): ReduceFunction {
  const call = (x: Tensor, axes?: readonly number[] | number, keepDims = false): Tensor => {
    requireTensor(op.name, x);
    const rank = x.shape.length;
    const list = axisList(op.name, axes, rank);
    const sorted = list.map((a) => normalizeAxis(op.name, a, rank)).sort((a, b) => a - b);
    if (sorted.length === 0) {
      op.infer([x], { axes: sorted });
      return unchanged(op.name, x);
    }
    const run = composite((t: TensorLike) => {
      const y = apply(op, [t], { axes: sorted })[0];
      return keepDims ? reshape(y, keptShape(x.shape, sorted)) : y;
    }, op.name);
    return run(x);
  };
  return Object.assign(call, { op });
}

const spread: (g: Tensor, x: Tensor, axes: readonly number[]) => Tensor = (g, x, axes) =>
  broadcastTo(reshape(g, keptShape(x.shape, axes)), x.shape);

/** Gradient of a maximum or minimum: shared evenly among equal winners. */
const winnersVjp: OpDef["vjp"] = ({ g, inputs, outputs, attrs }) => {
  const axes = attrs.axes as number[];
  const [x] = inputs;
  const won = cast(eq(x, spread(outputs[0], x, axes)), "f32");
  const count = spread(sum(won, axes), x, axes);
  return [where(eq(won, 0), 0, mul(div(won, count), spread(g[0] as Tensor, x, axes)))];
};

/** Sum over axes (default all). */
export const sum: ReduceFunction = reduction(
  defineReduce({
    name: "sum",
    doc: "Sum over axes.",
    dtypes: ["f32", "i32", "u32"],
    identity: () => 0,
    combine: (a, b) => `${a} + ${b}`,
    ref: (a, b) => a + b,
    vjp: ({ g, inputs, attrs }) => [spread(g[0] as Tensor, inputs[0], attrs.axes as number[])],
    tolerance: { forward: 4e-6, ofMagnitudes: true, reason: "sums of up to 1000 terms, which may cancel" },
  }),
);

/** Largest over axes (default all); over nothing -Infinity, or the lowest integer. A NaN among the elements may be lost. */
export const max: ReduceFunction = reduction(
  defineReduce({
    name: "max",
    hidesNan: true,
    doc: "Largest element over axes; over nothing, -Infinity or the lowest integer.",
    dtypes: ["f32", "i32", "u32"],
    identity: lowest,
    combine: (a, b) => `max(${a}, ${b})`,
    ref: Math.max,
    vjp: winnersVjp,
    distinct: true,
  }),
);

/** Smallest over axes (default all); over nothing Infinity, or the highest integer. A NaN among the elements may be lost. */
export const min: ReduceFunction = reduction(
  defineReduce({
    name: "min",
    hidesNan: true,
    doc: "Smallest element over axes; over nothing, Infinity or the highest integer.",
    dtypes: ["f32", "i32", "u32"],
    identity: highest,
    combine: (a, b) => `min(${a}, ${b})`,
    ref: Math.min,
    vjp: winnersVjp,
    distinct: true,
  }),
);

/** Mean over axes (default all) of f32. Throws `ShapeError` over nothing, `DTypeError` for integers. */
export function mean(x: Tensor, axes?: readonly number[] | number, keepDims = false): Tensor {
  requireTensor("mean", x);
  requireDType("mean", "the operand", x.dtype, ["f32"]);
  const list = axisList("mean", axes, x.shape.length);
  const n = list.reduce((p, a) => p * x.shape[normalizeAxis("mean", a, x.shape.length)], 1);
  if (n === 0)
    throw new ShapeError(`mean: at least one element was expected, got ${show(x.shape)}. Check the shape.`);
  const run = composite((t: TensorLike) => mul(sum(t as Tensor, axes, keepDims), 1 / n), "mean");
  return run(x);
}

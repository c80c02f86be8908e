/**
 * Ops that only move elements: each is a change of index that fuses into whoever reads it. Where an op called alone
 * changes nothing (a reshape to the same shape), its result is a handle of its own on the same memory.
 */
import { constantIndex, plus, reindex, ZERO } from "../affine.ts";
import { requireDType } from "../dtype.ts";
import { ShapeError } from "../errors.ts";
import { fillByIndex, flatIndex, ndarray } from "../ndarray.ts";
import type { OpDef, OpFunction } from "../opdef.ts";
import { checkShape, normalizeAxis, numel, sameShape, show } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { apply, composite, requireTensor, type TensorLike, unchanged } from "../trace.ts";
import { sum } from "./reduce.ts";

const reshapeOp: OpDef = {
  name: "reshape",
  signature: "x[...] -> [...shape], the same number of elements",
  doc: "Same elements in row-major order, another shape.",
  infer([x], attrs) {
    const shape = attrs.shape as number[];
    checkShape("reshape", shape);
    if (numel(shape) !== numel(x.shape)) {
      throw new ShapeError(
        `reshape: ${numel(x.shape)} elements of ${show(x.shape)} were expected, got shape ${show(shape)} of ${numel(shape)}. Check the sizes.`,
      );
    }
    return [{ shape, dtype: x.dtype }];
  },
  vjp: ({ g, inputs }) => [reshape(g[0] as Tensor, inputs[0].shape)],
  reference: ([x], attrs) => [ndarray(attrs.shape as number[], x.dtype, x.data)],
  lowering: {
    kind: "view",
    source: (index, input, attrs) => reindex(index, attrs.shape as number[], input.shape),
  },
  cases: [
    { inputs: [{ shape: [6, 4] }], attrs: { shape: [3, 8] } },
    { inputs: [{ shape: [6, 4] }], attrs: { shape: [2, 3, 2, 2] } },
    { inputs: [{ shape: [5, 7] }], attrs: { shape: [7, 5] } },
    { inputs: [{ shape: [1] }], attrs: { shape: [] } },
    { inputs: [{ shape: [0, 5] }], attrs: { shape: [5, 0] } },
    { inputs: [{ shape: [3, 1, 4], dtype: "i32" }], attrs: { shape: [12] } },
  ],
  bad: [
    { inputs: [{ shape: [6] }], attrs: { shape: [4] }, error: "ShapeError" },
    { inputs: [{ shape: [6] }], attrs: { shape: [-1, -6] }, error: "ShapeError" },
  ],
};

/** Another shape over the same elements. One size may be -1: it takes what is left. */
export const reshape: ((x: Tensor, shape: readonly number[]) => Tensor) & OpFunction = Object.assign(
  (x: Tensor, shape: readonly number[]): Tensor => {
    requireTensor("reshape", x);
    const known = shape.reduce((p, d) => (d === -1 ? p : p * d), 1);
    const full = shape.map((d) => (d === -1 && known > 0 ? x.size / known : d));
    return sameShape(full, x.shape) ? unchanged("reshape", x) : apply(reshapeOp, [x], { shape: full })[0];
  },
  { op: reshapeOp },
);

const permuteOp: OpDef = {
  name: "permute",
  signature: "x[d0, d1, ...] -> [d_order[0], d_order[1], ...]",
  doc: "Reorders the axes.",
  infer([x], attrs) {
    const order = attrs.order as number[];
    if (
      !sameShape(
        [...order].sort((a, b) => a - b),
        x.shape.map((_, i) => i),
      )
    ) {
      throw new ShapeError(
        `permute: an order of the axes 0..${x.shape.length - 1} was expected, got ${show(order)}. Name each axis once.`,
      );
    }
    return [{ shape: order.map((a) => x.shape[a]), dtype: x.dtype }];
  },
  vjp: ({ g, attrs }) => {
    const order = attrs.order as number[];
    return [
      permute(
        g[0] as Tensor,
        order.map((_, i) => order.indexOf(i)),
      ),
    ];
  },
  reference([x], attrs, [t]) {
    const order = attrs.order as number[];
    const source = new Array<number>(order.length);
    return [
      fillByIndex(t.shape, t.dtype, (index) => {
        order.forEach((a, i) => {
          source[a] = index[i];
        });
        return x.data[flatIndex(x.shape, source)];
      }),
    ];
  },
  lowering: {
    kind: "view",
    source: (index, _input, attrs) => {
      const order = attrs.order as number[];
      return order.map((_, i) => index[order.indexOf(i)]);
    },
  },
  cases: [
    { inputs: [{ shape: [5, 7] }], attrs: { order: [1, 0] } },
    { inputs: [{ shape: [2, 3, 5, 4] }], attrs: { order: [0, 2, 1, 3] } },
    { inputs: [{ shape: [3, 4, 5], dtype: "u32", range: [0, 9] }], attrs: { order: [2, 0, 1] } },
    { inputs: [{ shape: [0, 3] }], attrs: { order: [1, 0] } },
    { inputs: [{ shape: [1, 1] }], attrs: { order: [1, 0] } },
  ],
  bad: [{ inputs: [{ shape: [3, 4] }], attrs: { order: [0, 0] }, error: "ShapeError" }],
};

/** Reorders the axes: result axis i is input axis `order[i]`. */
export const permute: ((x: Tensor, order: readonly number[]) => Tensor) & OpFunction = Object.assign(
  (x: Tensor, order: readonly number[]): Tensor => {
    requireTensor("permute", x);
    const same = order.length === x.shape.length && order.every((a, i) => a === i);
    return same ? unchanged("permute", x) : apply(permuteOp, [x], { order: [...order] })[0];
  },
  { op: permuteOp },
);

/** Swaps the last two axes. */
export function transpose(x: Tensor): Tensor {
  requireTensor("transpose", x);
  const r = x.shape.length;
  if (r < 2)
    throw new ShapeError(`transpose: at least 2 axes were expected, got ${show(x.shape)}. Reshape first.`);
  const order = x.shape.map((_, i) => i);
  [order[r - 1], order[r - 2]] = [r - 2, r - 1];
  return permute(x, order);
}

const broadcastOp: OpDef = {
  name: "broadcastTo",
  signature: "x[...] -> [...shape]",
  doc: "Repeats axes of size 1, and adds axes in front.",
  infer([x], attrs) {
    const shape = attrs.shape as number[];
    checkShape("broadcastTo", shape);
    const lead = shape.length - x.shape.length;
    if (lead < 0 || x.shape.some((d, i) => d !== 1 && d !== shape[lead + i])) {
      throw new ShapeError(
        `broadcastTo: a shape that ${show(x.shape)} broadcasts to was expected, got ${show(shape)}. Sizes must be equal or 1.`,
      );
    }
    return [{ shape, dtype: x.dtype }];
  },
  vjp: ({ g, inputs }) => {
    const from = inputs[0].shape;
    const ct = g[0] as Tensor;
    const lead = ct.shape.length - from.length;
    const axes = ct.shape
      .map((_, i) => i)
      .filter((i) => i < lead || (from[i - lead] === 1 && ct.shape[i] !== 1));
    return [reshape(axes.length > 0 ? sum(ct, axes) : ct, from)];
  },
  reference([x], _attrs, [t]) {
    const lead = t.shape.length - x.shape.length;
    return [
      fillByIndex(
        t.shape,
        t.dtype,
        (index) =>
          x.data[
            flatIndex(
              x.shape,
              x.shape.map((d, i) => (d === 1 ? 0 : index[lead + i])),
            )
          ],
      ),
    ];
  },
  lowering: {
    kind: "view",
    source: (index, input, attrs) => {
      const lead = (attrs.shape as number[]).length - input.shape.length;
      return input.shape.map((d, i) => (d === 1 ? ZERO : index[lead + i]));
    },
  },
  cases: [
    { inputs: [{ shape: [] }], attrs: { shape: [3, 5] } },
    { inputs: [{ shape: [3, 1, 5] }], attrs: { shape: [2, 3, 4, 5] } },
    { inputs: [{ shape: [7], dtype: "bool", range: [0, 1] }], attrs: { shape: [3, 7] } },
    { inputs: [{ shape: [1, 4] }], attrs: { shape: [0, 4] } },
    { inputs: [{ shape: [0, 1] }], attrs: { shape: [0, 3] } },
  ],
  bad: [
    { inputs: [{ shape: [3] }], attrs: { shape: [4] }, error: "ShapeError" },
    { inputs: [{ shape: [2, 3] }], attrs: { shape: [3] }, error: "ShapeError" },
  ],
};

/** Repeats axes of size 1 (and adds leading axes) up to `shape`. */
export const broadcastTo: ((x: Tensor, shape: readonly number[]) => Tensor) & OpFunction = Object.assign(
  (x: Tensor, shape: readonly number[]): Tensor => {
    requireTensor("broadcastTo", x);
    return sameShape(x.shape, shape)
      ? unchanged("broadcastTo", x)
      : apply(broadcastOp, [x], { shape: [...shape] })[0];
  },
  { op: broadcastOp },
);

const sliceOp: OpDef = {
  name: "slice",
  signature: "x[...] -> x[start[i] : end[i], ...]",
  doc: "A box of elements, with bounds known when traced.",
  infer([x], attrs) {
    const start = attrs.start as number[];
    const end = attrs.end as number[];
    const bad = start.length !== x.shape.length || end.length !== x.shape.length;
    const whole = [...start, ...end].every(Number.isInteger);
    if (bad || !whole || x.shape.some((d, i) => !(start[i] >= 0 && start[i] <= end[i] && end[i] <= d))) {
      throw new ShapeError(
        `slice: integers 0 <= start <= end <= ${show(x.shape)} were expected, got start ${show(start)}, end ${show(end)}. Check the bounds.`,
      );
    }
    return [{ shape: start.map((s, i) => end[i] - s), dtype: x.dtype }];
  },
  vjp: ({ g, inputs, attrs }) => {
    const start = attrs.start as number[];
    const end = attrs.end as number[];
    return [
      pad(
        g[0] as Tensor,
        start,
        inputs[0].shape.map((d, i) => d - end[i]),
      ),
    ];
  },
  reference([x], attrs, [t]) {
    const start = attrs.start as number[];
    return [
      fillByIndex(
        t.shape,
        t.dtype,
        (index) =>
          x.data[
            flatIndex(
              x.shape,
              index.map((v, i) => v + start[i]),
            )
          ],
      ),
    ];
  },
  lowering: {
    kind: "view",
    source: (index, _input, attrs) =>
      index.map((e, i) => plus(e, constantIndex((attrs.start as number[])[i]))),
  },
  cases: [
    { inputs: [{ shape: [9] }], attrs: { start: [2], end: [7] } },
    { inputs: [{ shape: [4, 8] }], attrs: { start: [1, 4], end: [3, 8] } },
    { inputs: [{ shape: [3, 4], dtype: "i32" }], attrs: { start: [1, 1], end: [1, 3] } },
    { inputs: [{ shape: [0, 5] }], attrs: { start: [0, 1], end: [0, 4] } },
    { inputs: [{ shape: [1] }], attrs: { start: [0], end: [1] } },
  ],
  bad: [
    { inputs: [{ shape: [3] }], attrs: { start: [1], end: [4] }, error: "ShapeError" },
    { inputs: [{ shape: [3] }], attrs: { start: [-1], end: [2] }, error: "ShapeError" },
    { inputs: [{ shape: [3] }], attrs: { start: [0.5], end: [2] }, error: "ShapeError" },
    { inputs: [{ shape: [3, 3] }], attrs: { start: [1], end: [2] }, error: "ShapeError" },
    { inputs: [{ shape: [3] }], attrs: { start: [0, 0], end: [3] }, error: "ShapeError" },
  ],
};

/** The box `start[i] <= index[i] < end[i]`. */
export const slice: ((x: Tensor, start: readonly number[], end: readonly number[]) => Tensor) & OpFunction =
  Object.assign(
    (x: Tensor, start: readonly number[], end: readonly number[]): Tensor => {
      requireTensor("slice", x);
      const whole = sameShape(end, x.shape) && start.length === end.length && start.every((s) => s === 0);
      return whole ? unchanged("slice", x) : apply(sliceOp, [x], { start: [...start], end: [...end] })[0];
    },
    { op: sliceOp },
  );

const padOp: OpDef = {
  name: "pad",
  signature: "x[...] -> [before[i] + d_i + after[i], ...]",
  doc: "Surrounds with zeros.",
  infer([x], attrs) {
    const before = attrs.before as number[];
    const after = attrs.after as number[];
    const ok = (w: number[]): boolean =>
      w.length === x.shape.length && w.every((p) => Number.isInteger(p) && p >= 0);
    if (!ok(before) || !ok(after)) {
      throw new ShapeError(
        `pad: ${x.shape.length} widths of at least 0 were expected, got before ${show(before)}, after ${show(after)}. Use slice to cut.`,
      );
    }
    return [{ shape: x.shape.map((d, i) => before[i] + d + after[i]), dtype: x.dtype }];
  },
  vjp: ({ g, inputs, attrs }) => {
    const before = attrs.before as number[];
    return [
      slice(
        g[0] as Tensor,
        before,
        inputs[0].shape.map((d, i) => before[i] + d),
      ),
    ];
  },
  reference([x], attrs, [t]) {
    const before = attrs.before as number[];
    return [
      fillByIndex(t.shape, t.dtype, (index) => {
        const src = index.map((v, i) => v - before[i]);
        return src.every((v, i) => v >= 0 && v < x.shape[i]) ? x.data[flatIndex(x.shape, src)] : 0;
      }),
    ];
  },
  lowering: { kind: "indexed" },
  cases: [
    { inputs: [{ shape: [5] }], attrs: { before: [2], after: [1] } },
    { inputs: [{ shape: [3, 4] }], attrs: { before: [0, 4], after: [2, 0] } },
    { inputs: [{ shape: [2, 3], dtype: "u32", range: [1, 9] }], attrs: { before: [1, 0], after: [0, 2] } },
    { inputs: [{ shape: [0, 3] }], attrs: { before: [1, 0], after: [1, 0] } },
    { inputs: [{ shape: [1] }], attrs: { before: [0], after: [1] } },
  ],
  bad: [
    { inputs: [{ shape: [3] }], attrs: { before: [-1], after: [0] }, error: "ShapeError" },
    { inputs: [{ shape: [3] }], attrs: { before: [0], after: [] }, error: "ShapeError" },
  ],
};

/** Surrounds `x` with `before[i]` and `after[i]` zeros on each axis. */
export const pad: ((x: Tensor, before: readonly number[], after: readonly number[]) => Tensor) & OpFunction =
  Object.assign(
    (x: Tensor, before: readonly number[], after: readonly number[]): Tensor => {
      requireTensor("pad", x);
      const none = [before, after].every((w) => w.length === x.shape.length && w.every((n) => n === 0));
      return none ? unchanged("pad", x) : apply(padOp, [x], { before: [...before], after: [...after] })[0];
    },
    { op: padOp },
  );

const concatOp: OpDef = {
  name: "concat",
  signature: "a[..., p, ...], b[..., q, ...] -> [..., p + q, ...]",
  doc: "Joins two tensors along an axis.",
  infer(inputs, attrs) {
    const [a, b] = inputs;
    const axis = attrs.axis as number;
    const fits =
      inputs.length === 2 &&
      a.shape.length === b.shape.length &&
      a.shape.every((d, i) => i === axis || d === b.shape[i]);
    if (!fits) {
      throw new ShapeError(
        `concat: two tensors equal but for axis ${axis} were expected, got ${inputs.map((t) => show(t.shape)).join(" and ")}. Reshape first.`,
      );
    }
    requireDType("concat", "all parts", b.dtype, [a.dtype]);
    return [{ shape: a.shape.map((d, i) => (i === axis ? d + b.shape[i] : d)), dtype: a.dtype }];
  },
  vjp: ({ g, inputs, attrs }) => {
    const axis = attrs.axis as number;
    const ct = g[0] as Tensor;
    const cut = inputs[0].shape[axis];
    const at = (v: number): number[] => ct.shape.map((_, i) => (i === axis ? v : 0));
    return [
      slice(
        ct,
        at(0),
        ct.shape.map((d, i) => (i === axis ? cut : d)),
      ),
      slice(ct, at(cut), ct.shape),
    ];
  },
  reference([a, b], attrs, [t]) {
    const axis = attrs.axis as number;
    const cut = a.shape[axis];
    return [
      fillByIndex(t.shape, t.dtype, (index) => {
        if (index[axis] < cut) return a.data[flatIndex(a.shape, index)];
        return b.data[
          flatIndex(
            b.shape,
            index.map((v, i) => (i === axis ? v - cut : v)),
          )
        ];
      }),
    ];
  },
  lowering: { kind: "indexed" },
  cases: [
    { inputs: [{ shape: [5] }, { shape: [3] }], attrs: { axis: 0 } },
    { inputs: [{ shape: [3, 4] }, { shape: [3, 4] }], attrs: { axis: 1 } },
    { inputs: [{ shape: [2, 3, 5] }, { shape: [2, 1, 5] }], attrs: { axis: 1 } },
    { inputs: [{ shape: [0, 3] }, { shape: [2, 3] }], attrs: { axis: 0 } },
    { inputs: [{ shape: [1] }, { shape: [1] }], attrs: { axis: 0 } },
  ],
  bad: [
    { inputs: [{ shape: [3, 4] }, { shape: [2, 4] }], attrs: { axis: 1 }, error: "ShapeError" },
    { inputs: [{ shape: [3] }, { shape: [3], dtype: "i32" }], attrs: { axis: 0 }, error: "DTypeError" },
  ],
};

/** Joins tensors along `axis`. */
export const concat: ((parts: readonly Tensor[], axis: number) => Tensor) & OpFunction = Object.assign(
  (parts: readonly Tensor[], axis: number): Tensor => {
    requireTensor("concat", ...parts);
    if (parts.length === 0)
      throw new ShapeError("concat: at least one tensor was expected, got none. Pass a part.");
    const a = normalizeAxis("concat", axis, parts[0].shape.length);
    const join = composite(
      (...xs: TensorLike[]) => (xs as Tensor[]).reduce((x, y) => apply(concatOp, [x, y], { axis: a })[0]),
      "concat",
    );
    return join(...parts);
  },
  { op: concatOp },
);

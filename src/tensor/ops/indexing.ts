/** Ops whose index is data: lookups, slices at a position known at run time, and deterministic scatter-add. */
import { requireDType } from "../dtype.ts";
import { ShapeError } from "../errors.ts";
import type { ValueType } from "../ir.ts";
import { fillByIndex, flatIndex, ndarray } from "../ndarray.ts";
import { bytesOf, type OpDef, type OpFunction } from "../opdef.ts";
import { checkShape, normalizeAxis, numel, sameShape, show } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { apply, composite, requireTensor } from "../trace.ts";
import { full } from "./define.ts";
import { eq, minimum, where } from "./elementwise.ts";
import { reshape } from "./movement.ts";

const clampIndex = (i: number, size: number): number => Math.min(Math.max(i, 0), size - 1);

const iotaOp: OpDef = {
  name: "iota",
  signature: "-> [...shape] u32, the index along axis",
  doc: "Index numbers along an axis.",
  infer(_inputs, attrs) {
    const shape = attrs.shape as number[];
    checkShape("iota", shape);
    normalizeAxis("iota", attrs.axis as number, shape.length);
    return [{ shape, dtype: "u32" }];
  },
  noGradient: "integers",
  reference: (_inputs, attrs, [t]) => [fillByIndex(t.shape, "u32", (index) => index[attrs.axis as number])],
  lowering: { kind: "source" },
  cases: [
    { inputs: [], attrs: { shape: [7], axis: 0 } },
    { inputs: [], attrs: { shape: [3, 5], axis: 0 } },
    { inputs: [], attrs: { shape: [3, 8], axis: 1 } },
    { inputs: [], attrs: { shape: [0, 3], axis: 1 } },
    { inputs: [], attrs: { shape: [1], axis: 0 } },
  ],
  bad: [{ inputs: [], attrs: { shape: [3], axis: 1 }, error: "ShapeError" }],
};

/** The index along `axis` of a tensor of `shape`, as u32. */
export const iota: ((shape: readonly number[], axis?: number) => Tensor) & OpFunction = Object.assign(
  (shape: readonly number[], axis = 0): Tensor =>
    composite(
      () => apply(iotaOp, [], { shape: [...shape], axis: normalizeAxis("iota", axis, shape.length) })[0],
    )(),
  { op: iotaOp },
);

const takeOp: OpDef = {
  name: "take",
  signature: "table[V, ...C], indices[...N] u32 -> [...N, ...C]",
  doc: "Rows of a table by index; indices beyond the table read its last row.",
  infer([table, indices]) {
    requireDType("take", "indices", indices.dtype, ["u32"]);
    if (table.shape.length < 1 || table.shape[0] === 0) {
      throw new ShapeError(
        `take: a table with at least one row was expected, got ${show(table.shape)}. Check vocabSize.`,
      );
    }
    return [{ shape: [...indices.shape, ...table.shape.slice(1)], dtype: table.dtype }];
  },
  vjp: ({ g, inputs: [table, indices] }) => {
    const width = table.size / table.shape[0];
    const rows = scatterAdd(
      reshape(g[0] as Tensor, [indices.size, width]),
      reshape(indices, [indices.size]),
      table.shape[0],
    );
    return [reshape(rows, table.shape), null];
  },
  reference([table, indices], _attrs, [t]) {
    const lead = indices.shape.length;
    return [
      fillByIndex(t.shape, t.dtype, (index) => {
        const row = clampIndex(indices.data[flatIndex(indices.shape, index.slice(0, lead))], table.shape[0]);
        return table.data[flatIndex(table.shape, [row, ...index.slice(lead)])];
      }),
    ];
  },
  lowering: { kind: "indexed" },
  cases: [
    { inputs: [{ shape: [5, 3] }, { shape: [7], dtype: "u32", range: [0, 4] }] },
    { inputs: [{ shape: [6, 8] }, { shape: [2, 3], dtype: "u32", range: [0, 7] }] },
    { inputs: [{ shape: [9] }, { shape: [4, 4], dtype: "u32", range: [0, 8] }] },
    { inputs: [{ shape: [3, 2] }, { shape: [0], dtype: "u32" }] },
    { inputs: [{ shape: [1] }, { shape: [1], dtype: "u32", range: [0, 2] }] },
    {
      inputs: [
        { shape: [4, 3], dtype: "u32", range: [0, 99] },
        { shape: [5], dtype: "u32", range: [0, 3] },
      ],
    },
  ],
  bad: [
    { inputs: [{ shape: [5, 3] }, { shape: [7] }], error: "DTypeError" },
    { inputs: [{ shape: [0, 3] }, { shape: [7], dtype: "u32" }], error: "ShapeError" },
  ],
};

/** Rows of `table` [V, ...C] at `indices` [...N]: `[...N, ...C]`. Its gradient is a deterministic scatter-add. */
export const take: ((table: Tensor, indices: Tensor) => Tensor) & OpFunction = Object.assign(
  (table: Tensor, indices: Tensor): Tensor => {
    requireTensor("take", table, indices);
    return apply(takeOp, [table, indices])[0];
  },
  { op: takeOp },
);

const takeAlongOp: OpDef = {
  name: "takeAlong",
  signature: "x[..., V], indices[...] u32 -> [...]",
  doc: "One element of each row of the last axis; indices beyond it read the last.",
  infer([x, indices]) {
    requireDType("takeAlong", "indices", indices.dtype, ["u32"]);
    if (x.shape.length < 1 || x.shape.at(-1) === 0 || !sameShape(x.shape.slice(0, -1), indices.shape)) {
      throw new ShapeError(
        `takeAlong: x[..., V] with indices[...] was expected, got x${show(x.shape)}, indices${show(indices.shape)}. Reshape the indices.`,
      );
    }
    return [{ shape: indices.shape, dtype: x.dtype }];
  },
  vjp: ({ g, inputs: [x, indices] }) => {
    const at = iota(x.shape, x.shape.length - 1);
    const kept = minimum(indices, (x.shape.at(-1) as number) - 1);
    const chosen = eq(at, reshape(kept, [...indices.shape, 1]));
    return [where(chosen, reshape(g[0] as Tensor, [...indices.shape, 1]), 0), null];
  },
  reference([x, indices], _attrs, [t]) {
    const v = x.shape.at(-1) as number;
    return [
      fillByIndex(t.shape, t.dtype, (_i, flat) => x.data[flat * v + clampIndex(indices.data[flat], v)]),
    ];
  },
  lowering: { kind: "indexed" },
  cases: [
    { inputs: [{ shape: [4, 5] }, { shape: [4], dtype: "u32", range: [0, 4] }] },
    { inputs: [{ shape: [2, 3, 8] }, { shape: [2, 3], dtype: "u32", range: [0, 7] }] },
    { inputs: [{ shape: [7] }, { shape: [], dtype: "u32", range: [0, 6] }] },
    { inputs: [{ shape: [9, 4] }, { shape: [9], dtype: "u32", range: [0, 9] }] },
    { inputs: [{ shape: [0, 4] }, { shape: [0], dtype: "u32" }] },
    { inputs: [{ shape: [1] }, { shape: [], dtype: "u32", range: [0, 3] }] },
  ],
  bad: [
    { inputs: [{ shape: [4, 5] }, { shape: [5], dtype: "u32" }], error: "ShapeError" },
    { inputs: [{ shape: [4, 5] }, { shape: [4], dtype: "i32" }], error: "DTypeError" },
  ],
};

/** `x[..., indices[...]]`: the log-probability of the chosen token, for one. */
export const takeAlong: ((x: Tensor, indices: Tensor) => Tensor) & OpFunction = Object.assign(
  (x: Tensor, indices: Tensor): Tensor => {
    requireTensor("takeAlong", x, indices);
    return apply(takeAlongOp, [x, indices])[0];
  },
  { op: takeAlongOp },
);

function checkPatch(op: string, x: ValueType, start: ValueType, axis: number, size: number): void {
  requireDType(op, "start", start.dtype, ["u32"]);
  if (
    start.shape.length !== 0 ||
    !(axis >= 0 && axis < x.shape.length) ||
    !Number.isInteger(size) ||
    !(size >= 0 && size <= x.shape[axis])
  ) {
    throw new ShapeError(
      `${op}: a scalar start and a size up to axis ${axis} of ${show(x.shape)} were expected, got start${show(start.shape)}, size ${size}. Check the axis.`,
    );
  }
}

const sliceAtOp: OpDef = {
  name: "sliceAt",
  signature: "x[..., d, ...], start[] u32 -> [..., size, ...]",
  doc: "A window along one axis whose start is data; it is moved inwards where it would stick out.",
  infer([x, start], attrs) {
    const axis = attrs.axis as number;
    checkPatch("sliceAt", x, start, axis, attrs.size as number);
    return [{ shape: x.shape.map((d, i) => (i === axis ? (attrs.size as number) : d)), dtype: x.dtype }];
  },
  vjp: ({ g, inputs: [x, start], attrs }) => [
    updateAt(full(x.shape, 0), g[0] as Tensor, start, attrs.axis as number, true),
    null,
  ],
  reference([x, start], attrs, [t]) {
    const axis = attrs.axis as number;
    const s = clampIndex(start.data[0], x.shape[axis] - t.shape[axis] + 1);
    return [
      fillByIndex(
        t.shape,
        t.dtype,
        (index) =>
          x.data[
            flatIndex(
              x.shape,
              index.map((v, i) => (i === axis ? v + s : v)),
            )
          ],
      ),
    ];
  },
  lowering: { kind: "indexed" },
  cases: [
    { inputs: [{ shape: [9] }, { shape: [], dtype: "u32", range: [0, 6] }], attrs: { axis: 0, size: 3 } },
    {
      inputs: [{ shape: [3, 8, 4] }, { shape: [], dtype: "u32", range: [0, 9] }],
      attrs: { axis: 1, size: 2 },
    },
    // A start beyond the end.
    { inputs: [{ shape: [9] }, { shape: [], dtype: "u32", range: [7, 99] }], attrs: { axis: 0, size: 3 } },
    { inputs: [{ shape: [0, 3] }, { shape: [], dtype: "u32" }], attrs: { axis: 1, size: 2 } },
    { inputs: [{ shape: [4] }, { shape: [], dtype: "u32" }], attrs: { axis: 0, size: 0 } },
    { inputs: [{ shape: [1] }, { shape: [], dtype: "u32" }], attrs: { axis: 0, size: 1 } },
  ],
  bad: [
    {
      inputs: [{ shape: [9] }, { shape: [2], dtype: "u32" }],
      attrs: { axis: 0, size: 3 },
      error: "ShapeError",
    },
    {
      inputs: [{ shape: [9] }, { shape: [], dtype: "f32" }],
      attrs: { axis: 0, size: 3 },
      error: "DTypeError",
    },
    {
      inputs: [{ shape: [9] }, { shape: [], dtype: "u32" }],
      attrs: { axis: 0, size: 1.5 },
      error: "ShapeError",
    },
  ],
};

/** The window `x[start : start + size]` along `axis`, `start` a u32 scalar tensor. */
export const sliceAt: ((x: Tensor, start: Tensor, axis: number, size: number) => Tensor) & OpFunction =
  Object.assign(
    (x: Tensor, start: Tensor, axis: number, size: number): Tensor => {
      requireTensor("sliceAt", x, start);
      return apply(sliceAtOp, [x, start], { axis: normalizeAxis("sliceAt", axis, x.shape.length), size })[0];
    },
    { op: sliceAtOp },
  );

const updateAtOp: OpDef = {
  name: "updateAt",
  signature: "x[..., d, ...], patch[..., p, ...], start[] u32 -> [..., d, ...]",
  doc: "x with a window along one axis replaced (moved inwards where it would stick out), or 0 outside the window.",
  infer([x, patch, start], attrs) {
    const axis = attrs.axis as number;
    checkPatch("updateAt", x, start, axis, patch.shape[axis] ?? -1);
    const fits =
      patch.shape.length === x.shape.length && patch.shape.every((d, i) => i === axis || d === x.shape[i]);
    if (!fits) {
      throw new ShapeError(
        `updateAt: a patch equal to x but for axis ${axis} was expected, got x${show(x.shape)}, patch${show(patch.shape)}. Reshape it.`,
      );
    }
    requireDType("updateAt", "the patch", patch.dtype, [x.dtype]);
    return [{ shape: x.shape, dtype: x.dtype }];
  },
  vjp: ({ g, inputs: [, patch, start], attrs }) => {
    const axis = attrs.axis as number;
    const ct = g[0] as Tensor;
    const outside = attrs.zero ? null : updateAt(ct, full(patch.shape, 0), start, axis);
    return [outside, sliceAt(ct, start, axis, patch.shape[axis]), null];
  },
  reference([x, patch, start], attrs, [t]) {
    const axis = attrs.axis as number;
    const p = patch.shape[axis];
    const s = clampIndex(start.data[0], x.shape[axis] - p + 1);
    return [
      fillByIndex(t.shape, t.dtype, (index, flat) => {
        const at = index[axis] - s;
        if (at < 0 || at >= p) return attrs.zero ? 0 : x.data[flat];
        return patch.data[
          flatIndex(
            patch.shape,
            index.map((v, i) => (i === axis ? at : v)),
          )
        ];
      }),
    ];
  },
  lowering: { kind: "indexed" },
  cases: [
    {
      inputs: [{ shape: [9] }, { shape: [3] }, { shape: [], dtype: "u32", range: [0, 6] }],
      attrs: { axis: 0, zero: false },
    },
    {
      inputs: [{ shape: [3, 8, 4] }, { shape: [3, 2, 4] }, { shape: [], dtype: "u32", range: [0, 9] }],
      attrs: { axis: 1, zero: false },
    },
    {
      inputs: [{ shape: [3, 8] }, { shape: [3, 4] }, { shape: [], dtype: "u32", range: [0, 4] }],
      attrs: { axis: 1, zero: true },
    },
    // A start beyond the end.
    {
      inputs: [{ shape: [9] }, { shape: [3] }, { shape: [], dtype: "u32", range: [7, 99] }],
      attrs: { axis: 0, zero: false },
    },
    {
      inputs: [{ shape: [5] }, { shape: [0] }, { shape: [], dtype: "u32", range: [0, 6] }],
      attrs: { axis: 0, zero: false },
    },
    {
      inputs: [{ shape: [0, 4] }, { shape: [0, 2] }, { shape: [], dtype: "u32" }],
      attrs: { axis: 1, zero: false },
    },
    {
      inputs: [{ shape: [1] }, { shape: [1] }, { shape: [], dtype: "u32" }],
      attrs: { axis: 0, zero: false },
    },
  ],
  bad: [
    {
      inputs: [{ shape: [9] }, { shape: [10] }, { shape: [], dtype: "u32" }],
      attrs: { axis: 0, zero: false },
      error: "ShapeError",
    },
    {
      inputs: [{ shape: [3, 8] }, { shape: [2, 4] }, { shape: [], dtype: "u32" }],
      attrs: { axis: 1, zero: false },
      error: "ShapeError",
    },
    {
      inputs: [{ shape: [9] }, { shape: [3], dtype: "i32" }, { shape: [], dtype: "u32" }],
      attrs: { axis: 0, zero: false },
      error: "DTypeError",
    },
  ],
};

/**
 * `x` with `patch` written at `start` along `axis`. On a state inside `compile`, `assign(x, updateAt(x, ...))`
 * writes the patch alone, in place, unless the old value is needed beside the new one. With `zero`, everything outside the
 * window is 0.
 */
export const updateAt: ((x: Tensor, patch: Tensor, start: Tensor, axis: number, zero?: boolean) => Tensor) &
  OpFunction = Object.assign(
  (x: Tensor, patch: Tensor, start: Tensor, axis: number, zero = false): Tensor => {
    requireTensor("updateAt", x, patch, start);
    const at = normalizeAxis("updateAt", axis, x.shape.length);
    return apply(updateAtOp, [x, patch, start], { axis: at, zero })[0];
  },
  { op: updateAtOp },
);

const chainOp: OpDef = {
  name: "indexChain",
  signature: "indices[N] u32 -> head[V] u32, next[N] u32",
  doc: "Linked lists of equal indices in ascending order: head[v] is the first n with indices[n] = v, next[n] the one after n; N ends a list.",
  infer([indices], attrs) {
    requireDType("indexChain", "indices", indices.dtype, ["u32"]);
    if (indices.shape.length !== 1) {
      throw new ShapeError(
        `indexChain: indices[N] was expected, got ${show(indices.shape)}. Reshape to one axis.`,
      );
    }
    checkShape("indexChain", [attrs.rows as number]);
    return [
      { shape: [attrs.rows as number], dtype: "u32" },
      { shape: indices.shape, dtype: "u32" },
    ];
  },
  resultNames: ["head", "next"],
  noGradient: "integers",
  reference([indices], attrs, types) {
    const n = indices.data.length;
    const rows = attrs.rows as number;
    const head = ndarray(types[0].shape, "u32");
    const next = ndarray(types[1].shape, "u32");
    head.data.fill(n);
    next.data.fill(n);
    for (let i = n - 1; i >= 0; i--) {
      const v = clampIndex(indices.data[i], rows);
      next.data[i] = head.data[v];
      head.data[v] = i;
    }
    return [head, next];
  },
  lowering: {
    kind: "template",
    template: "indexChain",
    sizes: ([indices], [head]) => {
      const length = numel(indices.shape);
      const rows = numel(head.shape);
      return { units: Math.max(length, rows), fields: { length, rows } };
    },
  },
  // Each list looks through all indices for its head, each index through those after it: at most, where few are equal.
  cost: (ins, outs) => {
    const [n, rows] = [numel(ins[0].shape), numel(outs[0].shape)];
    return { flops: 2 * n * (rows + n / 2), bytes: bytesOf(ins) + bytesOf(outs) };
  },
  cases: [
    { inputs: [{ shape: [13], dtype: "u32", range: [0, 4] }], attrs: { rows: 5 } },
    { inputs: [{ shape: [200], dtype: "u32", range: [0, 60] }], attrs: { rows: 50 } },
    { inputs: [{ shape: [1], dtype: "u32", range: [0, 0] }], attrs: { rows: 3 } },
    { inputs: [{ shape: [0], dtype: "u32" }], attrs: { rows: 3 } },
  ],
  bad: [
    { inputs: [{ shape: [3, 2], dtype: "u32" }], attrs: { rows: 5 }, error: "ShapeError" },
    { inputs: [{ shape: [3] }], attrs: { rows: 5 }, error: "DTypeError" },
    { inputs: [{ shape: [3], dtype: "u32" }], attrs: { rows: -1 }, error: "ShapeError" },
    { inputs: [{ shape: [3], dtype: "u32" }], attrs: { rows: 1.5 }, error: "ShapeError" },
  ],
};

const chainSumOp: OpDef = {
  name: "chainSum",
  signature: "updates[N, C], head[V] u32, next[N] u32 -> [V, C]",
  doc: "Sums rows along the lists of indexChain, in ascending order: the second half of scatterAdd.",
  internal: "reached, and tested, through scatterAdd",
  infer: ([updates, head]) => [{ shape: [head.shape[0], updates.shape[1]], dtype: "f32" }],
  noGradient: "scatterAdd is expanded after differentiation",
  reference([updates, head, next], _attrs, [t]) {
    const out = ndarray(t.shape, "f32");
    const [n, c] = updates.shape;
    for (let v = 0; v < t.shape[0]; v++) {
      for (let i = head.data[v]; i < n; i = next.data[i]) {
        for (let j = 0; j < c; j++) out.data[v * c + j] += updates.data[i * c + j];
      }
    }
    return [out];
  },
  lowering: {
    kind: "template",
    template: "chainSum",
    sizes: ([updates], [out]) => ({
      units: numel(out.shape),
      fields: { length: updates.shape[0], width: updates.shape[1] },
    }),
  },
  cost: (ins, outs) => ({ flops: numel(ins[0].shape), bytes: bytesOf(ins) + bytesOf(outs) }),
  cases: [],
};

const scatterAddOp: OpDef = {
  name: "scatterAdd",
  signature: "updates[N, C], indices[N] u32 -> [rows, C]",
  doc: "Sums rows with equal indices, in ascending order: the same bits every time, no atomics.",
  infer([updates, indices], attrs) {
    requireDType("scatterAdd", "updates", updates.dtype, ["f32"]);
    requireDType("scatterAdd", "indices", indices.dtype, ["u32"]);
    if (updates.shape.length !== 2 || indices.shape.length !== 1 || indices.shape[0] !== updates.shape[0]) {
      throw new ShapeError(
        `scatterAdd: updates[N, C] and indices[N] were expected, got updates${show(updates.shape)}, indices${show(indices.shape)}. Reshape them.`,
      );
    }
    checkShape("scatterAdd", [attrs.rows as number]);
    return [{ shape: [attrs.rows as number, updates.shape[1]], dtype: "f32" }];
  },
  vjp: ({ g, inputs: [, indices] }) => [take(g[0] as Tensor, indices), null],
  reference([updates, indices], attrs, [t]) {
    const out = ndarray(t.shape, "f32");
    const c = updates.shape[1];
    indices.data.forEach((i, n) => {
      const v = clampIndex(i, attrs.rows as number);
      for (let j = 0; j < c; j++) out.data[v * c + j] += updates.data[n * c + j];
    });
    return [out];
  },
  lowering: {
    kind: "expand",
    expand: ([updates, indices], attrs) => {
      const { head, next } = indexChain(indices, attrs.rows as number);
      return apply(chainSumOp, [updates, head, next]);
    },
  },
  tolerance: { forward: 4e-6, ofMagnitudes: true, reason: "sums of up to 64 rows, which may cancel" },
  cases: [
    { inputs: [{ shape: [13, 5] }, { shape: [13], dtype: "u32", range: [0, 4] }], attrs: { rows: 5 } },
    { inputs: [{ shape: [200, 3] }, { shape: [200], dtype: "u32", range: [0, 60] }], attrs: { rows: 50 } },
    { inputs: [{ shape: [64, 8] }, { shape: [64], dtype: "u32", range: [0, 1] }], attrs: { rows: 2 } },
    { inputs: [{ shape: [1, 1] }, { shape: [1], dtype: "u32", range: [0, 0] }], attrs: { rows: 3 } },
    { inputs: [{ shape: [0, 4] }, { shape: [0], dtype: "u32" }], attrs: { rows: 3 } },
  ],
  bad: [
    { inputs: [{ shape: [13, 5] }, { shape: [12], dtype: "u32" }], attrs: { rows: 5 }, error: "ShapeError" },
    { inputs: [{ shape: [13, 5] }, { shape: [13] }], attrs: { rows: 5 }, error: "DTypeError" },
    { inputs: [{ shape: [3, 5] }, { shape: [3], dtype: "u32" }], attrs: { rows: 2.5 }, error: "ShapeError" },
  ],
};

export const indexChain: ((indices: Tensor, rows: number) => { head: Tensor; next: Tensor }) & OpFunction =
  Object.assign(
    (indices: Tensor, rows: number) => {
      requireTensor("indexChain", indices);
      const [head, next] = apply(chainOp, [indices], { rows });
      return { head, next };
    },
    { op: chainOp },
  );

/**
 * `out[v] = sum of updates[n] over n with indices[n] = v`, in ascending n: `updates` [N, C], `indices` [N] u32,
 * result [rows, C]. Deterministic.
 */
export const chainSum: OpFunction = { op: chainSumOp };

/**
 * `out[v] = sum of updates[n] over n with indices[n] = v`, in ascending n: `updates` [N, C], `indices` [N] u32,
 * result [rows, C]. Deterministic.
 */
export const scatterAdd: ((updates: Tensor, indices: Tensor, rows: number) => Tensor) & OpFunction =
  Object.assign(
    (updates: Tensor, indices: Tensor, rows: number): Tensor => {
      requireTensor("scatterAdd", updates, indices);
      return apply(scatterAddOp, [updates, indices], { rows })[0];
    },
    { op: scatterAddOp },
  );

/** Rows replaced at indices that are data: how rows of a batch write to places of their own in a state. */
import { requireDType } from "../dtype.ts";
import { ShapeError } from "../errors.ts";
import { ndarray } from "../ndarray.ts";
import { bytesOf, type OpDef, type OpFunction } from "../opdef.ts";
import { numel, sameShape, show } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { apply, requireTensor } from "../trace.ts";
import { full } from "./define.ts";
import { lt, where } from "./elementwise.ts";
import { take } from "./indexing.ts";
import { reshape } from "./movement.ts";

const f32 = (...shape: number[]) => ({ shape });
const rowsAt = (...values: number[]) => ({ shape: [values.length], dtype: "u32" as const, values });

const updateRowsOp: OpDef = {
  name: "updateRows",
  signature: "x[V, ...C], patch[N, ...C], rows[N] u32 -> [V, ...C]",
  doc: "x with row rows[n] replaced by patch[n]; indices of V and more write nothing. No row twice.",
  infer([x, patch, rows]) {
    requireDType("updateRows", "rows", rows.dtype, ["u32"]);
    const fits =
      x.shape.length >= 1 &&
      rows.shape.length === 1 &&
      sameShape(patch.shape, [...rows.shape, ...x.shape.slice(1)]);
    if (!fits) {
      throw new ShapeError(
        `updateRows: x[V, ...C], patch[N, ...C] and rows[N] were expected, got x${show(x.shape)}, patch${show(patch.shape)}, rows${show(rows.shape)}. Reshape the patch.`,
      );
    }
    requireDType("updateRows", "the patch", patch.dtype, [x.dtype]);
    return [{ shape: x.shape, dtype: x.dtype }];
  },
  vjp({ g, inputs: [x, patch, rows] }) {
    const ct = g[0] as Tensor;
    if (x.shape[0] === 0) return [ct, full(patch.shape, 0), null];
    const written = reshape(lt(rows, x.shape[0]), [rows.size, ...x.shape.slice(1).map(() => 1)]);
    return [updateRows(ct, full(patch.shape, 0), rows), where(written, take(ct, rows), 0), null];
  },
  reference([x, patch, rows], _attrs, [t]) {
    const out = ndarray(t.shape, t.dtype);
    out.data.set(x.data);
    const width = numel(t.shape.slice(1));
    rows.data.forEach((row, n) => {
      if (row >= t.shape[0]) return;
      for (let c = 0; c < width; c++) out.data[row * width + c] = patch.data[n * width + c];
    });
    return [out];
  },
  lowering: {
    kind: "template",
    template: "updateRows",
    sizes: ([, patch], [out]) => ({
      units: numel(out.shape),
      fields: { length: patch.shape[0], width: numel(out.shape.slice(1)) },
    }),
  },
  // Each element looks through all indices; in place, where a state is written, none does.
  cost: (ins, outs) => ({
    flops: numel(outs[0].shape) * numel(ins[2].shape),
    bytes: bytesOf(ins) + bytesOf(outs),
  }),
  cases: [
    { inputs: [f32(5, 3), f32(2, 3), rowsAt(3, 0)] },
    { inputs: [f32(7), f32(3), rowsAt(6, 1, 4)] },
    { inputs: [f32(4, 2, 4), f32(3, 2, 4), rowsAt(2, 9, 0)] },
    { inputs: [f32(4, 8), f32(2, 8), rowsAt(4, 0xffffffff)] },
    { inputs: [f32(1), f32(1), rowsAt(0)] },
    { inputs: [f32(3, 4), f32(0, 4), { shape: [0], dtype: "u32" }] },
    { inputs: [f32(0, 4), f32(1, 4), rowsAt(0)] },
    { inputs: [f32(3, 0), f32(2, 0), rowsAt(2, 1)] },
    {
      inputs: [
        { shape: [4, 3], dtype: "u32", range: [0, 99] },
        { shape: [2, 3], dtype: "u32", range: [0, 99] },
        rowsAt(1, 3),
      ],
    },
  ],
  bad: [
    { inputs: [f32(5, 3), f32(2, 4), rowsAt(3, 0)], error: "ShapeError" },
    { inputs: [f32(5, 3), f32(3, 3), rowsAt(3, 0)], error: "ShapeError" },
    { inputs: [f32(), f32(2), rowsAt(3, 0)], error: "ShapeError" },
    { inputs: [f32(5, 3), f32(2, 3), f32(2)], error: "DTypeError" },
    { inputs: [f32(5, 3), { shape: [2, 3], dtype: "u32" }, rowsAt(3, 0)], error: "DTypeError" },
  ],
};

/**
 * `x` [V, ...C] with row `rows[n]` replaced by `patch[n]`: `patch` [N, ...C], `rows` [N] u32, no row twice; indices of V and
 * more write nothing. On a state inside `compile`, `assign(x, updateRows(x, ...))` writes the patch alone, in place, unless the
 * old value is needed beside the new one. Throws `ShapeError` or `DTypeError` where operands do not fit.
 */
export const updateRows: ((x: Tensor, patch: Tensor, rows: Tensor) => Tensor) & OpFunction = Object.assign(
  (x: Tensor, patch: Tensor, rows: Tensor): Tensor => {
    requireTensor("updateRows", x, patch, rows);
    return apply(updateRowsOp, [x, patch, rows])[0];
  },
  { op: updateRowsOp },
);

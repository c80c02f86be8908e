/** Matrix product, batched, with either operand read transposed. Each output sums over k in order. */
import { requireDType } from "../dtype.ts";
import { ShapeError } from "../errors.ts";
import { ndarray } from "../ndarray.ts";
import { bytesOf, type OpCase, type OpDef, type OpFunction } from "../opdef.ts";
import { broadcastShapes, numel, sameShape, show } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { apply, composite, requireTensor, type TensorLike } from "../trace.ts";
import { matmulDims } from "./matmulDims.ts";
import { broadcastTo, reshape } from "./movement.ts";

const NN = { transposeA: false, transposeB: false };
const NT = { transposeA: false, transposeB: true };
const TN = { transposeA: true, transposeB: false };

const c = (a: number[], b: number[], attrs: OpCase["attrs"]): OpCase => ({
  inputs: [{ shape: a }, { shape: b }],
  attrs,
});

const matmulOp: OpDef = {
  name: "matmul",
  signature:
    "a[B..., M, K] @ b[B..., K, N] -> [B..., M, N]; transposed operands are [B..., K, M] and [B..., N, K]",
  doc: "Matrix product over the last two axes.",
  infer([a, b], attrs) {
    for (const [name, { dtype }] of Object.entries({ a, b })) {
      const remedy =
        dtype === "u32" ? "Use ops.unpackHalf for packed weights, ops.cast for numbers." : undefined;
      requireDType("matmul", name, dtype, ["f32"], remedy);
    }
    if (
      a.shape.length < 2 ||
      a.shape.length !== b.shape.length ||
      !sameShape(a.shape.slice(0, -2), b.shape.slice(0, -2))
    ) {
      throw new ShapeError(
        `matmul: operands with equal batch axes were expected, got a${show(a.shape)} @ b${show(b.shape)}. Broadcast the batch axes.`,
      );
    }
    const d = matmulDims(a.shape, b.shape, attrs.transposeA === true, attrs.transposeB === true);
    return [{ shape: [...d.batch, d.m, d.n], dtype: "f32" }];
  },
  vjp({ g, inputs: [a, b], attrs }) {
    const ct = g[0] as Tensor;
    const ta = attrs.transposeA === true;
    const tb = attrs.transposeB === true;
    const da = ta ? product(b, ct, tb, true) : product(ct, b, false, !tb);
    const db = tb ? product(ct, a, true, ta) : product(a, ct, !ta, false);
    return [da, db];
  },
  reference([a, b], attrs, [t]) {
    const ta = attrs.transposeA === true;
    const tb = attrs.transposeB === true;
    const { m, n, k } = matmulDims(a.shape, b.shape, ta, tb);
    const out = ndarray(t.shape, "f32");
    const batches = numel(t.shape.slice(0, -2));
    for (let z = 0; z < batches; z++) {
      for (let i = 0; i < m; i++) {
        for (let j = 0; j < n; j++) {
          let acc = 0;
          for (let q = 0; q < k; q++) {
            const x = a.data[z * m * k + (ta ? q * m + i : i * k + q)];
            const y = b.data[z * k * n + (tb ? j * k + q : q * n + j)];
            acc += x * y;
          }
          out.data[(z * m + i) * n + j] = acc;
        }
      }
    }
    return [out];
  },
  lowering: { kind: "matmul" },
  cases: [
    c([1, 1], [1, 1], NN),
    c([3, 5], [5, 7], NN),
    c([4, 8], [8, 12], NN),
    c([17, 33], [33, 19], NN),
    c([9, 8], [8, 30], NN),
    c([37, 5], [30, 5], NT),
    c([12, 20], [12, 28], TN),
    c([5, 8], [8, 4], NN),
    c([3, 5], [7, 5], NT),
    c([8, 16], [12, 16], NT),
    c([5, 3], [5, 7], TN),
    c([16, 8], [16, 20], TN),
    c([5, 3], [7, 5], { transposeA: true, transposeB: true }),
    c([2, 3, 4, 8], [2, 3, 8, 4], NN),
    c([3, 1, 8], [3, 8, 5], NN),
    c([6, 1, 4], [6, 9, 4], NT),
    c([0, 3], [3, 4], NN),
    c([3, 0], [0, 4], NN),
    // More workgroups than two at T0.
    c([70, 2], [2, 150], NN),
    // Large enough for subgroup matrices (T4), and so are the gradients' products.
    c([2, 33, 36], [2, 36, 44], NN),
    c([34, 35], [37, 35], NT),
    c([36, 40], [36, 33], TN),
  ],
  bad: [
    { inputs: [{ shape: [2, 5, 64] }, { shape: [2, 63, 8] }], attrs: NN, error: "ShapeError" },
    { inputs: [{ shape: [5] }, { shape: [5] }], attrs: NN, error: "ShapeError" },
    {
      inputs: [
        { shape: [3, 4], dtype: "i32" },
        { shape: [4, 3], dtype: "i32" },
      ],
      attrs: NN,
      error: "DTypeError",
    },
  ],
  tolerance: { forward: 4e-6, ofMagnitudes: true, reason: "sums of up to 40 products, which may cancel" },
  cost(ins, outs, attrs) {
    const d = matmulDims(ins[0].shape, ins[1].shape, attrs.transposeA === true, attrs.transposeB === true);
    return { flops: 2 * numel(outs[0].shape) * d.k, bytes: bytesOf(ins) + bytesOf(outs) };
  },
  perf: [c([512, 512], [512, 512], NN), c([1024, 128], [128, 512], NN), c([1024, 128], [1024, 512], TN)],
};

function product(a: Tensor, b: Tensor, transposeA: boolean, transposeB: boolean): Tensor {
  return apply(matmulOp, [a, b], { transposeA, transposeB })[0];
}

export interface MatmulOptions {
  transposeA?: boolean;
  transposeB?: boolean;
}

/**
 * `a[B..., M, K] @ b[B..., K, N] -> [B..., M, N]`. Batch axes broadcast; a `b` of two axes is shared by all rows
 * of `a`, without a copy. Throws `ShapeError` where inner dims differ, `DTypeError` unless both are f32.
 */
export const matmul: ((a: Tensor, b: Tensor, options?: MatmulOptions) => Tensor) & OpFunction = Object.assign(
  (a: Tensor, b: Tensor, options: MatmulOptions = {}): Tensor => {
    requireTensor("matmul", a, b);
    const ta = options.transposeA ?? false;
    const tb = options.transposeB ?? false;
    const run = composite((x: TensorLike, y: TensorLike): Tensor => {
      const p = x as Tensor;
      const q = y as Tensor;
      const rank = p.shape.length;
      if (rank > 2 && q.shape.length === 2 && !ta) {
        // One matrix for all: fold the batch axes into the rows.
        const lead = p.shape.slice(0, -1);
        const flat = reshape(p, [numel(lead), p.shape[rank - 1]]); // [B*M, K]
        const out = product(flat, q, false, tb);
        return reshape(out, [...lead, out.shape[1]]); // [B..., M, N]
      }
      if (rank < 2 || q.shape.length < 2) return product(p, q, ta, tb);
      const batch = broadcastShapes("matmul", p.shape.slice(0, -2), q.shape.slice(0, -2));
      return product(
        broadcastTo(p, [...batch, ...p.shape.slice(-2)]),
        broadcastTo(q, [...batch, ...q.shape.slice(-2)]),
        ta,
        tb,
      );
    }, "matmul");
    return run(a, b);
  },
  { op: matmulOp },
);

/**
 * Attention whose scores never reach memory:
 *
 *     score[t, s] = q[t] . k[s] / sqrt(D)          for the keys that query t sees
 *     logSumExp[t] = log sum_s exp(score[t, s])
 *     out[t] = sum_s exp(score[t, s] - logSumExp[t]) v[s]
 *
 * The G heads of queries that share a head of keys stand beside each other, so keys are never repeated. Which keys a
 * query sees is an interval, and data: causal masks, padding at the left, packed rows, windows and the filled part of a
 * cache are all of them. Where all is finite, a row's bits depend on what it sees alone: not on what it does not see, nor
 * on its batch. (A tile of neighbouring queries weighs with 0 what only some of them see, and 0 times NaN is NaN.)
 */
import { requireDType } from "../dtype.ts";
import { ShapeError } from "../errors.ts";
import type { ValueType } from "../ir.ts";
import { ndarray } from "../ndarray.ts";
import type { CaseInput, OpCase, OpDef, OpFunction } from "../opdef.ts";
import { type Shape, sameShape, show } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { apply, requireTensor } from "../trace.ts";
import { attentionGradient } from "./attentionBackward.ts";
import {
  addTo,
  costOf,
  dimsOf,
  dot,
  forEachPair,
  forwardSizes,
  MAX_HEAD_DIM,
  STRIDED,
} from "./attentionShapes.ts";
import { full } from "./define.ts";
import { mul, sub } from "./elementwise.ts";
import { reshape, slice } from "./movement.ts";
import { sum } from "./reduce.ts";

/** Logarithm of the sum of nothing: finite, and exp of it is 0. */
const LOG_OF_NOTHING = -1e30;

function checkOperands([q, k, v, visible]: readonly ValueType[]): void {
  for (const [name, x] of Object.entries({ q, k, v })) requireDType("attention", name, x.dtype, ["f32"]);
  requireDType("attention", "visible", visible.dtype, ["u32"]);
  const [b, t, h, , d] = q.shape;
  const fits =
    q.shape.length === 5 &&
    k.shape.length === 4 &&
    sameShape(k.shape, [b, k.shape[1], h, d]) &&
    sameShape(v.shape, k.shape) &&
    sameShape(visible.shape, [b, t, 2]);
  if (!fits) {
    throw new ShapeError(
      `attention: q[B, T, KV, G, D], k[B, S, KV, D], v[B, S, KV, D] and visible[B, T, 2] were expected, got q${show(q.shape)}, k${show(k.shape)}, v${show(v.shape)}, visible${show(visible.shape)}. Reshape them.`,
    );
  }
  if (q.shape.slice(2).includes(0) || d > MAX_HEAD_DIM) {
    throw new ShapeError(
      `attention: heads of 1 to ${MAX_HEAD_DIM} elements were expected, got q${show(q.shape)}. Check headDim.`,
    );
  }
}

type Interval = readonly [number, number];

/** Intervals [from, to) of every query, as an input of a case. */
function visibleInput(b: number, t: number, of: (b: number, t: number) => Interval): CaseInput {
  const values = Array.from({ length: b * t }, (_, i) => of(Math.floor(i / t), i % t)).flat();
  return { shape: [b, t, 2], dtype: "u32", values };
}

/** A case of these sizes; by default each query sees the keys up to its own, the last query all of them. */
function attentionCase(
  [b, t, s, h, g, d]: readonly number[],
  of: (b: number, t: number) => Interval = (_b, i) => [0, i + 1 + s - t],
): OpCase {
  return {
    inputs: [
      { shape: [b, t, h, g, d] },
      { shape: [b, s, h, d] },
      { shape: [b, s, h, d] },
      visibleInput(b, t, of),
    ],
  };
}

const [f32, u32] = (["f32", "u32"] as const).map((dtype) => (...shape: number[]) => ({ shape, dtype }));

const attentionOp: OpDef = {
  name: "attention",
  signature:
    "q[B, T, KV, G, D], k[B, S, KV, D], v[B, S, KV, D], visible[B, T, 2] u32 -> out[B, T, KV, G, D], logSumExp[B, T, KV, G]",
  doc: "Softmax of q k / sqrt(D) over the keys visible[b, t, 0] <= s < visible[b, t, 1], times v; where there are none, 0 and -1e30.",
  source: "FlashAttention, arXiv 2205.14135; online softmax, arXiv 1805.02867",
  resultNames: ["out", "logSumExp"],
  infer(inputs) {
    checkOperands(inputs);
    const [{ shape }] = inputs;
    return [
      { shape, dtype: "f32" },
      { shape: shape.slice(0, 4), dtype: "f32" },
    ];
  },
  vjp({ g: [gOut, gLse], inputs: [q, k, v, visible], outputs: [out, lse] }) {
    const dOut = gOut ?? full(q.shape, 0);
    // d score = p (dOut . v - delta), with what flows to logSumExp in delta.
    const rowSums = gOut ? sum(mul(gOut, out), -1) : full(lse.shape, 0); // [B, T, KV, G]
    const delta = gLse ? sub(rowSums, gLse) : rowSums;
    const [all] = apply(attentionGradient.op, [q, k, v, dOut, lse, delta, visible]);
    // [B, T, row], with dQ, dK and dV beside each other; [N], with one behind the other, where T is not S.
    const lead = all.shape.slice(0, -1);
    let from = 0;
    const next = (shape: Shape): Tensor => {
      const start = from;
      from += shape.slice(lead.length).reduce((n, d) => n * d, 1);
      return reshape(slice(all, [...lead.map(() => 0), start], [...lead, from]), shape);
    };
    return [next(q.shape), next(k.shape), next(v.shape), null];
  },
  reference([q, k, v, visible], _attrs, [outType, lseType]) {
    const { d } = dimsOf([q, k]);
    const score = (i: number, j: number): number => dot(q, i, k, j, d) / Math.sqrt(d);
    const top = ndarray(lseType.shape, "f32");
    const total = ndarray(lseType.shape, "f32");
    top.data.fill(Number.NEGATIVE_INFINITY);
    forEachPair([q, k], visible, (i, j) => {
      top.data[i] = Math.max(top.data[i], score(i, j));
    });
    forEachPair([q, k], visible, (i, j) => {
      total.data[i] += Math.exp(score(i, j) - top.data[i]);
    });
    const out = ndarray(outType.shape, "f32");
    forEachPair([q, k], visible, (i, j) => {
      addTo(out, i, v, j, Math.exp(score(i, j) - top.data[i]) / total.data[i], d);
    });
    const lse = ndarray(lseType.shape, "f32");
    total.data.forEach((x, i) => {
      lse.data[i] = x === 0 ? LOG_OF_NOTHING : top.data[i] + Math.log(x);
    });
    return [out, lse];
  },
  lowering: {
    kind: "template",
    template: "attention",
    sizes: (inputs, _results, _attrs, lanes) => forwardSizes(dimsOf(inputs), lanes),
    strided: STRIDED,
  },
  cases: [
    attentionCase([1, 1, 1, 1, 1, 1]),
    attentionCase([2, 7, 7, 2, 1, 8]),
    attentionCase([1, 5, 9, 1, 3, 4]),
    attentionCase([2, 3, 3, 1, 2, 5]),
    attentionCase([1, 33, 33, 2, 1, 32]),
    attentionCase([1, 9, 9, 1, 1, 68]),
    attentionCase([1, 3, 12, 1, 1, 256]),
    attentionCase([1, 2, 3, 1, 1, 201]),
    // Decoding: one query, a part of the cache; a long one is split.
    attentionCase([3, 1, 24, 2, 2, 16], (b) => [b, 11]),
    attentionCase([2, 1, 300, 1, 1, 8], (b) => [3 * b, 290]),
    attentionCase([3, 1, 200, 2, 2, 37], (b) => [60 * b, 60 * b + [0, 1, 75][b]]),
    // Padding at the left, whose queries see nothing; rows packed from segments; windows; ends beyond the last key.
    attentionCase([2, 6, 6, 1, 1, 12], (b, t) => [2 * b, t + 1]),
    attentionCase([1, 19, 19, 1, 1, 4], (_b, t) => [t < 5 ? 0 : t < 12 ? 5 : 12, t + 1]),
    attentionCase([1, 21, 21, 1, 2, 4], (_b, t) => [Math.max(0, t - 3), t + 1]),
    attentionCase([1, 4, 5, 1, 1, 4], (_b, t) => [t, 99]),
    attentionCase([0, 3, 3, 1, 1, 4]),
    attentionCase([2, 0, 3, 1, 1, 4]),
    attentionCase([2, 3, 0, 1, 1, 4], () => [0, 0]),
  ],
  bad: [
    { inputs: [f32(1, 3, 2, 1, 4), f32(1, 3, 1, 4), f32(1, 3, 1, 4), u32(1, 3, 2)], error: "ShapeError" },
    { inputs: [f32(1, 3, 2, 4), f32(1, 3, 2, 4), f32(1, 3, 2, 4), u32(1, 3, 2)], error: "ShapeError" },
    { inputs: [f32(1, 3, 2, 1, 4), f32(1, 3, 2, 4), f32(1, 4, 2, 4), u32(1, 3, 2)], error: "ShapeError" },
    { inputs: [f32(1, 3, 2, 1, 4), f32(1, 3, 2, 4), f32(1, 3, 2, 4), u32(1, 3)], error: "ShapeError" },
    { inputs: [f32(1, 3, 2, 0, 4), f32(1, 3, 2, 4), f32(1, 3, 2, 4), u32(1, 3, 2)], error: "ShapeError" },
    {
      inputs: [f32(1, 1, 1, 1, 260), f32(1, 1, 1, 260), f32(1, 1, 1, 260), u32(1, 1, 2)],
      error: "ShapeError",
    },
    { inputs: [f32(1, 3, 2, 1, 4), f32(1, 3, 2, 4), f32(1, 3, 2, 4), f32(1, 3, 2)], error: "DTypeError" },
  ],
  noCase: { one: "what a query sees is two numbers" },
  tolerance: {
    forward: 2e-5,
    // Where one key's score is near 0, logSumExp is: log2 of a sum near 2, less 1.
    absolute: 5e-7,
    ofMagnitudes: true,
    reason:
      "weights are exp of sums of up to 256 products, whose rounding they show; means of values may cancel; WGSL's log2 is good to 2^-21",
  },
  cost: costOf(2),
  perf: [
    attentionCase([8, 128, 128, 4, 1, 32]),
    attentionCase([1, 1024, 1024, 12, 1, 64]),
    attentionCase([64, 1, 64, 4, 1, 32]),
  ],
};

export interface Attended {
  /** [B, T, KV, G, D]. */
  out: Tensor;
  /** [B, T, KV, G] f32, nats: log of the sum of exp of the scores; -1e30 where a query sees nothing. */
  logSumExp: Tensor;
}

/**
 * Attention of `q` [B, T, KV, G, D] over `k` and `v` [B, S, KV, D]: query t of row b sees the keys from visible[b, t, 0]
 * up to, not including, visible[b, t, 1] (u32). Scores are divided by sqrt(D). A query that sees nothing gives 0. Throws
 * `ShapeError` where shapes do not fit or D is more than 256. Its gradients are one tensor of B T (G + 2) KV D elements
 * where T = S, which a binding (128 MiB) has to hold.
 * Source: arXiv 2205.14135.
 */
export const attention: ((q: Tensor, k: Tensor, v: Tensor, visible: Tensor) => Attended) & OpFunction =
  Object.assign(
    (q: Tensor, k: Tensor, v: Tensor, visible: Tensor): Attended => {
      requireTensor("attention", q, k, v, visible);
      const [out, logSumExp] = apply(attentionOp, [q, k, v, visible]);
      return { out, logSumExp };
    },
    { op: attentionOp },
  );

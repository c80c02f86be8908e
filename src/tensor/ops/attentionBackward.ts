/**
 * The gradient of attention, in two kernels because there are no float atomics: one sums over keys, one over queries. With
 * p[t, s] = exp(score[t, s] - logSumExp[t]) and delta[t] = dOut[t] . out[t] - dLogSumExp[t],
 *
 *     dScore[t, s] = p[t, s] (dOut[t] . v[s] - delta[t])
 *     dQ[t] = sum_s dScore[t, s] k[s] / sqrt(D),  dK[s] = sum_t dScore[t, s] q[t] / sqrt(D),  dV[s] = sum_t p[t, s] dOut[t]
 */
import { type NDArray, ndarray } from "../ndarray.ts";
import type { OpDef, OpFunction } from "../opdef.ts";
import { addTo, costOf, dimsOf, dot, forEachPair, SHORT_BLOCK, template } from "./attentionShapes.ts";

const backwardInfer: OpDef["infer"] = ([q, k]) => [
  { shape: q.shape, dtype: "f32" },
  { shape: [2, ...k.shape], dtype: "f32" },
];

/** p and dScore of each pair, from q, k, v, dOut, logSumExp, delta. */
function forEachScore(
  [q, k, v, dOut, lse, delta, visible]: readonly NDArray[],
  f: (query: number, key: number, p: number, dScore: number) => void,
): void {
  const { d } = dimsOf([q, k]);
  forEachPair([q, k], visible, (i, j) => {
    const p = Math.exp(dot(q, i, k, j, d) / Math.sqrt(d) - lse.data[i]);
    f(i, j, p, p * (dot(dOut, i, v, j, d) - delta.data[i]));
  });
}

const BACKWARD = {
  internal: "reached, and tested, through the gradient of attention",
  noGradient: "second derivatives of attention are not built",
  cases: [],
} as const;

const dqOp: OpDef = {
  ...BACKWARD,
  name: "attentionDQ",
  signature:
    "q[B, T, KV, G, D], k[B, S, KV, D], v[B, S, KV, D], dOut[B, T, KV, G, D], logSumExp[B, T, KV, G], delta[B, T, KV, G], visible[B, T, 2] u32 -> dQ[B, T, KV, G, D]",
  doc: "Gradient of attention for its queries.",
  source: "FlashAttention-2, arXiv 2307.08691, algorithm 2",
  infer: (inputs, attrs) => [backwardInfer(inputs, attrs)[0]],
  reference(inputs, _attrs, [t]) {
    const [q, k] = inputs;
    const { d } = dimsOf(inputs);
    const out = ndarray(t.shape, "f32");
    forEachScore(inputs, (i, j, _p, ds) => addTo(out, i, k, j, ds / Math.sqrt(d), q.shape[4]));
    return [out];
  },
  lowering: {
    kind: "template",
    template: "attentionDQ",
    sizes: (inputs) => {
      const dims = dimsOf(inputs);
      return template(dims, dims.t * dims.g);
    },
  },
  cost: costOf(3),
};

const dkvOp: OpDef = {
  ...BACKWARD,
  name: "attentionDKV",
  signature: `${dqOp.signature.split(" -> ")[0]} -> dKV[2, B, S, KV, D]`,
  doc: "Gradients of attention for its keys and its values, in one tensor: with two there would be nine storage buffers.",
  source: dqOp.source,
  infer: (inputs, attrs) => [backwardInfer(inputs, attrs)[1]],
  reference(inputs, _attrs, [t]) {
    const [q, k, , dOut] = inputs;
    const { d } = dimsOf(inputs);
    const out = ndarray(t.shape, "f32");
    const values = k.data.length / d; // rows before those of dV
    forEachScore(inputs, (i, j, p, ds) => {
      addTo(out, j, q, i, ds / Math.sqrt(d), d);
      addTo(out, values + j, dOut, i, p, d);
    });
    return [out];
  },
  lowering: {
    kind: "template",
    template: "attentionDKV",
    sizes: (inputs) => {
      const dims = dimsOf(inputs);
      return template(dims, dims.s, { block: SHORT_BLOCK });
    },
  },
  cost: costOf(4),
};

/** The gradient's kernels, for the table. */
export const attentionDQ: OpFunction = { op: dqOp };
export const attentionDKV: OpFunction = { op: dkvOp };

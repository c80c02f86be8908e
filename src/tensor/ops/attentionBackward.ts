/**
 * The gradient of attention, each pair of a query and a key twice because there are no float atomics: threads that sum over
 * keys, and threads that sum over queries, in one kernel. With
 * p[t, s] = exp(score[t, s] - logSumExp[t]) and delta[t] = dOut[t] . out[t] - dLogSumExp[t],
 *
 *     dScore[t, s] = p[t, s] (dOut[t] . v[s] - delta[t])
 *     dQ[t] = sum_s dScore[t, s] k[s] / sqrt(D),  dK[s] = sum_t dScore[t, s] q[t] / sqrt(D),  dV[s] = sum_t p[t, s] dOut[t]
 */
import { type NDArray, ndarray } from "../ndarray.ts";
import type { OpDef, OpFunction } from "../opdef.ts";
import {
  costOf,
  dimsOf,
  dot,
  forEachPair,
  gradientPlaces,
  gradientSizes,
  STRIDED,
} from "./attentionShapes.ts";

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

const gradientOp: OpDef = {
  name: "attentionGradient",
  internal: "reached, and tested, through the gradient of attention",
  noGradient: "second derivatives of attention are not built",
  cases: [],
  signature:
    "q[B, T, KV, G, D], k[B, S, KV, D], v[B, S, KV, D], dOut[B, T, KV, G, D], logSumExp[B, T, KV, G], delta[B, T, KV, G], visible[B, T, 2] u32 -> [B, T, KV (G + 2) D]",
  doc: "Gradients of attention for its queries, keys and values, beside each other for each position; one behind the other where T is not S.",
  source: "FlashAttention-2, arXiv 2307.08691, algorithm 2",
  plainZeros: true,
  infer: (inputs) => [{ shape: gradientPlaces(dimsOf(inputs)).shape, dtype: "f32" }],
  reference(inputs, _attrs, [t]) {
    const [q, k, , dOut] = inputs;
    const dims = dimsOf(inputs);
    const { d } = dims;
    const { dq0, dq1, dkAt, dvAt, dk0, dk1 } = gradientPlaces(dims).fields;
    const out = ndarray(t.shape, "f32");
    /** Adds to the row of a query, or of a key, that is the n-th of as many in each position. */
    const add = (at: number, from: NDArray, row: number, weight: number): void => {
      for (let c = 0; c < d; c++) out.data[at + c] += weight * from.data[row * d + c];
    };
    const place = (row: number, each: number, length: number, batch: number, step: number): number => {
      const position = Math.floor(row / each);
      return Math.floor(position / length) * batch + (position % length) * step + (row % each) * d;
    };
    forEachScore(inputs, (i, j, p, ds) => {
      const ofKey = place(j, dims.h, dims.s, dk0, dk1);
      add(place(i, dims.h * dims.g, dims.t, dq0, dq1), k, j, ds / Math.sqrt(d));
      add(dkAt + ofKey, q, i, ds / Math.sqrt(d));
      add(dvAt + ofKey, dOut, i, p);
    });
    return [out];
  },
  lowering: {
    kind: "template",
    template: "attentionGradient",
    sizes: (inputs, _results, _attrs, lanes) => gradientSizes(dimsOf(inputs), lanes),
    strided: STRIDED,
  },
  cost: costOf(7),
};

/** The gradient's kernel, for the table. */
export const attentionGradient: OpFunction = { op: gradientOp };

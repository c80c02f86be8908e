/**
 * Sampling one token a row: temperature, then top-k, then top-p, then the inverse of the cumulative distribution
 * at a given uniform number. Temperature 0 is greedy (lowest index among equals). Ties at a threshold are kept.
 */
import { requireDType } from "../dtype.ts";
import { ShapeError } from "../errors.ts";
import { ndarray } from "../ndarray.ts";
import { bytesOf, type OpDef, type OpFunction } from "../opdef.ts";
import { numel, sameShape, show } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { apply, requireTensor } from "../trace.ts";

/** Kept probabilities of a row (0 where cut), in float64: the distribution that is sampled. */
function filteredProbabilities(
  logits: ArrayLike<number>,
  temperature: number,
  topK: number,
  topP: number,
): Float64Array {
  const v = logits.length;
  const p = new Float64Array(v);
  let best = 0;
  for (let i = 1; i < v; i++) if (logits[i] > logits[best]) best = i;
  if (temperature === 0) {
    p[best] = 1;
    return p;
  }
  const order = Array.from({ length: v }, (_, i) => i).sort((a, b) => logits[b] - logits[a] || a - b);
  const kth = topK > 0 && topK < v ? logits[order[topK - 1]] : Number.NEGATIVE_INFINITY;
  let total = 0;
  for (let i = 0; i < v; i++) {
    p[i] = logits[i] >= kth ? Math.exp((logits[i] - logits[best]) / temperature) : 0;
    total += p[i];
  }
  if (topP < 1) {
    // The smallest set of likeliest tokens whose mass reaches topP; equals at its edge stay in.
    let mass = 0;
    let edge = order[0];
    for (const i of order) {
      edge = i;
      mass += p[i];
      if (mass >= topP * total) break;
    }
    total = 0;
    for (let i = 0; i < v; i++) {
      if (logits[i] < logits[edge]) p[i] = 0;
      total += p[i];
    }
  }
  for (let i = 0; i < v; i++) p[i] /= total;
  return p;
}

const sampleOp: OpDef = {
  name: "sample",
  signature: "logits[R, V], uniform[R], temperature[], topK[] u32, topP[] -> token[R] u32, logProb[R]",
  doc: "Draws a token a row by temperature, top-k, top-p; logProb is under the distribution drawn from (0 when greedy).",
  source: "top-p: arXiv 1904.09751",
  resultNames: ["token", "logProb"],
  infer(inputs) {
    const [logits, uniform, temperature, topK, topP] = inputs;
    ["logits", "uniform", "temperature", "topK", "topP"].forEach((name, i) => {
      requireDType("sample", name, inputs[i].dtype, [name === "topK" ? "u32" : "f32"]);
    });
    const scalars = [temperature, topK, topP].every((t) => t.shape.length === 0);
    if (
      logits.shape.length !== 2 ||
      logits.shape[1] === 0 ||
      !sameShape(uniform.shape, [logits.shape[0]]) ||
      !scalars
    ) {
      throw new ShapeError(
        `sample: logits[R, V], uniform[R] and three scalars were expected, got ${inputs.map((t) => show(t.shape)).join(", ")}. Reshape the logits.`,
      );
    }
    return [
      { shape: uniform.shape, dtype: "u32" },
      { shape: uniform.shape, dtype: "f32" },
    ];
  },
  noGradient: "discrete",
  reference([logits, uniform, temperature, topK, topP], _attrs, types) {
    const v = logits.shape[1];
    const token = ndarray(types[0].shape, "u32");
    const logProb = ndarray(types[1].shape, "f32");
    for (let r = 0; r < uniform.data.length; r++) {
      const row = logits.data.subarray(r * v, (r + 1) * v);
      const p = filteredProbabilities(row, temperature.data[0], topK.data[0], topP.data[0]);
      let chosen = -1;
      let mass = 0;
      for (let i = 0; i < v; i++) {
        if (p[i] === 0) continue;
        mass += p[i];
        chosen = i;
        if (mass > uniform.data[r]) break;
      }
      token.data[r] = chosen;
      logProb.data[r] = Math.log(p[chosen]);
    }
    return [token, logProb];
  },
  // Rows in which the uniform number, or the top-p mass, falls within 1e-4 of where the choice turns.
  unstable([logits, uniform, temperature, topK, topP]) {
    const v = logits.shape[1];
    const reaches = (p: Float64Array, x: number): boolean => {
      let mass = 0;
      return p.some((q) => {
        mass += q;
        return Math.abs(mass - x) < 1e-4;
      });
    };
    const rows = Array.from(uniform.data, (u, r) => {
      const row = logits.data.subarray(r * v, (r + 1) * v);
      const kept = filteredProbabilities(row, temperature.data[0], topK.data[0], topP.data[0]);
      const before = filteredProbabilities(row, temperature.data[0], topK.data[0], 1).sort().reverse();
      return reaches(kept, u) || (topP.data[0] < 1 && reaches(before, topP.data[0]));
    });
    return (_result, at) => rows[at];
  },
  lowering: {
    kind: "template",
    template: "sample",
    sizes: ([logits]) => ({ units: logits.shape[0], fields: { vocab: logits.shape[1] } }),
  },
  cases: [
    ...[
      [1, 0, 1],
      [0, 0, 1],
      [0.6, 5, 1],
      [1.3, 0, 0.7],
      [0.8, 7, 0.9],
    ].flatMap(([t, k, p]) =>
      [
        [5, 11],
        [3, 300],
        [4, 1],
        [1, 1],
        [0, 5],
      ].map(([r, v]) => ({
        inputs: [
          { shape: [r, v], range: [-4, 4] as const, distinct: true },
          { shape: [r], range: [0.02, 0.98] as const },
          { shape: [], range: [t, t] as const },
          { shape: [], dtype: "u32" as const, range: [k, k] as const },
          { shape: [], range: [p, p] as const },
        ],
      })),
    ),
  ],
  bad: [
    {
      inputs: [{ shape: [5] }, { shape: [5] }, { shape: [] }, { shape: [], dtype: "u32" }, { shape: [] }],
      error: "ShapeError",
    },
    {
      inputs: [{ shape: [5, 3] }, { shape: [5] }, { shape: [] }, { shape: [] }, { shape: [] }],
      error: "DTypeError",
    },
  ],
  // The distribution's sum and the walk to the drawn token; at most 32 steps of bisection more for each threshold.
  cost: (ins, outs) => ({
    flops: 20 * numel(ins[0].shape),
    mostFlops: (20 + 32 * 4 + 32 * 12) * numel(ins[0].shape),
    bytes: bytesOf(ins) + bytesOf(outs),
  }),
  tolerance: {
    forward: 1e-5,
    absolute: 1e-6,
    reason: "a logarithm of a ratio of sums of exp, whose digits go where it is near 1",
  },
};

export interface Sampled {
  /** [R] u32. */
  token: Tensor;
  /** [R] f32, nats, under the distribution drawn from. */
  logProb: Tensor;
}

/** One token a row; `temperature`, `topK` (0: off) and `topP` (1: off) are scalar tensors, so data. */
export const sample: ((
  logits: Tensor,
  uniform: Tensor,
  temperature: Tensor,
  topK: Tensor,
  topP: Tensor,
) => Sampled) &
  OpFunction = Object.assign(
  (logits: Tensor, uniform: Tensor, temperature: Tensor, topK: Tensor, topP: Tensor): Sampled => {
    requireTensor("sample", logits, uniform, temperature, topK, topP);
    const [token, logProb] = apply(sampleOp, [logits, uniform, temperature, topK, topP]);
    return { token, logProb };
  },
  { op: sampleOp },
);

/**
 * What every contestant is given, and how its results are checked before anything is timed: the same product within 1e-4 of
 * its largest element, the same loss within 1e-3 at each of the first three steps (so gradients and AdamW agree too), the
 * same likeliest tokens in at least nine tenths of the places (one near tie changes the rest of its row).
 */

import { productName, QUICK_SIZES, SIZES } from "../../dist/bench/matmuls.js";
import { samplingPrompts, samplingSizes } from "../../dist/bench/sampling.js";
import { SMALL, smallBatch, smallModel, TINY, WEIGHTS } from "../../dist/bench/smallModel.js";
import { initializeParameters } from "../../dist/model/parameters.js";
import { Rng } from "../../dist/tensor/random.js";

/** Furthest distance of two lists of numbers, as a share of the largest number. */
export function distance(a, b) {
  if (a.length !== b.length) return Infinity;
  let worst = 0;
  let largest = 0;
  for (let i = 0; i < a.length; i++) {
    // Not Math.max, which keeps no NaN apart from a number that is smaller.
    const d = Math.abs(a[i] - b[i]);
    if (!(d <= worst)) worst = d;
    largest = Math.max(largest, Math.abs(b[i]));
  }
  return Number.isNaN(worst) ? Infinity : worst / largest;
}

/** Share of places in which two lists hold the same. */
export function agreement(a, b) {
  if (a.length !== b.length) return 0;
  let same = 0;
  for (let i = 0; i < a.length; i++) if (a[i] === b[i]) same++;
  return same / a.length;
}

/** Weights by name, as data that every contestant can take. */
async function weightsOf(sizes) {
  const params = initializeParameters(smallModel(sizes), WEIGHTS.seed, { std: WEIGHTS.std });
  const weights = new Map();
  for (const { name, shape } of params.layout.parts) {
    weights.set(name, { data: Float32Array.from(await params.get(name).data()), shape: [...shape] });
  }
  params.dispose();
  return weights;
}

function normal(rng, shape) {
  return { shape, data: rng.fillNormal(new Float32Array(shape[0] * shape[1]), 1) };
}

/** Matrix products. */
function matmuls(quick) {
  return (quick ? QUICK_SIZES : SIZES).map((size) => ({
    group: "w1",
    kind: "matmul",
    name: `w1 matmul ${productName(size)}`,
    given() {
      const { m, k, n, transposeA } = size;
      const rng = new Rng(3, 0);
      return {
        a: normal(rng, transposeA ? [k, m] : [m, k]),
        b: normal(rng, [k, n]),
        transposeA,
      };
    },
    signature: (work) => work.result(),
    check(own, other) {
      const d = distance(other, own);
      return { good: d <= 1e-4, text: `products within ${d.toExponential(1)} of the largest element` };
    },
  }));
}

function training(quick) {
  const sizes = quick ? TINY : SMALL;
  return {
    group: "w2",
    kind: "training",
    name: "w2 training step",
    given: async () => ({ sizes, weights: await weightsOf(sizes), ...smallBatch(sizes) }),
    async signature(work) {
      const losses = [];
      for (let step = 0; step < 3; step++) losses.push(await work.loss());
      return losses;
    },
    check(own, other) {
      const text = (losses) => losses.map((l) => l.toFixed(5)).join(", ");
      const good = own.every((l, i) => Math.abs(l - other[i]) <= 1e-3);
      return { good, text: `losses ${text(other)}${good ? "" : ` where naysay has ${text(own)}`}` };
    },
  };
}

function sampling(quick) {
  const sizes = quick ? TINY : SMALL;
  const { rows, prompt, length } = samplingSizes(quick);
  return {
    group: "w3",
    kind: "sampling",
    name: `w3 sampling, ${rows} x ${length} tokens`,
    tokens: rows * length,
    given: async () => ({
      sizes,
      weights: await weightsOf(sizes),
      prompts: samplingPrompts(sizes, { rows, prompt }),
      length,
    }),
    signature: (work) => work.greedy(),
    check(own, other) {
      const share = agreement(other, own);
      return { good: share >= 0.9, text: `${(100 * share).toFixed(1)} % of the likeliest tokens` };
    },
  };
}

/** Everything that is compared. */
export function workloads(quick) {
  return [...matmuls(quick), training(quick), sampling(quick)];
}

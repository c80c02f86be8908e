/**
 * Fact A: over the whole population PSR and NSR are one objective. Right and wrong mass sum to 1, so L_NSR = 1 + L_PSR
 * and the gradients are equal; those of W-REINFORCE are (1 + lambda) times as long. A policy small enough to list every
 * completion shows it through the engine, and that drawn samples of finite number do not have it.
 */
import { beforeAll, expect, test } from "vitest";
import { modelConfig } from "../../src/model/config.ts";
import { initializeParameters } from "../../src/model/parameters.ts";
import { tokenLogProbs } from "../../src/model/scoring.ts";
import { type Parameters, Transformer } from "../../src/model/transformer.ts";
import { maskedAdvantageLoss } from "../../src/rl/loss.ts";
import { valueAndGrad } from "../../src/tensor/autodiff.ts";
import { compile } from "../../src/tensor/compile.ts";
import { tensor } from "../../src/tensor/create.ts";
import { ops } from "../../src/tensor/ops/index.ts";
import { Rng, Stream } from "../../src/tensor/random.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { tensorsOf } from "../../src/tensor/tree.ts";
import { useBackend } from "../helpers/backend.ts";

beforeAll(async () => {
  await useBackend();
});

const V = 4;
/** Every completion of two tokens after the prompt [1, 3]. */
const all = Array.from({ length: V * V }, (_, i) => [1, 3, Math.floor(i / V), i % V]);
/** An arbitrary share of them is right. */
const right = all.map(([, , a, b]) => (a + 2 * b) % 3 === 0);

async function flatGradient(grad: Parameters): Promise<number[]> {
  const parts = await Promise.all(tensorsOf(grad).map((t) => t.data()));
  return parts.flatMap((part) => Array.from(part));
}

const dot = (a: number[], b: number[]) => a.reduce((sum, x, i) => sum + x * b[i], 0);
const cosine = (a: number[], b: number[]) => dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));

test("the exact population gradients of PSR and NSR are parallel, through log, pi and enumeration", async () => {
  const config = modelConfig({ vocabSize: V, hiddenSize: 8, numLayers: 1, numHeads: 2, maxPositions: 8 });
  const model = new Transformer(config);
  const params = initializeParameters(config, 5, { std: 0.6 }).tensors;
  const tokens = tensor(all, { dtype: "u32" });

  /** Gradient of -sum_y w_y P(y) with P the probability of the whole completion. */
  const exact = compile((p: Parameters, t: Tensor, w: Tensor) =>
    valueAndGrad((q: Parameters) => {
      const { logProbs } = tokenLogProbs(model, q, t, { from: 2 }); // [16, 2]
      return ops.neg(ops.sum(ops.mul(w, ops.exp(ops.sum(logProbs, 1)))));
    })(p),
  );
  /** Gradient of the trained loss in its log form under token weights. */
  const logForm = compile((p: Parameters, t: Tensor, weights: Tensor) =>
    valueAndGrad((q: Parameters) => {
      const { logProbs } = tokenLogProbs(model, q, t, { from: 2 });
      return maskedAdvantageLoss("log", {
        logProbs,
        oldLogProbs: logProbs,
        weights,
        ratioMin: 0,
        ratioMax: 1e30,
      }).loss;
    })(p),
  );
  const scored = tokenLogProbs(model, params, tokens, { from: 2 });
  const logs = Array.from(await scored.logProbs.data());
  const p = all.map((_, i) => Math.exp(logs[2 * i] + logs[2 * i + 1]));
  expect(p.reduce((a, b) => a + b)).toBeCloseTo(1, 5);

  const psr = right.map((r) => (r ? 1 : 0));
  const nsr = right.map((r) => (r ? 0 : -1));
  const w = right.map((r) => (r ? 0.1 : -1));
  const through = async (advantage: number[]) => exact(params, tokens, tensor(advantage));
  const [a, b, c] = await Promise.all([psr, nsr, w].map(through));
  const [ga, gb, gc] = await Promise.all([a, b, c].map((x) => flatGradient(x.grad)));
  const [la, lb, lc] = await Promise.all([a, b, c].map((x) => x.value.item()));
  expect(lb).toBeCloseTo(1 + la, 5);
  expect(lc).toBeCloseTo(1 + 1.1 * la, 5);
  const size = Math.sqrt(dot(ga, ga));
  expect(size).toBeGreaterThan(1e-3);
  const apart = (x: number[], y: number[]) => {
    const d = x.map((value, i) => value - y[i]);
    return Math.sqrt(dot(d, d)) / size;
  };
  expect(apart(gb, ga)).toBeLessThan(1e-4);
  const longer = ga.map((x) => 1.1 * x);
  expect(apart(gc, longer)).toBeLessThan(1e-4);

  // The same through the loss that is trained: expectation of A grad log pi, as weights P(y) A(y).
  const expectation = async (advantage: number[]) =>
    flatGradient(logForm(params, tokens, tensor(advantage.map((x, i) => [x * p[i], x * p[i]]))).grad);
  const ea = await expectation(psr);
  expect(cosine(ea, await expectation(nsr))).toBeGreaterThan(0.99999);
  expect(cosine(ea, ga)).toBeGreaterThan(0.99999);

  // Eight drawn samples: each estimator sees other rows, and they point apart.
  const rng = new Rng(2, Stream.test);
  const counts = all.map(() => 0);
  for (let i = 0; i < 8; i++) counts[rng.pick(p)]++;
  const drawn = async (advantage: number[]) =>
    flatGradient(
      logForm(params, tokens, tensor(advantage.map((x, i) => [x * counts[i], x * counts[i]]))).grad,
    );
  const sampled = cosine(await drawn(psr), await drawn(nsr));
  expect(sampled).toBeLessThan(0.99);
});

/** The loss and its gradients in the logits, by the engine, against formulas written out in float64. */

import { beforeAll, describe, expect, test } from "vitest";
import { scoreLogits } from "../../src/model/scoring.ts";
import { planUpdates } from "../../src/rl/advantages.ts";
import type { Algorithm } from "../../src/rl/algorithm.ts";
import { grpo, nsr, psr, wReinforce } from "../../src/rl/algorithms.ts";
import { maskedAdvantageLoss } from "../../src/rl/loss.ts";
import { valueAndGrad } from "../../src/tensor/autodiff.ts";
import { compile } from "../../src/tensor/compile.ts";
import { tensor } from "../../src/tensor/create.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { type TestBackend, useBackend } from "../helpers/backend.ts";

let on: TestBackend;
beforeAll(async () => {
  on = await useBackend();
});

/** The forms that have a gradient by token; `algorithms.test.ts` has the others. */
type LossForm = "ratio" | "log" | "pi";

const V = 5;
const N = 3;
const programs = Object.fromEntries(
  (["ratio", "log", "pi"] as const).map((form) => [
    form,
    compile(
      (z: Tensor, tokens: Tensor, old: Tensor, weights: Tensor, ratioMin: number, ratioMax: number) => {
        const loss = valueAndGrad((logits: Tensor) => {
          const { logProbs } = scoreLogits(logits, tokens);
          const result = maskedAdvantageLoss(form, {
            logProbs,
            oldLogProbs: old,
            weights,
            ratioMin,
            ratioMax,
          });
          return [result.loss, result.clipped] as const;
        });
        const { value, grad, aux } = loss(z);
        return { value, grad, clipped: aux };
      },
      { label: form },
    ),
  ]),
) as unknown as Record<
  LossForm,
  (z: Tensor, t: Tensor, o: Tensor, w: Tensor, a: number, b: number) => Record<string, Tensor>
>;

/** Runs the loss on `[B][N][V]` logits. */
async function run(
  form: LossForm,
  logits: number[][][],
  tokens: number[][],
  weights: number[][],
  old: number[][],
  [low, high]: [number, number] = [0.8, 1.2],
) {
  const out = programs[form](
    tensor(logits),
    tensor(tokens, { dtype: "u32" }),
    tensor(old),
    tensor(weights),
    low,
    high,
  );
  const [value, grad, clipped] = await Promise.all(["value", "grad", "clipped"].map((k) => out[k].data()));
  for (const t of Object.values(out)) t.dispose();
  return { value: value[0], grad: Array.from(grad), clipped: clipped[0] };
}

function softmax(z: number[]): number[] {
  const e = z.map((x) => Math.exp(x - Math.max(...z)));
  const total = e.reduce((a, b) => a + b);
  return e.map((x) => x / total);
}

/** Eight rows of three tokens: logits, tokens, lengths with padding after the end. */
const rows = Array.from({ length: 8 }, (_, b) => ({
  logits: Array.from({ length: N }, (_, t) =>
    Array.from({ length: V }, (_, v) => (((b * 31 + t * 17 + v * 13) % 11) - 5) / 3),
  ),
  tokens: Array.from({ length: N }, (_, t) => (b * 2 + t * 3) % V),
  length: 1 + (b % 3),
}));
const lengths = rows.map((r) => r.length);

const CASES: [string, number[]][] = [
  ["mixed, with a group without variance", [1, 0, 0, 1, 0, 0, 0, 0]],
  ["one right", [0, 0, 1, 0, 0, 1, 0, 0]],
  ["all right", [1, 1, 1, 1, 1, 1, 1, 1]],
  ["all wrong", [0, 0, 0, 0, 0, 0, 0, 0]],
];
const ALGORITHMS: Algorithm[] = [psr, nsr, wReinforce(0.1), grpo].flatMap((a) => [
  a,
  { ...a, name: `${a.name} log`, form: "log" },
  { ...a, name: `${a.name} pi`, form: "pi", aggregation: "constant" },
  { ...a, name: `${a.name} by sequence`, aggregation: "sequence", clipLow: null, clipHigh: null },
]);

describe.each(ALGORITHMS.map((a) => [a.name, a] as const))("%s", (_name, algorithm) => {
  test.each(CASES)("%s", async (_case, rewards) => {
    const plans = planUpdates(rewards, lengths, {
      algorithm,
      numGenerations: 4,
      maxCompletionLength: N,
      miniBatches: { kind: "whole" },
      cutFirst: true,
    });
    if (plans.length === 0) return;
    const weights = rows.map(() => Array(N).fill(0));
    plans[0].rows.forEach((row, i) => {
      weights[row].fill(plans[0].weights[i], 0, lengths[row]);
    });
    // Old log-probabilities apart from the new ones by up to half a nat: some ratios leave the clipping range.
    const now = rows.map((r) => r.logits.map((z, t) => Math.log(softmax(z)[r.tokens[t]])));
    const old = now.map((row, b) => row.map((l, t) => l + (((b * 5 + t * 3) % 7) - 3) / 6));
    const bounds: [number, number] = algorithm.clipLow === null ? [0, 1e30] : [0.8, 1.2];
    const got = await run(
      algorithm.form as LossForm,
      rows.map((r) => r.logits),
      rows.map((r) => r.tokens),
      weights,
      old,
      bounds,
    );

    let loss = 0;
    let clipped = 0;
    const grad: number[] = [];
    rows.forEach((r, b) => {
      r.logits.forEach((z, t) => {
        const p = softmax(z);
        const w = weights[b][t];
        const [lo, hi] = bounds;
        const rho = Math.exp(now[b][t] - old[b][t]);
        // min(A rho, A clip(rho)) as it is written in the paper, with w for A.
        const ratio = Math.min(w * rho, w * Math.min(Math.max(rho, lo), hi));
        const cut = algorithm.form === "ratio" && (w > 0 ? rho > hi : w < 0 && rho < lo);
        clipped += cut ? 1 : 0;
        loss -= { ratio, log: w * now[b][t], pi: w * p[r.tokens[t]] }[algorithm.form as LossForm];
        const scale = cut ? 0 : w * { ratio: rho, log: 1, pi: p[r.tokens[t]] }[algorithm.form as LossForm];
        for (let v = 0; v < V; v++) grad.push(-scale * ((v === r.tokens[t] ? 1 : 0) - p[v]));
      });
    });
    expect(Math.abs(got.value - loss)).toBeLessThan(on.tolerance(1e-12, 3e-6));
    expect(got.clipped).toBe(clipped);
    for (const [i, want] of grad.entries()) {
      expect(Math.abs(got.grad[i] - want)).toBeLessThan(on.tolerance(1e-12, 1e-6));
    }
    // Padding has no gradient at all.
    rows.forEach((_, b) => {
      const own = got.grad.slice((b * N + lengths[b]) * V, (b + 1) * N * V);
      expect(own.every((x) => x === 0)).toBe(true);
    });
  });
});

describe("equations 7 and 8: the direction of ascent in the logits of one token", () => {
  const z = [1.2, -0.3, 0.4, -2.5, 0.1];
  const p = softmax(z);
  const once = async (form: LossForm, sign: number, y: number) => {
    const at = (x: number) => [[x, 0, 0]];
    const flat = [z, z, z];
    const { grad } = await run(form, [flat], [[y, 0, 0]], at(sign), [[Math.log(p[y]), 0, 0]]);
    return grad.slice(0, V).map((x) => -x);
  };

  test.each([0, 3])(
    "pi form, token %i: +pi(1 - pi) and -pi_v pi for PSR, turned round for NSR",
    async (y) => {
      const up = await once("pi", 1, y);
      const down = await once("pi", -1, y);
      for (let v = 0; v < V; v++) {
        const want = v === y ? p[y] * (1 - p[y]) : -p[v] * p[y];
        expect(Math.abs(up[v] - want)).toBeLessThan(on.tolerance(1e-12, 1e-6));
        expect(Math.abs(down[v] + want)).toBeLessThan(on.tolerance(1e-12, 1e-6));
      }
    },
  );

  test.each(["log", "ratio"] as const)("%s form: the factor pi is missing", async (form) => {
    for (const y of [0, 3]) {
      const up = await once(form, 1, y);
      for (let v = 0; v < V; v++) {
        const want = v === y ? 1 - p[y] : -p[v];
        expect(Math.abs(up[v] - want)).toBeLessThan(on.tolerance(1e-12, 1e-6));
      }
    }
  });

  test("so the rarest wrong token is pushed least in the pi form and most in the others", async () => {
    const push = async (form: LossForm) => {
      const pushes = [];
      for (let y = 0; y < V; y++) pushes.push(Math.abs((await once(form, -1, y))[y]));
      return pushes;
    };
    const rarest = p.indexOf(Math.min(...p));
    const pi = await push("pi");
    expect(pi.indexOf(Math.min(...pi))).toBe(rarest);
    for (const form of ["log", "ratio"] as const) {
      const pushes = await push(form);
      expect(pushes.indexOf(Math.max(...pushes))).toBe(rarest);
    }
  });
});

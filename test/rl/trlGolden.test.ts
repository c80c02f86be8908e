/**
 * Advantages, losses and gradients against TRL's own trainers (test/golden/trl/losses.py says how they were made).
 *
 * Where the two define something differently, the case says so and gives what it costs:
 *
 * - DAPO: TRL keeps groups without variance (it samples no others in their place) and counts their tokens in Z; here they
 *   are left out of Z, so loss and gradient are larger by the quotient of the tokens.
 * - Cut rows under `maskTruncated`: a mean over rows divides by all rows in TRL, by the rows that take part here.
 * - RLOO: TRL clips the ratio of whole rows, min(A S, A clip(S)) with S = prod rho, and takes the mean over rows; here
 *   A log pi has no ratio, and Z is rows times maxCompletionLength. On the policy itself, where S = 1, the gradients agree
 *   up to that length; the losses themselves are different functions.
 * - A group's deviation of 0: TRL divides what float32 leaves of r - mean by 1e-4; here such a group has 0 by equality.
 * - KL in the loss: TRL's default is rho k3 (`use_bias_correction_kl`, arXiv 2512.02556), here it is k3, as in GRPO's paper:
 *   compared without that option.
 *
 * TRL has k3 (GRPO's loss) and k1 (RLOO's reward). Its trainers have no k2, and no k1 by token as PPO has it here: those
 * are held by the formulas in algorithms.test.ts alone.
 */
import { beforeAll, describe, expect, test } from "vitest";
import { packRows } from "../../src/model/sequences.ts";
import { advantages, planUpdates, type RowFacts } from "../../src/rl/advantages.ts";
import type { Algorithm } from "../../src/rl/algorithm.ts";
import { cispo, dapo, drGrpo, grpo, grpoKl, gspo, rloo } from "../../src/rl/algorithms.ts";
import { tokenTerms } from "../../src/rl/learner.ts";
import { klOf, type LossTerms, policyLoss } from "../../src/rl/loss.ts";
import { valueAndGrad } from "../../src/tensor/autodiff.ts";
import { type Compiled, compile } from "../../src/tensor/compile.ts";
import { tensor } from "../../src/tensor/create.ts";
import { UNCLIPPED } from "../../src/tensor/optim.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { type Batch, batches, type Result, results } from "../golden/trl/losses.golden.ts";
import { type TestBackend, useBackend } from "../helpers/backend.ts";

let on: TestBackend;
beforeAll(async () => {
  on = await useBackend();
});

const [B, G, N] = [12, 4, 6];
const sum = (x: readonly number[]): number => x.reduce((a, b) => a + b, 0);

interface Case {
  algorithm: Algorithm;
  /** What loss and gradient here are of TRL's, where the normalisers differ. */
  factor?(given: Batch, trl: Result): number;
  /** Whether only the gradient on the policy itself can be compared. */
  onPolicyGradient?: boolean;
}

/** All rows over those that were not cut. */
const rowsThatEnd = ({ finished }: Batch): number => B / sum(finished);
/** All tokens that count in TRL over those in groups with variance. */
const tokensThatDiffer = ({ rewards }: Batch, { mask }: Result): number => {
  const differs = (row: number): boolean => {
    const from = row - (row % G);
    return rewards.slice(from, from + G).some((r) => r !== rewards[from]);
  };
  return sum(mask) / sum(mask.filter((_, row) => differs(row)));
};

const CASES: Record<string, Case> = {
  grpo: { algorithm: grpo },
  "grpo bnpo": { algorithm: grpo },
  "grpo-kl": { algorithm: grpoKl },
  "grpo k3 by token": {
    algorithm: { ...grpo, kl: { estimator: "k3", where: "loss", coefficient: 0.3 } },
  },
  "dr-grpo": { algorithm: drGrpo },
  dapo: { algorithm: dapo, factor: tokensThatDiffer },
  "dapo masked": { algorithm: { ...dapo, maskTruncated: true }, factor: tokensThatDiffer },
  "grpo-kl masked": { algorithm: { ...grpoKl, maskTruncated: true }, factor: rowsThatEnd },
  "dr-grpo masked": { algorithm: { ...drGrpo, maskTruncated: true }, factor: rowsThatEnd },
  "grpo delta": { algorithm: { ...grpo, dualClip: 1.4 } },
  gspo: { algorithm: gspo },
  cispo: { algorithm: cispo },
  rloo: { algorithm: rloo, factor: () => 1 / N, onPolicyGradient: true },
  "rloo k1": {
    algorithm: { ...rloo, kl: { estimator: "k1", where: "reward", coefficient: 0.05 } },
    factor: () => 1 / N,
    onPolicyGradient: true,
  },
};

type Data = Record<"weights" | "oldLogProbs" | "scales" | "reference", Tensor>;
type Run = Compiled<
  [Tensor, Data, Record<"ratioMin" | "ratioMax" | "dualMax" | "kl", number>],
  { loss: Tensor; gradient: Tensor; kl: Tensor }
>;
const programs = new Map<string, Run>();

/** Loss and its gradient in the log-probabilities, for the terms of an algorithm. */
function programOf({ form, kl }: LossTerms, dual: boolean): Run {
  const key = `${form} ${kl} ${dual}`;
  const known = programs.get(key);
  if (known) return known;
  const made: Run = compile(
    (logProbs, data, { dualMax, ...numbers }) => {
      const { value, grad, aux } = valueAndGrad((x: Tensor) => {
        const outputs = { logProbs: x, entropy: x };
        const bounds = dual ? { ...numbers, dualMax } : numbers;
        const result = policyLoss({ form, kl }, outputs, data, bounds);
        return [result.loss, result.kl ?? result.clipped] as const;
      })(logProbs);
      return { loss: value, gradient: grad, kl: aux };
    },
    { label: key },
  );
  programs.set(key, made);
  return made;
}

/** What the trainer hands to the advantages. */
function factsOf({ kl }: Algorithm, { rewards, lengths, finished, old, reference }: Batch): RowFacts {
  if (kl?.where !== "reward") return { finished };
  const paid = old.map((row, i) =>
    sum(row.slice(0, lengths[i]).map((l, t) => klOf(kl.estimator, l, reference[i][t]))),
  );
  return { finished, shaped: rewards.map((r, i) => r - kl.coefficient * paid[i]) };
}

async function ours(algorithm: Algorithm, given: Batch) {
  const { rewards, lengths, current, old, reference } = given;
  const [plan] = planUpdates(rewards, lengths, {
    algorithm,
    numGenerations: G,
    maxCompletionLength: N,
    miniBatches: { kind: "whole" },
    cutFirst: true,
    facts: factsOf(algorithm, given),
  });
  const terms = tokenTerms(
    {
      ...plan,
      batch: packRows(
        lengths.map(() => [1]),
        lengths.map((n) => Array(n).fill(3)),
        { promptLength: 1, completionLength: N },
      ),
      oldLogProbs: old.flat(),
      reference: reference.flat(),
    },
    0,
    B,
  );
  // Rows of the plan come first.
  const order = [...plan.rows, ...rewards.map((_, i) => i).filter((i) => !plan.rows.includes(i))];
  const grid = (x: ArrayLike<number>): Tensor => tensor(Float32Array.from(x), { shape: [B, N] });
  const out = programOf(
    { form: algorithm.form, kl: algorithm.kl?.where === "loss" ? algorithm.kl.estimator : null },
    algorithm.dualClip != null,
  )(
    grid(order.flatMap((i) => current[i])),
    {
      weights: grid(terms.weights),
      oldLogProbs: grid(terms.oldLogProbs),
      scales: grid(terms.scales),
      reference: grid(terms.reference),
    },
    {
      ratioMin: algorithm.clipLow == null ? 0 : 1 - algorithm.clipLow,
      ratioMax: algorithm.clipHigh == null ? UNCLIPPED : 1 + algorithm.clipHigh,
      dualMax: algorithm.dualClip ?? UNCLIPPED,
      kl: algorithm.kl?.coefficient ?? 0,
    },
  );
  const [loss, flat, kl] = await Promise.all([out.loss.item(), out.gradient.data(), out.kl.item()]);
  for (const t of Object.values(out)) t.dispose();
  const gradient: number[][] = Array(B);
  order.forEach((row, at) => {
    gradient[row] = Array.from(flat.slice(at * N, (at + 1) * N));
  });
  return { loss, gradient, kl };
}

test("every case and batch of TRL's is compared", () => {
  for (const by of Object.values(results)) expect(Object.keys(by)).toEqual(Object.keys(CASES));
  expect(Object.keys(results)).toEqual(Object.keys(batches));
});

describe.each(Object.entries(CASES))("%s", (name, { algorithm, factor, onPolicyGradient }) => {
  test.each(Object.entries(batches))("advantages: %s", (batch, given) => {
    const facts = factsOf(algorithm, given);
    const found = advantages(facts.shaped ?? given.rewards, G, algorithm, facts);
    const wanted = results[batch][name].advantages; // float32
    for (const [i, a] of found.entries()) expect(Math.abs(a - wanted[i])).toBeLessThan(1e-6);
  });

  const compared = Object.entries(batches).filter(([batch]) => !onPolicyGradient || batch === "on policy");
  test.each(compared)("loss and gradient: %s", async (batch, given) => {
    const trl = results[batch][name];
    const got = await ours(algorithm, given);
    const f = factor?.(given, trl) ?? 1;
    if (!onPolicyGradient) {
      expect(Math.abs(got.loss - f * trl.loss)).toBeLessThan(on.tolerance(1e-7, 2e-6) * (1 + f));
    }
    const largest = Math.max(...trl.gradient.flat().map(Math.abs));
    expect(largest).toBeGreaterThan(0.001);
    for (const [i, row] of trl.gradient.entries()) {
      for (const [t, g] of row.entries()) {
        const off = Math.abs(got.gradient[i][t] - f * g);
        expect(off, `row ${i}, token ${t}`).toBeLessThan(2e-6 * f * largest);
        // Clipped tokens, padding and cut rows: not small but nothing.
        if (g === 0) expect(Math.abs(got.gradient[i][t])).toBe(0);
      }
    }
  });
});

test("clipping cuts in both directions, and not everywhere", () => {
  const { gradient, advantages: a, mask } = results.far.grpo;
  const cut = (sign: number): number =>
    sum(
      gradient.map((row, i) => (a[i] * sign > 0 ? row.slice(0, mask[i]).filter((g) => g === 0).length : 0)),
    );
  expect(cut(1)).toBeGreaterThan(3);
  expect(cut(-1)).toBeGreaterThan(3);
  expect(cut(1) + cut(-1)).toBeLessThan(sum(mask) - 10);
});

test.each(Object.entries(batches))("estimators of KL over the tokens: %s", async (batch, given) => {
  const means = (estimator: "k1" | "k3", logProbs: number[][]): number =>
    sum(
      logProbs.flatMap((row, i) =>
        row.slice(0, given.lengths[i]).map((l, t) => klOf(estimator, l, given.reference[i][t])),
      ),
    ) / sum(given.lengths);
  const of = (name: string): number => results[batch][name].kl as number;
  // TRL logs them in float32.
  expect(Math.abs(means("k3", given.current) - of("grpo k3 by token"))).toBeLessThan(1e-6);
  expect(Math.abs(means("k1", given.old) - of("rloo k1"))).toBeLessThan(1e-6);
  const { kl } = await ours(CASES["grpo k3 by token"].algorithm, given);
  expect(Math.abs(kl - of("grpo k3 by token"))).toBeLessThan(1e-6);
});

/**
 * Every preset's loss and its gradient in the logits, by the engine, against implementations written here from the
 * formulas in float64. The oracle shares no code with src/rl; its gradients are central differences of its loss.
 */
import { beforeAll, describe, expect, test } from "vitest";
import { scoreLogits } from "../../src/model/scoring.ts";
import { packRows } from "../../src/model/sequences.ts";
import { planUpdates, tokenAdvantages } from "../../src/rl/advantages.ts";
import type { Algorithm } from "../../src/rl/algorithm.ts";
import { ALGORITHMS, algorithmByName, grpo, nsr, wReinforce } from "../../src/rl/algorithms.ts";
import { tokenTerms } from "../../src/rl/learner.ts";
import { policyLoss } from "../../src/rl/loss.ts";
import { valueAndGrad } from "../../src/tensor/autodiff.ts";
import { type Compiled, compile } from "../../src/tensor/compile.ts";
import { tensor } from "../../src/tensor/create.ts";
import { Rng, Stream } from "../../src/tensor/random.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { type TestBackend, useBackend } from "../helpers/backend.ts";
import { repeat, seed } from "../helpers/seed.ts";

let on: TestBackend;
beforeAll(async () => {
  on = await useBackend();
});

const [B, G, N, V] = [8, 4, 4, 5];

/** A rollout with everything a loss can read. */
interface Batch {
  logits: number[][][];
  tokens: number[][];
  lengths: number[];
  finished: number[];
  rewards: number[];
  old: number[][];
  ref: number[][];
  values: number[][];
  oldValues: number[][];
}

function softmax(z: readonly number[]): number[] {
  const most = Math.max(...z);
  const e = z.map((x) => Math.exp(x - most));
  const total = e.reduce((a, b) => a + b, 0);
  return e.map((x) => x / total);
}

function drawBatch(rng: Rng, rewards: number[]): Batch {
  const grid = (f: () => number): number[][] =>
    Array.from({ length: B }, () => Array.from({ length: N }, f).map(Math.fround));
  const logits = Array.from({ length: B }, () =>
    Array.from({ length: N }, () => Array.from({ length: V }, () => Math.fround(4 * rng.uniform() - 2))),
  );
  const tokens = Array.from({ length: B }, () => Array.from({ length: N }, () => rng.int(V)));
  const lengths = Array.from({ length: B }, () => 1 + rng.int(N));
  const finished = lengths.map((n) => (n === N ? rng.int(2) : 1));
  const now = logits.map((row, b) => row.map((z, t) => Math.log(softmax(z)[tokens[b][t]])));
  // Apart from the policy by up to half a nat: some ratios leave the clipping range.
  const near = (): number[][] => now.map((row) => row.map((l) => Math.fround(l + rng.uniform() - 0.5)));
  return {
    logits,
    tokens,
    lengths,
    finished,
    rewards,
    old: near(),
    ref: near(),
    values: grid(() => rng.uniform()),
    oldValues: grid(() => rng.uniform()),
  };
}

// ------------------------------------------------------------ the oracle

const choose = (n: number, k: number): number => {
  if (k < 0 || k > n) return 0;
  let c = 1;
  for (let i = 1; i <= k; i++) c = (c * (n - k + i)) / i;
  return c;
};
const meanOf = (x: readonly number[]): number => x.reduce((a, b) => a + b, 0) / x.length;
const deviation = (x: readonly number[]): number => {
  const m = meanOf(x);
  return Math.sqrt(x.reduce((a, b) => a + (b - m) ** 2, 0) / (x.length - 1));
};
const groupsOf = <T>(x: readonly T[]): T[][] =>
  Array.from({ length: x.length / G }, (_, i) => x.slice(i * G, (i + 1) * G));
const clip = (x: number, low: number, high: number): number => Math.min(Math.max(x, low), high);

type Terms = { advantage: number[][]; keep: boolean[]; scale: (row: number) => number };
type TokenLoss = (
  a: number,
  ctx: { l: number; old: number; s: number; S: number; held: { rho: number; S: number } },
) => number;

interface Oracle {
  advantages(b: Batch): number[][];
  keep?(b: Batch): boolean[];
  /** Divisor of a token of a row, given which rows are kept. */
  aggregation: "token" | "sequence" | "constant";
  loss: TokenLoss;
  kl?: { estimator: (lr: number) => number; coefficient: number };
  /** Weight of an entropy bonus. */
  entropy?: number;
  value?: number;
}

const perRow = (a: number[]): number[][] => a.map((x) => Array(N).fill(x));
const byGroup =
  (f: (group: number[], rows: number[]) => number[]) =>
  (b: Batch): number[][] => {
    const rows = groupsOf(b.rewards.map((_, i) => i));
    return perRow(groupsOf(b.rewards).flatMap((g, i) => f(g, rows[i])));
  };
const same = (g: readonly number[]): boolean => g.every((x) => x === g[0]);

const ppoClip =
  (low: number, high: number): TokenLoss =>
  (a, { l, old }) => {
    const rho = Math.exp(l - old);
    return -Math.min(a * rho, a * clip(rho, 1 - low, 1 + high));
  };
const logForm: TokenLoss = (a, { l }) => -a * l;
const standardized = (g: number[], eps = 1e-4): number[] =>
  same(g) ? g.map(() => 0) : g.map((r) => (r - meanOf(g)) / (deviation(g) + eps));

const ORACLES: Record<string, Oracle> = {
  psr: {
    advantages: (b) => perRow(b.rewards),
    keep: (b) => b.rewards.map((r) => r === 1),
    aggregation: "token",
    loss: ppoClip(0.2, 0.2),
  },
  nsr: {
    advantages: (b) => perRow(b.rewards.map((r) => r - 1)),
    keep: (b) => b.rewards.map((r) => r === 0),
    aggregation: "token",
    loss: ppoClip(0.2, 0.2),
  },
  "w-reinforce": {
    advantages: (b) => perRow(b.rewards.map((r) => (r === 1 ? 0.1 : -1))),
    aggregation: "token",
    loss: ppoClip(0.2, 0.2),
  },
  // Step 4 of 10: lambda 0.03.
  "nsr-to-w": {
    advantages: (b) => perRow(b.rewards.map((r) => (r === 1 ? 0.1 * 0.3 : -1))),
    aggregation: "token",
    loss: ppoClip(0.2, 0.2),
  },
  reinforce: { advantages: (b) => perRow(b.rewards), aggregation: "token", loss: logForm },
  rloo: {
    advantages: byGroup((g) => g.map((r, i) => r - meanOf(g.filter((_, j) => j !== i)))),
    // log pi(y|x) is the sum over tokens: every token of every row weighs the same.
    aggregation: "constant",
    loss: logForm,
  },
  grpo: { advantages: byGroup((g) => standardized(g)), aggregation: "token", loss: ppoClip(0.2, 0.2) },
  "grpo-kl": {
    advantages: byGroup((g) => standardized(g)),
    aggregation: "sequence",
    loss: ppoClip(0.2, 0.2),
    kl: { estimator: (lr) => Math.exp(-lr) - 1 + lr, coefficient: 0.04 },
  },
  "dr-grpo": {
    advantages: byGroup((g) => g.map((r) => r - meanOf(g))),
    aggregation: "constant",
    loss: ppoClip(0.2, 0.2),
  },
  dapo: {
    advantages: byGroup((g) => standardized(g)),
    keep: (b) => groupsOf(b.rewards).flatMap((g) => g.map(() => !same(g))),
    aggregation: "token",
    loss: ppoClip(0.2, 0.28),
  },
  ppo: {
    advantages(b) {
      // Sums forward instead of the recursion: gamma = lambda = 1 makes the advantage the return less the value.
      const out = b.rewards.map((reward, i) =>
        b.oldValues[i].map((v, t) => {
          if (t >= b.lengths[i]) return 0;
          let total = reward;
          for (let u = t; u < b.lengths[i]; u++) total -= 1e-3 * (b.old[i][u] - b.ref[i][u]);
          return total - v;
        }),
      );
      const flat = out.flatMap((row, i) => row.slice(0, b.lengths[i]));
      return out.map((row, i) =>
        row.map((a, t) => (t < b.lengths[i] ? (a - meanOf(flat)) / (deviation(flat) + 1e-8) : 0)),
      );
    },
    aggregation: "token",
    loss: ppoClip(0.2, 0.2),
    value: 0.5,
  },
  maxrl: {
    advantages: byGroup((g) =>
      same(g) ? g.map(() => 0) : g.map((r) => (r - meanOf(g)) / (meanOf(g) + 1e-6)),
    ),
    aggregation: "token",
    loss: ppoClip(0.2, 0.2),
  },
  "pass-k:2": {
    advantages: byGroup((g) => {
      const wrong = g.filter((r) => r === 0).length;
      const R = 1 - choose(wrong, 2) / choose(G, 2);
      const s = Math.sqrt(R * (1 - R));
      if (s === 0) return g.map(() => 0);
      return g.map((r) => (r === 1 ? (1 - R) / s : (1 - R - choose(wrong - 1, 1) / choose(G - 1, 1)) / s));
    }),
    aggregation: "token",
    loss: ppoClip(0.2, 0.2),
  },
  "pkpo:2": {
    advantages: byGroup((g) => {
      const c = g.filter((r) => r === 1).length;
      return g.map((r) => (r === 1 ? 2 / G : (2 / G) * (1 - choose(G - 1 - c, 1) / choose(G - 1, 1))));
    }),
    aggregation: "token",
    loss: ppoClip(0.2, 0.2),
  },
  asymre: {
    advantages: byGroup((g) => g.map((r) => r - (meanOf(g) - 0.1))),
    aggregation: "token",
    loss: logForm,
  },
  topr: {
    advantages: (b) => perRow(b.rewards.map((r) => (r === 1 ? 1 : -1))),
    aggregation: "constant",
    loss: (a, { l, held }) => -a * l * (a > 0 ? 1 : clip(held.S, 0, 1)),
  },
  ngrpo: {
    advantages: byGroup((g) => {
      const more = [...g, 1];
      return same(more) ? g.map(() => 0) : g.map((r) => (r - meanOf(more)) / (deviation(more) + 1e-4));
    }),
    aggregation: "token",
    loss: ppoClip(0.16, 0.24),
  },
  unlikeliness: {
    advantages(b) {
      const sum = b.old.map((row, i) => row.slice(0, b.lengths[i]).reduce((x, y) => x + y, 0));
      return byGroup((g, rows) => {
        const rank = rows.map(
          (i) => rows.filter((j) => sum[j] < sum[i] || (sum[j] === sum[i] && j <= i)).length,
        );
        return standardized(g.map((r, i) => r * (1 - (0.25 * rank[i]) / G)));
      })(b);
    },
    aggregation: "token",
    loss: ppoClip(0.2, 0.2),
  },
  cispo: {
    advantages: byGroup((g) => standardized(g)),
    aggregation: "token",
    loss: (a, { l, held }) => -a * l * clip(held.rho, 0, 1.2),
  },
  gspo: {
    advantages: byGroup((g) => standardized(g)),
    aggregation: "sequence",
    loss: (a, { s }) => -Math.min(a * s, a * clip(s, 1 - 3e-4, 1 + 4e-4)),
  },
};

/** Choices that no preset makes. */
const VARIANTS: [string, Algorithm, Oracle][] = [
  [
    "GRPO with k1 in the loss",
    { ...grpo, kl: { estimator: "k1", where: "loss", coefficient: 0.1 } },
    { ...ORACLES.grpo, kl: { estimator: (lr) => lr, coefficient: 0.1 } },
  ],
  [
    "GRPO with k2 in the loss",
    { ...grpo, kl: { estimator: "k2", where: "loss", coefficient: 0.1 } },
    { ...ORACLES.grpo, kl: { estimator: (lr) => lr ** 2 / 2, coefficient: 0.1 } },
  ],
  [
    "NSR with an entropy bonus",
    { ...nsr, entropy: { coefficient: 0.05 } },
    { ...ORACLES.nsr, entropy: 0.05 },
  ],
  [
    "W-REINFORCE with a dual clip",
    { ...wReinforce(), dualClip: 1.15 },
    {
      ...ORACLES["w-reinforce"],
      loss: (a, ctx) => {
        const plain = ppoClip(0.2, 0.2)(a, ctx);
        return a < 0 ? -Math.max(-plain, 1.15 * a) : plain;
      },
    },
  ],
  [
    "GRPO without cut completions",
    { ...grpo, maskTruncated: true },
    { ...ORACLES.grpo, keep: (b) => b.finished.map((f) => f === 1) },
  ],
  [
    "NSR in pi form over a constant length",
    { ...nsr, form: "pi", aggregation: "constant" },
    { ...ORACLES.nsr, aggregation: "constant", loss: (a, { l }) => -a * Math.exp(l) },
  ],
];

function terms(o: Oracle, b: Batch): Terms {
  const keep = o.keep?.(b) ?? b.rewards.map(() => true);
  const rows = keep.flatMap((k, i) => (k ? [i] : []));
  const tokens = rows.reduce((n, i) => n + b.lengths[i], 0);
  const z = { token: tokens, sequence: rows.length, constant: rows.length * N }[o.aggregation];
  return {
    advantage: o.advantages(b),
    keep,
    scale: (i) => 1 / (o.aggregation === "sequence" ? z * b.lengths[i] : z),
  };
}

/** The loss as a number, from logits and values; `base` is where detached factors are computed. */
function oracleLoss(
  o: Oracle,
  b: Batch,
  logits: number[][][],
  values: number[][],
  base: number[][][],
): number {
  const { advantage, keep, scale } = terms(o, b);
  const logProb = (z: number[][][], i: number, t: number): number =>
    Math.log(softmax(z[i][t])[b.tokens[i][t]]);
  const returns =
    o.value === undefined
      ? null
      : b.rewards.map((reward, i) =>
          b.old[i].map((_, t) => {
            let total = reward;
            for (let u = t; u < b.lengths[i]; u++) total -= 1e-3 * (b.old[i][u] - b.ref[i][u]);
            return total;
          }),
        );
  let loss = 0;
  for (let i = 0; i < B; i++) {
    if (!keep[i]) continue;
    const n = b.lengths[i];
    let log = 0;
    let logHeld = 0;
    for (let t = 0; t < n; t++) {
      log += logProb(logits, i, t) - b.old[i][t];
      logHeld += logProb(base, i, t) - b.old[i][t];
    }
    for (let t = 0; t < n; t++) {
      const l = logProb(logits, i, t);
      const held = { rho: Math.exp(logProb(base, i, t) - b.old[i][t]), S: Math.exp(logHeld) };
      const ctx = { l, old: b.old[i][t], s: Math.exp(log / n), S: Math.exp(log), held };
      loss += scale(i) * o.loss(advantage[i][t], ctx);
      if (o.kl) loss += scale(i) * o.kl.coefficient * o.kl.estimator(l - b.ref[i][t]);
      if (o.entropy) {
        for (const p of softmax(logits[i][t])) loss += scale(i) * o.entropy * p * Math.log(p);
      }
      if (returns) loss += (scale(i) * (o.value as number) * (values[i][t] - returns[i][t]) ** 2) / 2;
    }
  }
  return loss;
}

/** Central differences in logits and values. */
function oracleGradient(o: Oracle, b: Batch): { logits: number[]; values: number[] } {
  const h = 1e-5;
  const at = (change: (l: number[][][], v: number[][]) => void): number => {
    const logits = b.logits.map((row) => row.map((z) => [...z]));
    const values = b.values.map((row) => [...row]);
    change(logits, values);
    return oracleLoss(o, b, logits, values, b.logits);
  };
  const slope = (change: (x: number) => (l: number[][][], v: number[][]) => void): number =>
    (at(change(h)) - at(change(-h))) / (2 * h);
  const out = { logits: [] as number[], values: [] as number[] };
  for (let i = 0; i < B; i++) {
    for (let t = 0; t < N; t++) {
      for (let v = 0; v < V; v++) {
        out.logits.push(
          slope((x) => (l) => {
            l[i][t][v] += x;
          }),
        );
      }
      out.values.push(
        slope((x) => (_, u) => {
          u[i][t] += x;
        }),
      );
    }
  }
  return out;
}

// ------------------------------------------------------------ the product

type Inputs = Record<"old" | "ref" | "weights" | "scales" | "returns", Tensor>;
type Numbers = Record<"ratioMin" | "ratioMax" | "dualMax" | "kl" | "entropy" | "value", number>;
type Run = Compiled<
  [{ logits: Tensor; values: Tensor }, Tensor, Inputs, Numbers],
  { loss: Tensor; logits: Tensor; values: Tensor; clipped: Tensor }
>;
const programs = new Map<string, Run>();

/** The program for the terms of an algorithm. */
function programOf(algorithm: Algorithm): Run {
  const kl = algorithm.kl?.where === "loss" ? algorithm.kl.estimator : null;
  const withValues = algorithm.advantage.kind === "gae";
  const entropy = Boolean(algorithm.entropy);
  const key = `${algorithm.form} ${kl} ${entropy} ${withValues}`;
  const known = programs.get(key);
  if (known) return known;
  const made: Run = compile(
    (trained, tokens, data, numbers) => {
      const { value, grad, aux } = valueAndGrad((p: { logits: Tensor; values: Tensor }) => {
        const outputs = { ...scoreLogits(p.logits, tokens), values: withValues ? p.values : undefined };
        const { loss, clipped } = policyLoss(
          { form: algorithm.form, kl, entropy },
          outputs,
          { ...data, oldLogProbs: data.old, reference: data.ref },
          numbers,
        );
        return [loss, clipped] as const;
      })(trained);
      return { loss: value, logits: grad.logits, values: grad.values, clipped: aux };
    },
    { label: key },
  );
  programs.set(key, made);
  return made;
}

async function productLoss(algorithm: Algorithm, b: Batch) {
  const flat = (x: number[][]): Float64Array => Float64Array.from(x.flat());
  const sums = b.old.map((row, i) => row.slice(0, b.lengths[i]).reduce((x, y) => x + y, 0));
  const rewards = b.rewards;
  const [plan] = planUpdates(rewards, b.lengths, {
    algorithm,
    numGenerations: G,
    maxCompletionLength: N,
    miniBatches: { kind: "whole" },
    cutFirst: true,
    facts: { step: 4, finished: b.finished, logProbs: sums },
  });
  if (!plan) return null;
  let returns: ReturnType<typeof tokenAdvantages> | null = null;
  if (algorithm.advantage.kind === "gae") {
    const tokenRewards = new Float64Array(B * N);
    for (let i = 0; i < B; i++) {
      for (let t = 0; t < b.lengths[i]; t++) {
        tokenRewards[i * N + t] =
          -1e-3 * (b.old[i][t] - b.ref[i][t]) + (t === b.lengths[i] - 1 ? rewards[i] : 0);
      }
    }
    returns = tokenAdvantages(tokenRewards, flat(b.oldValues), b.lengths, algorithm.advantage);
  }
  const batch = packRows(
    b.tokens.map(() => [1]),
    b.tokens.map((row, i) => row.slice(0, b.lengths[i])),
    { promptLength: 1, completionLength: N },
  );
  const data = tokenTerms(
    {
      batch,
      rows: plan.rows,
      weights: plan.weights,
      divisors: plan.divisors,
      tokenAdvantages: returns?.advantages,
      returns: returns?.returns,
      oldLogProbs: flat(b.old),
      reference: flat(b.ref),
    },
    0,
    B,
  );
  // Rows of the plan come first: put logits, tokens and values in its order, the others after them.
  const order = [...plan.rows, ...rewards.map((_, i) => i).filter((i) => !plan.rows.includes(i))];
  const grid = (x: Float32Array): Tensor => tensor(x, { shape: [B, N] });
  const out = programOf(algorithm)(
    { logits: tensor(order.map((i) => b.logits[i])), values: tensor(order.map((i) => b.values[i])) },
    tensor(
      order.map((i) => b.tokens[i]),
      { dtype: "u32" },
    ),
    {
      old: grid(data.oldLogProbs),
      ref: grid(data.reference),
      weights: grid(data.weights),
      scales: grid(data.scales),
      returns: grid(data.returns),
    },
    {
      ratioMin: algorithm.clipLow == null ? 0 : 1 - algorithm.clipLow,
      ratioMax: algorithm.clipHigh == null ? 1e30 : 1 + algorithm.clipHigh,
      dualMax: algorithm.dualClip ?? 1e30,
      kl: algorithm.kl?.coefficient ?? 0,
      entropy: algorithm.entropy?.coefficient ?? 0,
      value: algorithm.valueCoefficient ?? 0,
    },
  );
  const [loss, logits, values] = await Promise.all([out.loss.item(), out.logits.data(), out.values.data()]);
  const restored = { logits: new Array<number>(B * N * V), values: new Array<number>(B * N) };
  order.forEach((row, at) => {
    for (let j = 0; j < N * V; j++) restored.logits[row * N * V + j] = logits[at * N * V + j];
    for (let j = 0; j < N; j++) restored.values[row * N + j] = values[at * N + j];
  });
  return { loss, ...restored };
}

const CASES: [string, number[]][] = [
  ["mixed, a group without variance", [1, 0, 0, 1, 0, 0, 0, 0]],
  ["one right in each", [0, 0, 1, 0, 0, 1, 0, 0]],
  ["all right", [1, 1, 1, 1, 1, 1, 1, 1]],
  ["all wrong", [0, 0, 0, 0, 0, 0, 0, 0]],
  ["mostly right", [1, 1, 0, 1, 1, 1, 1, 0]],
];

test("every preset has an oracle", () => {
  expect(Object.keys(ORACLES).map((name) => name.split(":")[0])).toEqual(Object.keys(ALGORITHMS));
});

const presets = Object.entries(ORACLES).map(([name, o]) => [name, algorithmByName(name), o] as const);

describe.each([...presets, ...VARIANTS])("%s", (_name, algorithm, oracle) => {
  test.each(CASES)("%s", async (_case, rewards) => {
    const rng = new Rng(seed, Stream.test, 7 + CASES.findIndex(([, r]) => r === rewards));
    const b = drawBatch(rng, rewards);
    // A ratio on the very edge of its clip has two slopes: keep away from edges that differences could cross.
    const got = await productLoss(algorithm, b);
    const want = oracleLoss(oracle, b, b.logits, b.values, b.logits);
    const slopes = oracleGradient(oracle, b);
    if (!got) {
      expect(Math.abs(want), repeat).toBe(0);
      expect(slopes.logits.every((x) => x === 0)).toBe(true);
      return;
    }
    expect(Math.abs(got.loss - want), repeat).toBeLessThan(on.tolerance(1e-9, 2e-5) * (1 + Math.abs(want)));
    for (const part of ["logits", "values"] as const) {
      const scale = Math.max(0.01, ...slopes[part].map(Math.abs));
      for (const [i, x] of slopes[part].entries()) {
        if (part === "logits" && nearEdge(algorithm, b, i)) continue;
        expect(Math.abs(got[part][i] - x), `${part} ${i}; ${repeat}`).toBeLessThan(2e-5 * scale + 1e-8);
      }
    }
  });
});

/** Whether a token's ratio, or its row's, is so near a clip that differences or f32 may fall on the other side. */
function nearEdge(algorithm: Algorithm, b: Batch, element: number): boolean {
  const i = Math.floor(element / (N * V));
  const t = Math.floor(element / V) % N;
  if (t >= b.lengths[i]) return false;
  const logs = b.tokens[i].map((token, u) => Math.log(softmax(b.logits[i][u])[token]) - b.old[i][u]);
  const own = logs.slice(0, b.lengths[i]).reduce((x, y) => x + y, 0);
  const ratios = [Math.exp(logs[t]), Math.exp(own), Math.exp(own / b.lengths[i])];
  const edges = [
    algorithm.clipLow == null ? [] : [1 - algorithm.clipLow],
    algorithm.clipHigh == null ? [] : [1 + algorithm.clipHigh],
  ].flat();
  return ratios.some((r) => edges.some((edge) => Math.abs(r - edge) < 1e-4));
}

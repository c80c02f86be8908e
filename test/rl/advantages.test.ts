/** Advantages, kept rows, normalisers and plans against numbers worked out by hand. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { advantages, groupAdvantages, keptRows, planUpdates, splitRows } from "../../src/rl/advantages.ts";
import type { Algorithm } from "../../src/rl/algorithm.ts";
import {
  ALGORITHMS,
  algorithmByName,
  algorithmOf,
  checkAlgorithm,
  flipped,
  grpo,
  nsr,
  ppo,
  psr,
  rloo,
  wReinforce,
} from "../../src/rl/algorithms.ts";
import { ConfigError } from "../../src/tensor/errors.ts";

const whole = { kind: "whole" } as const;
const plan = (algorithm: Algorithm, rewards: number[], lengths: number[], more = {}) =>
  planUpdates(rewards, lengths, {
    algorithm,
    numGenerations: 4,
    maxCompletionLength: 8,
    miniBatches: whole,
    cutFirst: true,
    ...more,
  });

// Two groups of four; lengths with a truncated row (8).
const rewards = [1, 0, 0, 1, 0, 0, 0, 0];
const lengths = [6, 8, 5, 4, 6, 6, 7, 8];

describe("advantages", () => {
  test("PSR, NSR and W-REINFORCE", () => {
    expect(advantages(rewards, 4, psr)).toEqual([1, 0, 0, 1, 0, 0, 0, 0]);
    expect(advantages(rewards, 4, nsr)).toEqual([0, -1, -1, 0, -1, -1, -1, -1]);
    expect(advantages(rewards, 4, wReinforce(0.1))).toEqual([0.1, -1, -1, 0.1, -1, -1, -1, -1]);
  });

  test("GRPO: (r - mean)/(std + 1e-4), nothing where all rewards are equal", () => {
    // 1 0 0 1: mean .5, sample deviation sqrt(1/3).
    const a = 0.5 / (Math.sqrt(1 / 3) + 1e-4);
    const got = advantages(rewards, 4, grpo);
    for (const [i, want] of [a, -a, -a, a, 0, 0, 0, 0].entries()) expect(got[i]).toBeCloseTo(want, 14);
    expect(groupAdvantages([1, 1, 1], grpo.advantage)).toEqual([0, 0, 0]);
    expect(groupAdvantages([0.1, 0.1, 0.1], grpo.advantage)).toEqual([0, 0, 0]);
    expect(groupAdvantages([1], grpo.advantage)).toEqual([0]);
  });

  test("flipping turns every sign and nothing else", () => {
    for (const algorithm of [psr, nsr, wReinforce(0.3), grpo]) {
      const sum = advantages(rewards, 4, flipped(algorithm)).map(
        (x, i) => x + advantages(rewards, 4, algorithm)[i],
      );
      expect(sum).toEqual(rewards.map(() => 0));
    }
  });

  test("a schedule is linear to its end, without a jump", () => {
    const { advantage } = algorithmByName("nsr-to-w:0.1");
    const right = (step: number) => groupAdvantages([1], advantage, step)[0];
    for (const [step, want] of [
      [1, 0],
      [2, 0.01],
      [9, 0.08],
      [10, 0.09],
      [11, 0.1],
      [500, 0.1],
    ]) {
      expect(right(step)).toBeCloseTo(want, 14);
    }
  });

  test("a row whose verifier failed counts for nothing, in its group too", () => {
    const failed = [false, false, true, false, false, false, false, true];
    const got = advantages(rewards, 4, grpo, { failed });
    const left = groupAdvantages([1, 0, 1], grpo.advantage);
    expect(got).toEqual([left[0], left[1], 0, left[2], 0, 0, 0, 0]);
    const [n] = plan(nsr, rewards, lengths, { facts: { failed } });
    expect(n.rows).toEqual([1, 4, 5, 6]);
    const [all] = plan({ ...nsr, normaliser: "all" }, rewards, lengths, { facts: { failed } });
    expect(all.divisors[0]).toBe(lengths.filter((_, i) => !failed[i]).reduce((a, b) => a + b, 0));
  });

  test("kept rows", () => {
    expect(keptRows(rewards, "right")).toEqual([0, 3]);
    expect(keptRows(rewards, "wrong")).toEqual([1, 2, 4, 5, 6, 7]);
    expect(keptRows(rewards, "all")).toHaveLength(8);
  });

  test("refuses part of a group", () => {
    expect(() => advantages([1, 0, 1], 2, grpo)).toThrow(/whole groups of numGenerations=2/);
  });
});

describe("one sample a prompt", () => {
  const words = Object.keys(ALGORITHMS).map((name) => (/^(pass-k|pkpo)$/.test(name) ? `${name}:1` : name));
  test.each(words)("%s is refused where it would learn nothing from it, and nowhere else", (word) => {
    const algorithm = algorithmByName(word);
    const learns =
      word === "ppo" || // Of values, not of other samples.
      [0, 1].some((reward) => {
        const plans = plan(algorithm, [reward], [6], { numGenerations: 1, facts: { logProbs: [-1] } });
        return plans.some(({ weights }) => weights.some((weight) => weight !== 0));
      });
    const check = (numGenerations: number) => () => checkAlgorithm(algorithm, numGenerations);
    if (learns) expect(check(1)).not.toThrow();
    else expect(check(1)).toThrow(/^algorithm: numGenerations of at least 2 expected for .*, got 1\. /);
    expect(check(2)).not.toThrow();
  });

  test("some are refused, some not", () => {
    const refused = words.filter((word) => {
      try {
        checkAlgorithm(algorithmByName(word), 1);
        return false;
      } catch {
        return true;
      }
    });
    expect(refused).toEqual(
      "rloo grpo grpo-kl dr-grpo dapo maxrl pass-k:1 unlikeliness cispo gspo".split(" "),
    );
    expect(() => checkAlgorithm(algorithmByName("psr", { dropZeroVariance: true }), 1)).toThrow(/for PSR/);
  });

  test("values that nothing weighs, and a best sample beside the mean of the others", () => {
    const { valueCoefficient: _, ...mute } = ppo;
    expect(() => checkAlgorithm(mute, 4)).toThrow(/^algorithm: valueCoefficient: a number expected for PPO/);
    expect(() => checkAlgorithm(ppo, 4)).not.toThrow();
    const both = { ...rloo.advantage, virtualBest: true } as Algorithm["advantage"];
    expect(() => checkAlgorithm({ ...rloo, advantage: both }, 4)).toThrow(/got both of RLOO\. Leave one out/);
  });
});

describe("plans", () => {
  test("token mean over kept rows", () => {
    const [p] = plan(psr, rewards, lengths);
    expect(p.rows).toEqual([0, 3]);
    expect(p.weights).toEqual([1 / 10, 1 / 10]); // 6 + 4 tokens
    const [n] = plan(nsr, rewards, lengths);
    expect(n.rows).toEqual([1, 2, 4, 5, 6, 7]);
    expect(n.weights).toEqual(Array(6).fill(-1 / 40));
    const [w] = plan(wReinforce(0.1), rewards, lengths);
    expect(w.weights[0]).toBeCloseTo(0.1 / 50, 15);
    expect(w.weights[1]).toBeCloseTo(-1 / 50, 15);
  });

  test("GRPO counts the tokens of groups without variance and trains none of them", () => {
    const [g] = plan(grpo, rewards, lengths);
    expect(g.rows).toEqual([0, 1, 2, 3]);
    expect(g.counted).toBe(8);
    const a = 0.5 / (Math.sqrt(1 / 3) + 1e-4);
    for (const [i, want] of [a, -a, -a, a].entries()) expect(g.weights[i]).toBeCloseTo(want / 50, 14);
  });

  test("sequence mean and constant length", () => {
    const [s] = plan({ ...psr, aggregation: "sequence" }, rewards, lengths);
    expect(s.weights).toEqual([1 / (2 * 6), 1 / (2 * 4)]);
    const [c] = plan({ ...nsr, aggregation: "constant" }, rewards, lengths);
    expect(c.weights).toEqual(Array(6).fill(-1 / (6 * 8)));
  });

  test("a common normaliser makes the two halves of a rollout add up", () => {
    const common = { normaliser: "all" } as const;
    const [p] = plan({ ...psr, ...common }, rewards, lengths);
    const [n] = plan({ ...nsr, ...common }, rewards, lengths);
    expect(p.weights[0]).toBeCloseTo(1 / 50, 15);
    expect(n.weights[0]).toBeCloseTo(-1 / 50, 15);
  });

  test("all right or all wrong: nothing to do for one of them, never an empty update", () => {
    const right = [1, 1, 1, 1];
    const wrong = [0, 0, 0, 0];
    const ls = [5, 5, 5, 5];
    expect(plan(nsr, right, ls)).toEqual([]);
    expect(plan(psr, wrong, ls)).toEqual([]);
    expect(plan(grpo, right, ls)).toEqual([]);
    expect(plan(grpo, wrong, ls)).toEqual([]);
    expect(plan(wReinforce(0), right, ls)).toEqual([]);
    expect(plan(psr, right, ls)[0].rows).toHaveLength(4);
  });

  test("cut before the split: few kept rows are few updates; cut after it: as many as mini-batches with rows", () => {
    const miniBatches = { kind: "rows", rows: 2 } as const;
    expect(plan(psr, rewards, lengths, { miniBatches })).toHaveLength(1);
    expect(plan(nsr, rewards, lengths, { miniBatches })).toHaveLength(3);
    const after = plan(psr, rewards, lengths, { miniBatches, cutFirst: false });
    expect(after.map((p) => p.rows)).toEqual([[0], [3]]);
    expect(after.map((p) => p.weights)).toEqual([[1 / 6], [1 / 4]]);
  });

  test("equal updates for every algorithm", () => {
    const miniBatches = { kind: "count", count: 2 } as const;
    for (const algorithm of [psr, nsr, wReinforce(), grpo]) {
      expect(plan(algorithm, [1, 0, 1, 0, 1, 0, 0, 1], lengths, { miniBatches })).toHaveLength(2);
    }
  });

  test("splitting loses and doubles nothing", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(1000)), fc.integer({ min: 1, max: 9 }), (rows, n) => {
        for (const how of [whole, { kind: "rows", rows: n } as const, { kind: "count", count: n } as const]) {
          const parts = splitRows(rows, how);
          expect(parts.flat()).toEqual(rows);
          expect(parts.every((part) => part.length > 0)).toBe(true);
          if (how.kind === "rows") expect(parts.every((part) => part.length <= n)).toBe(true);
          if (how.kind === "count") expect(parts.length).toBeLessThanOrEqual(n);
        }
      }),
    );
  });
});

describe("names", () => {
  test("algorithms by name", () => {
    expect(algorithmByName("NSR")).toEqual(nsr);
    expect(algorithmByName("w-reinforce:0.2").advantage).toEqual({ kind: "fixed", right: 0.2, wrong: -1 });
    expect(algorithmByName("psr", { clip: false, form: "pi" })).toMatchObject({
      clipLow: null,
      clipHigh: null,
      form: "pi",
    });
  });

  test.each([
    [() => algorithmByName("nrs"), /Did you mean "nsr"/],
    [() => algorithmByName("w-reinforce:x"), /algorithm: one of psr/],
    [() => algorithmByName("nsr:2"), /algorithm: one of psr/],
    [() => algorithmByName("__proto__"), /algorithm: one of psr/],
    [() => algorithmByName("nsr", { fomr: "pi" } as never), /Did you mean "form"/],
    [
      () => algorithmByName(nsr as never),
      /^algorithm: one of .* expected, got an object\. Give the name, and/,
    ],
    [() => wReinforce(-1), /lambda: a finite number of at least 0/],
    [() => wReinforce(Number.NaN), /got NaN/],
  ])("refuses case %#", (act, message) => expect(act).toThrow(message));

  test("a record is itself, and every named one is whole", () => {
    for (const made of Object.values(ALGORITHMS)) {
      const algorithm = typeof made === "function" ? made() : made;
      expect(algorithmOf("trainer", algorithm)).toBe(algorithm);
    }
    const read = JSON.parse(JSON.stringify({ ...nsr, kl: null, miniBatches: { kind: "count", count: 2 } }));
    expect(algorithmOf("trainer", read)).toBe(read);
  });

  test.each([
    [{ keep: "wrongs" }, 'keep: one of all, right, wrong expected, got "wrongs". Did you mean "wrong"?'],
    [{ keep: undefined }, "keep: one of all, right, wrong expected, got undefined."],
    [
      { form: "logs" },
      'form: one of ratio, sequenceRatio, log, pi, clippedLog, truncatedLog expected, got "logs"',
    ],
    [
      { aggregation: "tokens" },
      'aggregation: one of token, sequence, constant expected, got "tokens". Did you mean "token"',
    ],
    [{ optimizer: "adam" }, 'optimizer: one of adamw, sgd expected, got "adam"'],
    [{ kl: { estimator: "k4", where: "loss", coefficient: 1 } }, "kl.estimator: one of k1, k2, k3 expected"],
    [{ clippLow: 0.1 }, 'clippLow: a known key expected, got an unknown one. Did you mean "clipLow"'],
    [{ clipLow: undefined }, "clipLow: a number >= 0 expected, got undefined"],
    [{ dualClip: 0.5 }, "dualClip: a number > 1 expected, got 0.5"],
    [
      { advantage: { kind: "groups" } },
      'advantage.kind: one of fixed, reward, group, passAtK, gae expected, got "groups". Did you mean "group"',
    ],
    [
      { advantage: { kind: "group", scale: "std", eps: -1 } },
      "advantage.eps: a number >= 0 expected, got -1",
    ],
    [
      { advantage: { kind: "fixed", right: 0, wrong: Number.NaN } },
      "advantage.wrong: a number expected, got NaN",
    ],
    [
      { advantage: { kind: "fixed", right: { from: 0, to: 1 }, wrong: 0 } },
      "advantage.right.steps: a number >= 0 expected, got undefined",
    ],
    [{ miniBatches: { kind: "rows" } }, "miniBatches.rows: a number expected, got none"],
  ])("refuses a record with %j", (change, message) => {
    const act = (): unknown => algorithmOf("trainer", { ...nsr, ...change } as never);
    expect(act).toThrow(ConfigError);
    expect(act).toThrow(`trainer: algorithm.${message}`);
  });
});

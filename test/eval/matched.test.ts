import { describe, expect, test } from "vitest";
import { EstimatorError, mean, passOfProbability } from "../../src/eval/estimators.ts";
import {
  type ArmCurves,
  atPass1,
  commonPass1,
  type MeanPoint,
  matchedDifference,
  matchedHighest,
  matchedPass,
  meanCurve,
} from "../../src/eval/matched.ts";
import { seedInterval } from "../../src/eval/power.ts";
import { Rng, Stream } from "../../src/tensor/random.ts";

const curve = (...pass1: number[]): MeanPoint[] =>
  pass1.map((p, i) => ({ step: 10 * i, means: [p, 1 - (1 - p) / 2] })); // Pass@k linear in Pass@1

test("a linear curve is met exactly, at the first crossing, up or down", () => {
  const rising = curve(0.2, 0.4, 0.6, 0.5, 0.7);
  expect(atPass1(rising, 0.55)).toEqual({
    step: expect.closeTo(17.5, 12),
    values: [expect.closeTo(0.55, 14), expect.closeTo(0.775, 14)],
    reached: true,
  });
  expect(atPass1(rising, 0.65).step).toBeCloseTo(37.5, 12);
  expect(atPass1(rising, 0.4)).toEqual({
    ...rising[1],
    values: rising[1].means,
    means: undefined,
    reached: true,
  });
  expect(atPass1(curve(0.6, 0.3), 0.45).step).toBeCloseTo(5, 12);
  expect(atPass1(curve(0.6, 0.3), 0.3).reached).toBe(true);
});

test("a target that is never met: the nearest checkpoint, and it says so", () => {
  expect(atPass1(curve(0.2, 0.5, 0.4), 0.9)).toMatchObject({ step: 10, values: [0.5, 0.75], reached: false });
  expect(atPass1(curve(0.2, 0.5, 0.4), 0.1)).toMatchObject({ step: 0, reached: false });
});

test("the common range of Pass@1", () => {
  expect(commonPass1([curve(0.2, 0.7, 0.6), curve(0.3, 0.5)])).toEqual({ low: 0.3, high: 0.5 });
  expect(commonPass1([curve(0.2, 0.3), curve(0.4, 0.5)])).toBeNull();
  expect(commonPass1([])).toBeNull();
});

/**
 * Runs of a policy with two ways to answer: a prompt's p grows over training by `gain` a checkpoint, and a share `lost` of
 * the prompts that p = .02 alone could solve is given up for it: Pass@1 up, Pass@64 down.
 */
function simulated(
  rng: Rng,
  seeds: number,
  checkpoints: number,
  gain: number,
  lost: number,
  noise = 0.01,
): ArmCurves {
  return Array.from({ length: seeds }, () =>
    Array.from({ length: checkpoints }, (_, step) => ({
      step,
      values: Array.from({ length: 100 }, (_, prompt) => {
        const hard = prompt % 2 === 1;
        const easy = Math.min(0.3 + gain * step + noise * rng.normal(), 1);
        const p = hard ? Math.max(0.02 - lost * gain * step, 0) : Math.max(easy, 0);
        return [passOfProbability(p, 1), passOfProbability(p, 64)];
      }),
    })),
  );
}

test("an arm ahead at the last checkpoint may be behind at matched Pass@1", () => {
  const rng = new Rng(61, Stream.test);
  // b trains faster and runs further, but keeps less of what only many samples find.
  const [a, b] = [simulated(rng, 3, 5, 0.05, 0.02), simulated(rng, 3, 5, 0.1, 0.06)];
  const last = (arm: ArmCurves) => meanCurve(arm[0])[4].means;
  expect(last(b)[0]).toBeGreaterThan(last(a)[0] + 0.05);
  const range = commonPass1([...a, ...b].map((run) => meanCurve(run)))!;
  const target = (range.low + range.high) / 2;
  const { intervals, reached, runs, missed } = matchedDifference(a, b, target, { seed: 4, resamples: 400 });
  expect([reached, runs]).toEqual([6, 6]);
  expect(missed).toBeLessThan(0.02);
  expect(Math.abs(intervals[0].mean)).toBeLessThan(1e-12);
  expect(intervals[0].high - intervals[0].low).toBeLessThan(1e-3); // not 0: a few resamples miss the target
  // Pass@1 = (easy + hard) / 2 = target gives each arm's hard p at the target; easy prompts have Pass@64 = 1.
  const hardAt = (lost: number) => 0.02 - (lost * (2 * target - 0.32)) / (1 - lost);
  const truth = (passOfProbability(hardAt(0.02), 64) - passOfProbability(hardAt(0.06), 64)) / 2;
  expect(truth).toBeGreaterThan(0.02);
  expect(intervals[1].low).toBeGreaterThan(0);
  // Linear between checkpoints, where the truth is slightly bent.
  expect(Math.abs(intervals[1].mean - truth)).toBeLessThan(0.01);
  expect(matchedDifference(a, b, target, { seed: 4, resamples: 400 }).intervals).toEqual(intervals);
  const single = matchedPass(a, target, { seed: 4, resamples: 100 });
  expect(single.intervals[0].mean).toBeCloseTo(target, 12);
  expect(single.runs).toBe(3);
});

test("about 95 % of the intervals hold the truth", () => {
  const rng = new Rng(62, Stream.test);
  const gap = 0.06;
  /** Pass@k = Pass@1 + lift of each prompt, + gap in arm a; Pass@1 differs by prompt, and rises by checkpoint. */
  const arms = () => {
    const prompts = Array.from({ length: 50 }, () => [rng.normal(), rng.normal()]);
    const arm = (lift: number, pace: number): ArmCurves => [
      [0, 1, 2, 3].map((step) => ({
        step,
        values: prompts.map(([x, y]) => {
          const pass1 = 0.2 + pace * step + 0.1 * x + 0.05 * rng.normal();
          return [pass1, pass1 + lift + 0.1 * y + 0.2 * rng.normal()];
        }),
      })),
    ];
    return [arm(gap + 0.2, 0.1), arm(0.2, 0.15)];
  };
  let held = 0;
  for (let trial = 0; trial < 200; trial++) {
    const [a, b] = arms();
    const { low, high } = matchedDifference(a, b, 0.38, { seed: trial, resamples: 300 }).intervals[1];
    if (low <= gap && gap <= high) held++;
  }
  expect(held).toBeGreaterThan(176);
  expect(held).toBeLessThan(200);
});

test("resamples that miss the target are counted", () => {
  const rng = new Rng(63, Stream.test);
  const arm = simulated(rng, 2, 3, 0.05, 0, 0.3);
  const top = commonPass1(arm.map((run) => meanCurve(run)))!.high;
  const atTop = matchedPass(arm, top, { resamples: 300 });
  expect(atTop.reached).toBe(2);
  expect(atTop.missed).toBeGreaterThan(0.1);
  const beyond = matchedPass(arm, 0.99, { resamples: 50 });
  expect(beyond.reached).toBe(0);
  expect(beyond.missed).toBe(1);
});

test("seeds that come to different heights are each compared where both runs are", () => {
  // Pass@k = Pass@1 + .2 whatever the arm: at one Pass@1 there is no difference.
  const run = (...heights: number[]): ArmCurves[number] =>
    heights.map((height, step) => ({
      step,
      values: [-0.1, 0, 0.1].map((x) => [height + x, height + x + 0.2]),
    }));
  const a = [run(0.3, 0.35), run(0.5, 0.7)];
  const b = [run(0.3, 0.6), run(0.5, 0.9)];
  const { targets, differences } = matchedHighest(a, b);
  expect(targets).toEqual([expect.closeTo(0.35, 12), expect.closeTo(0.7, 12)]);
  for (const value of differences.flat(2)) expect(value).toBeCloseTo(0, 12);
  // One target for all: the first run of a falls short of it and makes a difference that is none of Pass@k's.
  const target = 0.525;
  expect(matchedDifference(a, b, target, { resamples: 200 }).intervals[1].mean).toBeLessThan(-0.05);
  const apart = [run(0.1, 0.2), run(0.1, 0.2)];
  expect(() => matchedHighest(a, apart)).toThrow(/^matchedHighest: a Pass@1 that both runs of seed 0 meet/);
});

describe("prompts' shares in the difference at the highest common Pass@1", () => {
  /** Pass@k = Pass@1 + lift of each prompt; Pass@1 differs by prompt and rises by checkpoint, by a pace of each seed. */
  const arm = (
    rng: Rng,
    prompts: readonly number[][],
    seeds: number,
    lift: number,
    pace: number,
  ): ArmCurves =>
    Array.from({ length: seeds }, () => {
      const [own, shift] = [pace * (1 + 0.2 * rng.normal()), 0.02 * rng.normal()];
      return [0, 1, 2, 3].map((step) => ({
        step,
        values: prompts.map(([x, y]) => {
          const pass1 = 0.2 + own * step + 0.1 * x + 0.05 * rng.normal();
          return [pass1, pass1 * 0.5 + lift + shift + 0.1 * y + 0.1 * rng.normal()];
        }),
      }));
    });
  const drawn = (rng: Rng) => Array.from({ length: 40 }, () => [rng.normal(), rng.normal()]);

  test("their mean is the difference itself, and a prompt left out changes it by its share, to first order", () => {
    const rng = new Rng(65, Stream.test);
    const prompts = drawn(rng);
    const [[a], [b]] = [arm(rng, prompts, 1, 0.3, 0.1), arm(rng, prompts, 1, 0.2, 0.15)];
    const plain = (keep: (prompt: number) => boolean): number => {
      const cut = [a, b].map((run) =>
        run.map(({ step, values }) => ({ step, values: values.filter((_, i) => keep(i)) })),
      );
      const curves = cut.map((run) => meanCurve(run));
      const target = commonPass1(curves)!.high;
      const [x, y] = curves.map((curve) => atPass1(curve, target).values[1]);
      return x - y;
    };
    const shares = matchedHighest([a], [b]).differences[0].map(([, share]) => share);
    const all = plain(() => true);
    expect(mean(shares)).toBeCloseTo(all, 12);
    // Leaving out one of n moves a mean by (mean - share) / (n - 1).
    const n = prompts.length;
    for (const i of [0, 7, 23, 39]) {
      const moved = plain((prompt) => prompt !== i) - all;
      expect(Math.abs(moved - (all - shares[i]) / (n - 1))).toBeLessThan(0.15 * Math.abs(moved) + 2e-4);
    }
  });

  test("where both runs end at one Pass@1 by different problems, each has the share that a hair's breadth beside it has", () => {
    const run = (tops: number[]): ArmCurves[number] =>
      [0.25, 1].map((share, step) => ({
        step,
        values: tops.map((p) => [p * share, 1 - (1 - p * share) ** 4]),
      }));
    const sharesOf = (moved: number) =>
      matchedHighest([run([0.9 + moved, 0.1, 0.6, 0.4])], [run([0.1, 0.9, 0.6, 0.4])]).differences[0].map(
        ([, share]) => share,
      );
    const [below, tie, above] = [-1e-6, 0, 1e-6].map(sharesOf);
    tie.forEach((share, i) => {
      expect(share).toBeCloseTo(below[i], 4);
      expect(share).toBeCloseTo(above[i], 4);
    });
    expect(Math.abs(tie[0])).toBeGreaterThan(0.01);
  });

  test("t intervals of five seeds hold the truth in about 95 of 100 cases", () => {
    const rng = new Rng(66, Stream.test);
    let held = 0;
    for (let trial = 0; trial < 400; trial++) {
      const prompts = drawn(rng);
      const { differences } = matchedHighest(
        arm(rng, prompts, 5, 0.26, 0.1),
        arm(rng, prompts, 5, 0.2, 0.15),
      );
      const { low, high } = seedInterval(differences.map((rows) => rows.map(([, value]) => value)));
      if (low <= 0.06 && 0.06 <= high) held++;
    }
    expect(held).toBeGreaterThan(364); // 91 %
    expect(held).toBeLessThan(400);
  });
});

test("bad input is refused by name", () => {
  const rng = new Rng(64, Stream.test);
  const [two, three] = [simulated(rng, 2, 2, 0.1, 0), simulated(rng, 3, 2, 0.1, 0)];
  expect(() => matchedDifference(two, three, 0.2)).toThrow(
    /^matchedDifference: checkpoints of the same seeds/,
  );
  expect(() => matchedPass([[{ step: 0, values: [[1, 1], [1]] }]], 0.2)).toThrow(EstimatorError);
  expect(() => matchedPass([[]], 0.2)).toThrow(EstimatorError);
  expect(() => matchedPass([], 0.2)).toThrow(EstimatorError);
  expect(() => atPass1([], 0.2)).toThrow(/at least one checkpoint/);
  expect(() => atPass1(curve(0.1), Number.NaN)).toThrow(/finite target/);
});

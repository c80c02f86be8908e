import { expect, test } from "vitest";
import { EstimatorError, passAtK } from "../../src/eval/estimators.ts";
import {
  countModes,
  distinctModesAtK,
  modeCoverage,
  modeDiversity,
  modeEntropy,
  modesSeen,
} from "../../src/eval/modes.ts";
import { Rng, Stream } from "../../src/tensor/random.ts";
import { meanOverSubsets } from "../helpers/subsets.ts";

/** One label a sample: its mode, or -1 where it is wrong. */
const labelsOf = (counts: readonly number[], n: number): number[] => {
  const right = counts.flatMap((count, m) => Array.from({ length: count }, () => m));
  return [...right, ...Array.from({ length: n - right.length }, () => -1)];
};

test("distinct modes among k samples, and diversity, equal the mean over all subsets", () => {
  const rng = new Rng(31, Stream.test);
  for (let trial = 0; trial < 40; trial++) {
    const counts = Array.from({ length: 1 + rng.int(4) }, () => rng.int(4));
    const right = counts.reduce((a, b) => a + b);
    const n = Math.max(1, right + rng.int(3));
    const labels = labelsOf(counts, n);
    for (let k = 1; k <= n; k++) {
      const exact = meanOverSubsets(
        n,
        k,
        (chosen) => new Set(chosen.map((i) => labels[i]).filter((label) => label >= 0)).size,
      );
      expect(Math.abs(distinctModesAtK({ n, counts }, k) - exact)).toBeLessThan(1e-14);
    }
    if (right >= 2) {
      const exact = meanOverSubsets(right, 2, ([i, j]) => (labels[i] === labels[j] ? 0 : 1));
      expect(Math.abs(modeDiversity(counts)! - exact)).toBeLessThan(1e-14);
    } else expect(modeDiversity(counts)).toBeNull();
  }
});

test("one mode: distinct modes are Pass@k; k = n: modes seen", () => {
  for (let k = 1; k <= 32; k++) expect(distinctModesAtK({ n: 32, counts: [5] }, k)).toBe(passAtK(32, 5, k));
  const counts = [5, 0, 1, 9];
  expect(modesSeen(counts)).toBe(3);
  expect(distinctModesAtK({ n: 32, counts }, 32)).toBe(3);
  expect(distinctModesAtK({ n: 4, counts: [] }, 2)).toBe(0);
});

test("entropy: known values, and the correction removes most of the bias", () => {
  expect(modeEntropy([4, 4, 4, 4])!.plugIn).toBeCloseTo(Math.log(4), 14);
  expect(modeEntropy([8, 0])).toEqual({ plugIn: 0, corrected: 0 });
  expect(modeEntropy([1, 3])!.plugIn).toBeCloseTo(0.25 * Math.log(4) + 0.75 * Math.log(4 / 3), 14);
  expect(modeEntropy([0, 0])).toBeNull();
  const shares = [0.5, 0.25, 0.15, 0.1];
  const truth = shares.reduce((sum, q) => sum - q * Math.log(q), 0);
  const rng = new Rng(32, Stream.test);
  let [plugIn, corrected, diversity] = [0, 0, 0];
  const trials = 2000;
  for (let t = 0; t < trials; t++) {
    const counts = [0, 0, 0, 0];
    for (let i = 0; i < 30; i++) counts[rng.pick(shares)]++;
    const entropy = modeEntropy(counts)!;
    plugIn += entropy.plugIn / trials;
    corrected += entropy.corrected / trials;
    diversity += modeDiversity(counts)! / trials;
  }
  expect(truth - plugIn).toBeGreaterThan(0.04); // 3 / 60
  expect(Math.abs(truth - corrected)).toBeLessThan(0.01);
  expect(Math.abs(diversity - (1 - shares.reduce((sum, q) => sum + q * q, 0)))).toBeLessThan(0.01);
});

test("over prompts: means, and how many prompts are behind them", () => {
  const tallies = [
    { n: 8, counts: [4, 4] },
    { n: 8, counts: [1] },
    { n: 8, counts: [] },
  ];
  const coverage = modeCoverage(tallies, [1, 8]);
  expect(coverage.seen).toBe(1);
  expect(coverage.distinct).toEqual([
    { k: 1, modes: expect.closeTo((1 + 1 / 8) / 3, 14) },
    { k: 8, modes: 1 },
  ]);
  expect(coverage.entropy).toBeCloseTo((Math.log(2) + 1 / 16) / 2, 14);
  expect(coverage.diversity).toBeCloseTo(32 / 56, 14);
  expect(coverage.prompts).toEqual({ entropy: 2, diversity: 1 });
  const none = modeCoverage([{ n: 2, counts: [] }], [1]);
  expect(none.entropy).toBeNaN();
  expect(none.diversity).toBeNaN();
});

test("modes are counted among right samples", () => {
  expect(countModes(["a", "b", "a", null, "b", "a"], [1, 0, 1, 1, 1, 0.5])).toEqual({
    n: 6,
    counts: [2, 1, 1],
  });
  expect(() => countModes(["a"], [1, 1])).toThrow(/a reward for each mode/);
});

test("bad input is refused by name", () => {
  expect(() => distinctModesAtK({ n: 3, counts: [2, 2] }, 1)).toThrow(/at most n=3/);
  expect(() => distinctModesAtK({ n: 3, counts: [] }, 4)).toThrow(/integer k in \[1, 3\]/);
  for (const wrong of [-1, 0.5, Number.NaN]) {
    expect(() => modesSeen([wrong])).toThrow(EstimatorError);
    expect(() => modeEntropy([wrong])).toThrow(/^modeEntropy/);
    expect(() => modeDiversity([wrong])).toThrow(/^modeDiversity/);
  }
  expect(() => modeCoverage([], [1])).toThrow(/at least one value/);
});

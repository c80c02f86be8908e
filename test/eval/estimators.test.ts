import { expect, test } from "vitest";
import {
  EstimatorError,
  exactPassAtK,
  gPassAtK,
  hypergeometric,
  maxAtK,
  mean,
  meanAtK,
  mgPassAtK,
  passAtK,
  passCurve,
  passHatK,
  passOfProbability,
  passTable,
  powersOfTwo,
  variance,
} from "../../src/eval/estimators.ts";
import { Rng, Stream } from "../../src/tensor/random.ts";
import { choose, meanOverSubsets, ratio } from "../helpers/subsets.ts";

test("equals brute-force enumeration for n <= 12", () => {
  for (let n = 1; n <= 12; n++) {
    for (let c = 0; c <= n; c++) {
      for (let k = 1; k <= n; k++) {
        // The first c samples are right.
        const share = (least: number) =>
          meanOverSubsets(n, k, (chosen) => (chosen.filter((i) => i < c).length >= least ? 1 : 0));
        expect(Math.abs(passAtK(n, c, k) - share(1))).toBeLessThan(4e-16);
        expect(Math.abs(passHatK(n, c, k) - share(k))).toBeLessThan(4e-16);
        let above = 0;
        for (let least = 1; least <= k; least++) {
          const exact = share(least);
          expect(Math.abs(gPassAtK(n, c, k, least / k) - exact)).toBeLessThan(1e-15);
          if (least > Math.ceil(k / 2)) above += exact;
        }
        expect(Math.abs(mgPassAtK(n, c, k) - (2 * above) / k)).toBeLessThan(1e-15);
      }
    }
  }
});

/** P(at least `least` right among k) as a fraction of C(n, k). */
function tail(n: number, c: number, k: number, least: number): bigint {
  let sum = 0n;
  for (let j = least; j <= Math.min(c, k); j++) sum += choose(c, j) * choose(n - c, k - j);
  return sum;
}

test("equals exact rationals for every n <= 40", () => {
  for (let n = 1; n <= 40; n++) {
    for (let k = 1; k <= n; k++) {
      const total = choose(n, k);
      const half = Math.ceil(k / 2);
      for (let c = 0; c <= n; c++) {
        let weighted = 0n;
        for (let j = half + 1; j <= Math.min(c, k); j++)
          weighted += BigInt(j - half) * choose(c, j) * choose(n - c, k - j);
        const off = Math.max(
          Math.abs(passAtK(n, c, k) - ratio(tail(n, c, k, 1), total)),
          Math.abs(passHatK(n, c, k) - ratio(choose(c, k), total)),
          Math.abs(gPassAtK(n, c, k, 0.5) - ratio(tail(n, c, k, half), total)),
          Math.abs(mgPassAtK(n, c, k) - ratio(2n * weighted, BigInt(k) * total)),
        );
        if (off > 2e-15) expect(off, `n ${n}, c ${c}, k ${k}`).toBeLessThanOrEqual(2e-15);
      }
    }
  }
});

test("equals exact rationals up to n = 512", () => {
  for (const n of [64, 100, 256, 511, 512]) {
    for (const c of [0, 1, 2, 7, n >> 2, n >> 1, n - 9, n - 1, n]) {
      for (const k of [1, 2, 3, 8, 50, n >> 1, n - 1, n]) {
        const total = choose(n, k);
        expect(Math.abs(passAtK(n, c, k) - ratio(tail(n, c, k, 1), total))).toBeLessThan(5e-14);
        expect(Math.abs(passHatK(n, c, k) - ratio(choose(c, k), total))).toBeLessThan(5e-14);
        for (const tau of [0.25, 0.5, 0.75]) {
          const exact = ratio(tail(n, c, k, Math.ceil(tau * k)), total);
          expect(Math.abs(gPassAtK(n, c, k, tau) - exact)).toBeLessThan(5e-14);
        }
      }
    }
  }
});

test("n = 10,000: nothing overflows, and what is known in closed form comes out", () => {
  const n = 10_000;
  for (const c of [0, 1, 17, 5000, 9999, n]) {
    for (const k of [1, 2, 256, 5000, 9999, n]) {
      const values = [
        passAtK(n, c, k),
        passHatK(n, c, k),
        gPassAtK(n, c, k, 0.5),
        gPassAtK(n, c, k, 0.9),
        mgPassAtK(n, c, k),
      ];
      for (const value of values) expect(value >= 0 && value <= 1, `${c} ${k} ${value}`).toBe(true);
      // The mean of the distribution is k c/n.
      const { first, probabilities } = hypergeometric(n, c, k);
      const expected = probabilities.reduce((sum, p, i) => sum + (first + i) * p, 0);
      expect(Math.abs(expected - (k * c) / n)).toBeLessThan(1e-8);
    }
  }
  // Symmetry about one half: more right than wrong is as likely as the reverse, and a tie takes the rest.
  const [more, atLeast] = [gPassAtK(n, n / 2, 256, 129 / 256), gPassAtK(n, n / 2, 256, 0.5)];
  expect(more + atLeast).toBeCloseTo(1, 12);
  expect(atLeast).toBeGreaterThan(more);
  expect(gPassAtK(n, 9000, 256, 1)).toBe(passHatK(n, 9000, 256));
  expect(gPassAtK(n, 90, 256, 0)).toBe(passAtK(n, 90, 256));
  expect(
    maxAtK(
      Array.from({ length: n }, (_, i) => (i < 90 ? 1 : 0)),
      256,
    ),
  ).toBeCloseTo(passAtK(n, 90, 256), 12);
});

test("a share of k that is a whole number is not pushed up by rounding", () => {
  // 15/29 * 29 is 15.000000000000002 in float64; the threshold is 15 all the same.
  expect((15 / 29) * 29).toBeGreaterThan(15);
  expect(gPassAtK(29, 15, 29, 15 / 29)).toBe(1);
  for (let k = 1; k <= 300; k++)
    for (let j = 1; j <= k; j++) if (gPassAtK(k, j, k, j / k) !== 1) expect([k, j]).toEqual([]);
});

test("max@k is the mean of the best reward over all subsets", () => {
  const rng = new Rng(11, Stream.test);
  for (let n = 1; n <= 11; n++) {
    const rewards = Array.from({ length: n }, () => rng.int(9) / 4 - 1); // ties, negative values, any order
    for (let k = 1; k <= n; k++) {
      const exact = meanOverSubsets(n, k, (chosen) => Math.max(...chosen.map((i) => rewards[i])));
      expect(Math.abs(maxAtK(rewards, k) - exact)).toBeLessThan(2e-15);
    }
  }
  const binary = [0, 1, 0, 0, 1, 0];
  for (let k = 1; k <= 6; k++) expect(maxAtK(binary, k)).toBeCloseTo(passAtK(6, 2, k), 15);
  expect(binary).toEqual([0, 1, 0, 0, 1, 0]); // not sorted in place
});

test("mean@k: the mean, and the errors that theory gives", () => {
  expect(meanAtK([[1, 0], [1]])).toEqual({ mean: 0.75, standardError: 0.25, samplingError: Number.NaN });
  expect(meanAtK([[0.5, 0.25]]).standardError).toBeNaN();
  const {
    mean: centre,
    standardError,
    samplingError,
  } = meanAtK([
    [1, 0, 0, 1],
    [0, 0, 0, 0],
    [2, 2, 3, 1],
  ]);
  expect(centre).toBeCloseTo(2.5 / 3, 15);
  // means .5, 0, 2: deviations -1/3, -5/6, 7/6
  expect(standardError).toBeCloseTo(Math.sqrt((4 + 25 + 49) / 36 / 2 / 3), 15);
  expect(samplingError).toBeCloseTo(Math.sqrt((1 / 3 + 0 + 2 / 3) / 4) / 3, 15);
  // Drawn again and again: the spread of the mean is the standard error, that with the prompts held is the other.
  const rng = new Rng(12, Stream.test);
  const [prompts, k, trials] = [40, 5, 1500];
  const known = Array.from({ length: prompts }, () => rng.uniform());
  const spread = (fixed: boolean) => {
    const means: number[] = [];
    let claimed = 0;
    for (let t = 0; t < trials; t++) {
      const estimate = meanAtK(
        known.map((held) => {
          const p = fixed ? held : rng.uniform();
          return Array.from({ length: k }, () => (rng.uniform() < p ? 1 : 0));
        }),
      );
      means.push(estimate.mean);
      claimed += (fixed ? estimate.samplingError : estimate.standardError) / trials;
    }
    return claimed / Math.sqrt(variance(means));
  };
  expect(Math.abs(spread(false) - 1)).toBeLessThan(0.08);
  expect(Math.abs(spread(true) - 1)).toBeLessThan(0.08);
});

test("Pass@k from probabilities keeps its digits at both ends", () => {
  for (const [p, k] of [
    [1 / 2, 3],
    [1 / 4, 2],
    [3 / 8, 5],
    [1 / 1024, 7],
    [1 / 2, 1000],
    [15 / 16, 256],
  ]) {
    // All are binary fractions: (1 - p)^k over 2^(k bits) in exact integers.
    const unit = 1024n;
    const wrong = unit - BigInt(p * 1024);
    const exact = ratio(unit ** BigInt(k) - wrong ** BigInt(k), unit ** BigInt(k));
    expect(Math.abs(passOfProbability(p, k) / exact - 1)).toBeLessThan(4e-15);
  }
  expect(passOfProbability(1e-300, 256) / 256e-300).toBeCloseTo(1, 14);
  expect(passOfProbability(1e-12, 1_000_000) / (1e-6 - 0.4999995e-12 + 1e-18 / 6)).toBeCloseTo(1, 14);
  for (let k = 1; k < 400; k++) expect(passOfProbability(0, k)).toBe(0);
  for (let k = 1; k < 400; k++) expect(passOfProbability(1, k)).toBe(1);
  expect(passOfProbability(0.3, 1)).toBe(0.3);
  expect(exactPassAtK([0, 1, 0.5], 2)).toBeCloseTo((0 + 1 + 0.75) / 3, 15);
});

test("the sampled estimators are unbiased for the exact ones", () => {
  // E[passAtK(n, C, k)] over C ~ Binomial(n, p) is 1 - (1-p)^k.
  const [n, p] = [20, 0.13];
  const binomial = Array.from(
    { length: n + 1 },
    (_, c) => Number(choose(n, c)) * p ** c * (1 - p) ** (n - c),
  );
  for (let k = 1; k <= n; k++) {
    const expected = binomial.reduce((sum, weight, c) => sum + weight * passAtK(n, c, k), 0);
    expect(expected).toBeCloseTo(passOfProbability(p, k), 13);
  }
});

test("ends and monotonicity", () => {
  expect(passAtK(256, 0, 256)).toBe(0);
  expect(passAtK(256, 1, 256)).toBe(1);
  expect(passAtK(256, 77, 1)).toBe(1 - 179 / 256);
  for (let k = 1; k < 256; k++) expect(passAtK(256, 5, k + 1)).toBeGreaterThanOrEqual(passAtK(256, 5, k));
});

test("the curve is the mean over prompts", () => {
  const tallies = [
    { n: 256, c: 0 },
    { n: 256, c: 256 },
    { n: 256, c: 16 },
  ];
  const curve = passCurve(tallies);
  expect(curve.map(({ k }) => k)).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 256]);
  expect(curve[0].pass).toBeCloseTo((0 + 1 + 1 / 16) / 3, 15);
  expect(curve[8].pass).toBeCloseTo(2 / 3, 15);
  expect(passTable(tallies, [1, 256])[2]).toEqual([1 - 240 / 256, 1]);
  expect(passCurve([...tallies, { n: 10, c: 3 }]).map(({ k }) => k)).toEqual([1, 2, 4, 8]);
  expect(powersOfTwo(1000, 64)).toEqual([1, 2, 4, 8, 16, 32, 64]);
});

test("impossible counts are refused by name", () => {
  expect(() => passAtK(8, 3, 9)).toThrow(EstimatorError);
  expect(() => passAtK(8, 3, 9)).toThrow(
    "passAtK: an integer k in [1, 8] expected, got 9. Draw more samples (n) or ask for a smaller k.",
  );
  for (const [n, c, k] of [
    [0, 0, 1],
    [8, 9, 1],
    [8, -1, 1],
    [8, 3, 0],
    [8, 3, 1.5],
    [8, Number.NaN, 1],
    [Number.POSITIVE_INFINITY, 3, 1],
  ]) {
    expect(() => passAtK(n, c, k)).toThrow(EstimatorError);
    expect(() => passHatK(n, c, k)).toThrow(EstimatorError);
    expect(() => gPassAtK(n, c, k, 0.5)).toThrow(/^gPassAtK: an integer/);
    expect(() => mgPassAtK(n, c, k)).toThrow(/^mgPassAtK: an integer/);
  }
  expect(() => passCurve([])).toThrow(/at least one prompt/);
  expect(() => mean([])).toThrow(EstimatorError);
  for (const tau of [-0.1, 1.1, Number.NaN]) expect(() => gPassAtK(8, 3, 2, tau)).toThrow(/tau in \[0, 1\]/);
  for (const k of [0, 3, 1.5]) expect(() => maxAtK([0, 1], k)).toThrow(/^maxAtK: an integer k in \[1, 2\]/);
  expect(() => maxAtK([], 1)).toThrow(/at least one of rewards/);
  expect(() => maxAtK([0, Number.NaN], 1)).toThrow(/finite rewards expected, got NaN at 1/);
  expect(() => meanAtK([])).toThrow(/at least one prompt/);
  expect(() => meanAtK([[1], []])).toThrow(/at least one of rewards/);
  expect(() => meanAtK([[Number.POSITIVE_INFINITY]])).toThrow(/finite/);
  for (const p of [-1e-9, 1.001, Number.NaN])
    expect(() => passOfProbability(p, 2)).toThrow(/probability in \[0, 1\]/);
  for (const k of [0, 1.5]) expect(() => passOfProbability(0.5, k)).toThrow(/integer k/);
  expect(() => exactPassAtK([], 1)).toThrow(EstimatorError);
  expect(() => hypergeometric(4, 5, 1)).toThrow(/integer c in \[0, 4\]/);
});

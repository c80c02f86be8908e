import { expect, test } from "vitest";
import {
  EstimatorError,
  mean,
  passAtK,
  passCurve,
  passHatK,
  passTable,
  powersOfTwo,
} from "../../src/eval/estimators.ts";

/** Subsets of size k of n samples (the first c right): [with at least one right, all right, total]. */
function enumerate(n: number, c: number, k: number): [number, number, number] {
  let [some, all, total] = [0, 0, 0];
  for (let set = 0; set < 1 << n; set++) {
    let [size, right] = [0, 0];
    for (let i = 0; i < n; i++) {
      if (set & (1 << i)) {
        size++;
        if (i < c) right++;
      }
    }
    if (size !== k) continue;
    total++;
    if (right > 0) some++;
    if (right === k) all++;
  }
  return [some, all, total];
}

test("equals brute-force enumeration for n <= 12", () => {
  for (let n = 1; n <= 12; n++) {
    for (let c = 0; c <= n; c++) {
      for (let k = 1; k <= n; k++) {
        const [some, all, total] = enumerate(n, c, k);
        expect(Math.abs(passAtK(n, c, k) - some / total)).toBeLessThan(4e-16);
        expect(Math.abs(passHatK(n, c, k) - all / total)).toBeLessThan(4e-16);
      }
    }
  }
});

function choose(n: number, k: number): bigint {
  let result = 1n;
  for (let i = 1; i <= k; i++) result = (result * BigInt(n - k + i)) / BigInt(i);
  return k > n ? 0n : result;
}

/** a/b to 60 bits. */
function ratio(a: bigint, b: bigint): number {
  return Number((a << 60n) / b) / 2 ** 60;
}

test("equals exact rationals up to n = 512", () => {
  for (const n of [13, 64, 100, 256, 511, 512]) {
    for (const c of [0, 1, 2, 7, n >> 2, n >> 1, n - 9, n - 1, n]) {
      for (const k of [1, 2, 3, 8, 50, n >> 1, n - 1, n]) {
        if (k > n) continue;
        const total = choose(n, k);
        const exact = ratio(total - choose(n - c, k), total);
        expect(Math.abs(passAtK(n, c, k) - exact)).toBeLessThan(5e-14);
        expect(Math.abs(passHatK(n, c, k) - ratio(choose(c, k), total))).toBeLessThan(5e-14);
      }
    }
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
  }
  expect(() => passCurve([])).toThrow(/at least one prompt/);
  expect(() => mean([])).toThrow(EstimatorError);
});

import { expect, test } from "vitest";
import { EstimatorError, gPassAtK } from "../../src/eval/estimators.ts";
import { type AnswerVotes, countVotes, majAtK } from "../../src/eval/majority.ts";
import { Rng, Stream } from "../../src/tensor/random.ts";
import { meanOverSubsets } from "../helpers/subsets.ts";

/** The definition: the vote of every subset of k samples. */
function byEnumeration(answers: readonly AnswerVotes[], abstained: number, k: number): number {
  const labels = [
    ...answers.flatMap(({ count }, a) => Array.from({ length: count }, () => a)),
    ...Array.from({ length: abstained }, () => -1),
  ];
  return meanOverSubsets(labels.length, k, (chosen) => {
    const votes = answers.map((_, a) => chosen.filter((i) => labels[i] === a).length);
    const most = Math.max(0, ...votes);
    if (most === 0) return 0;
    const winners = answers.filter((_, a) => votes[a] === most);
    return winners.reduce((sum, { value }) => sum + value, 0) / winners.length;
  });
}

test("equals the vote of every subset, for random counts, values and abstentions", () => {
  const rng = new Rng(21, Stream.test);
  for (let trial = 0; trial < 60; trial++) {
    const answers = Array.from({ length: 1 + rng.int(5) }, () => ({
      count: rng.int(4),
      value: [0, 1, 0.25, -1][rng.int(4)],
    }));
    const abstained = rng.int(3);
    const n = answers.reduce((sum, { count }) => sum + count, abstained);
    for (let k = 1; k <= Math.min(n, 10); k++) {
      const { value, exact, standardError } = majAtK(answers, k, { abstained });
      const expected = byEnumeration(answers, abstained, k);
      expect(Math.abs(value - expected), `${JSON.stringify(answers)} + ${abstained}, k ${k}`).toBeLessThan(
        1e-14,
      );
      expect(exact && standardError === 0).toBe(true);
    }
  }
});

test("two answers and an odd k: more than half are right", () => {
  for (const [n, c] of [
    [9, 4],
    [64, 40],
    [101, 50],
  ]) {
    for (let k = 1; k <= n; k += 2) {
      const { value } = majAtK(
        [
          { count: c, value: 1 },
          { count: n - c, value: 0 },
        ],
        k,
      );
      expect(value).toBeCloseTo(gPassAtK(n, c, k, (k + 1) / 2 / k), 12);
    }
  }
});

test("a right plurality wins as k grows, a right minority loses; k = 1 is the mean, k = n the vote itself", () => {
  const answers = (right: number): AnswerVotes[] => [
    { count: right, value: 1 },
    ...Array.from({ length: 8 }, () => ({ count: 8, value: 0 })),
  ];
  const curve = (right: number) => [1, 3, 9, 27, 64 + right].map((k) => majAtK(answers(right), k).value);
  const [up, down] = [curve(16), curve(4)];
  expect(up[0]).toBeCloseTo(16 / 80, 14);
  for (let i = 1; i < 5; i++) {
    expect(up[i]).toBeGreaterThan(up[i - 1]);
    expect(down[i]).toBeLessThan(down[i - 1]);
  }
  expect([up[4], down[4]]).toEqual([1, 0]);
  expect(majAtK(answers(8), 72).value).toBeCloseTo(1 / 9, 14); // all nine tie
});

test("drawn subsets agree with the whole sum, and say how far off they may be", () => {
  const answers = [12, 9, 9, 4, 1, 1, 1].map((count, i) => ({ count, value: i === 1 ? 1 : 0 }));
  for (const k of [2, 5, 16, 33]) {
    const whole = majAtK(answers, k, { abstained: 3 });
    const drawn = majAtK(answers, k, { abstained: 3, work: 0, seed: 5 });
    expect(drawn.exact).toBe(false);
    expect(drawn.standardError).toBeGreaterThan(0);
    expect(drawn.standardError).toBeLessThan(0.51 / Math.sqrt(4096));
    expect(Math.abs(drawn.value - whole.value)).toBeLessThan(4 * drawn.standardError);
    expect(majAtK(answers, k, { abstained: 3, work: 0, seed: 5 })).toEqual(drawn);
    expect(majAtK(answers, k, { abstained: 3, work: 0, seed: 6 }).value).not.toBe(drawn.value);
  }
});

test("ten thousand samples: exact for k of 64, drawn for k of 5,000", () => {
  const answers = [3000, 2990, 2000, 1000, 500, 500].map((count, i) => ({ count, value: i === 0 ? 1 : 0 }));
  const small = majAtK(answers, 64, { abstained: 10 });
  expect(small.exact).toBe(true);
  expect(small.value).toBeGreaterThan(0.45);
  expect(small.value).toBeLessThan(0.52);
  const drawn = majAtK(answers, 64, { abstained: 10, work: 0, draws: 1000 });
  expect(Math.abs(drawn.value - small.value)).toBeLessThan(4 * drawn.standardError);
  const large = majAtK(answers, 5000, { draws: 20 });
  expect(large.exact).toBe(false);
  expect(large.value >= 0 && large.value <= 1).toBe(true);
});

test("votes are counted by answer; a prompt without any votes is worth 0", () => {
  expect(countVotes(["a", null, "b", "a", ""], [1, 1, 0, 0, 0.5])).toEqual({
    votes: [
      { count: 2, value: 0.5 },
      { count: 1, value: 0 },
      { count: 1, value: 0.5 },
    ],
    abstained: 1,
  });
  expect(majAtK([], 2, { abstained: 4 })).toEqual({ value: 0, exact: true, standardError: 0 });
  expect(() => countVotes(["a"], [])).toThrow(/a reward for each answer/);
});

test("bad input is refused by name", () => {
  const one = [{ count: 3, value: 1 }];
  for (const k of [0, 4, 1.5]) expect(() => majAtK(one, k)).toThrow(/^majAtK: an integer k in \[1, 3\]/);
  expect(() => majAtK([{ count: 1.5, value: 1 }], 1)).toThrow(EstimatorError);
  expect(() => majAtK([{ count: 1, value: Number.NaN }], 1)).toThrow(/finite values/);
  expect(() => majAtK(one, 1, { abstained: -1 })).toThrow(/abstained/);
  expect(() => majAtK(one, 1, { draws: 1 })).toThrow(/draws/);
});

import { expect, test } from "vitest";
import { didYouMean, editDistance, nearest } from "../../src/tensor/suggest.ts";

test("edit distance counts insertions, deletions, replacements and swaps", () => {
  const cases: [string, string, number][] = [
    ["", "", 0],
    ["", "abc", 3],
    ["kitten", "sitting", 3],
    ["nsr", "nrs", 1],
    ["abc", "abc", 0],
    ["flaw", "lawn", 2],
  ];
  for (const [a, b, distance] of cases) {
    expect(editDistance(a, b)).toBe(distance);
    expect(editDistance(b, a)).toBe(distance);
  }
});

test("suggests only what is near, without regard to case and dashes", () => {
  expect(nearest("hidden_size", ["headDim", "hiddenSize"])).toBe("hiddenSize");
  expect(nearest("tempreature", ["temperature", "topK"])).toBe("temperature");
  expect(nearest("xyz", ["temperature"])).toBeUndefined();
  expect(nearest("k", ["n"])).toBe("n");
});

test("lists the known names otherwise, and long names cost no time", () => {
  expect(didYouMean("zzzz", ["aa", "bb"])).toBe("Known: aa, bb.");
  expect(
    didYouMean(
      "zzzzzz",
      Array.from({ length: 15 }, (_, i) => `name${i}`),
    ),
  ).toMatch(/and 3 more\.$/);
  expect(didYouMean("a", [])).toBe("None is known.");
  const start = performance.now();
  didYouMean("a".repeat(1e6), ["b".repeat(1e6)]);
  expect(performance.now() - start).toBeLessThan(500);
});

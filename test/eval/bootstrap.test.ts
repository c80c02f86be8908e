import { expect, test } from "vitest";
import { bootstrapDifference, bootstrapMean, bootstrapMeans, quantile } from "../../src/eval/bootstrap.ts";
import { EstimatorError } from "../../src/eval/estimators.ts";
import { Rng, Stream } from "../../src/tensor/random.ts";

test("quantiles are linear between neighbours", () => {
  expect(quantile([1, 2, 3, 4], 0)).toBe(1);
  expect(quantile([1, 2, 3, 4], 1)).toBe(4);
  expect(quantile([1, 2, 3, 4], 0.5)).toBe(2.5);
  expect(quantile([7], 0.3)).toBe(7);
});

test("the interval of a mean has the width that theory gives", () => {
  const values = [...new Rng(1, Stream.test).fillNormal(new Float64Array(400))];
  const { mean, low, high } = bootstrapMean(values, { seed: 3 });
  expect(low).toBeLessThan(mean);
  expect(high).toBeGreaterThan(mean);
  expect(Math.abs((high - low) / (2 * 1.96 * 0.05) - 1)).toBeLessThan(0.1); // sigma / sqrt(400)
});

test("about 95 % of the intervals hold the truth", () => {
  const rng = new Rng(2, Stream.test);
  let held = 0;
  for (let trial = 0; trial < 200; trial++) {
    const values = [...rng.fillNormal(new Float64Array(60), 1, 5)];
    const { low, high } = bootstrapMean(values, { resamples: 400, seed: trial });
    if (low <= 5 && 5 <= high) held++;
  }
  expect(held).toBeGreaterThan(178);
  expect(held).toBeLessThan(200);
});

test("pairing removes what the prompts have in common", () => {
  const rng = new Rng(3, Stream.test);
  const prompts = Array.from({ length: 100 }, () => 5 * rng.normal());
  const a = prompts.map((x) => [x + 0.3 + 0.1 * rng.normal()]);
  const b = prompts.map((x) => [x + 0.1 * rng.normal()]);
  const [difference] = bootstrapDifference(a, b);
  expect(difference.low).toBeGreaterThan(0.25);
  expect(difference.high).toBeLessThan(0.35);
  expect(bootstrapMeans(a)[0].high - bootstrapMeans(a)[0].low).toBeGreaterThan(1);
});

test("the same seed gives the same interval, another another", () => {
  const values = Array.from({ length: 32 }, (_, i) => [i % 3, (i * i) % 7]);
  expect(bootstrapMeans(values, { seed: 4 })).toEqual(bootstrapMeans(values, { seed: 4 }));
  expect(bootstrapMeans(values, { seed: 5 })).not.toEqual(bootstrapMeans(values, { seed: 4 }));
  expect(bootstrapMeans(values, { seed: 4 })[1]).toEqual(
    bootstrapMean(
      values.map((row) => row[1]),
      { seed: 4 },
    ),
  );
  expect(bootstrapMean([1, 1, 1])).toEqual({ mean: 1, low: 1, high: 1 });
});

test("bad input is refused by name", () => {
  expect(() => bootstrapMean([])).toThrow(EstimatorError);
  expect(() => bootstrapMean([1, Number.NaN])).toThrow(/finite/);
  expect(() => bootstrapMeans([[1, 2], [1]])).toThrow(EstimatorError);
  expect(() => bootstrapMean([1], { level: 1 })).toThrow(/level/);
  expect(() => bootstrapMean([1], { resamples: 0 })).toThrow(/resamples/);
  expect(() => bootstrapDifference([[1]], [[1], [2]])).toThrow(/same prompts/);
});

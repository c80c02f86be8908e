import { expect, test } from "vitest";
import { bootstrapMeans, bootstrapStatistic } from "../../src/eval/bootstrap.ts";
import {
  bootstrapSeedStatistic,
  bootstrapSeeds,
  bootstrapSeedsDifference,
  pairedDifferences,
  type SeedDraw,
} from "../../src/eval/bootstrapSeeds.ts";
import { EstimatorError, mean } from "../../src/eval/estimators.ts";
import { Rng, Stream } from "../../src/tensor/random.ts";

const width = ({ low, high }: { low: number; high: number }) => high - low;

/** [seed][prompt][1]: a seed's share, a prompt's share, noise. */
function simulated(rng: Rng, seeds: number, prompts: number, spread: { s: number; p: number; e: number }) {
  const ofPrompt = Array.from({ length: prompts }, () => spread.p * rng.normal());
  return Array.from({ length: seeds }, () => {
    const ofSeed = spread.s * rng.normal();
    return ofPrompt.map((p) => [ofSeed + p + spread.e * rng.normal()]);
  });
}

test("any statistic: means agree with bootstrapMeans to the bit; a ratio of two arms is paired", () => {
  const rng = new Rng(41, Stream.test);
  const prompts = Array.from({ length: 80 }, () => 1 + rng.uniform());
  const arms = prompts.map((x) => [1.2 * x + 0.01 * rng.normal(), x]);
  const average = (drawn: ArrayLike<number>, column: number) =>
    Array.from(drawn).reduce((sum, i) => sum + arms[i][column], 0) / drawn.length;
  const options = { seed: 3, resamples: 500 };
  expect(bootstrapStatistic(80, (drawn) => [average(drawn, 0), average(drawn, 1)], options)).toEqual(
    bootstrapMeans(arms, options),
  );
  const [ratio] = bootstrapStatistic(80, (drawn) => [average(drawn, 0) / average(drawn, 1)], options);
  expect(ratio.low).toBeGreaterThan(1.19);
  expect(ratio.high).toBeLessThan(1.21);
  expect(() => bootstrapStatistic(3, (drawn) => [1 / (drawn[0] - 1)], options)).toThrow(/finite values/);
  expect(() => bootstrapStatistic(0, () => [1])).toThrow(/at least one prompt/);
});

test("draws: seeds with replacement, one list of prompts for all of a resample or one for each", () => {
  const seen: SeedDraw[][] = [];
  const keep = (draws: readonly SeedDraw[]) => {
    seen.push([...draws]);
    return [0];
  };
  bootstrapSeedStatistic([5, 5, 5], keep, { resamples: 200, seed: 1 });
  expect(seen[0].map(({ seed, prompts }) => [seed, ...Array.from(prompts)])).toEqual(
    [0, 1, 2].map((s) => [s, 0, 1, 2, 3, 4]),
  );
  const shared = seen.splice(0).slice(1);
  expect(shared.every((draws) => draws.every(({ prompts }) => prompts === draws[0].prompts))).toBe(true);
  const alone = shared.filter((draws) => new Set(draws.map(({ seed }) => seed)).size === 1).length;
  expect(Math.abs(alone / 200 - 1 / 9)).toBeLessThan(0.09); // four standard errors
  bootstrapSeedStatistic([5, 2, 9], keep, { resamples: 200, seed: 1, prompts: "own" });
  for (const draws of seen.slice(1)) {
    for (const { seed, prompts } of draws) {
      expect(prompts.length).toBe([5, 2, 9][seed]);
      expect(Math.max(...Array.from(prompts))).toBeLessThan(prompts.length);
    }
  }
  expect(() => bootstrapSeedStatistic([5, 4], keep)).toThrow(/got 5, 4 prompts. Pass prompts: "own"/);
  expect(() => bootstrapSeedStatistic([], keep)).toThrow(EstimatorError);
  expect(() => bootstrapSeedStatistic([5, 0], keep, { prompts: "own" })).toThrow(/at least one prompt/);
});

test("one seed is the bootstrap over prompts; seeds that differ widen it, whatever the number of prompts", () => {
  const rng = new Rng(42, Stream.test);
  const one = simulated(rng, 1, 200, { s: 0, p: 0.3, e: 0.1 });
  const [seeded, plain] = [bootstrapSeeds(one)[0], bootstrapMeans(one[0])[0]];
  expect(seeded.mean).toBe(plain.mean);
  expect(Math.abs(width(seeded) / width(plain) - 1)).toBeLessThan(0.08);
  const apart = simulated(rng, 5, 400, { s: 0.5, p: 0.1, e: 0.1 });
  const sd = Math.sqrt(
    apart.reduce((sum, rows) => sum + mean(rows.flat()) ** 2, 0) / 5 - mean(apart.flat(2)) ** 2,
  );
  expect(Math.abs(width(bootstrapSeeds(apart)[0]) / (2 * 1.96 * (sd / Math.sqrt(5))) - 1)).toBeLessThan(0.12);
});

test("shared prompts do not average out over seeds; own prompts do", () => {
  const rng = new Rng(43, Stream.test);
  const values = simulated(rng, 6, 100, { s: 0, p: 1, e: 0.05 });
  const shared = width(bootstrapSeeds(values)[0]);
  expect(Math.abs(shared / (2 * 1.96 * 0.1) - 1)).toBeLessThan(0.25);
  expect(width(bootstrapSeeds(values, { prompts: "own" })[0])).toBeLessThan(0.6 * shared);
});

test("pairing by seed and prompt removes what arms have in common", () => {
  const rng = new Rng(44, Stream.test);
  const base = simulated(rng, 5, 60, { s: 1, p: 2, e: 0 });
  const noisy = (shift: number) => base.map((rows) => rows.map(([x]) => [x + shift + 0.1 * rng.normal(), 7]));
  const [a, b] = [noisy(0.2), noisy(0)];
  const [difference, same] = bootstrapSeedsDifference(a, b, { seed: 9 });
  expect(difference.low).toBeGreaterThan(0.15);
  expect(difference.high).toBeLessThan(0.25);
  expect(same).toEqual({ mean: 0, low: 0, high: 0 });
  expect(width(bootstrapSeeds(a)[0])).toBeGreaterThan(1);
  expect(bootstrapSeedsDifference(a, b, { seed: 9 })).toEqual([difference, same]);
  expect(bootstrapSeedsDifference(a, b, { seed: 8 })[0].low).not.toBe(difference.low);
  expect(pairedDifferences([[[3, 1]]], [[[1, 1]]])).toEqual([[[2, 0]]]);
});

test("bad input is refused by name", () => {
  expect(() => pairedDifferences([[[1]]], [[[1], [2]]])).toThrow(/got \[1 x 1\] and \[2 x 1\]/);
  expect(() => pairedDifferences([[[1]]], [[[1, 2]]])).toThrow(EstimatorError);
  expect(() => bootstrapSeeds([[[1], [Number.NaN]]])).toThrow(/got \[NaN\] for seed 0, prompt 1/);
  expect(() => bootstrapSeeds([])).toThrow(EstimatorError);
});

import { describe, expect, test } from "vitest";
import { EstimatorError } from "../../src/eval/estimators.ts";
import {
  detectionPower,
  minimalDetectable,
  type PromptDesign,
  seedInterval,
  type VarianceComponents,
  varianceComponents,
} from "../../src/eval/power.ts";
import { Rng, Stream } from "../../src/tensor/random.ts";

/** [seed][prompt] with these variances and mean 0. */
function draw(
  rng: Rng,
  m: number,
  n: number,
  { seed, prompt, rest }: VarianceComponents,
  design: PromptDesign,
) {
  const shared = Array.from({ length: n }, () => Math.sqrt(prompt) * rng.normal());
  return Array.from({ length: m }, () => {
    const ofSeed = Math.sqrt(seed) * rng.normal();
    return shared.map((p) => ofSeed + (design === "shared" ? p : 0) + Math.sqrt(rest) * rng.normal());
  });
}

test("mean squares by hand", () => {
  // Seeds' means 2 and 4, prompts' means 2, 3, 4; what is left over: +-1/2, 0, -+1/2.
  const values = [
    [1.5, 2, 2.5],
    [2.5, 4, 5.5],
  ];
  // MS_seed = 3 (1 + 1) / 1 = 6, MS_prompt = 2 (1 + 0 + 1) / 2 = 2, MS_rest = (4 / 4) / 2 = .5
  expect(varianceComponents(values)).toEqual({ seed: 5.5 / 3, prompt: 0.75, rest: 0.5 });
  const { mean, standardError, degrees, low, high } = seedInterval(values);
  expect(mean).toBe(3);
  expect(standardError).toBeCloseTo(Math.sqrt((6 + 2 - 0.5) / 6), 14);
  expect(degrees).toBeCloseTo(7.5 ** 2 / (36 / 1 + 4 / 2 + 0.25 / 2), 12);
  expect(low + high).toBeCloseTo(6, 12);
  // Own prompts: MS_rest within seeds = (.5 + 4.5) / 4 = 1.25.
  expect(varianceComponents(values, "own")).toEqual({ seed: (6 - 1.25) / 3, prompt: 0, rest: 1.25 });
  const own = seedInterval(values, { prompts: "own", level: 0.9 });
  expect(own.standardError).toBeCloseTo(1, 14); // of the means 2 and 4
  expect(own.degrees).toBeCloseTo(1, 12);
  expect(own.high - 3).toBeCloseTo(6.313751514675043, 9); // t_{.95,1}
});

test("components are unbiased", () => {
  const truth = { seed: 0.04, prompt: 0.09, rest: 0.25 };
  const rng = new Rng(51, Stream.test);
  const mean = { seed: 0, prompt: 0, rest: 0 };
  const trials = 1500;
  for (let t = 0; t < trials; t++) {
    const found = varianceComponents(draw(rng, 6, 20, truth, "shared"));
    for (const name of ["seed", "prompt", "rest"] as const) mean[name] += found[name] / trials;
  }
  for (const name of ["seed", "prompt", "rest"] as const)
    expect(Math.abs(mean[name] / truth[name] - 1), name).toBeLessThan(0.08);
});

describe("simulated experiments", () => {
  const trials = 2500; // standard error of a share: .008 at .8, .004 at .05
  const cases: [PromptDesign, number, number, VarianceComponents, number][] = [
    ["shared", 3, 40, { seed: 0.0004, prompt: 0.01, rest: 0.04 }, 0.8],
    ["shared", 5, 50, { seed: 0.0009, prompt: 0.01, rest: 0.04 }, 0.8],
    ["shared", 5, 50, { seed: 0, prompt: 0.04, rest: 0.09 }, 0.8],
    ["shared", 8, 30, { seed: 0, prompt: 0, rest: 0.09 }, 0.8],
    ["shared", 2, 60, { seed: 0.0004, prompt: 0.01, rest: 0.09 }, 0.8],
    ["shared", 12, 25, { seed: 0.01, prompt: 0.04, rest: 0.04 }, 0.95],
    ["own", 3, 40, { seed: 0.0004, prompt: 0, rest: 0.05 }, 0.8],
    ["own", 6, 30, { seed: 0.0025, prompt: 0, rest: 0.05 }, 0.5],
  ];
  test.each(cases)("%s prompts, %d seeds x %d: the power is what was asked", (design, m, n, parts, power) => {
    const plan = { seeds: m, prompts: n, design, power };
    const difference = minimalDetectable(parts, plan);
    expect(detectionPower(parts, plan, difference)).toBeCloseTo(power, 4);
    const rng = new Rng(52, Stream.test);
    let [found, falsely] = [0, 0];
    for (let t = 0; t < trials; t++) {
      const { low, high } = seedInterval(draw(rng, m, n, parts, design), { prompts: design });
      if (low > 0 || high < 0) falsely++;
      if (low + difference > 0 || high + difference < 0) found++;
    }
    expect(Math.abs(found / trials - power)).toBeLessThan(0.035);
    expect(Math.abs(falsely / trials - detectionPower(parts, plan, 0))).toBeLessThan(0.02);
    expect(falsely / trials).toBeLessThan(0.07);
  });
});

test("more seeds, more prompts and less power asked make it smaller; prompts do nothing against seeds", () => {
  const parts = { seed: 0.001, prompt: 0.02, rest: 0.1 };
  const of = (seeds: number, prompts: number, power?: number) =>
    minimalDetectable(parts, { seeds, prompts, power });
  expect(of(5, 100)).toBeGreaterThan(of(10, 100));
  expect(of(5, 100)).toBeGreaterThan(of(5, 200));
  expect(of(5, 100)).toBeGreaterThan(of(5, 100, 0.5));
  // The floor: (t_{.975,4} + t_{.8,4}) sqrt(.001/5), about 3.75 standard errors.
  expect(of(5, 1e6) / Math.sqrt(0.001 / 5)).toBeGreaterThan(3.6);
  expect(of(5, 1e6) / Math.sqrt(0.001 / 5)).toBeLessThan(3.9);
  // Many of both: 1.96 + 0.84 standard errors.
  const many = of(2000, 2000) / Math.sqrt(0.001 / 2000 + 0.02 / 2000 + 0.1 / 4e6);
  expect(Math.abs(many - 2.8016)).toBeLessThan(0.03);
  expect(of(5, 100)).toBe(of(5, 100));
  expect(minimalDetectable({ seed: 0, prompt: 0, rest: 0 }, { seeds: 3, prompts: 3 })).toBe(0);
});

test("bad input is refused by name", () => {
  const parts = { seed: 0, prompt: 0, rest: 1 };
  expect(() => varianceComponents([[1, 2]])).toThrow(/at least 2 seeds and 2 prompts expected, got 1 and 2/);
  expect(() => seedInterval([[1], [2]])).toThrow(EstimatorError);
  expect(() => seedInterval([[1, 2], [3]])).toThrow(
    /2 finite values for every seed expected, got 1 for seed 1/,
  );
  expect(() =>
    seedInterval([
      [1, 2],
      [3, Number.NaN],
    ]),
  ).toThrow(/not all finite/);
  expect(() =>
    seedInterval(
      [
        [1, 2],
        [3, 4],
      ],
      { level: 1 },
    ),
  ).toThrow(/level in \(0, 1\)/);
  expect(() => minimalDetectable(parts, { seeds: 1, prompts: 9 })).toThrow(/at least 2 seeds/);
  expect(() => minimalDetectable(parts, { seeds: 2, prompts: 9, power: 1 })).toThrow(/power in \(0, 1\)/);
  expect(() => minimalDetectable({ ...parts, seed: -1 }, { seeds: 2, prompts: 9 })).toThrow(/seed component/);
  expect(() => detectionPower({ ...parts, rest: Number.NaN }, { seeds: 2, prompts: 9 }, 1)).toThrow(
    /^detectionPower: a finite rest component/,
  );
});

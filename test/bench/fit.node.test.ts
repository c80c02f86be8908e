/** Lines over work, and what is called a cliff, on numbers made by hand. */

import { describe, expect, test } from "vitest";
import { type Curve, worstPoint } from "../../src/bench/curves.ts";
import { curveLines, verdict } from "../../src/bench/curvesText.ts";
import { fitLine, residual } from "../../src/bench/fit.ts";
import { rolloutFlops, samplingFlops } from "../../src/bench/smallModel.ts";

describe("a line over work", () => {
  const on = (a: number, b: number) => (flops: number) => ({ flops, ms: a + b * flops });

  test("is found where all points lie on it, and off by nothing", () => {
    const points = [1, 10, 100, 1000].map(on(3, 0.25));
    const line = fitLine(points);
    expect(line.a).toBeCloseTo(3, 10);
    expect(line.b).toBeCloseTo(0.25, 12);
    for (const point of points) expect(residual(line, point)).toBeCloseTo(0, 10);
  });

  test("counts relative errors: a large size that is twice as slow does not hide what small ones say", () => {
    const line = fitLine([...[1, 2, 3, 4, 5, 6].map(on(1, 1)), { flops: 1000, ms: 2002 }]);
    expect(residual(line, { flops: 1000, ms: 2002 })).toBeGreaterThan(0.2);
    expect(residual(line, { flops: 3, ms: 4 })).toBeLessThan(0.1);
  });

  test("goes through 0 rather than below, and is flat rather than falling", () => {
    expect(fitLine([2, 4, 8].map(on(-1, 1))).a).toBe(0);
    const flat = fitLine([1, 2, 3].map(on(10, -1)));
    expect(flat.b).toBe(0);
    expect(flat.a).toBeGreaterThan(7);
    expect(flat.a).toBeLessThan(9);
    expect(fitLine([5, 5].map(on(0, 2)))).toEqual({ a: 0, b: 2 });
    expect(() => fitLine([{ flops: 1, ms: 1 }])).toThrow("two points or more expected, got 1");
  });
});

describe("cliffs", () => {
  const wall = (ms: number) => ({ ms, low: ms, high: ms, samples: 7 });
  const curve = (off: number): Curve => ({
    work: "rollout",
    over: "prompts",
    base: { width: 64 },
    line: { a: 1, b: 1e-6 },
    points: [
      { x: 1, flops: 1e6, wall: wall(2), fitted: 2, residual: 0 },
      { x: 9, flops: 9e6, wall: wall(10 * (1 + off)), fitted: 10, residual: off },
    ],
  });

  test("the furthest point above its line is named; below is none", () => {
    expect(worstPoint([curve(0.2), curve(0.4), curve(-0.9)])?.point.residual).toBe(0.4);
    expect(verdict([curve(0.2)])).toBe(
      "No cliff: a cliff is a size more than 50 % above its line. Furthest above its line: rollout, prompts 9, +20 %.",
    );
    expect(verdict([curve(0.8)])).toMatch(/^1 cliffs \(rollout, prompts 9\): /);
  });

  test("are marked in the table", () => {
    expect(curveLines(curve(0.8)).slice(2)).toEqual([
      "Else width 64. time = 1.00 ms + flops at 1.00 GFLOP/s.",
      "",
      "| prompts | MFLOP | lower quartile ms | median ms | ± | by the line | off by |",
      "| --- | --- | --- | --- | --- | --- | --- |",
      "| 1 | 1.00 | 2.00 | 2.00 | 0 % | 2.00 | +0 % |",
      "| 9 | 9.00 | 18.0 | 18.0 | 0 % | 10.0 | +80 % **cliff** |",
      "",
    ]);
  });
});

test("samples of one prompt share its prefix: two of them cost one prefill", () => {
  const model = { vocabSize: 3, hiddenSize: 2, numLayers: 1 };
  const sizes = { prompt: 3, length: 2, span: 4 };
  const prefill = 2 * (3 * 48 + 4 * (1 + 2 + 3));
  const apart = samplingFlops(model, { rows: 2, ...sizes });
  expect(apart - rolloutFlops(model, { prompts: 1, samples: 2, ...sizes })).toBe(prefill);
});

import { expect, test } from "vitest";
import { EstimatorError } from "../../src/eval/estimators.ts";
import { escapeHtml, formatNumber, lineChart, spread, ticks } from "../../src/eval/svg.ts";

test("escapes everything that could leave text or an attribute", () => {
  expect(escapeHtml(`<a href="x" onclick='y'>&amp;`)).toBe(
    "&lt;a href=&quot;x&quot; onclick=&#39;y&#39;&gt;&amp;amp;",
  );
});

test("ticks are round, few and within the range", () => {
  for (const [low, high] of [
    [0, 1],
    [0.35, 1],
    [-3, 7],
    [0, 12345],
    [1e-7, 3e-7],
    [99.5, 100.5],
  ]) {
    const found = ticks(low, high);
    expect(found.length).toBeGreaterThanOrEqual(3);
    expect(found.length).toBeLessThanOrEqual(8);
    for (const tick of found) {
      expect(tick).toBeGreaterThanOrEqual(low - (high - low) * 1e-6);
      expect(tick).toBeLessThanOrEqual(high + (high - low) * 1e-6);
    }
  }
  expect(ticks(0, 1)).toEqual([0, 0.2, 0.4, 0.6, 0.8, 1]);
  expect(ticks(5, 5)).toEqual([5]);
});

test("labels keep their order and distance", () => {
  expect(spread([10, 11, 12, 80], 15, 0, 100)).toEqual([10, 25, 40, 80]);
  expect(spread([95, 96, 97], 15, 0, 100)).toEqual([70, 85, 100]);
  expect(spread([], 15, 0, 100)).toEqual([]);
});

test("numbers are short", () => {
  expect([0, 0.5, 1 / 3, 1234.56, 1e7, 1e-5, -2].map(formatNumber)).toEqual([
    "0",
    "0.5",
    "0.3333",
    "1235",
    "1.0e7",
    "1.0e-5",
    "-2",
  ]);
});

const chart = (points: { x: number; y: number; low?: number; high?: number }[], logX = false) =>
  lineChart({ title: "t", xLabel: "x", yLabel: "y", logX, series: [{ name: "a<b", style: 1, points }] });

test("powers of two lie at equal distances", () => {
  const svg = chart(
    [1, 2, 4, 8].map((x) => ({ x, y: x })),
    true,
  );
  const xs = [...svg.matchAll(/class="tick" x="([\d.]+)" y="295"/g)].map((match) => Number(match[1]));
  expect(xs.length).toBe(4);
  expect(xs[1] - xs[0]).toBeCloseTo(xs[2] - xs[1], 0);
  expect(xs[3] - xs[2]).toBeCloseTo(xs[1] - xs[0], 0);
  expect(() => chart([{ x: 0, y: 1 }], true)).toThrow(EstimatorError);
});

test("draws one point, flat lines, gaps, bands and nothing without NaN in a path", () => {
  const cases = [
    chart([]),
    chart([{ x: 1, y: 2 }]),
    chart([
      { x: 1, y: 2 },
      { x: 2, y: 2 },
    ]),
    chart([
      { x: 1, y: 2 },
      { x: 2, y: Number.NaN },
      { x: 3, y: 4 },
    ]),
    chart([
      { x: 1, y: 2, low: 1, high: 3 },
      { x: 2, y: 3, low: 2, high: 5 },
    ]),
    chart([{ x: 1, y: Number.POSITIVE_INFINITY }]),
  ];
  for (const svg of cases) {
    expect(svg).not.toMatch(/NaN|Infinity|undefined/);
    expect(svg.startsWith("<svg")).toBe(true);
    expect(svg.endsWith("</svg>")).toBe(true);
  }
  expect(cases[0]).toContain("No data.");
  expect(cases[1]).toContain("<circle");
  expect(cases[3].match(/M[\d. ]+M[\d. ]+/)).not.toBeNull(); // the gap lifts the pen
  expect(cases[4]).toContain('class="band s1"');
  expect(cases[4]).toContain("a&lt;b");
});

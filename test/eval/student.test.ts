import { expect, test } from "vitest";
import { normalTail, studentQuantile, studentTail } from "../../src/eval/student.ts";
import { quantiles } from "../golden/scipy/student.golden.ts";

test("quantiles are SciPy's", () => {
  expect(quantiles.length).toBe(70);
  for (const [p, degrees, expected] of quantiles) {
    const off = Math.abs(studentQuantile(p, degrees) / expected - 1);
    expect(off, `p ${p}, ${degrees} degrees`).toBeLessThan(degrees > 1e4 ? 1e-8 : 1e-11);
  }
});

test("closed forms: one and two degrees of freedom, and the normal limit", () => {
  for (const p of [0.55, 0.7, 0.9, 0.99]) {
    expect(studentQuantile(p, 1) / Math.tan(Math.PI * (p - 0.5))).toBeCloseTo(1, 12);
    const a = 4 * p * (1 - p);
    expect(studentQuantile(p, 2) / (2 * (p - 0.5) * Math.sqrt(2 / a))).toBeCloseTo(1, 12);
    expect(studentQuantile(1 - p, 2)).toBeCloseTo(-studentQuantile(p, 2), 12);
  }
  expect(studentQuantile(0.975, 1e6)).toBeCloseTo(1.959963985, 5);
  expect(studentQuantile(0.5, 3)).toBe(0);
});

test("the normal tail is the limit of Student's", () => {
  for (const z of [-3, -0.4, 0, 0.7, 1.96, 3, 6])
    expect(Math.abs(normalTail(z) - studentTail(z, 1e6))).toBeLessThan(6e-7);
  expect(Math.abs(normalTail(1.959963984540054) - 0.025)).toBeLessThan(7.5e-8);
});

test("tails add up, and are exact far out", () => {
  for (const degrees of [0.8, 3, 40]) {
    for (const t of [0, 0.3, 2, 11])
      expect(studentTail(t, degrees) + studentTail(-t, degrees)).toBeCloseTo(1, 14);
  }
  expect(studentTail(1e6, 1) * Math.PI * 1e6).toBeCloseTo(1, 10); // 1/(pi t)
});

test("bad input is refused by name", () => {
  for (const [p, degrees] of [
    [0, 3],
    [1, 3],
    [Number.NaN, 3],
    [0.9, 0],
    [0.9, Number.POSITIVE_INFINITY],
  ]) {
    expect(() => studentQuantile(p, degrees)).toThrow(/^studentQuantile: p in \(0, 1\)/);
  }
});

import { expect, test } from "vitest";
import { boxMuller, cos, exp, expm1, log, pow, sin, tanh } from "../../src/tensor/math.ts";
import { golden } from "../golden/math.golden.ts";

const FUNCTIONS: Record<string, (x: number, y: number) => number> = { exp, log, expm1, tanh, sin, cos, pow };
/** Distance in representable numbers; the golden value is itself rounded, hence + 1/2 on the measured bounds. */
const MAX_STEPS: Record<string, number> = { exp: 1, log: 1, expm1: 1, tanh: 2, sin: 1, cos: 1, pow: 1 };

const f64 = new Float64Array(1);
const i64 = new BigInt64Array(f64.buffer);
function steps(a: number, b: number): number {
  f64[0] = a;
  const x = i64[0] < 0 ? -(i64[0] & 0x7fffffffffffffffn) : i64[0];
  f64[0] = b;
  const y = i64[0] < 0 ? -(i64[0] & 0x7fffffffffffffffn) : i64[0];
  return Number(x > y ? x - y : y - x);
}

for (const [name, rows] of Object.entries(golden)) {
  test(`${name} is right to ${MAX_STEPS[name]} representable number(s)`, () => {
    let worst = 0;
    for (const row of rows) {
      const value = row[row.length - 1];
      worst = Math.max(worst, steps(FUNCTIONS[name](row[0], row[1]), value));
    }
    expect(worst).toBeLessThanOrEqual(MAX_STEPS[name]);
    expect(rows.length).toBe(120);
  });
}

test("the same bits in every engine", () => {
  // FNV-1a over the bits of every value: one number to compare between Node and browsers
  let hash = 0xcbf29ce484222325n;
  for (const [name, rows] of Object.entries(golden)) {
    for (const row of rows) {
      f64[0] = FUNCTIONS[name](row[0], row[1]);
      hash = BigInt.asUintN(64, (hash ^ BigInt.asUintN(64, i64[0])) * 0x100000001b3n);
    }
  }
  expect(hash.toString(16)).toBe("54b2d340e7210399");
});

test("special values", () => {
  const { NaN: nan, POSITIVE_INFINITY: inf } = Number;
  expect([exp(inf), exp(-inf), exp(nan), exp(0), exp(-0), exp(710), exp(-746)]).toEqual([
    inf,
    0,
    nan,
    1,
    1,
    inf,
    0,
  ]);
  expect([log(0), log(-0), log(-1), log(inf), log(1), log(nan)]).toEqual([-inf, -inf, nan, inf, 0, nan]);
  expect([expm1(inf), expm1(-inf), expm1(-0), tanh(inf), tanh(-inf), tanh(-0)]).toEqual([
    inf,
    -1,
    -0,
    1,
    -1,
    -0,
  ]);
  expect([sin(inf), cos(-inf), sin(nan), sin(-0), cos(0)]).toEqual([nan, nan, nan, -0, 1]);
  expect(exp(-745)).toBe(5e-324);
});

test("pow has the special cases of Math.pow", () => {
  const { NaN: nan, POSITIVE_INFINITY: inf } = Number;
  const values = [
    nan,
    inf,
    -inf,
    0,
    -0,
    1,
    -1,
    2,
    -2,
    3,
    0.5,
    -0.5,
    1e300,
    -1e300,
    5e-324,
    9007199254740992,
    -7,
  ];
  for (const x of values) {
    for (const y of values) {
      const wanted = x ** y; // exact or special for every pair here
      if (Number.isFinite(wanted) && Math.abs(steps(pow(x, y), wanted)) <= 1 && wanted !== 0) continue;
      expect([x, y, pow(x, y)]).toEqual([x, y, wanted]);
    }
  }
});

test("Box-Muller takes the extreme words", () => {
  const [small, zero] = boxMuller(0xffffffff, 0);
  expect(small).toBeGreaterThan(0);
  expect(small).toBeLessThan(1e-4);
  expect(zero).toBe(0);
  const [large] = boxMuller(0, 0); // the largest sample: sqrt(2 ln 2^33)
  expect(large).toBeGreaterThan(6.76);
  expect(large).toBeLessThan(6.77);
});

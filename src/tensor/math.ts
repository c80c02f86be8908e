/**
 * Elementary functions in float64 from + - x / and bit operations only, so that every JavaScript engine gives the
 * same bits: `Math.exp`, `log`, `sin` and `pow` do not (Node 20 and Chromium differ in the last place).
 * Measured against 400-bit arithmetic on 4,000 points a range: error below 1 ULP for exp, log, expm1, sin and cos,
 * below 1.2 for pow, below 2 for tanh.
 *
 * Source: the algorithms and coefficients of fdlibm 5.3 (e_exp.c, e_log.c, e_pow.c, k_sin.c, k_cos.c, s_expm1.c),
 * "Copyright (C) 2004 by Sun Microsystems, Inc. All rights reserved. Permission to use, copy, modify, and distribute
 * this software is freely granted, provided that this notice is preserved."
 */

import { fromWords, highWord, lowWord, pow2, scale } from "./mathBits.ts";
import { reduceLarge } from "./mathReduce.ts";

export { pow } from "./mathPow.ts";

const LN2_HI = 0.6931471803691238;
const LN2_LO = 1.9082149292705877e-10;
const INV_LN2 = Math.LOG2E;
const TWO_54 = 18014398509481984;

/** e^x. */
export function exp(x: number): number {
  if (Number.isNaN(x)) return x;
  if (x > 709.782712893384) return Number.POSITIVE_INFINITY;
  if (x < -745.1332191019411) return 0;
  const ax = Math.abs(x);
  if (ax < 3.725290298461914e-9) return 1 + x;
  // x = k ln2 + r, |r| <= ln2 / 2; e^r = 1 + (r c / (2 - c) - lo + hi)
  const k = ax > 0.34657359027997264 ? Math.trunc(INV_LN2 * x + (x < 0 ? -0.5 : 0.5)) : 0;
  const hi = x - k * LN2_HI;
  const lo = k * LN2_LO;
  const r = hi - lo;
  const t = r * r;
  const c =
    r -
    t *
      (0.16666666666666602 +
        t *
          (-0.0027777777777015593 +
            t * (0.00006613756321437934 + t * (-0.0000016533902205465252 + t * 4.1381367970572385e-8))));
  return scale(1 - (lo - (r * c) / (2 - c) - hi), k);
}

/** The natural logarithm of x; NaN below 0, -Infinity at 0. */
export function log(x: number): number {
  if (Number.isNaN(x) || x < 0) return Number.NaN;
  if (x === 0) return Number.NEGATIVE_INFINITY;
  if (x === Number.POSITIVE_INFINITY) return x;
  let k = 0;
  if (x < 2.2250738585072014e-308) {
    k -= 54;
    x *= TWO_54;
  }
  // x = 2^k m with m in [sqrt(2)/2, sqrt(2))
  const high = highWord(x) + (0x3ff00000 - 0x3fe6a09e);
  k += (high >>> 20) - 1023;
  const f = fromWords((high & 0xfffff) + 0x3fe6a09e, lowWord(x)) - 1;
  const s = f / (2 + f);
  const z = s * s;
  const w = z * z;
  const even = w * (0.3999999999940942 + w * (0.22222198432149784 + w * 0.15313837699209373));
  const odd =
    z * (0.6666666666666735 + w * (0.2857142874366239 + w * (0.1818357216161805 + w * 0.14798198605116586)));
  const half = 0.5 * f * f;
  return s * (half + (odd + even)) + k * LN2_LO - half + f + k * LN2_HI;
}

/** e^x - 1, accurate near 0. */
export function expm1(x: number): number {
  if (Number.isNaN(x) || x === Number.POSITIVE_INFINITY) return x;
  if (x > 709.782712893384) return Number.POSITIVE_INFINITY;
  if (x < -38.816242) return -1;
  const ax = Math.abs(x);
  if (ax < 5.551115123125783e-17) return x;
  let k = 0;
  let r = x;
  let c = 0;
  if (ax > 0.34657359027997264) {
    k = ax < 1.0397207708399179 ? (x < 0 ? -1 : 1) : Math.trunc(INV_LN2 * x + (x < 0 ? -0.5 : 0.5));
    const hi = x - k * LN2_HI;
    const lo = k * LN2_LO;
    r = hi - lo;
    c = hi - r - lo;
  }
  const hfx = 0.5 * r;
  const hxs = r * hfx;
  const r1 =
    1 +
    hxs *
      (-0.03333333333333313 +
        hxs *
          (0.0015873015872548146 +
            hxs * (-0.0000793650757867488 + hxs * (0.000004008217827329362 + hxs * -2.0109921818362437e-7))));
  const t = 3 - r1 * hfx;
  let e = hxs * ((r1 - t) / (6 - r * t));
  if (k === 0) return r - (r * e - hxs);
  e = r * (e - c) - c - hxs;
  if (k === -1) return 0.5 * (r - e) - 0.5;
  if (k === 1) return r < -0.25 ? -2 * (e - (r + 0.5)) : 1 + 2 * (r - e);
  if (k <= -2 || k > 56) return scale(1 - (e - r), k) - 1;
  if (k < 20) return scale(1 - pow2(-k) - (e - r), k);
  return scale(r - (e + pow2(-k)) + 1, k);
}

/** The hyperbolic tangent of x. */
export function tanh(x: number): number {
  if (Number.isNaN(x)) return x;
  const ax = Math.abs(x);
  if (ax < 2.7755575615628914e-17) return x;
  let z = 1;
  if (ax >= 1) {
    if (ax < 22) z = 1 - 2 / (expm1(2 * ax) + 2);
  } else {
    const t = expm1(-2 * ax);
    z = -t / (t + 2);
  }
  return x < 0 ? -z : z;
}

const PIO2_1 = 1.5707963267341256;
const PIO2_2 = 6.077100506303966e-11;
const PIO2_3 = 2.0222662487111665e-21;
const PIO2_3T = 8.4784276603689e-32;
/** Up to here n PIO2_1 is exact (n < 2^20); beyond, the reduction is done in exact integers. */
const REDUCE_MAX = 1647099;

/** sin(x + y) for |x| <= pi/4, y the tail of x. */
function kernelSin(x: number, y: number): number {
  const z = x * x;
  const v = z * x;
  const r =
    0.00833333333332249 +
    z *
      (-0.0001984126982985795 +
        z * (0.0000027557313707070068 + z * (-2.5050760253406863e-8 + z * 1.58969099521155e-10)));
  return x - (z * (0.5 * y - v * r) - y - v * -0.16666666666666632);
}

/** cos(x + y) for |x| <= pi/4, y the tail of x. */
function kernelCos(x: number, y: number): number {
  const z = x * x;
  const r =
    z *
    (0.0416666666666666 +
      z *
        (-0.001388888888887411 +
          z *
            (0.00002480158728947673 +
              z * (-2.7557314351390663e-7 + z * (2.087572321298175e-9 + z * -1.1359647557788195e-11)))));
  const half = 0.5 * z;
  const w = 1 - half;
  return w + (1 - w - half + (z * r - x * y));
}

/** What a - b lost in rounding to d (Knuth's TwoSum). */
function differenceError(a: number, b: number, d: number): number {
  const bb = a - d;
  return a - (d + bb) + (bb - b);
}

/** sin(x + quadrant pi/2). */
function sinQuadrant(x: number, quadrant: number): number {
  if (!Number.isFinite(x)) return Number.NaN;
  let n = 0;
  let head = x;
  let tail = 0;
  if (Math.abs(x) > REDUCE_MAX) {
    [n, head, tail] = reduceLarge(x);
  } else if (Math.abs(x) > 0.7853981633974483) {
    n = Math.round(x * 0.6366197723675814);
    // Cody and Waite with pi/2 in four parts: the products are exact, the sums keep their errors
    const a = x - n * PIO2_1;
    const w = n * PIO2_2;
    const b = a - w;
    const c = b - n * PIO2_3;
    const rest = differenceError(a, w, b) + differenceError(b, n * PIO2_3, c) - n * PIO2_3T;
    head = c + rest;
    tail = c - head + rest;
  }
  const q = (((n + quadrant) % 4) + 4) % 4;
  const value = q % 2 === 0 ? kernelSin(head, tail) : kernelCos(head, tail);
  return q < 2 ? value : -value;
}

/** The sine of x radians. */
export function sin(x: number): number {
  return Math.abs(x) < 7.450580596923828e-9 ? x : sinQuadrant(x, 0);
}

/** The cosine of x radians. */
export function cos(x: number): number {
  return sinQuadrant(x, 1);
}

/**
 * Two independent standard normal samples from two words of 32 random bits.
 *
 * z = sqrt(-2 ln u) (cos 2 pi v, sin 2 pi v), u in (0, 1), v in [0, 1).
 *
 * Source: Box and Muller 1958, A Note on the Generation of Random Normal Deviates.
 */
export function boxMuller(word0: number, word1: number): [number, number] {
  const radius = Math.sqrt(-2 * log((word0 + 0.5) / 4294967296));
  const angle = word1 * 1.4629180792671596e-9; // 2 pi / 2^32
  return [radius * cos(angle), radius * sin(angle)];
}

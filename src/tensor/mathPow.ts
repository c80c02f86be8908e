/**
 * x^y in float64, the same bits in every engine.
 *
 * log2(x) is taken as a sum of two doubles (53 + 24 bits), multiplied by y, and 2 raised to it.
 *
 * Source: fdlibm 5.3, e_pow.c, "Copyright (C) 2004 by Sun Microsystems, Inc. All rights reserved. Permission to use,
 * copy, modify, and distribute this software is freely granted, provided that this notice is preserved."
 */

import { clearLow, fromWords, highWord, lowWord, scale } from "./mathBits.ts";

const LG2 = Math.LN2;
const LG2_H = 0.6931471824645996;
const LG2_L = -1.904654299957768e-9;
const CP = 0.9617966939259756; // 2 / (3 ln2)
const CP_H = 0.9617967009544373;
const CP_L = -7.028461650952758e-9;

/** log2(x) as [head with 21 bits, tail], for x positive, finite and normal or not. */
function log2Pair(x: number): [number, number] {
  let n = 0;
  if (x < 2.2250738585072014e-308) {
    x *= 9007199254740992;
    n -= 53;
  }
  n += (highWord(x) >>> 20) - 1023;
  const mantissa = highWord(x) & 0xfffff;
  let high = mantissa | 0x3ff00000;
  // interval [sqrt(3)/2, sqrt(3/2)) about 1, or [sqrt(3/2), sqrt(3)) about 1.5
  let about15 = false;
  if (mantissa > 0x3988e) {
    if (mantissa < 0xbb67a) about15 = true;
    else {
      n += 1;
      high -= 0x100000;
    }
  }
  const ax = fromWords(high, lowWord(x));
  const bp = about15 ? 1.5 : 1;
  let u = ax - bp;
  let v = 1 / (ax + bp);
  const ss = u * v;
  const sH = clearLow(ss);
  // tH = ax + bp with few bits
  let tH = fromWords(((high >> 1) | 0x20000000) + 0x80000 + (about15 ? 0x40000 : 0), 0);
  let tL = ax - (tH - bp);
  const sL = v * (u - sH * tH - sH * tL);
  const s2 = ss * ss;
  let r =
    s2 *
    s2 *
    (0.5999999999999946 +
      s2 *
        (0.4285714285785502 +
          s2 *
            (0.33333332981837743 +
              s2 * (0.272728123808534 + s2 * (0.23066074577556175 + s2 * 0.20697501780033842)))));
  r += sL * (sH + ss);
  const sH2 = sH * sH;
  tH = clearLow(3 + sH2 + r);
  tL = r - (tH - 3 - sH2);
  u = sH * tH;
  v = sL * tH + tL * ss;
  const pH = clearLow(u + v);
  const pL = v - (pH - u);
  const zH = CP_H * pH;
  const zL = CP_L * pH + pL * CP + (about15 ? 1.350039202129749e-8 : 0);
  const dpH = about15 ? 0.5849624872207642 : 0;
  const head = clearLow(zH + zL + dpH + n);
  return [head, zL - (head - n - dpH - zH)];
}

/** 2^(a + b), |b| small against a. */
function exp2Pair(a: number, b: number): number {
  const z = a + b;
  if (z >= 1024) return Number.POSITIVE_INFINITY;
  if (z < -1080) return 0;
  const n = Math.abs(z) > 0.5 ? Math.trunc(z + (z < 0 ? -0.5 : 0.5)) : 0;
  const rest = a - n;
  const t = clearLow(rest + b);
  const u = t * LG2_H;
  const v = (b - (t - rest)) * LG2 + t * LG2_L;
  const w = u + v;
  const tail = v - (w - u);
  const t2 = w * w;
  const c =
    w -
    t2 *
      (0.16666666666666602 +
        t2 *
          (-0.0027777777777015593 +
            t2 * (0.00006613756321437934 + t2 * (-0.0000016533902205465252 + t2 * 4.1381367970572385e-8))));
  const r = (w * c) / (c - 2) - (tail + w * tail);
  return scale(1 - (r - w), n);
}

/** 1 if y is an odd integer, 2 if even, 0 if none. */
function integerKind(y: number): 0 | 1 | 2 {
  if (!Number.isInteger(y)) return 0;
  return Math.abs(y) < 9007199254740992 && Math.abs(y) % 2 === 1 ? 1 : 2;
}

/** x to the power y, with the special cases of `Math.pow`. */
export function pow(x: number, y: number): number {
  if (y === 0) return 1;
  if (Number.isNaN(x) || Number.isNaN(y)) return Number.NaN;
  const ax = Math.abs(x);
  if (!Number.isFinite(y)) {
    if (ax === 1) return Number.NaN;
    return ax > 1 === y > 0 ? Number.POSITIVE_INFINITY : 0;
  }
  if (y === 1) return x;
  if (y === 2) return x * x;
  if (y === -1) return 1 / x;
  if (y === 0.5 && x >= 0 && x !== 0) return Math.sqrt(x);
  const kind = integerKind(y);
  const negative = kind === 1 && (x < 0 || Object.is(x, -0));
  if (ax === 0 || ax === Number.POSITIVE_INFINITY || ax === 1) {
    if (x === -1 && kind === 0) return Number.NaN;
    const z = ax === 1 ? 1 : (ax === 0) === y > 0 ? 0 : Number.POSITIVE_INFINITY;
    return negative ? -z : z;
  }
  if (x < 0 && kind === 0) return Number.NaN;
  const [t1, t2] = log2Pair(ax);
  // |y log2 x| beyond 2^11: far over or under, and splitting y would overflow
  if (Math.abs(y) > 1.8e19 || Math.abs(y * t1) > 2048) {
    const z = t1 + t2 > 0 === y > 0 ? Number.POSITIVE_INFINITY : 0;
    return negative ? -z : z;
  }
  const y1 = clearLow(y);
  const z = exp2Pair(y1 * t1, (y - y1) * t1 + y * t2);
  return negative ? -z : z;
}

/** The bits of a float64: its words, and exact scaling by powers of two. */

const f64 = new Float64Array(1);
const u32 = new Uint32Array(f64.buffer); // every platform with WebGPU is little-endian: [low, high]

const TWO_54 = 18014398509481984;

/** Sign, exponent and the upper 20 bits of the mantissa. */
export function highWord(x: number): number {
  f64[0] = x;
  return u32[1];
}

/** The lower 32 bits of the mantissa. */
export function lowWord(x: number): number {
  f64[0] = x;
  return u32[0];
}

/** x with its low 32 bits cleared. */
export function clearLow(x: number): number {
  f64[0] = x;
  u32[0] = 0;
  return f64[0];
}

/** The number with this high word and low word. */
export function fromWords(high: number, low: number): number {
  u32[0] = low;
  u32[1] = high;
  return f64[0];
}

/** 2^k for an integer -1022 <= k <= 1023. */
export function pow2(k: number): number {
  return fromWords((1023 + k) << 20, 0);
}

/** x 2^k with one rounding, for x near 1 and any integer k. */
export function scale(x: number, k: number): number {
  if (k > 1023) return x * pow2(1023) * pow2(Math.min(k - 1023, 1023));
  if (k >= -1021) return x * pow2(k);
  if (k < -1100) return x * 0;
  return (x * pow2(k + 54)) / TWO_54; // 2^(k+54) x is normal: only the division rounds
}

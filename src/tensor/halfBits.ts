/** Numbers of 16 bits: what f16 and bf16 words stand for, and f32 rounded to them, to nearest even. */

/** IEEE half precision, or the upper half of an f32. */
export type HalfFormat = "f16" | "bf16";

export const HALF_FORMATS: readonly HalfFormat[] = ["f16", "bf16"];

const f32 = new Float32Array(1);
const u32 = new Uint32Array(f32.buffer);

/** A NaN of either format, without its sign. */
const NAN = { f16: 0x7e00, bf16: 0x7fc0 } as const;

/** The 16 bits nearest to an f32; beyond f16's range infinity, NaN a NaN of the same sign. */
export function toHalf(x: number, format: HalfFormat): number {
  f32[0] = x;
  const word = u32[0];
  const sign = (word >>> 16) & 0x8000;
  if (Number.isNaN(x)) return sign | NAN[format];
  if (format === "bf16") return Math.floor((word + 0x7fff + ((word >>> 16) & 1)) / 65536);
  const size = Math.abs(f32[0]);
  if (size >= 65520) return sign | 0x7c00;
  // Units of the last place: 2^-24 up to 2^-13, then twice as much with every doubling.
  let exponent = 1;
  while (size >= 2 ** (exponent - 14) && exponent < 30) exponent++;
  const units = roundToEven(size * 2 ** (25 - exponent));
  // A unit too many carries into the exponent.
  return sign | ((exponent - 1) * 1024 + units);
}

function roundToEven(x: number): number {
  const low = Math.floor(x);
  const rest = x - low;
  return rest > 0.5 || (rest === 0.5 && low % 2 === 1) ? low + 1 : low;
}

/** The number that 16 bits stand for. */
export function fromHalf(bits: number, format: HalfFormat): number {
  if (format === "bf16") {
    u32[0] = bits << 16;
    return f32[0];
  }
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const rest = bits & 1023;
  if (exponent === 31) return rest ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (exponent ? (1024 + rest) * 2 ** (exponent - 25) : rest * 2 ** -24);
}

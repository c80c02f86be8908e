/**
 * WGSL helpers that round f32 to 16 bits by integer arithmetic, to nearest even: `pack2x16float` may round either way. `T` stands
 * for `f32` or `vec4<f32>`, `U` for the u32 of that width.
 */

/** Beyond f16's range infinity, below its normal numbers a multiple of 2^-24, NaN a quiet NaN of the same sign. */
const F16 = /* wgsl */ `fn f16Bits_T(x: T) -> U {
  let u = bitcast<U>(x);
  let a = u & U(0x7fffffffu);
  let normal = (a - U(0x38000000u) + U(0xfffu) + ((a >> U(13u)) & U(1u))) >> U(13u);
  let e = min(a >> U(23u), U(112u));
  let m = (a & U(0x7fffffu)) | U(0x800000u);
  let s = min(U(126u) - e, U(25u));
  let small = (m + (U(1u) << (s - U(1u))) - U(1u) + ((m >> s) & U(1u))) >> s;
  var h = select(normal, small, a < U(0x38800000u));
  h = select(h, U(0x7c00u), a >= U(0x47800000u));
  h = select(h, U(0x7e00u), a > U(0x7f800000u));
  return h | ((u >> U(16u)) & U(0x8000u));
}`;

/** The upper half of the word, rounded; NaN a quiet NaN of the same sign. */
const BF16 = /* wgsl */ `fn bf16Bits_T(x: T) -> U {
  let u = bitcast<U>(x);
  let near = (u + U(0x7fffu) + ((u >> U(16u)) & U(1u))) >> U(16u);
  let nan = ((u >> U(16u)) & U(0x8000u)) | U(0x7fc0u);
  return select(near, nan, (u & U(0x7fffffffu)) > U(0x7f800000u));
}`;

/** Helpers by name, each to be resolved for one width. */
export const HALF_HELPERS: Readonly<Record<string, string>> = { f16Bits: F16, bf16Bits: BF16 };

/**
 * WGSL helpers for functions whose builtins are too inexact or undefined in places. `T` stands for `f32` or
 * `vec4<f32>`, `B` for the matching bool: the emitter resolves both widths.
 */

/** tanh: an odd series near 0 (builtins lose all digits there), exp elsewhere. Error below 4e-7 relative. */
const TANH = /* wgsl */ `fn tanh_T(x: T) -> T {
  let s = x * x;
  let near = x * (T(1.0) + s * (T(-0.33333333) + s * (T(0.13333334) + s * (T(-0.05396825) + s * T(0.021869488)))));
  let e = exp(T(-2.0) * min(abs(x), T(20.0)));
  let far = sign(x) * (T(1.0) - e) / (T(1.0) + e);
  return select(far, near, abs(x) < T(0.3));
}`;

/** 1 / (1 + exp(-x)) without overflow on either side. */
const SIGMOID = /* wgsl */ `fn sigmoid_T(x: T) -> T {
  let e = exp(-min(abs(x), T(80.0)));
  return select(e, T(1.0), x >= T(0.0)) / (T(1.0) + e);
}`;

/** Helpers by name, each to be resolved for one width. */
export const MATH_HELPERS: Readonly<Record<string, string>> = { tanh: TANH, sigmoid: SIGMOID };

/** Text of a helper at one width: scalar (`1`) or four lanes (`4`). */
export function resolveHelper(text: string, width: 1 | 4): string {
  const type = width === 1 ? "f32" : "vec4<f32>";
  const words = width === 1 ? "u32" : "vec4<u32>";
  return text.replaceAll(/_T\b/g, `_${width}`).replaceAll(/\bT\b/g, type).replaceAll(/\bU\b/g, words);
}

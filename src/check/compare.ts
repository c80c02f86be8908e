/** How far results may be from the float64 reference, and how far they are. */

import { type NDArray, ndarray } from "../tensor/ndarray.ts";
import type { OpCase, OpDef, Tolerance } from "../tensor/opdef.ts";

/** Largest |x|; 0 for nothing. */
export function largest(data: Float64Array): number {
  let m = 0;
  for (const x of data) m = Math.max(m, Math.abs(x));
  return m;
}

/** What is accepted of a difference; see `compare`. */
export interface Accept {
  relative: number;
  absolute?: number;
  /** Part of the scale that is added to each |basis|. Default 1e-6. */
  floor?: number;
  /** What errors are in relation to, where not the wanted values. */
  basis?: NDArray;
}

export interface Difference {
  /** Largest error over what is accepted: above 1 is a failure. */
  worst: number;
  at: number;
  got: number;
  want: number;
}

/**
 * Compares with `relative * (floor * scale + |basis|) + absolute`, where the scale is the largest |basis|;
 * integers and bools have to be equal.
 */
export function compare(
  got: ArrayLike<number>,
  want: NDArray,
  accept: Accept,
  skip?: (at: number) => boolean,
): Difference {
  const basis = accept.basis?.data ?? want.data;
  const scale = (accept.floor ?? 1e-6) * largest(basis);
  const result: Difference = { worst: 0, at: -1, got: 0, want: 0 };
  if (got.length !== want.data.length)
    return { worst: Infinity, at: -1, got: got.length, want: want.data.length };
  for (let i = 0; i < want.data.length; i++) {
    if (skip?.(i) || got[i] === want.data[i]) continue;
    const limit =
      want.dtype === "f32" ? accept.relative * (scale + Math.abs(basis[i])) + (accept.absolute ?? 0) : 0;
    const error = Math.abs(got[i] - want.data[i]);
    const worst = Number.isNaN(error) ? Infinity : error / (limit + Number.MIN_VALUE);
    if (worst > result.worst) Object.assign(result, { worst, at: i, got: got[i], want: want.data[i] });
  }
  return result;
}

/** Error accepted of a forward result in f32. */
export function forwardAccept(
  op: OpDef,
  inputs: readonly NDArray[],
  attrs: OpCase["attrs"],
  result: number,
): Accept {
  const t: Tolerance = op.tolerance ?? {};
  let basis: NDArray | undefined;
  if (t.ofMagnitudes) {
    const sizes = inputs.map((x) =>
      x.dtype === "f32" ? ndarray(x.shape, x.dtype, x.data.map(Math.abs)) : x,
    );
    const types = op.infer(inputs, attrs ?? {});
    basis = op.reference(sizes, attrs ?? {}, types)[result];
  }
  return { relative: t.forward ?? 2e-6, absolute: t.absolute, basis };
}

/** Error accepted of a gradient in f32, for cotangents of such sizes. */
export function gradientAccept(op: OpDef, cotangents: readonly NDArray[]): Accept {
  const t: Tolerance = op.tolerance ?? {};
  const scale = Math.max(0, ...cotangents.map((x) => largest(x.data)));
  return { relative: t.gradient ?? 2e-4, floor: 1e-2, absolute: (t.absolute ?? 0) * scale };
}

/**
 * The same of products whose operands were rounded to f16 (T4): each factor is off by 2^-11 of itself, so a sum of products by 2^-10
 * of what the magnitudes add up to, which is at most about twice the largest element where it is not known.
 */
export function roundedAccept(accept: Accept): Accept {
  const relative = Math.max(accept.relative, 1.1 * 2 ** -10);
  return { ...accept, relative, floor: accept.basis ? accept.floor : 2 };
}

export function describeDifference(name: string, d: Difference): string {
  return `${name}: element ${d.at} is ${d.got}, wanted ${d.want} (${d.worst.toPrecision(3)} times what is accepted)`;
}

function words(x: ArrayLike<number>): ArrayLike<number> {
  return x instanceof Float32Array ? new Uint32Array(x.buffer, x.byteOffset, x.length) : x;
}

/** The first element whose bits differ, as text; null where all are equal. Both hold results of one call. */
export function differentWord(
  a: readonly ArrayLike<number>[],
  b: readonly ArrayLike<number>[],
): string | null {
  for (let r = 0; r < a.length; r++) {
    const [x, y] = [words(a[r]), words(b[r])];
    for (let i = 0; i < x.length; i++)
      if (x[i] !== y[i])
        return `${a[r][i]} and ${b[r][i]} in element ${i}${a.length > 1 ? ` of result ${r}` : ""}`;
  }
  return null;
}

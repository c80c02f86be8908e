/** Element types: f32, i32, u32 and bool, each in four bytes of a buffer (bool as a u32 of 0 or 1). */
import { DTypeError } from "./errors.ts";

export type DType = "f32" | "i32" | "u32" | "bool";

export type HostArray = Float32Array | Int32Array | Uint32Array;

/** A host array of the kind that holds `dtype` in a buffer (bool as 0 and 1 in a `Uint32Array`). */
export function hostArray(dtype: DType, lengthOrBuffer: number | ArrayBuffer): HostArray {
  const Kind = dtype === "f32" ? Float32Array : dtype === "i32" ? Int32Array : Uint32Array;
  return typeof lengthOrBuffer === "number" ? new Kind(lengthOrBuffer) : new Kind(lengthOrBuffer);
}

/** The dtype that host data has by its kind: that of a typed array that holds one; f32 for lists and every other array. */
export function dtypeOf(data: unknown): DType {
  // By its tag: arrays of another window or context are of another class.
  const kind = (data as { [Symbol.toStringTag]?: string } | null | undefined)?.[Symbol.toStringTag];
  return kind === "Uint32Array" ? "u32" : kind === "Int32Array" ? "i32" : "f32";
}

/** Throws a `DTypeError` unless `dtype` is one of `allowed`. */
export function requireDType(
  op: string,
  what: string,
  dtype: DType,
  allowed: readonly DType[],
  remedy = "Use ops.cast first.",
): void {
  if (!allowed.includes(dtype)) {
    throw new DTypeError(`${op}: ${what} must be ${allowed.join(" or ")}, got ${dtype}. ${remedy}`);
  }
}

const RANGES: Readonly<Record<Exclude<DType, "f32">, readonly [number, number]>> = {
  i32: [-2147483648, 2147483647],
  u32: [0, 4294967295],
  bool: [0, 1],
};

function holds(dtype: Exclude<DType, "f32">, x: number): boolean {
  const [low, high] = RANGES[dtype];
  return Number.isInteger(x) && x >= low && x <= high;
}

/** Throws a `DTypeError` where `dtype` cannot hold `x`: a fraction, or beyond the range, for all but f32. */
export function requireHeld(op: string, x: number, dtype: DType): void {
  if (dtype !== "f32" && !holds(dtype, x)) {
    const [low, high] = RANGES[dtype];
    throw new DTypeError(
      `${op}: an integer in [${low}, ${high}] was expected for ${dtype}, got ${x}. Use ops.cast on the tensor first, or another number.`,
    );
  }
}

/** The same for the elements of a tensor; as bool, everything but 0 is true. */
export function requireAllHeld(op: string, data: ArrayLike<number>, dtype: DType): void {
  if (dtype === "f32" || dtype === "bool") return;
  if (data instanceof (dtype === "i32" ? Int32Array : Uint32Array)) return;
  for (let i = 0; i < data.length; i++) {
    if (holds(dtype, data[i])) continue;
    const [low, high] = RANGES[dtype];
    throw new DTypeError(
      `${op}: integers in [${low}, ${high}] were expected for ${dtype}, got ${data[i]} at element ${i}. Round them, or use dtype "f32".`,
    );
  }
}

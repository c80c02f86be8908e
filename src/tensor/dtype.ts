/**
 * Element types. Compute happens in f32, i32, u32 and bool; f16 and bf16 name storage only (f32 arithmetic),
 * and their rows below say how a buffer would hold them, so that a lowering never asks for the name of a type.
 */
import { DTypeError } from "./errors.ts";

export type DType = "f32" | "i32" | "u32" | "bool";
/** How a buffer holds elements; bf16 packs two in a `u32`. */
export type StorageType = DType | "f16" | "bf16";

interface StorageRow {
  /** Bytes one element takes in a buffer. */
  bytes: number;
  /** WGSL type of a buffer's element. */
  wgsl: string;
  /** Elements that share one WGSL element. */
  perElement: number;
  /** dtype that arithmetic uses. */
  compute: DType;
}

export const STORAGE: Record<StorageType, StorageRow> = {
  f32: { bytes: 4, wgsl: "f32", perElement: 1, compute: "f32" },
  i32: { bytes: 4, wgsl: "i32", perElement: 1, compute: "i32" },
  u32: { bytes: 4, wgsl: "u32", perElement: 1, compute: "u32" },
  bool: { bytes: 4, wgsl: "u32", perElement: 1, compute: "bool" },
  f16: { bytes: 2, wgsl: "f16", perElement: 1, compute: "f32" },
  bf16: { bytes: 2, wgsl: "u32", perElement: 2, compute: "f32" },
};

export const DTYPES: readonly DType[] = ["f32", "i32", "u32", "bool"];

export type HostArray = Float32Array | Int32Array | Uint32Array;

/** A host array of the kind that holds `dtype` in a buffer (bool as 0 and 1 in a `Uint32Array`). */
export function hostArray(dtype: DType, lengthOrBuffer: number | ArrayBuffer): HostArray {
  const Kind = dtype === "f32" ? Float32Array : dtype === "i32" ? Int32Array : Uint32Array;
  return typeof lengthOrBuffer === "number" ? new Kind(lengthOrBuffer) : new Kind(lengthOrBuffer);
}

/** Throws a `DTypeError` unless `dtype` is one of `allowed`. */
export function requireDType(op: string, what: string, dtype: DType, allowed: readonly DType[]): void {
  if (!allowed.includes(dtype)) {
    throw new DTypeError(`${op}: ${what} must be ${allowed.join(" or ")}, got ${dtype}. Use ops.cast first.`);
  }
}

/** Shapes: plain arrays of sizes, their products, strides, broadcasting and the way messages print them. */
import { ShapeError } from "./errors.ts";

export type Shape = readonly number[];

/** Number of elements; 1 for a scalar. Throws beyond u32 index range (invariant 1). */
export function numel(shape: Shape): number {
  let n = 1;
  for (const d of shape) n *= d;
  if (n > 0xffffffff) {
    throw new ShapeError(`shape: at most 2^32-1 elements, got ${show(shape)}. Split the tensor.`);
  }
  return n;
}

/** Row-major strides in elements. */
export function stridesOf(shape: Shape): number[] {
  const strides = new Array<number>(shape.length);
  let s = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    strides[i] = s;
    s *= shape[i];
  }
  return strides;
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((d, i) => d === b[i]);
}

export function show(shape: Shape): string {
  return `[${shape.join(", ")}]`;
}

/** The shape two operands broadcast to (NumPy's rule). */
export function broadcastShapes(op: string, a: Shape, b: Shape): number[] {
  const rank = Math.max(a.length, b.length);
  const out = new Array<number>(rank);
  for (let i = 0; i < rank; i++) {
    const da = a[a.length - rank + i] ?? 1;
    const db = b[b.length - rank + i] ?? 1;
    if (da !== db && da !== 1 && db !== 1) {
      throw new ShapeError(
        `${op}: shapes that broadcast were expected, got ${show(a)} and ${show(b)} (axis ${i - rank}: ${da} against ${db}). Reshape one of them.`,
      );
    }
    out[i] = da === 1 ? db : da;
  }
  return out;
}

/** Turns a possibly negative axis into 0..rank-1. */
export function normalizeAxis(op: string, axis: number, rank: number): number {
  const a = axis < 0 ? axis + rank : axis;
  if (!Number.isInteger(axis) || a < 0 || a >= rank) {
    throw new ShapeError(`${op}: an axis in [${-rank}, ${rank}) was expected, got ${axis}. Check the rank.`);
  }
  return a;
}

/** Throws unless every size is a non-negative integer. */
export function checkShape(op: string, shape: Shape): void {
  for (const d of shape) {
    if (!Number.isInteger(d) || d < 0) {
      throw new ShapeError(
        `${op}: sizes must be integers of at least 0, got ${show(shape)}. Check the shape.`,
      );
    }
  }
  numel(shape);
}

/** Plain arrays with a shape: what the float64 references compute on. Integers and bools are exact in float64. */
import type { DType } from "./dtype.ts";
import { numel, type Shape, stridesOf } from "./shape.ts";

export interface NDArray {
  readonly shape: Shape;
  readonly dtype: DType;
  readonly data: Float64Array;
}

export function ndarray(shape: Shape, dtype: DType, data?: ArrayLike<number>): NDArray {
  const n = numel(shape);
  return { shape, dtype, data: data ? Float64Array.from(data) : new Float64Array(n) };
}

/** Fills a new array by index: `f(index, flat)`. The index array is reused between calls. */
export function fillByIndex(
  shape: Shape,
  dtype: DType,
  f: (index: number[], flat: number) => number,
): NDArray {
  const out = ndarray(shape, dtype);
  const index = new Array<number>(shape.length).fill(0);
  for (let flat = 0; flat < out.data.length; flat++) {
    out.data[flat] = f(index, flat);
    for (let d = shape.length - 1; d >= 0; d--) {
      if (++index[d] < shape[d]) break;
      index[d] = 0;
    }
  }
  return out;
}

/** Flat position of an index. */
export function flatIndex(shape: Shape, index: readonly number[]): number {
  const strides = stridesOf(shape);
  let flat = 0;
  for (let d = 0; d < shape.length; d++) flat += index[d] * strides[d];
  return flat;
}

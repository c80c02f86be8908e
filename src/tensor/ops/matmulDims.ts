/** The sizes of a matrix product, for the op and its kernels. Not an op: `ops` takes all that an op's file exports. */
import { ShapeError } from "../errors.ts";
import { show } from "../shape.ts";

export interface MatmulDims {
  batch: number[];
  m: number;
  n: number;
  k: number;
}

/** Sizes of a product; `transposeA` means a is [..., K, M], `transposeB` that b is [..., N, K]. */
export function matmulDims(a: readonly number[], b: readonly number[], ta: boolean, tb: boolean): MatmulDims {
  const r = a.length;
  const [m, ka] = ta ? [a[r - 1], a[r - 2]] : [a[r - 2], a[r - 1]];
  const [kb, n] = tb ? [b[r - 1], b[r - 2]] : [b[r - 2], b[r - 1]];
  if (ka !== kb) {
    throw new ShapeError(
      `matmul: inner dims differ: a${show(a)}${ta ? " transposed" : ""} K=${ka} @ b${show(b)}${tb ? " transposed" : ""} K=${kb}. Transpose b or check hiddenSize.`,
    );
  }
  return { batch: a.slice(0, r - 2), m, n, k: ka };
}

/** W1: products of f32 matrices: two cubes, and what a small model's training step multiplies. */

import { opByName } from "../tensor/ops/table.ts";
import type { WebGpuBackend } from "../tensor/webgpu.ts";
import { opRow } from "./opRows.ts";
import type { MeasuredRow, MeasureOptions } from "./result.ts";

export interface ProductSize {
  m: number;
  k: number;
  n: number;
  transposeA: boolean;
}

const product = (m: number, k: number, n: number, transposeA = false): ProductSize => ({
  m,
  k,
  n,
  transposeA,
});

/** [m, k] @ [k, n]; with `transposeA` the left matrix is kept [k, m], as in the gradient of a weight. */
export const SIZES = [
  product(512, 512, 512),
  product(1024, 1024, 1024),
  product(1024, 128, 512),
  product(128, 1024, 512, true),
];
/** A GPU only shows what it can with more to do; a processor would take minutes. */
export const GPU_SIZES = [product(2048, 2048, 2048), product(4096, 4096, 4096)];
export const QUICK_SIZES = [product(64, 64, 64), product(32, 64, 48, true)];

/** A product's name in tables. */
export function productName({ m, k, n, transposeA }: ProductSize): string {
  return `${m} x ${k} x ${n}${transposeA ? ", a transposed" : ""}`;
}

/** The rows of W1. */
export async function* matmulRows(
  backend: WebGpuBackend,
  options: MeasureOptions,
): AsyncGenerator<MeasuredRow> {
  const op = opByName("matmul");
  const full = backend.device.info.software ? SIZES : [...SIZES, ...GPU_SIZES];
  for (const size of options.quick ? QUICK_SIZES : full) {
    const { m, k, n, transposeA } = size;
    const test = {
      inputs: [{ shape: transposeA ? [k, m] : [m, k] }, { shape: [k, n] }],
      attrs: { transposeA, transposeB: false },
    };
    yield await opRow(backend, op, test, options, { group: "w1", name: `w1 matmul ${productName(size)}` });
  }
}

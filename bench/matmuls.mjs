/** W1: products of f32 matrices: two cubes, and what a small model's training step multiplies. */

import { opByName } from "../dist/tensor/ops/table.js";
import { opRow } from "./opRows.mjs";

const product = (m, k, n, transposeA = false) => ({ m, k, n, transposeA });

/** [m, k] @ [k, n]; with `transposeA` the left matrix is kept [k, m], as in the gradient of a weight. */
export const SIZES = [
  product(512, 512, 512),
  product(1024, 1024, 1024),
  product(1024, 128, 512),
  product(128, 1024, 512, true),
];
export const QUICK_SIZES = [product(64, 64, 64), product(32, 64, 48, true)];

/** A product's name in tables. */
export function productName({ m, k, n, transposeA }) {
  return `${m} x ${k} x ${n}${transposeA ? ", a transposed" : ""}`;
}

/** The rows of W1. */
export async function* matmulRows(backend, { time, quick }) {
  const op = opByName("matmul");
  for (const size of quick ? QUICK_SIZES : SIZES) {
    const { m, k, n, transposeA } = size;
    const test = {
      inputs: [{ shape: transposeA ? [k, m] : [m, k] }, { shape: [k, n] }],
      attrs: { transposeA, transposeB: false },
    };
    yield await opRow(backend, op, test, { time, group: "w1", name: `w1 matmul ${productName(size)}` });
  }
}

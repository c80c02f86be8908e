/**
 * Rotary position embedding: dimension i of the first half and i of the second are rotated together by the angle
 * position * theta^(-2i/D). The angles' cosines and sines are made on the host, so their bits are the same everywhere.
 * Source: arXiv 2104.09864; the split in halves is Hugging Face's (`rotate_half`).
 */
import { cos, pow, sin } from "../tensor/math.ts";
import { ops } from "../tensor/ops/index.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** Cosines and signed sines, each [maxPositions, D]: `rotated = x * cos + swapHalves(x) * sin`. */
export function rotaryTables(
  maxPositions: number,
  headDim: number,
  theta: number,
): { cos: Float32Array; sin: Float32Array } {
  const half = headDim / 2;
  const tables = {
    cos: new Float32Array(maxPositions * headDim),
    sin: new Float32Array(maxPositions * headDim),
  };
  for (let i = 0; i < half; i++) {
    const frequency = pow(theta, (-2 * i) / headDim);
    for (let p = 0; p < maxPositions; p++) {
      const [a, b] = [p * headDim + i, p * headDim + half + i];
      tables.cos[a] = tables.cos[b] = cos(p * frequency);
      tables.sin[b] = sin(p * frequency);
      tables.sin[a] = -tables.sin[b];
    }
  }
  return tables;
}

/** `x` [..., D] rotated by `cos` and `sin`, which broadcast to it. */
export function rotate(x: Tensor, cosines: Tensor, sines: Tensor): Tensor {
  const axis = x.shape.length - 1;
  const d = x.shape[axis];
  const cut = (from: number, to: number): Tensor =>
    ops.slice(
      x,
      x.shape.map((_, i) => (i === axis ? from : 0)),
      x.shape.map((s, i) => (i === axis ? to : s)),
    );
  const swapped = ops.concat([cut(d / 2, d), cut(0, d / 2)], axis);
  return ops.add(ops.mul(x, cosines), ops.mul(swapped, sines));
}

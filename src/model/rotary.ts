/**
 * Rotary position embedding: dimension i of the first half and i of the second are rotated together by the angle
 * position * theta^(-2i/D). The angles' cosines and sines are made on the host, so their bits are the same everywhere.
 * Source: arXiv 2104.09864; the split in halves is Hugging Face's (`rotate_half`).
 */
import { cos, pow, sin } from "../tensor/math.ts";
import { ops } from "../tensor/ops/index.ts";
import type { Tensor } from "../tensor/tensor.ts";

/**
 * Cosines, then signed sines, of each position: [maxPositions, 2 D], so that one lookup gives both. With them,
 * `rotated = x * cos + swapHalves(x) * sin`.
 */
export function rotaryTable(maxPositions: number, headDim: number, theta: number): Float32Array {
  const half = headDim / 2;
  const table = new Float32Array(maxPositions * 2 * headDim);
  for (let i = 0; i < half; i++) {
    const frequency = pow(theta, (-2 * i) / headDim);
    for (let p = 0; p < maxPositions; p++) {
      const at = p * 2 * headDim + i;
      table[at] = table[at + half] = cos(p * frequency);
      table[at + headDim + half] = sin(p * frequency);
      table[at + headDim] = -table[at + headDim + half];
    }
  }
  return table;
}

/** Elements `from` to `to` of the last axis. */
function cut(x: Tensor, from: number, to: number): Tensor {
  const last = x.shape.length - 1;
  const start = x.shape.map((_, i) => (i === last ? from : 0));
  return ops.slice(
    x,
    start,
    x.shape.map((size, i) => (i === last ? to : size)),
  );
}

/** `x` [..., D] rotated by rows of the table, [..., 2 D], which broadcast to it. */
export function rotate(x: Tensor, angles: Tensor): Tensor {
  const d = x.shape[x.shape.length - 1];
  const swapped = ops.concat([cut(x, d / 2, d), cut(x, 0, d / 2)], -1);
  return ops.add(ops.mul(x, cut(angles, 0, d)), ops.mul(swapped, cut(angles, d, 2 * d)));
}

/** Rows turned into distributions: compositions that fuse into single row programs. */
import { ShapeError } from "../errors.ts";
import { normalizeAxis, show } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { composite, requireTensor, type TensorLike } from "../trace.ts";
import { stopGradient } from "./control.ts";
import { add, div, exp, log, mul, neg, rsqrt, square, sub } from "./elementwise.ts";
import { max, mean, sum } from "./reduce.ts";

/** exp(x - max) / sum: `[..., V] -> [..., V]` along the last axis (or `axis`). */
export function softmax(x: Tensor, axis = -1): Tensor {
  requireTensor("softmax", x);
  const a = normalizeAxis("softmax", axis, x.shape.length);
  return composite((t: TensorLike) => {
    const z = t as Tensor;
    const e = exp(sub(z, stopGradient(max(z, a, true))));
    return div(e, sum(e, a, true));
  }, "softmax")(x);
}

/** x - max - log(sum(exp(x - max))): `[..., V] -> [..., V]`, nats. */
export function logSoftmax(x: Tensor, axis = -1): Tensor {
  requireTensor("logSoftmax", x);
  const a = normalizeAxis("logSoftmax", axis, x.shape.length);
  return composite((t: TensorLike) => {
    const z = t as Tensor;
    const shifted = sub(z, stopGradient(max(z, a, true)));
    return sub(shifted, log(sum(exp(shifted), a, true)));
  }, "logSoftmax")(x);
}

/** Entropy of softmax(x) along the last axis, nats: `[..., V] -> [...]`. */
export function entropy(x: Tensor): Tensor {
  requireTensor("entropy", x);
  return composite((t: TensorLike) => {
    const logp = logSoftmax(t as Tensor);
    return neg(sum(mul(exp(logp), logp), -1));
  }, "entropy")(x);
}

function checkWeight(op: string, x: Tensor, w: Tensor): void {
  requireTensor(op, x, w);
  if (w.shape.length !== 1 || w.shape[0] !== x.shape.at(-1)) {
    throw new ShapeError(
      `${op}: a weight [${x.shape.at(-1)}] was expected for x${show(x.shape)}, got ${show(w.shape)}. Check hiddenSize.`,
    );
  }
}

/** x / sqrt(mean(x^2) + eps) * weight along the last axis. Source: arXiv 1910.07467, eq. 4. */
export function rmsNorm(x: Tensor, weight: Tensor, eps: number): Tensor {
  checkWeight("rmsNorm", x, weight);
  return composite((t: TensorLike, w: TensorLike, e: TensorLike) => {
    const z = t as Tensor;
    return mul(mul(z, rsqrt(add(mean(square(z), -1, true), e))), w);
  }, "rmsNorm")(x, weight, eps);
}

/** (x - mean) / sqrt(var + eps) * weight + bias along the last axis. Source: arXiv 1607.06450. */
export function layerNorm(x: Tensor, weight: Tensor, bias: Tensor, eps: number): Tensor {
  checkWeight("layerNorm", x, weight);
  checkWeight("layerNorm", x, bias);
  return composite((t: TensorLike, w: TensorLike, b: TensorLike, e: TensorLike) => {
    const z = t as Tensor;
    const centred = sub(z, mean(z, -1, true));
    return add(mul(mul(centred, rsqrt(add(mean(square(centred), -1, true), e))), w), b);
  }, "layerNorm")(x, weight, bias, eps);
}

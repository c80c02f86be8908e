/**
 * The masked-advantage loss as graph. With token weights w = A mask / Z (see advantages.ts) and rho = exp(log pi - log pi_old):
 *
 *     ratio   -sum w min(rho, 1 + clipHigh)  where w >= 0,   -sum w max(rho, 1 - clipLow)  where w < 0
 *     log     -sum w log pi
 *     pi      -sum w pi
 *
 * The first is PPO's min(A rho, A clip(rho)), written so that no two equal branches share a gradient.
 * Gradients in the logits of one token: ratio (at rho = 1) and log: -w (1 - pi) for the token drawn, +w pi_v for others;
 * pi: those times pi. So an unlikely wrong token is pushed hardest by the first two and hardly at all by the third.
 *
 * Source: arXiv 1707.06347, equation 7; arXiv 2506.01347, equations 7 and 8.
 */
import { exp } from "../tensor/math.ts";
import { ops } from "../tensor/ops/index.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { TensorLike } from "../tensor/trace.ts";
import type { LossForm } from "./algorithms.ts";

export interface LossInputs {
  /** [B, N] log-probabilities under the policy that is trained, nats. */
  logProbs: Tensor;
  /** [B, N] log-probabilities before the update, nats; used by `ratio` only. */
  oldLogProbs: Tensor;
  /** [B, N] token weights, 0 in the padding. */
  weights: Tensor;
  /** Smallest and largest ratio that still has a gradient: data. */
  ratioMin: TensorLike;
  ratioMax: TensorLike;
}

export interface LossResult {
  /** Scalar. */
  loss: Tensor;
  /** Number of weighted tokens whose ratio is clipped; 0 in the other forms. */
  clipped: Tensor;
}

/** Builds the loss of one micro-batch; sums, so that micro-batches add up. */
export function maskedAdvantageLoss(form: LossForm, inputs: LossInputs): LossResult {
  const { logProbs, oldLogProbs, weights, ratioMin, ratioMax } = inputs;
  const none = ops.full([], 0);
  if (form === "log") return { loss: ops.neg(ops.sum(ops.mul(weights, logProbs))), clipped: none };
  if (form === "pi") return { loss: ops.neg(ops.sum(ops.mul(weights, ops.exp(logProbs)))), clipped: none };
  const ratio = ops.exp(ops.sub(logProbs, ops.stopGradient(oldLogProbs))); // [B, N]
  const rises = ops.ge(weights, 0);
  const used = ops.where(rises, ops.minimum(ratio, ratioMax), ops.maximum(ratio, ratioMin));
  const cut = ops.where(
    ops.ne(weights, 0),
    ops.where(rises, ops.cast(ops.gt(ratio, ratioMax), "f32"), ops.cast(ops.lt(ratio, ratioMin), "f32")),
    0,
  );
  return { loss: ops.neg(ops.sum(ops.mul(weights, used))), clipped: ops.sum(ops.stopGradient(cut)) };
}

/**
 * Push of the loss on a drawn token's own logit, minus its gradient there at the old policy: w (1 - pi), and
 * w pi (1 - pi) under the form `pi`; for showing. `weight` w = A / Z, `logProb` log pi in nats.
 *
 * Source: arXiv 2506.01347, equations 7 and 8.
 */
export function pushOf(form: LossForm, weight: number, logProb: number): number {
  const p = exp(logProb);
  return form === "pi" ? weight * p * (1 - p) : weight * (1 - p);
}

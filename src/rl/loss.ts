/**
 * The masked-advantage loss as graph. With token weights w = A mask / Z (see advantages.ts) and rho = exp(log pi - log pi_old):
 *
 *     ratio          -sum w min(rho, 1 + clipHigh)  where w >= 0,   -sum w min(max(rho, 1 - clipLow), dualClip)  where w < 0
 *     sequenceRatio  the same with s = exp(mean over the row of log rho) for rho
 *     log            -sum w log pi
 *     pi             -sum w pi
 *     clippedLog     -sum w sg(clip(rho)) log pi
 *     truncatedLog   -sum w log pi  where w >= 0,   -sum w sg(clip(prod over the row of rho)) log pi  where w < 0
 *
 * The first is PPO's min(A rho, A clip(rho)), written so that no two equal branches share a gradient.
 * Gradients in the logits of one token: ratio (at rho = 1) and log: -w (1 - pi) for the token drawn, +w pi_v for others;
 * pi: those times pi. So an unlikely wrong token is pushed hardest by the first two and hardly at all by the third.
 *
 * Source: arXiv 1707.06347, equation 7; arXiv 2506.01347, equations 7 and 8; others beside their presets.
 */
import { exp } from "../tensor/math.ts";
import { ops } from "../tensor/ops/index.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { TensorLike } from "../tensor/trace.ts";
import type { KlEstimator, LossForm } from "./algorithm.ts";

export interface LossInputs {
  /** [B, N] log-probabilities under the policy that is trained, nats. */
  logProbs: Tensor;
  /** [B, N] log-probabilities before the update, nats; not used by `log` and `pi`. */
  oldLogProbs: Tensor;
  /** [B, N] token weights A / Z, 0 in the padding. */
  weights: Tensor;
  /** [B, N] 1/Z of each token, 0 in the padding: the forms over whole rows read from it which tokens there are. */
  scales?: Tensor;
  /** Smallest and largest ratio that still has a gradient: data. */
  ratioMin: TensorLike;
  ratioMax: TensorLike;
  /** Largest ratio of a token with a negative weight. Default: none. */
  dualMax?: TensorLike;
}

export interface LossResult {
  /** Scalar. */
  loss: Tensor;
  /** Number of weighted tokens whose ratio is clipped; 0 in the forms that clip nothing. */
  clipped: Tensor;
}

/** Forms whose ratio is a whole row's. */
export const ROW_FORMS: readonly LossForm[] = ["sequenceRatio", "truncatedLog"];

/** Builds the loss of one micro-batch; sums, so that micro-batches add up. */
export function maskedAdvantageLoss(form: LossForm, inputs: LossInputs): LossResult {
  const { logProbs, oldLogProbs, weights, ratioMin, ratioMax } = inputs;
  const none = ops.full([], 0);
  if (form === "log") return { loss: ops.neg(ops.sum(ops.mul(weights, logProbs))), clipped: none };
  if (form === "pi") return { loss: ops.neg(ops.sum(ops.mul(weights, ops.exp(logProbs)))), clipped: none };
  const logRatio = ops.sub(logProbs, ops.stopGradient(oldLogProbs)); // [B, N]
  const ratio = ops.exp(ROW_FORMS.includes(form) ? rowLogRatio(form, logRatio, inputs.scales) : logRatio);
  const rises = ops.ge(weights, 0);
  const above = ops.cast(ops.gt(ratio, ratioMax), "f32");
  const below = ops.cast(ops.lt(ratio, ratioMin), "f32");
  const count = (cut: Tensor): Tensor => ops.sum(ops.stopGradient(ops.where(ops.ne(weights, 0), cut, 0)));
  if (form === "clippedLog" || form === "truncatedLog") {
    const held = ops.maximum(ops.minimum(ratio, ratioMax), ratioMin);
    const factor = ops.stopGradient(form === "clippedLog" ? held : ops.where(rises, 1, held));
    const cut = ops.maximum(above, below);
    return {
      loss: ops.neg(ops.sum(ops.mul(ops.mul(weights, factor), logProbs))),
      clipped: count(form === "clippedLog" ? cut : ops.where(rises, 0, cut)),
    };
  }
  const falls = ops.maximum(ratio, ratioMin);
  const bounded = inputs.dualMax === undefined ? falls : ops.minimum(falls, inputs.dualMax);
  const used = ops.where(rises, ops.minimum(ratio, ratioMax), bounded);
  return {
    loss: ops.neg(ops.sum(ops.mul(weights, used))),
    clipped: count(ops.where(rises, above, below)),
  };
}

/** [B, N]: every token of a row has the row's log ratio, the sum over its tokens or their mean. */
function rowLogRatio(form: LossForm, logRatio: Tensor, scales: Tensor | undefined): Tensor {
  const mask = ops.cast(ops.gt(scales as Tensor, 0), "f32"); // [B, N]
  const sum = ops.sum(ops.mul(mask, logRatio), 1, true); // [B, 1]
  const row = form === "truncatedLog" ? sum : ops.div(sum, ops.maximum(ops.sum(mask, 1, true), 1));
  return ops.broadcastTo(row, logRatio.shape);
}

/** KL to a reference of each token, [B, N], nats; the estimators as `KlEstimator` has them. */
export function tokenKl(estimator: KlEstimator, logProbs: Tensor, reference: Tensor): Tensor {
  const lr = ops.sub(logProbs, ops.stopGradient(reference));
  if (estimator === "k1") return lr;
  if (estimator === "k2") return ops.mul(ops.square(lr), 0.5);
  return ops.add(ops.sub(ops.exp(ops.neg(lr)), 1), lr);
}

/** Which terms a loss has beside the masked advantages; fixed when it is compiled. */
export interface LossTerms {
  form: LossForm;
  /** A KL term in the loss. */
  kl?: KlEstimator | null;
  /** An entropy bonus. */
  entropy?: boolean;
}

/** What the model says of a micro-batch's tokens, [B, N] each. */
export interface PolicyOutputs {
  logProbs: Tensor;
  /** Nats. */
  entropy: Tensor;
  /** Of a value head. */
  values?: Tensor;
}

/** The data of a micro-batch, [B, N] each; those that a term reads are there wherever the term is. */
export interface LossData {
  weights: Tensor;
  oldLogProbs: Tensor;
  scales?: Tensor;
  reference?: Tensor;
  returns?: Tensor;
}

/** Numbers of a step: data. */
export interface LossNumbers {
  ratioMin: TensorLike;
  ratioMax: TensorLike;
  dualMax?: TensorLike;
  kl?: TensorLike;
  entropy?: TensorLike;
  value?: TensorLike;
}

/** The whole loss of a micro-batch, see `algorithm.ts`: sums, so that micro-batches add up. `kl` is the term without its weight. */
export function policyLoss(
  terms: LossTerms,
  outputs: PolicyOutputs,
  data: LossData,
  numbers: LossNumbers,
): LossResult & { kl?: Tensor } {
  const { logProbs } = outputs;
  const { loss: main, clipped } = maskedAdvantageLoss(terms.form, { logProbs, ...data, ...numbers });
  const mean = (x: Tensor): Tensor => ops.sum(ops.mul(data.scales as Tensor, x));
  let loss = main;
  let kl: Tensor | undefined;
  if (terms.kl) {
    // What stands in the padding may be so unlikely that its term overflows, and infinity times 0 is NaN.
    const counts = ops.gt(data.scales as Tensor, 0);
    const own = ops.where(counts, logProbs, 0);
    kl = mean(tokenKl(terms.kl, own, data.reference as Tensor));
    loss = ops.add(loss, ops.mul(kl, numbers.kl as Tensor));
  }
  if (terms.entropy) loss = ops.sub(loss, ops.mul(mean(outputs.entropy), numbers.entropy as Tensor));
  if (outputs.values) {
    const error = ops.square(ops.sub(outputs.values, data.returns as Tensor));
    loss = ops.add(loss, ops.mul(mean(ops.mul(error, 0.5)), numbers.value as Tensor));
  }
  return kl ? { loss, clipped, kl: ops.stopGradient(kl) } : { loss, clipped };
}

/** KL of one token by an estimator, float64, nats. */
export function klOf(estimator: KlEstimator, logProb: number, reference: number): number {
  const lr = logProb - reference;
  if (estimator === "k1") return lr;
  return estimator === "k2" ? (lr * lr) / 2 : exp(-lr) - 1 + lr;
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

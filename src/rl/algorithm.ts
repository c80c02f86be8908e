/**
 * What an algorithm is: a record of choices around one masked-advantage loss. With token t of row i in the set K of
 * kept rows, advantage A_it, normaliser Z and n_i the weight 1/Z of a token of row i (see `Aggregation`):
 *
 *     loss = - sum_{i in K} sum_t  n_i g(A_it, pi)      g: see `LossForm`
 *            + sum n_i ( kl.coefficient * KL_it  -  entropy.coefficient * H_it  +  value.coefficient * (V_it - R_it)^2 / 2 )
 *
 * Algorithms differ in these choices and in nothing else; `algorithms.ts` has them by name.
 */
import type { MiniBatches } from "./advantages.ts";

/** A number that may change over a run: constant, or linear from `from` at step 1 to `to` at step `steps + 1`, then `to`. */
export type Scheduled = number | { readonly from: number; readonly to: number; readonly steps: number };

/** How the rewards of one prompt's G samples become advantages. */
export type AdvantageRule =
  /** `right` for a reward above 0 and `wrong` for others. */
  | { readonly kind: "fixed"; readonly right: Scheduled; readonly wrong: Scheduled }
  /** The reward itself. */
  | { readonly kind: "reward" }
  /** (r - mean + shift) / scale, over the group. */
  | {
      readonly kind: "group";
      /** `mean` of the group, or of the `others` in it. */
      readonly baseline?: "mean" | "others";
      /** Divide by sample deviation + eps, by mean + eps, or by nothing. */
      readonly scale: "std" | "mean" | "none";
      readonly eps: number;
      /** Added to the difference: a baseline below the mean where above 0. */
      readonly shift?: number;
      /** Counts one sample more, of reward 1, in mean and deviation. */
      readonly virtualBest?: boolean;
    }
  /** Advantages under which the mean of Pass@k over the group's subsets rises. */
  | { readonly kind: "passAtK"; readonly k: number; readonly form: "training" | "pkpo" }
  /** Generalised advantage estimation over tokens, from a value head; whitened over the rollout where asked. */
  | { readonly kind: "gae"; readonly gamma: number; readonly lambda: number; readonly whiten: boolean };

/** Which rows enter the batch that the normaliser counts. */
export type Keep = "all" | "right" | "wrong";

/**
 * The normaliser Z: `token` all completion tokens; `sequence` each row's length times the number of rows; `constant`
 * the number of rows times maxCompletionLength.
 */
export type Aggregation = "token" | "sequence" | "constant";

/**
 * What of a token is pushed, with rho = pi/pi_old of the token, and for a whole row s = exp(mean log rho), S = prod rho:
 *
 *     ratio          min(A rho, A clip(rho)), and where dualClip is set at least dualClip * A for A < 0
 *     sequenceRatio  min(A s, A clip(s))
 *     log            A log pi
 *     pi             A pi, the form that the paper analyses (equations 7 and 8)
 *     clippedLog     A sg(clip(rho)) log pi
 *     truncatedLog   A log pi for A >= 0, A sg(clip(S)) log pi for A < 0
 *
 * sg: no gradient flows. clip(x) lies within [1 - clipLow, 1 + clipHigh].
 */
export type LossForm = "ratio" | "sequenceRatio" | "log" | "pi" | "clippedLog" | "truncatedLog";

/**
 * Estimators of KL(pi || ref) from a token's lr = log pi - log ref: k1 lr; k2 lr^2/2; k3 exp(-lr) - 1 + lr. As a loss only
 * k2 has the right gradient. Source: Schulman 2020, Approximating KL divergence.
 */
export type KlEstimator = "k1" | "k2" | "k3";

export interface KlTerm {
  readonly estimator: KlEstimator;
  /** In the loss, or taken from the reward (per token under `gae`, else its sum over the row; no gradient). */
  readonly where: "loss" | "reward";
  readonly coefficient: number;
}

export interface EntropyTerm {
  /** Weight of the bonus; at the start, where it adapts. */
  readonly coefficient: number;
  /**
   * Adapts: after each step the coefficient rises by `rate` where the policy's entropy is below the target (nats), falls by
   * it where above, and stays within [0, coefficient * 100]. Source: arXiv 2505.22312 (Skywork-OR1).
   */
  readonly target?: number;
  readonly rate?: number;
}

/** One algorithm: plain data. */
export interface Algorithm {
  readonly name: string;
  readonly advantage: AdvantageRule;
  readonly keep: Keep;
  readonly aggregation: Aggregation;
  /**
   * Rows that Z counts: the kept ones of the mini-batch, or all of the rollout, shared out evenly among the mini-batches: the
   * same for every algorithm that has as many of them (`cutFirst: false`, or mini-batches by count).
   */
  readonly normaliser: "kept" | "all";
  readonly form: LossForm;
  /** Clipping range 1 - clipLow to 1 + clipHigh of the ratio; null: not clipped. */
  readonly clipLow: number | null;
  readonly clipHigh: number | null;
  /** Dual clip: least multiple of a negative advantage, above 1. Source: arXiv 1912.09729. */
  readonly dualClip?: number | null;
  readonly kl?: KlTerm | null;
  readonly entropy?: EntropyTerm | null;
  /** Weight of the value head's squared error (rule `gae` only). */
  readonly valueCoefficient?: number;
  /** Leaves out rows that were cut at maxCompletionLength. */
  readonly maskTruncated?: boolean;
  /** Leaves out groups whose rewards are all equal: they count in no normaliser. */
  readonly dropZeroVariance?: boolean;
  /** Cuts right rewards by likelihood: r (1 - beta rank/G), rank 1 for the least likely. Source: arXiv 2506.02355. */
  readonly unlikeliness?: number;
  /** Where the algorithm, and not the run, decides how a rollout is split, and how often it is gone over. */
  readonly miniBatches?: MiniBatches;
  readonly cutFirst?: boolean;
  readonly epochs?: number;
  /** Default `adamw`. */
  readonly optimizer?: "adamw" | "sgd";
  /** Turns every advantage round: a control, which must unlearn. */
  readonly flip: boolean;
}

/** The value of a scheduled number at a step, from 1. */
export function at(scheduled: Scheduled, step: number): number {
  if (typeof scheduled === "number") return scheduled;
  const { from, to, steps } = scheduled;
  return step > steps ? to : from + ((to - from) * Math.max(0, step - 1)) / steps;
}

/** Whether a row's advantage or mask depends on the other samples of its prompt. */
export function comparesGroup({
  advantage,
  dropZeroVariance,
  unlikeliness,
}: Pick<Algorithm, "advantage" | "dropZeroVariance" | "unlikeliness">): boolean {
  return (
    advantage.kind === "group" ||
    advantage.kind === "passAtK" ||
    Boolean(dropZeroVariance) ||
    Boolean(unlikeliness)
  );
}

/** Whether rows without an advantage still have a gradient. */
export function regularized(algorithm: Pick<Algorithm, "kl" | "entropy" | "advantage">): boolean {
  return algorithm.kl?.where === "loss" || Boolean(algorithm.entropy) || algorithm.advantage.kind === "gae";
}

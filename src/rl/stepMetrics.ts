/** What a step reports: numbers under TRL's names, and warnings where it cannot have learned. */
import { meanAndStd } from "./advantages.ts";
import type { Algorithm } from "./algorithm.ts";
import type { Rollout } from "./rollout.ts";

/** What one step did; names as in TRL. Times are in seconds, everything else is the same run after run. */
export interface StepMetrics {
  /** Rollouts so far, from 1. */
  step: number;
  /** Optimizer updates so far. */
  updates: number;
  /** Rollouts so far that gave nothing to learn from. */
  skipped: number;
  reward: number;
  /** Mean over prompts of the sample deviation of their rewards. */
  reward_std: number;
  /** Share of prompts whose rewards are all equal. */
  frac_reward_zero_std: number;
  /** Of the policy before the update, at temperature 1, over all completion tokens; nats. */
  entropy: number;
  "completions/mean_length": number;
  "completions/min_length": number;
  "completions/max_length": number;
  /** Share of completions cut at maxCompletionLength. */
  "completions/clipped_ratio": number;
  /** Completion tokens drawn so far. */
  num_tokens: number;
  /** Rows that the normaliser counted, and rows with a weight. */
  kept_rows: number;
  trained_rows: number;
  /** Mean over the step's updates; `null` where there was none. */
  loss: number | null;
  grad_norm: number | null;
  /** Share of trained tokens whose ratio was clipped. */
  clip_ratio: number | null;
  /** Mean KL to the reference over completion tokens by the algorithm's estimator, nats; absent without a KL term. */
  kl?: number;
  /** Weight of the entropy bonus in this step; absent without one. */
  entropy_coefficient?: number;
  learning_rate: number;
  /** How often each reason of the verifier came. */
  reasons: Record<string, number>;
  /** Completions of this step on which the verifier itself failed: reward 0, and no part in the update. */
  verifier_failures: number;
  /** What a user should hear: a step that cannot learn and why. */
  warnings: string[];
  step_time: number;
  rollout_time: number;
}

/** What the updates of a step did; `null` where there was none. */
export interface Learned {
  updates: number;
  kept: number;
  trained: number;
  loss: number | null;
  gradNorm: number | null;
  clipRatio: number | null;
  learningRate: number;
}

/** Mean over the elements whose mask is 1; 0 where there is none. */
export function maskedMean(values: ArrayLike<number>, mask: ArrayLike<number>): number {
  let sum = 0;
  let count = 0;
  for (let i = 0; i < values.length; i++) {
    if (mask[i] === 0) continue;
    sum += values[i];
    count++;
  }
  return count === 0 ? 0 : sum / count;
}

/** The part of a step's metrics that its rollout alone decides. */
export function rolloutMetrics(rollout: Rollout) {
  const { rewards, lengths, numGenerations, clipped, tokens } = rollout;
  let stds = 0;
  let flat = 0;
  const groups = rewards.length / numGenerations;
  for (let at = 0; at < rewards.length; at += numGenerations) {
    const group = rewards.slice(at, at + numGenerations);
    stds += meanAndStd(group).std;
    flat += group.every((r) => r === group[0]) ? 1 : 0;
  }
  return {
    reward: meanAndStd(rewards).mean,
    reward_std: stds / groups,
    frac_reward_zero_std: flat / groups,
    "completions/mean_length": tokens / lengths.length,
    "completions/min_length": Math.min(...lengths),
    "completions/max_length": Math.max(...lengths),
    "completions/clipped_ratio": clipped / lengths.length,
  };
}

/** Nats: above `high` at a run's start and below `low` later, the policy has collapsed. */
const COLLAPSE = { high: 0.2, low: 0.05 };

/** What a user should hear where a policy that began with an entropy of `first` is left with `now`; null where nothing. */
export function collapseWarning(first: number, now: number): string | null {
  if (!(first > COLLAPSE.high && now < COLLAPSE.low)) return null;
  return `entropy fell to ${now.toFixed(3)} nats from ${first.toFixed(3)}: the policy gives nearly one answer; lower learningRate, take fewer steps, or an algorithm with a KL or entropy term`;
}

/** What a user should hear where an algorithm asks of a reward only whether it is above 0, and some lie between; null where nothing. */
export function gradedWarning(rewards: readonly number[], algorithm: Algorithm): string | null {
  const { name, advantage, keep } = algorithm;
  const rounds = advantage.kind === "fixed" || advantage.kind === "passAtK" || keep !== "all";
  if (!rounds || !rewards.some((r) => r > 0 && r < 1)) return null;
  return `${name} takes every reward above 0 for right, and some lie below 1: give 0 or 1, or take an algorithm that uses the number`;
}

/** What a user should hear of a step; of a policy that has collapsed not that its task is hard. */
export function warningsOf(
  rollout: Rollout,
  learned: Learned,
  { name }: Algorithm,
  collapsed = false,
): string[] {
  const { rewards, clipped, failures, failure, failed } = rollout;
  const { updates, gradNorm, loss } = learned;
  const found: string[] = [];
  if (failures > 0)
    found.push(
      `the verifier failed on ${failures} of ${rewards.length} completions, which have reward 0 and no part in the update: ${failure}`,
    );
  if (updates > 0 && !(Number.isFinite(loss) && Number.isFinite(gradNorm)))
    found.push(
      "loss or gradient is not finite: lower learningRate, set maxGradNorm, or run with NAN=1 to find the op",
    );
  else if (updates > 0 && gradNorm === 0)
    found.push(
      "the gradient is 0: every advantage is 0 or every token is clipped; change the task or the algorithm",
    );
  if (clipped === rewards.length)
    found.push("every completion was cut before EOS: raise maxCompletionLength or pretrain longer");
  // Of rewards that no verifier gave nothing can be said, and few that it gave say little. Beside a failure a 0 may be of a
  // completion that it was not asked about, since that was cut.
  const given = rewards.filter((_, i) => !failed[i]);
  const [reward] = given;
  const same = 2 * given.length >= rewards.length && given.every((r) => r === reward);
  if (same && (reward > 0 || !(collapsed || failures > 0)))
    found.push(
      `every reward${failures > 0 ? " that the verifier gave" : ""} is ${reward}: the task is too ${reward > 0 ? "easy" : "hard"}`,
    );
  if (updates === 0) found.push(`nothing for ${name} to learn from: no update was made`);
  return found;
}

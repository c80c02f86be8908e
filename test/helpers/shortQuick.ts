/** The quick preset shortened: the same base, model and task, ten updates of every arm on small rollouts. */
import type { MetricsRow, Summary } from "../../src/eval/summary.ts";
import type { ExperimentChanges } from "../../src/rl/presets.ts";

export const SHORT_QUICK: ExperimentChanges = {
  train: { steps: 10, promptsPerStep: 4, numGenerations: 4, microBatchRows: 16 },
  evaluation: { prompts: 4, samples: 8, entropySamples: 2 },
  arms: ["base", "psr", "nsr", "w-reinforce:0.1", "grpo"],
  rows: 16,
  scoreRows: 16,
};

/** What must be equal bit for bit: everything but times. */
export function comparable(summary: Summary, metrics: readonly MetricsRow[]) {
  return {
    tier: summary.adapter.tier,
    description: summary.adapter.description,
    arms: summary.arms.map(
      ({ name, passAtK, intervals, entropy, updates, rolloutTokens, weightsSha256 }) => ({
        name,
        passAtK,
        intervals,
        entropy,
        updates,
        rolloutTokens,
        weightsSha256,
      }),
    ),
    metrics: metrics.map(({ step_time: _s, rollout_time: _r, ...rest }) => rest),
  };
}

/** A study of a very small policy: two controls, two seeds, two arms, exact Pass@k. */
import type { StudySummary } from "../../src/eval/studySummary.ts";
import type { StudyChanges } from "../../src/rl/studyConfig.ts";

export const SHORT_STUDY: StudyChanges = {
  task: { name: "modular-sum", config: { modulus: 5, size: 4, pick: 2 } },
  pretrain: { steps: 30, learningRate: 2e-2 },
  train: {
    steps: 2,
    promptsPerStep: 4,
    numGenerations: 4,
    microBatchRows: 16,
    miniBatches: { kind: "rows", rows: 4 },
  },
  evaluation: {
    prompts: 3,
    exact: true,
    alsoTemperatures: [0.6],
    entropySamples: 2,
    every: 1,
    promptsSeed: 1,
  },
  arms: ["nsr", "psr"],
  seeds: [1, 2],
  controls: {
    native: { about: "as it is" },
    matched: { train: { miniBatches: { kind: "count", count: 2 } } },
  },
  pilot: { seeds: [11, 12], arms: ["psr", "nsr"], difference: 0.057 },
};

/** What must be equal bit for bit: everything but times, the command and what an adapter is called. */
export function comparableStudy(summary: StudySummary) {
  const { seconds: _s, command: _c, versions: _v, adapter, ...rest } = summary;
  return { ...rest, tier: adapter.tier };
}

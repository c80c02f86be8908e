/** A shortened study of the shipped base: two controls, two seeds, two arms, exact Pass@k. */
import type { StudySummary } from "../../src/eval/studySummary.ts";
import type { StudyChanges } from "../../src/rl/studyConfig.ts";

export const SHORT_STUDY: StudyChanges = {
  train: {
    steps: 3,
    promptsPerStep: 4,
    numGenerations: 4,
    microBatchRows: 16,
    miniBatches: { kind: "rows", rows: 4 },
  },
  evaluation: {
    prompts: 4,
    exact: true,
    alsoTemperatures: [0.6],
    entropySamples: 2,
    every: 1,
    promptsSeed: 1,
  },
  arms: ["nsr", "psr"],
  rows: 16,
  scoreRows: 16,
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

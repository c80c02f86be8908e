/** What a step says of itself, on rollouts written down here. */
import { expect, test } from "vitest";
import type { Algorithm } from "../../src/rl/algorithm.ts";
import { grpo, nsr, passKTraining, pkpo, psr } from "../../src/rl/algorithms.ts";
import type { Rollout } from "../../src/rl/rollout.ts";
import { gradedWarning, type Learned, warningsOf } from "../../src/rl/stepMetrics.ts";

const learned: Learned = {
  updates: 1,
  kept: 8,
  trained: 8,
  loss: 1,
  gradNorm: 1,
  clipRatio: 0,
  learningRate: 0.1,
};

/** Warnings of rows with these rewards; `null` is one on which the verifier failed. */
function warned(given: (number | null)[], collapsed = false): string {
  const failed = given.map((reward) => reward === null);
  const failures = failed.filter(Boolean).length;
  const rewards = given.map((reward) => reward ?? 0);
  const rollout = { rewards, failed, failures, failure: "no network", clipped: 0 };
  return warningsOf(rollout as unknown as Rollout, learned, nsr, collapsed).join("\n");
}

const F = null;

test("a task is called easy or hard by rows that the verifier judged", () => {
  expect(warned([0, 0, 0, 0])).toBe("every reward is 0: the task is too hard");
  expect(warned([1, 1, 1, 1])).toBe("every reward is 1: the task is too easy");
  expect(warned([0, 1, 0, 0])).toBe("");
  expect(warned([F, F, F, F, 1, 1, 1, 1])).toMatch(
    /failed on 4 of 8.*\nevery reward that the verifier gave is 1: the task is too easy$/,
  );
  expect(warned([F, 0, 0, 0])).not.toContain("too hard");
  expect(warned([F, 0, 1, 0])).not.toContain("the task is too");
  // One word of eight says nothing of the task, none even less.
  expect(warned([F, F, F, F, F, F, F, 0])).not.toContain("the task is too");
  expect(warned([F, F, F, F])).not.toContain("the task is too");
});

test("of a policy that has collapsed it is not said that its task is hard", () => {
  expect(warned([0, 0, 0, 0], true)).toBe("");
  expect(warned([1, 1, 1, 1], true)).toBe("every reward is 1: the task is too easy");
});

test.each<[Algorithm, boolean]>([
  [nsr, true],
  [psr, true],
  [passKTraining(2), true],
  [pkpo(2), true],
  [grpo, false],
  [{ ...nsr, name: "kept wrong", advantage: { kind: "reward" } }, true],
  [{ ...grpo, name: "kept right", keep: "right" }, true],
  [{ ...grpo, name: "rewards", advantage: { kind: "reward" } }, false],
])("$0.name: graded rewards are warned of where they count as right: %s", (algorithm, warns) => {
  expect(gradedWarning([0, 1, 0.25], algorithm) !== null).toBe(warns);
  expect(gradedWarning([0, 1, 1], algorithm)).toBeNull();
});

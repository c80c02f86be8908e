/** Exact Pass@k sums what a task lists: its own verifier has a word on that first. */
import { expect, test } from "vitest";
import { defineTask, type TaskDefinition, type TaskJudgement } from "../../src/rl/defineTask.ts";
import { runExperiment } from "../../src/rl/experiment.ts";
import { checkAnswers } from "../../src/rl/measure.ts";
import { experimentConfig } from "../../src/rl/presets.ts";
import { runStudy } from "../../src/rl/study.ts";
import { studyConfig } from "../../src/rl/studyConfig.ts";
import type { AnyTask } from "../../src/rl/task.ts";
import { ConfigError } from "../../src/tensor/errors.ts";
import { Rng, Stream } from "../../src/tensor/random.ts";
import { memoryFiles } from "../helpers/memoryFiles.ts";

const { evaluation } = experimentConfig("tiny", { evaluation: { exact: true, prompts: 2 } });
const WORDS = ["red", "green", "blue"];

/** Say the word again; `asked` counts. */
function echo(
  changes: Partial<TaskDefinition<TaskJudgement | Promise<TaskJudgement>>>,
  asked: string[] = [],
): AnyTask {
  return defineTask<TaskJudgement | Promise<TaskJudgement>>({
    name: "echo",
    symbols: WORDS,
    prompts: WORDS,
    heldOutPrompts: ["red green", "blue blue"],
    maxCompletionLength: 3,
    trace: (_, prompt) => prompt,
    answers: (prompt) => [prompt],
    ...changes,
    verify(prompt, completion) {
      asked.push(completion);
      return (changes.verify ?? ((p: string, c: string) => p === c))(prompt, completion);
    },
  });
}

const heldOut = (task: AnyTask) => task.distinct(new Rng(1, Stream.data), "heldOut", 2);

test("right answers pass, and each is put to the verifier once for a list of problems", async () => {
  const asked: string[] = [];
  const task = echo({}, asked);
  const problems = heldOut(task);
  for (let arm = 0; arm < 3; arm++) await checkAnswers({ task, evaluation, problems });
  expect([...asked].sort()).toEqual(["blue blue", "red green"]);
  await checkAnswers({ task: echo({ verify: async (p, c) => p === c }, asked), evaluation, problems });
  expect(asked, "another task has a verifier of its own").toHaveLength(4);
});

test("a verifier that fails has said nothing of the answer", async () => {
  const task = echo({ verify: () => Promise.reject(new Error("the judge is away")) });
  await checkAnswers({ task, evaluation, problems: heldOut(task) });
});

test.each([
  [
    { answers: () => ["red green", "blue"] },
    /answers that earn 1 expected, got ".*" of ".*", which earns 0 \(wrong\)/,
  ],
  [{ verify: async () => false }, /which earns 0 \(wrong\)\. Check answers\(\) and verify\(\) of echo/],
  [{ verify: () => 0.5 }, /which earns 0\.5 \(partial\)/],
  [
    { answers: () => [] },
    /every right answer of "(red green|blue blue)" expected, got none from echo\. List them/,
  ],
])("%# refused by prompt and answer, before anything is computed or written", async (changes, message) => {
  const task = echo(changes);
  await expect(checkAnswers({ task, evaluation, problems: heldOut(task) })).rejects.toThrow(ConfigError);
  const files = memoryFiles();
  const changed = {
    task: { name: "echo" },
    model: { hiddenSize: 16, numLayers: 1, numHeads: 2 },
    train: { promptsPerStep: 2 },
    evaluation: { exact: true, prompts: 2 },
  };
  const adapter = { vendor: "", description: "", backend: "", tier: "T0", software: true } as const;
  const given = { task, preset: "tiny", files, out: "run", adapter };
  const config = experimentConfig("tiny", changed);
  await expect(runExperiment({ ...given, config, seed: 1 })).rejects.toThrow(message);
  const study = studyConfig("tiny", { ...changed, seeds: [1, 2] });
  await expect(runStudy({ ...given, config: study })).rejects.toThrow(message);
  expect([...files.content.keys()]).toEqual([]);
});

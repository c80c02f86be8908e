/** What the page says of tasks and algorithms without loading them is what they are. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { ALGORITHMS } from "../../src/rl/algorithms.ts";
import { armName } from "../../src/rl/presets.ts";
import { makeTask, taskNames } from "../../src/rl/taskTable.ts";
import { ALGORITHM_GROUPS, ALGORITHM_TEXTS, FIRST_ALGORITHMS } from "../../web/src/algorithmTexts.ts";
import { ARM_WORDS, armOf, presetSettings } from "../../web/src/settings.ts";
import { presetConfig, TASK_NAMES, TASKS } from "../../web/src/taskChoices.ts";
import { root } from "../helpers/sourceFiles.ts";

test("every task can be chosen, and its model holds its longest problem and answer", () => {
  expect([...TASK_NAMES].sort()).toEqual([...taskNames].sort());
  for (const name of TASK_NAMES) {
    for (const [preset, at] of [
      ["quick", 0],
      ["gpu", 1],
    ] as const) {
      const task = makeTask(presetConfig(preset, name).task);
      const longest = task.promptLength + task.maxCompletionLength;
      const { positions } = TASKS[name];
      if (name === "countdown") expect(positions[at]).toBeGreaterThanOrEqual(longest);
      else expect([name, positions[at]]).toEqual([name, longest]);
    }
    // Enough held-out problems for the preset.
    const { config, evaluation } = {
      config: presetConfig("quick", name).task,
      ...presetConfig("quick", name),
    };
    expect(makeTask(config).count?.("heldOut") ?? evaluation.prompts).toBeGreaterThanOrEqual(
      evaluation.prompts,
    );
  }
});

describe("algorithms", () => {
  test("are all there, once", () => {
    const listed = [...FIRST_ALGORITHMS, ...ALGORITHM_GROUPS.flatMap(([, words]) => words)];
    expect([...listed].sort()).toEqual(Object.keys(ALGORITHMS).sort());
    expect(new Set(listed).size).toBe(20);
    const settings = presetSettings("quick");
    const names = ARM_WORDS.map((word) => armName(armOf(word, settings), { algorithm: {} }));
    expect(new Set(names).size).toBe(41);
  });

  test("are described in the words of their records", () => {
    const text = readFileSync(join(root, "src/rl/algorithms.ts"), "utf8");
    const table = text.slice(text.indexOf("export const ALGORITHMS"));
    for (const [word, { says, source }] of Object.entries(ALGORITHM_TEXTS)) {
      const found = table.match(new RegExp(`^ {2}"?${word}"?(?:: (\\w+))?,$`, "m"));
      const name = found?.[1] ?? word;
      const comment = text.match(
        new RegExp(`/\\*\\* ([^\\n]*) \\*/\\nexport (?:const|function) ${name}\\b`),
      )?.[1];
      expect(comment, word).toBe(`${says} Source: ${source}.`);
    }
  });
});

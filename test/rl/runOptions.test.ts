/** What experiments and studies are given: a configuration that is not whole is refused by name, before anything else. */
import { describe, expect, test } from "vitest";
import { type ExperimentOptions, runExperiment } from "../../src/rl/experiment.ts";
import { type ExperimentConfig, experimentConfig, PRESETS } from "../../src/rl/presets.ts";
import { checkStudyConfig, checkWholeConfig } from "../../src/rl/runOptions.ts";
import { runStudy, type StudyOptions } from "../../src/rl/study.ts";
import { cellConfig, STUDIES, studyConfig } from "../../src/rl/studyConfig.ts";
import { makeTask } from "../../src/rl/taskTable.ts";
import { ConfigError } from "../../src/tensor/errors.ts";
import { LetterTask } from "../helpers/letterTask.ts";
import { memoryFiles } from "../helpers/memoryFiles.ts";

const REMEDY = /Make it with experimentConfig\("quick", \{ \.\.\. \}\)\.$/;
const whole = experimentConfig("quick");
const { rows: _, ...withoutRows } = whole;
const { steps: __, ...withoutSteps } = whole.train;

describe("an experiment", () => {
  const wrong: [string, unknown, RegExp][] = [
    ["nothing", undefined, /^experiment: config: a whole configuration expected, got undefined\./],
    ["a preset's name", "quick", /got "quick"/],
    ["a preset's name as a key", { preset: "quick" }, /^experiment: preset: a known key expected/],
    ["changes", { train: { steps: 3 } }, /got one without algorithm/],
    ["all but one key", withoutRows, /got one without rows/],
    ["all but one key of a part", { ...whole, train: withoutSteps }, /got one without train\.steps/],
    ["a key of another type", { ...whole, rows: "128" }, /^experiment: rows: an integer.*got "128"/],
  ];
  test.each(wrong)("of %s", async (_name, config, message) => {
    const files = memoryFiles();
    const options = { config, preset: "quick", seed: 1, out: "run", files } as unknown as ExperimentOptions;
    const error = await runExperiment(options).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(ConfigError);
    expect(String((error as Error).message)).toMatch(message);
    expect((error as Error).message).toMatch(REMEDY);
    expect(files.content.size).toBe(0);
  });

  test("of no seed, though the problems have one of their own", async () => {
    const files = memoryFiles();
    const config = experimentConfig("tiny", { evaluation: { promptsSeed: 1 } });
    const adapter = { vendor: "", description: "", backend: "", tier: "T0", software: true };
    const options = { config, preset: "tiny", out: "run", files, adapter } as unknown as ExperimentOptions;
    await expect(runExperiment(options)).rejects.toThrow(/^seed: an integer in .* expected, got undefined/);
    expect(files.content.size).toBe(0);
  });

  const cells = Object.keys(STUDIES).flatMap((name) => {
    const config = studyConfig(name);
    return Object.keys(config.controls).map((control): [string, ExperimentConfig] => [
      `${name}, ${control}`,
      cellConfig(config, control),
    ]);
  });
  const presets = Object.keys(PRESETS).map((name): [string, ExperimentConfig] => [
    name,
    experimentConfig(name),
  ]);
  test.each([...presets, ...cells])("what is whole is taken: %s", (_name, config) => {
    const kept = structuredClone(config);
    checkWholeConfig("experiment", config);
    checkWholeConfig("experiment", JSON.parse(JSON.stringify(config)));
    checkWholeConfig("experiment", { ...config, base: "own", model: { hiddenSize: 8 } });
    expect(config).toEqual(kept);
  });
});

describe("a task", () => {
  test.each([
    [
      "echo",
      'got "echo". A task of your own is code: give it to runExperiment or runStudy as task (docs/tasks.md).',
    ],
    ["constructor", 'got "constructor". A task of your own is code'],
    ["countdwn", 'got "countdwn". Did you mean "countdown"?'],
  ])("by a name that is none: %s", (name, message) => {
    expect(() => makeTask({ name })).toThrow(ConfigError);
    expect(() => makeTask({ name })).toThrow(message);
  });
});

test.each([["countdown"], [null], [{}], [{ name: 5 }]])("a task's name alone, or none: %j", (given) => {
  expect(() => makeTask(given as never)).toThrow(
    /^task: \{ name, config \} expected, got .*\. Write \{ name: "/,
  );
});

describe("a study", () => {
  const study = studyConfig("tiny", { seeds: [1, 2] });
  const wrong: [string, unknown, RegExp][] = [
    [
      "nothing",
      undefined,
      /^study: config: a whole configuration expected, got undefined.*studyConfig\("quick"/,
    ],
    ["an experiment", whole, /got one without experiment\..*studyConfig\("quick"/],
    ["all but the bases", { ...study, bases: undefined }, /got one without bases/],
    ["no focus", { ...study, focus: undefined }, /got one without focus/],
    ["a focus that is no arm", { ...study, focus: "zzz" }, /^study: focus: one of the arms' names NSR/],
    ["a seed twice", { ...study, seeds: [1, 1] }, /^study: seeds: different ones expected, got 1 twice/],
    ["seeds as text", { ...study, seeds: ["1", "2"] }, /^study: seeds/],
    ["no controls", { ...study, controls: {} }, /^study: controls: at least one control expected/],
    ["a typo in a control", { ...study, controls: { native: { trian: {} } } }, /trian.*train/],
    ["an unknown key", { ...study, zzz: 1 }, /zzz: a known key expected/],
    ["other bases", { ...study, bases: "each" }, /^study: bases/],
    ["a part of an experiment", { ...study, experiment: { train: {} } }, /got one without algorithm/],
  ];
  test.each(wrong)("of %s", async (_name, config, message) => {
    const files = memoryFiles();
    const error = await runStudy({
      config,
      preset: "tiny",
      out: "study",
      files,
    } as unknown as StudyOptions).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(ConfigError);
    expect((error as Error).message).toMatch(message);
    expect(files.content.size).toBe(0);
  });

  test.each(Object.keys(STUDIES))("what is whole is taken: %s", (name) => {
    const config = studyConfig(name);
    checkStudyConfig(config);
    checkStudyConfig(JSON.parse(JSON.stringify(config)));
    checkStudyConfig({ ...config, pilot: null });
  });

  test("with a task of one's own under another name than the configuration's", async () => {
    const adapter = { vendor: "", description: "", backend: "", tier: "T0", software: true };
    const options = { preset: "tiny", out: "study", files: memoryFiles(), adapter, task: new LetterTask() };
    await expect(runStudy({ config: study, ...options })).rejects.toThrow(
      /^study: task: the configuration's "countdown" expected, got "letter"/,
    );
  });
});

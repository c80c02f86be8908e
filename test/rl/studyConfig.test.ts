/** Studies as data: what is refused, and what a control changes. */
import { describe, expect, test } from "vitest";
import { cellConfig, isStudy, STUDIES, type StudyChanges, studyConfig } from "../../src/rl/studyConfig.ts";

test.each(Object.keys(STUDIES))("preset %s is a study whose every cell is an experiment", (name) => {
  const config = studyConfig(name);
  expect(isStudy(name, {})).toBe(true);
  expect(config.seeds.length).toBeGreaterThanOrEqual(5);
  for (const control of Object.keys(config.controls))
    expect(cellConfig(config, control).arms).toContain("nsr");
});

test("an experiment's configuration with seeds or controls is a study", () => {
  expect(isStudy("quick", {})).toBe(false);
  expect(isStudy("quick", { train: {} })).toBe(false);
  expect(isStudy("quick", { seeds: [1] })).toBe(true);
  expect(isStudy("quick", { controls: { native: {} } })).toBe(true);
});

test("a control changes what it names and leaves the rest", () => {
  const config = studyConfig("quick", {
    train: { steps: 7 },
    controls: {
      native: {},
      other: { train: { cutFirst: false }, algorithm: { clip: false } },
    },
  });
  const [native, other] = ["native", "other"].map((name) => cellConfig(config, name));
  expect(native.train.steps).toBe(7);
  expect(other.train).toEqual({ ...native.train, cutFirst: false });
  expect(other.algorithm).toEqual({ clip: false });
  expect(native.algorithm).toEqual({});
  expect(other.arms).toEqual(native.arms);
  expect(native.arms).not.toContain("base");
});

describe("refused", () => {
  const cases: [string, StudyChanges | Record<string, unknown>, RegExp][] = [
    ["an unknown key", { contrls: {}, seeds: [1] }, /contrls.*controls/],
    ["seeds twice", { seeds: [1, 2, 1] }, /seeds: different ones expected, got 1 twice/],
    ["no seeds", { seeds: [] }, /seeds: 1 to 64 elements/],
    ["half a seed", { seeds: [1.5] }, /seeds\[0\]/],
    ["no control", { controls: {} }, /at least one control/],
    ["a control that is a path", { controls: { "../up": {} } }, /controls: names of/],
    ["a control called base", { controls: { base: {} } }, /controls: names of/],
    ["a control's unknown key", { controls: { a: { trian: {} } } }, /controls\.a\.trian.*train/],
    ["a control's unknown training key", { controls: { a: { train: { stpes: 1 } } } }, /stpes.*steps/],
    ["a control's unknown choice", { controls: { a: { algorithm: { clipp: false } } } }, /clipp.*clip/],
    ["arms that a control makes no sense for", { seeds: [1], arms: ["pass-k:64"] }, /k of at most/],
    ["a focus that is no arm", { seeds: [1], focus: "grop" }, /focus.*grpo/],
    ["only the base", { seeds: [1], arms: ["base"] }, /at least one that trains/],
    ["own bases beside a shipped one", { bases: "own" }, /bases: "shared" expected/],
    [
      "a pilot with the study's seeds",
      { pilot: { seeds: [1, 9], arms: ["psr", "nsr"], difference: 0.1 } },
      /got 1 in both/,
    ],
    [
      "a pilot of one seed",
      { pilot: { seeds: [9], arms: ["psr", "nsr"], difference: 0.1 } },
      /pilot\.seeds: 2 to 16/,
    ],
    [
      "a pilot with a seed twice",
      { pilot: { seeds: [9, 9], arms: ["psr", "nsr"], difference: 0.1 } },
      /pilot\.seeds: different ones expected, got 9 twice/,
    ],
    [
      "a pilot of an unknown arm",
      { pilot: { seeds: [8, 9], arms: ["psr", "nrs"], difference: 0.1 } },
      /algorithm: .*"nrs".*nsr/,
    ],
    [
      "a pilot of an arm against itself",
      { pilot: { seeds: [8, 9], arms: ["psr", "PSR"], difference: 0.1 } },
      /pilot\.arms: different ones expected, got PSR twice/,
    ],
    ["one held-out problem", { seeds: [1], evaluation: { prompts: 1 } }, /evaluation\.prompts: at least 2/],
    [
      "a pilot under an unknown control",
      { pilot: { seeds: [8, 9], arms: ["psr", "nsr"], difference: 0.1, control: "natve" } },
      /pilot\.control.*native/,
    ],
    [
      "a pilot with a seed twice",
      { pilot: { seeds: [8, 8], arms: ["psr", "nsr"], difference: 0.1 } },
      /pilot\.seeds: different ones/,
    ],
    [
      "a pilot of one arm",
      { pilot: { seeds: [8, 9], arms: ["nsr", "NSR"], difference: 0.1 } },
      /pilot\.arms: different ones/,
    ],
    [
      "a pilot of an unknown arm",
      { pilot: { seeds: [8, 9], arms: ["psr", "nrs"], difference: 0.1 } },
      /Did you mean "nsr"/,
    ],
    ...["summary.json", "report.html", "study.json", "a.", "12"].map((name): [string, object, RegExp] => [
      `a control called ${name}`,
      { controls: { [name]: {} } },
      /controls: names of/,
    ]),
    ["a prototype", JSON.parse('{"seeds":[1],"__proto__":{"arms":["nsr"]}}'), /__proto__: a known key/],
    ["a preset that is no text", { seeds: [1], experiment: 3 }, /preset: one of .* got 3/],
  ];
  test.each(cases)("%s", (_name, changes, message) => {
    expect(() => studyConfig("quick", changes as StudyChanges)).toThrow(message);
  });
});

/** Runs laid over another: read from files with suspicion, and in what they differ. */
import { expect, test } from "vitest";
import type { Summary } from "../../src/eval/summary.ts";
import { ConfigError } from "../../src/tensor/errors.ts";
import { Comparison, differences, readRun } from "../../web/src/comparison.ts";
import { presetSettings, settledConfig } from "../../web/src/settings.ts";

const arm = {
  name: "NSR",
  passAtK: { "1": 0.5, "2": 0.75 },
  intervals: { "1": [0.4, 0.6] as [number, number] },
  entropy: 0.3,
  updates: 10,
  rolloutTokens: 1,
  trainSeconds: 1,
  rolloutSeconds: 1,
  weightsSha256: "ab".repeat(32),
};
const summary = (change: Partial<Summary> = {}): Summary => ({
  adapter: { vendor: "v", description: "d", backend: "vulkan", tier: "T0", software: true },
  seed: 1,
  preset: "quick",
  command: "x",
  seconds: 1,
  arms: [arm],
  config: settledConfig(presetSettings("quick")),
  ...change,
});

test("a finished run and an unfinished one read alike", () => {
  const { adapter, seed, preset, config } = summary();
  const record = { version: 1, identity: { adapter, seed, preset, config }, arms: { NSR: { summary: arm } } };
  const read = readRun(JSON.stringify(summary()), "a");
  expect(read).toEqual(readRun(JSON.stringify(record), "a"));
  expect(read.arms[0]).toMatchObject({ name: "NSR", passAtK: arm.passAtK, intervals: arm.intervals });
});

test.each([
  ["{", /JSON expected, got "\{"/],
  ["[]", /an object expected/],
  [JSON.stringify(summary({ arms: [] })), /1 to 64 arms expected, got 0/],
  [
    JSON.stringify(summary({ arms: [{ ...arm, passAtK: { "1": 1.5 } }] })),
    /Pass@k of NSR in \[0, 1\] expected, got "1: 1\.5"/,
  ],
  [JSON.stringify(summary({ arms: [{ ...arm, passAtK: { "<b>": 1 } }] })), /Pass@k of NSR/],
  [
    JSON.stringify(summary({ arms: [{ ...arm, weightsSha256: "<img onerror=1>" }] })),
    /weightsSha256 of NSR expected/,
  ],
  [JSON.stringify({ arms: [{ name: 3 }] }), /an arm's name expected, got 3/],
  [" ".repeat((4 << 20) + 1), /at most 4194304 characters/],
])("%.30s is refused", (text, message) => {
  expect(() => readRun(text, "mine.json")).toThrow(ConfigError);
  expect(() => readRun(text, "mine.json")).toThrow(message);
});

test("amounts that are none, a seed that is an object, and endless configurations do no harm", () => {
  const text = JSON.stringify(summary());
  for (const entropy of ["1e999", "-1"])
    expect(() => readRun(text.replace('"entropy":0.3', `"entropy":${entropy}`), "x")).toThrow(/entropy/);
  const odd = readRun(text.replace('"seed":1', '"seed":{"toString":1}'), "x");
  expect(odd.seed).toBe("?");
  const many = Object.fromEntries(Array.from({ length: 20_000 }, (_, i) => [`k${i}`, i]));
  const deep = JSON.parse(`${'{"a":'.repeat(5000)}1${"}".repeat(5000)}`);
  const found = differences([odd, { ...odd, config: { deep, ...many } }]);
  expect(found.length).toBeLessThan(1100);
  expect(Math.max(...found.map(({ key }) => key.length))).toBeLessThanOrEqual(200);
});

test("only keys that differ are listed, arms among them never", () => {
  const here = { preset: "quick", seed: 1, config: summary().config, adapter: summary().adapter };
  expect(differences([here, readRun(JSON.stringify(summary()), "same")])).toEqual([]);
  const settings = { ...presetSettings("quick", "addition"), form: "pi", learningRate: 0.01, arms: ["psr"] };
  const other = readRun(JSON.stringify(summary({ seed: 2, config: settledConfig(settings) })), "other");
  expect(differences([here, other])).toEqual([
    { key: "seed", values: ["1", "2"] },
    { key: "task.name", values: ['"countdown"', '"addition"'] },
    { key: "model.maxPositions", values: ["16", "12"] },
    { key: "base", values: ['"quick-base.safetensors"', "–"] },
    { key: "train.learningRate", values: ["0.0003", "0.01"] },
    { key: "algorithm.form", values: ["–", '"pi"'] },
  ]);
});

test("four runs have a letter each, and a letter that is free again is used again", () => {
  let changes = 0;
  const comparison = new Comparison(() => changes++);
  const text = JSON.stringify(summary());
  expect(["a", "b", "c", "d"].map((from) => comparison.add(text, from).letter)).toEqual(["B", "C", "D", "E"]);
  expect(() => comparison.add(text, "e")).toThrow(/^compare: at most 4 runs/);
  comparison.remove("b");
  comparison.remove("nobody");
  expect(comparison.add(text, "e").letter).toBe("C");
  expect(comparison.runs.map(({ from }) => from)).toEqual(["a", "e", "c", "d"]);
  expect(changes).toBe(6);
});

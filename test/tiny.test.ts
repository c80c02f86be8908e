/** The whole product in seconds: pretrain, train, evaluate, report; go on, refuse, and lose nothing. */
import { beforeAll, describe, expect, test } from "vitest";
import { decodeCheckpoint } from "../src/model/checkpoint.ts";
import { type ExperimentOptions, runExperiment } from "../src/rl/experiment.ts";
import type { ProgressEvent } from "../src/rl/experimentProgress.ts";
import { type ExperimentChanges, experimentConfig } from "../src/rl/presets.ts";
import { useBackend } from "./helpers/backend.ts";
import { type MemoryFiles, memoryFiles } from "./helpers/memoryFiles.ts";

beforeAll(async () => {
  await useBackend();
});

const adapter = { vendor: "v", description: "d", backend: "b", tier: "T0", software: true };

function options(files: MemoryFiles, changes: ExperimentChanges = {}, more: Partial<ExperimentOptions> = {}) {
  return {
    config: experimentConfig("tiny", changes),
    preset: "tiny",
    seed: 3,
    files,
    out: "runs/tiny",
    adapter,
    command: "naysay experiment --preset tiny",
    versions: { naysay: "0" },
    ...more,
  };
}

const lines = (files: MemoryFiles) =>
  files
    .text("runs/tiny/metrics.jsonl")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));

describe("one run", () => {
  const files = memoryFiles();
  const events: ProgressEvent[] = [];
  beforeAll(async () => {
    await runExperiment(options(files, {}, { onProgress: (event) => events.push(event) }));
  });

  test("leaves the summary that is promised", () => {
    const summary = JSON.parse(files.text("runs/tiny/summary.json"));
    expect(summary).toMatchObject({ adapter, seed: 3, preset: "tiny", command: expect.any(String) });
    expect(summary.seconds).toBeGreaterThan(0);
    expect(summary.arms.map((arm: { name: string }) => arm.name)).toEqual(["base", "NSR"]);
    for (const arm of summary.arms) {
      expect(Object.keys(arm.passAtK)).toEqual(["1", "2", "4", "8"]);
      for (const k of Object.keys(arm.passAtK)) {
        const [low, high] = arm.intervals[k];
        expect(low).toBeLessThanOrEqual(arm.passAtK[k]);
        expect(high).toBeGreaterThanOrEqual(arm.passAtK[k]);
      }
      expect(arm.entropy).toBeGreaterThan(0);
      expect(arm.weightsSha256).toMatch(/^[0-9a-f]{64}$/);
    }
    const [base, trained] = summary.arms;
    expect(base).toMatchObject({ updates: 0, rolloutTokens: 0 });
    expect(trained).toMatchObject({ updates: 2, trainSeconds: expect.any(Number) });
    expect(trained.rolloutTokens).toBe(lines(files)[1].num_tokens);
    expect(trained.weightsSha256).not.toBe(base.weightsSha256);
    expect(summary.config.train.promptsPerStep).toBe(4);
  });

  test("metrics, checkpoints and report", () => {
    expect(lines(files).map((row) => [row.arm, row.update])).toEqual([
      ["NSR", 1],
      ["NSR", 2],
    ]);
    for (const name of ["pretrained", "base", "nsr"]) {
      const bytes = files.content.get(`runs/tiny/checkpoints/${name}.safetensors`);
      expect(decodeCheckpoint(bytes!).config.hiddenSize, name).toBe(16);
    }
    expect(files.text("runs/tiny/report.html")).toMatch(/<svg[\s\S]*NSR/);
    expect([...files.content.keys()].filter((name) => name.includes("partial"))).toEqual([]);
  });

  test("progress: every phase, an estimate that falls to nothing", () => {
    expect(new Set(events.map((event) => event.phase))).toEqual(
      new Set(["pretrain", "train", "evaluate", "arm"]),
    );
    expect(events.at(-1)).toMatchObject({ phase: "arm", arm: "NSR", done: 2, total: 2, secondsLeft: 0 });
    expect(events.every(({ secondsLeft }) => secondsLeft === null || secondsLeft >= 0)).toBe(true);
  });

  test("again: nothing is computed twice; an arm more is", async () => {
    const before = files.text("runs/tiny/summary.json");
    const seen: ProgressEvent[] = [];
    const onProgress = (event: ProgressEvent) => seen.push(event);
    await runExperiment(options(files, { arms: ["base", "nsr", "psr"] }, { onProgress }));
    expect(new Set(seen.map((event) => event.arm))).toEqual(new Set(["PSR"]));
    const after = JSON.parse(files.text("runs/tiny/summary.json"));
    expect(after.arms.slice(0, 2)).toEqual(JSON.parse(before).arms);
    expect(after.arms[2].name).toBe("PSR");
  });

  test("another configuration or seed is refused, with what differs", async () => {
    const kept = new Map(files.content);
    const other = options(files, { train: { learningRate: 0.5 } });
    await expect(runExperiment(other)).rejects.toThrow(/config.train.learningRate: 0.001 there, 0.5 here/);
    await expect(runExperiment(options(files, {}, { seed: 4 }))).rejects.toThrow(/seed: 3 there, 4 here/);
    expect(files.content).toEqual(kept);
  });
});

describe("trouble", () => {
  test("an unwritable folder is named before anything is computed", async () => {
    const files = memoryFiles();
    files.failOn = /run\.json/;
    const events: ProgressEvent[] = [];
    const run = runExperiment(options(files, {}, { onProgress: (event) => events.push(event) }));
    await expect(run).rejects.toMatchObject({ name: "CheckpointError" });
    expect(events).toEqual([]);
  });

  test("a disk that fills up in the middle, then an abort: the run goes on and ends in the same weights", async () => {
    const straight = memoryFiles();
    const whole = await runExperiment(options(straight, { checkpointEvery: 1 }));
    const files = memoryFiles();
    files.failOn = /nsr\.safetensors/;
    await expect(runExperiment(options(files, { checkpointEvery: 1 }))).rejects.toThrow(/ENOSPC/);
    files.failOn = null;
    const kept = JSON.parse(files.text("runs/tiny/run.json"));
    expect(Object.keys(kept.arms)).toEqual(["base"]);
    const controller = new AbortController();
    const stop = (event: ProgressEvent) => {
      if (event.phase === "train") controller.abort(new Error("stopped"));
    };
    const aborted = options(files, { checkpointEvery: 1 }, { onProgress: stop, signal: controller.signal });
    await expect(runExperiment(aborted)).rejects.toThrow("stopped");
    const summary = await runExperiment(options(files, { checkpointEvery: 1 }));
    const hashes = (s: typeof whole) =>
      s.arms.map((arm) => [arm.name, arm.weightsSha256, arm.passAtK, arm.entropy]);
    expect(hashes(summary)).toEqual(hashes(whole));
    expect(lines(files).map((row) => row.update)).toEqual([1, 2]);
  });
});

describe("configuration", () => {
  test.each([
    [() => experimentConfig("quik"), /Did you mean "quick"/],
    [() => experimentConfig("quick", { trian: {} } as never), /Did you mean "train"/],
    [() => experimentConfig("quick", { train: { learnigRate: 1 } as object }), /Did you mean "learningRate"/],
    [() => experimentConfig("quick", { arms: ["nsrr"] }), /Did you mean "nsr"/],
    [() => experimentConfig("quick", { arms: ["nsr", "NSR"] }), /NSR twice/],
    [() => experimentConfig("quick", { evaluation: { samples: 8, maxK: 16 } }), /maxK: at most samples=8/],
    [() => experimentConfig("quick", { train: { learningRate: Number.NaN } }), /got NaN/],
  ])("refuses case %#", (act, message) => expect(act).toThrow(message));

  test("a base for another vocabulary is refused", async () => {
    const made = memoryFiles();
    await runExperiment(options(made, { arms: ["base"] }));
    const bytes = made.content.get("runs/tiny/checkpoints/pretrained.safetensors")!;
    const changes = { task: { name: "countdown", config: { numbers: [1, 5] } }, base: "other" };
    const run = runExperiment(options(memoryFiles(), changes, { loadBase: async () => bytes }));
    await expect(run).rejects.toThrow(/--from-scratch after changing the task/);
  });
});

/** Experiments over several sittings, held at their gate, and with what has a default left out. */
import { beforeAll, expect, test } from "vitest";
import type { Summary } from "../../src/eval/summary.ts";
import { type ExperimentOptions, runExperiment } from "../../src/rl/experiment.ts";
import { experimentConfig } from "../../src/rl/presets.ts";
import type { WebGpuBackend } from "../../src/tensor/webgpu.ts";
import { useBackend } from "../helpers/backend.ts";
import { memoryFiles } from "../helpers/memoryFiles.ts";

let backend: WebGpuBackend;
beforeAll(async () => {
  ({ backend } = await useBackend());
});

test("seconds add up over sittings", async () => {
  const files = memoryFiles();
  let clock = 0;
  const options = (signal?: AbortSignal): ExperimentOptions => ({
    config: experimentConfig("tiny", { train: { steps: 3 }, checkpointEvery: 1 }),
    preset: "tiny",
    seed: 2,
    files,
    out: "run",
    adapter: { vendor: "", description: "", backend: "", tier: "T0", software: true },
    command: "test",
    signal,
    now: () => clock,
    // Every piece of work takes ten seconds.
    onProgress: () => {
      clock += 10;
    },
  });
  const abort = new AbortController();
  const first = runExperiment({
    ...options(abort.signal),
    observer: {
      metrics: ({ update }) => {
        if (update === 2) abort.abort(new Error("enough for today"));
      },
    },
  });
  await expect(first).rejects.toThrow("enough for today");
  const worked = clock;
  expect(worked).toBeGreaterThan(50);

  clock += 100_000; // a night
  const morning = clock;
  const { seconds } = await runExperiment(options());
  expect(seconds).toBe(worked + (clock - morning));
});

test("the gate holds pretraining too, step by step, and changes no bit; the adapter is the current one's", async () => {
  const run = (observer?: ExperimentOptions["observer"], steps: number[] = []): Promise<Summary> =>
    runExperiment({
      config: experimentConfig("tiny", { arms: ["base"] }),
      preset: "tiny",
      seed: 2,
      files: memoryFiles(),
      out: "run",
      observer,
      onProgress: ({ phase, done }) => {
        if (phase === "pretrain") steps.push(done);
      },
    });
  const free = await run();
  expect(free.adapter.description).toBe(backend.device.info.description);
  expect(free.command).toBe("runExperiment");

  const steps: number[] = [];
  /** For each call, the arm and the steps that were done by then. */
  const gates: [arm: string | null, done: number][] = [];
  const gate = async (arm: string | null): Promise<void> => {
    gates.push([arm, steps.length]);
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(steps.length).toBe(gates.at(-1)?.[1]);
  };
  const held = await run({ gate }, steps);
  expect(gates.filter(([arm]) => arm === null)).toEqual([0, 1, 2, 3].map((done) => [null, done]));
  expect(gates.filter(([arm]) => arm !== null).map(([arm]) => arm)).toContain("base");
  expect(held.arms[0].weightsSha256).toBe(free.arms[0].weightsSha256);
  expect(held.arms[0].passAtK).toEqual(free.arms[0].passAtK);
});

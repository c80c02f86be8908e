/** An experiment over several sittings: its seconds are those of all of them, and not those between. */
import { beforeAll, expect, test } from "vitest";
import { type ExperimentOptions, runExperiment } from "../../src/rl/experiment.ts";
import { experimentConfig } from "../../src/rl/presets.ts";
import { useBackend } from "../helpers/backend.ts";
import { memoryFiles } from "../helpers/memoryFiles.ts";

beforeAll(async () => {
  await useBackend();
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

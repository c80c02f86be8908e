/** The short experiment in this process or page, at T0. */
import type { MetricsRow } from "../../src/eval/summary.ts";
import { runExperiment } from "../../src/rl/experiment.ts";
import { experimentConfig } from "../../src/rl/presets.ts";
import { useBackend } from "./backend.ts";
import { memoryFiles } from "./memoryFiles.ts";
import { quickBase } from "./quickBase.ts";
import { comparable, SHORT_QUICK } from "./shortQuick.ts";

type Outcome = ReturnType<typeof comparable>;

/** Makes a fresh device and runs the experiment on it. */
export async function shortRun(seed: number): Promise<Outcome> {
  return (await shortRuns([seed]))[0];
}

/** The same with several seeds one after another on one fresh device, which makes its kernels once. */
export async function shortRuns(seeds: readonly number[]): Promise<Outcome[]> {
  const { backend } = await useBackend({ tier: "T0" });
  try {
    const { vendor, description, backend: kind, tier, software } = backend.device.info;
    const outcomes: Outcome[] = [];
    for (const seed of seeds) {
      const files = memoryFiles();
      const summary = await runExperiment({
        config: experimentConfig("quick", SHORT_QUICK),
        preset: "quick",
        seed,
        files,
        out: "run",
        adapter: { vendor, description, backend: kind, tier, software },
        command: "test",
        loadBase: quickBase,
      });
      const rows = files.text("run/metrics.jsonl").trim().split("\n");
      outcomes.push(
        comparable(
          summary,
          rows.map((row) => JSON.parse(row) as MetricsRow),
        ),
      );
    }
    return outcomes;
  } finally {
    backend.destroy();
  }
}

/** A short experiment through the command line in a Node process of its own, on SwiftShader at T0. Node only. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { StudySummary } from "../../src/eval/studySummary.ts";
import type { MetricsRow, Summary } from "../../src/eval/summary.ts";
import type { ExperimentChanges } from "../../src/rl/presets.ts";
import type { StudyChanges } from "../../src/rl/studyConfig.ts";
import { setup } from "./build.ts";
import { naysay } from "./command.ts";
import { once } from "./once.ts";
import { comparable, SHORT_QUICK } from "./shortQuick.ts";
import { comparableStudy } from "./shortStudy.ts";

/** Runs the quick preset with changes and gives what must be equal everywhere. */
export async function nodeExperiment(
  seed: number,
  changes: ExperimentChanges = SHORT_QUICK,
): Promise<ReturnType<typeof comparable>> {
  const { summary, metrics } = await experimentInNode("quick", changes, ["--seed", String(seed)]);
  const rows = metrics.split("\n").map((line) => JSON.parse(line) as MetricsRow);
  return comparable(summary as Summary, rows);
}

/** Runs the shortened study and gives what must be equal everywhere. */
export async function nodeStudy(changes: StudyChanges): Promise<ReturnType<typeof comparableStudy>> {
  const { summary } = await experimentInNode("tiny", changes, []);
  return comparableStudy(summary as StudySummary);
}

async function experimentInNode(
  preset: string,
  changes: StudyChanges,
  flags: readonly string[],
): Promise<{ summary: unknown; metrics: string }> {
  setup();
  return once([preset, changes, flags], () => run(preset, changes, flags));
}

async function run(
  preset: string,
  changes: StudyChanges,
  flags: readonly string[],
): Promise<{ summary: unknown; metrics: string }> {
  const folder = mkdtempSync(join(tmpdir(), "naysay-identity-"));
  try {
    const config = join(folder, "changes.json");
    writeFileSync(config, JSON.stringify(changes));
    const out = join(folder, "run");
    const args = ["experiment", "--preset", preset, "--config", config, ...flags, "--out", out];
    const { code, stdout, stderr } = await naysay([...args, "--json"], {
      NAYSAY_ADAPTER: "swiftshader",
      NAYSAY_TIER: "T0",
    });
    if (code !== 0) throw new Error(`naysay experiment ended with ${code}: ${stderr}`);
    const rows = join(out, "metrics.jsonl");
    return {
      summary: JSON.parse(stdout),
      metrics: existsSync(rows) ? readFileSync(rows, "utf8").trim() : "",
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A short experiment through the command line in a Node process of its own, on SwiftShader at T0. Node only. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { MetricsRow, Summary } from "../../src/eval/summary.ts";
import type { ExperimentChanges } from "../../src/rl/presets.ts";
import { setup } from "./build.ts";
import { naysay } from "./command.ts";
import { comparable, SHORT_QUICK } from "./shortQuick.ts";

/** Runs the quick preset with changes and gives what must be equal everywhere. */
export async function nodeExperiment(
  seed: number,
  changes: ExperimentChanges = SHORT_QUICK,
): Promise<ReturnType<typeof comparable>> {
  setup();
  const folder = mkdtempSync(join(tmpdir(), "naysay-identity-"));
  try {
    const config = join(folder, "changes.json");
    writeFileSync(config, JSON.stringify(changes));
    const out = join(folder, "run");
    const args = [
      "experiment",
      "--preset",
      "quick",
      "--config",
      config,
      "--seed",
      String(seed),
      "--out",
      out,
    ];
    const { code, stdout, stderr } = await naysay([...args, "--json"], {
      NAYSAY_ADAPTER: "swiftshader",
      NAYSAY_TIER: "T0",
    });
    if (code !== 0) throw new Error(`naysay experiment ended with ${code}: ${stderr}`);
    const summary = JSON.parse(stdout) as Summary;
    const lines = readFileSync(join(out, "metrics.jsonl"), "utf8").trim().split("\n");
    return comparable(
      summary,
      lines.map((line) => JSON.parse(line) as MetricsRow),
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A page and a Node process run the short experiment on SwiftShader at T0: every weight and every metric is equal. */
import { expect, test } from "vitest";
import { commands } from "vitest/browser";
import { runStudy } from "../../src/rl/study.ts";
import { studyConfig } from "../../src/rl/studyConfig.ts";
import { useBackend } from "../helpers/backend.ts";
import { memoryFiles } from "../helpers/memoryFiles.ts";
import { shortRun } from "../helpers/shortRun.ts";
import { comparableStudy, SHORT_STUDY } from "../helpers/shortStudy.ts";

test("Node and Chromium agree in every bit", async () => {
  const here = await shortRun(1);
  const there = await commands.nodeExperiment(1);
  expect(there.description).toMatch(/SwiftShader/);
  // Chromium may call the adapter by another name; what it computes is what counts.
  expect({ ...here, description: "" }).toEqual({ ...there, description: "" });
  expect(here.arms.find((arm) => arm.name === "NSR")?.updates).toBeGreaterThanOrEqual(10);
}, 400_000);

test("so do they over a study: every policy, interval and finding", async () => {
  const changes = { ...SHORT_STUDY, pilot: null };
  const { backend } = await useBackend({ tier: "T0" });
  const summary = await runStudy({
    config: studyConfig("tiny", changes),
    preset: "tiny",
    files: memoryFiles(),
    out: "study",
    adapter: { vendor: "", description: "", backend: "", tier: "T0", software: true },
    command: "test",
  });
  backend.destroy();
  const here = comparableStudy(summary);
  expect(here.controls[1].arms[0].weightsSha256).toHaveLength(2);
  expect(here).toEqual(await commands.nodeStudy(changes));
}, 400_000);

/** A page and a Node process run the short experiment on SwiftShader at T0: every weight and every metric is equal. */
import { expect, test } from "vitest";
import { commands } from "vitest/browser";
import { shortRun } from "../helpers/shortRun.ts";

test("Node and Chromium agree in every bit", async () => {
  const here = await shortRun(1);
  const there = await commands.nodeExperiment(1);
  expect(there.description).toMatch(/SwiftShader/);
  // Chromium may call the adapter by another name; what it computes is what counts.
  expect({ ...here, description: "" }).toEqual({ ...there, description: "" });
  expect(here.arms.find((arm) => arm.name === "NSR")?.updates).toBeGreaterThanOrEqual(10);
}, 400_000);

/** What the training step of W2 is lowered to, without a device: how many kernels, and how many texts that differ. */
import { expect, test } from "vitest";
import { PlanningBackend } from "../../src/bench/planningBackend.ts";
import { SMALL } from "../../src/bench/smallModel.ts";
import { trainingSetup } from "../../src/bench/trainingStep.ts";
import { withBackend } from "../../src/tensor/backend.ts";

test.each(["T0", "T2"] as const)("a step takes few dispatches and few pipelines at %s", (tier) => {
  const device = new PlanningBackend(tier);
  withBackend(device, () => {
    const setup = trainingSetup(SMALL);
    device.built.length = 0;
    setup.step();
  });
  expect(device.built.map((b) => b.label)).toEqual(["train", "adamw"]);
  const kernels = device.built.flatMap((b) => b.lowered?.kernels ?? []);
  expect(kernels.length).toBeLessThanOrEqual(99);
  expect(new Set(kernels.map((k) => k.wgsl)).size).toBeLessThanOrEqual(25);
  // Nothing is copied for attention's sake, no activation is computed twice by products, and sums share kernels.
  const alone = kernels.map((k) => k.group.nodes.map((n) => n.op).join(" "));
  expect(alone.filter((list) => list === "copy" || list === "mul").length).toBe(0);
  expect(kernels.filter((k) => k.group.kind === "row" && k.group.parts).length).toBe(8);
  expect(alone.filter((list) => list === "attentionGradient").length).toBe(SMALL.numLayers);
});

/** What the training step of W2 is lowered to, without a device: how many kernels, and how many texts that differ. */
import { expect, test } from "vitest";
import { PlanningBackend } from "../../src/bench/planningBackend.ts";
import { SMALL } from "../../src/bench/smallModel.ts";
import { trainingSetup } from "../../src/bench/trainingStep.ts";
import { withBackend } from "../../src/tensor/backend.ts";
import { preferredWay } from "../../src/tensor/codegen/matmulPreferred.ts";

/** Ways that products of the step take. */
const TILES = {
  "any adapter": [undefined],
  swiftshader: ["direct16x8q", "direct32x8q"],
  software: ["direct16x4q"],
};

test.each([
  ["T0", "any adapter"],
  ["T2", "any adapter"],
  ["T2", "swiftshader"],
  ["T3", "software"],
] as const)("a step takes few dispatches and few pipelines at %s on %s", (tier, architecture) => {
  const ways = new Set<string | undefined>();
  const device = new PlanningBackend(tier, (_, product) => {
    const way = preferredWay(architecture, product);
    ways.add(way);
    return way;
  });
  withBackend(device, () => {
    const setup = trainingSetup(SMALL);
    device.built.length = 0;
    setup.step();
  });
  expect(device.built.map((b) => b.label)).toEqual(["train", "adamw"]);
  expect([...ways].sort()).toEqual(TILES[architecture]);
  const kernels = device.built.flatMap((b) => b.lowered?.kernels ?? []);
  expect(kernels.length).toBeLessThanOrEqual(99);
  expect(new Set(kernels.map((k) => k.wgsl)).size).toBeLessThanOrEqual(25);
  // Nothing is copied for attention's sake, no activation is computed twice by products, and sums share kernels.
  const alone = kernels.map((k) => k.group.nodes.map((n) => n.op).join(" "));
  expect(alone.filter((list) => list === "copy" || list === "mul").length).toBe(0);
  expect(kernels.filter((k) => k.group.kind === "row" && k.group.parts).length).toBe(8);
  expect(alone.filter((list) => list === "attentionGradient").length).toBe(SMALL.numLayers);
});

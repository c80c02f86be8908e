/** What the training step of W2 is lowered to, without a device: how many kernels, and how many texts that differ. */
import { expect, test } from "vitest";
import { SMALL } from "../../src/bench/smallModel.ts";
import { trainingSetup } from "../../src/bench/trainingStep.ts";
import { type BuildOptions, type Executable, withBackend } from "../../src/tensor/backend.ts";
import type { Kernel } from "../../src/tensor/codegen/kernel.ts";
import { type Graph, roots } from "../../src/tensor/ir.ts";
import { lowerGraph } from "../../src/tensor/passes/pipeline.ts";
import { ReferenceBackend } from "../../src/tensor/reference.ts";
import { numel } from "../../src/tensor/shape.ts";
import type { Tier } from "../../src/tensor/tiers.ts";

/** Keeps the graphs that it is given to build, and computes nothing. */
class Graphs extends ReferenceBackend {
  readonly built: { graph: Graph; label: string }[] = [];

  override build(graph: Graph, { label }: BuildOptions): Executable {
    this.built.push({ graph, label });
    return {
      plannedBytes: 0,
      ready: async () => {},
      describe: () => label,
      dispose: () => {},
      run: () =>
        roots(graph)
          .slice(0, graph.outputs.length)
          .map((v) => this.allocate(v.dtype, numel(v.shape))),
    };
  }
}

function kernelsOf({ graph, label }: { graph: Graph; label: string }, tier: Tier): readonly Kernel[] {
  const limits = { bindingLimit: 128 << 20, budget: 2 ** 31, maxGroups: 65535 };
  return lowerGraph(graph, { label, passesOff: [], ...limits, tier }).kernels;
}

test.each(["T0", "T2"] as const)("a step takes few dispatches and few pipelines at %s", (tier) => {
  const device = new Graphs();
  withBackend(device, () => {
    const setup = trainingSetup(SMALL);
    device.built.length = 0;
    setup.step();
  });
  expect(device.built.map((b) => b.label)).toEqual(["train", "adamw"]);
  const kernels = device.built.flatMap((b) => kernelsOf(b, tier));
  expect(kernels.length).toBeLessThanOrEqual(99);
  expect(new Set(kernels.map((k) => k.wgsl)).size).toBeLessThanOrEqual(25);
  // Nothing is copied for attention's sake, no activation is computed twice by products, and sums share kernels.
  const alone = kernels.map((k) => k.group.nodes.map((n) => n.op).join(" "));
  expect(alone.filter((list) => list === "copy" || list === "mul").length).toBe(0);
  expect(kernels.filter((k) => k.group.kind === "row" && k.group.parts).length).toBe(8);
  expect(alone.filter((list) => list === "attentionGradient").length).toBe(SMALL.numLayers);
});

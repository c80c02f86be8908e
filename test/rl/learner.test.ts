/** Fixed micro-batches: any number of rows runs the programs of the first, and no row is no step. */
import { beforeAll, describe, expect, test } from "vitest";
import { readWeights, weightsSha256 } from "../../src/model/checkpoint.ts";
import { modelConfig } from "../../src/model/config.ts";
import { initializeParameters } from "../../src/model/parameters.ts";
import { packRows } from "../../src/model/sequences.ts";
import { Transformer } from "../../src/model/transformer.ts";
import { planUpdates } from "../../src/rl/advantages.ts";
import { nsr } from "../../src/rl/algorithms.ts";
import { Learner } from "../../src/rl/learner.ts";
import { Rng, Stream } from "../../src/tensor/random.ts";
import type { WebGpuBackend } from "../../src/tensor/webgpu.ts";
import { type TestBackend, useBackend } from "../helpers/backend.ts";

let on: TestBackend & { backend: WebGpuBackend };
beforeAll(async () => {
  on = await useBackend();
});

const config = modelConfig({ vocabSize: 9, hiddenSize: 8, numLayers: 1, numHeads: 2, maxPositions: 12 });
const rng = new Rng(3, Stream.test);
const ROWS = 24;
const prompts = Array.from({ length: ROWS }, () => [1, 3 + rng.int(6), 3 + rng.int(6)]);
const completions = Array.from({ length: ROWS }, () =>
  Array.from({ length: 1 + rng.int(4) }, () => rng.int(9)),
);
const batch = packRows(prompts, completions, { promptLength: 3, completionLength: 4 });
const lengths = completions.map((c) => c.length);
const STEP = { lr: 1e-2, weightDecay: 0 };

function make(microBatchRows: number) {
  const params = initializeParameters(config, 4, { std: 0.3 });
  return new Learner(new Transformer(config), params, { form: "ratio", microBatchRows });
}

const everyRow = (n: number) => ({
  batch,
  rows: Array.from({ length: n }, (_, i) => i),
  weights: Array.from({ length: n }, (_, i) => (i % 2 === 0 ? 0.02 : -0.03)),
});

describe("micro-batches", () => {
  test("the sizes of micro-batches do not change the update beyond rounding", async () => {
    const results = [];
    for (const size of [4, 7, 24, 32]) {
      const learner = make(size);
      const done = await learner.update({ ...everyRow(23), clipLow: 0.2, clipHigh: 0.2 }, STEP);
      results.push({ done, weights: await readWeights(learner.params) });
      learner.dispose();
    }
    for (const { done, weights } of results.slice(1)) {
      expect(Math.abs(done!.loss - results[0].done!.loss)).toBeLessThan(on.tolerance(1e-12, 1e-5));
      expect(Math.abs(done!.gradNorm / results[0].done!.gradNorm - 1)).toBeLessThan(
        on.tolerance(1e-10, 1e-4),
      );
      expect(done!.tokens).toBe(lengths.slice(0, 23).reduce((a, b) => a + b));
      for (const [name, values] of weights) {
        const other = results[0].weights.get(name)!;
        // Adam divides by the gradient's size, so tiny gradients round far; nearly all agree closely.
        const near = values.filter((x, i) => Math.abs(x - other[i]) < 2e-3).length;
        expect(near / values.length).toBeGreaterThan(0.97);
      }
    }
  });

  test("a hundred rollouts with any number of kept rows compile nothing after the first", async () => {
    const learner = make(8);
    await learner.update(everyRow(3), STEP);
    const before = on.backend.counters();
    let updates = learner.updates;
    for (let i = 0; i < 100; i++) {
      const kept = i < 2 ? 0 : rng.int(ROWS + 1);
      const rewards = Array.from({ length: ROWS }, (_, row) => (row < kept ? 0 : 1));
      const plans = planUpdates(rewards, lengths, {
        algorithm: nsr,
        numGenerations: 4,
        maxCompletionLength: 4,
        miniBatches: { kind: "whole" },
        cutFirst: true,
      });
      expect(plans.length).toBe(kept === 0 ? 0 : 1);
      for (const plan of plans) {
        await learner.update({ batch, ...plan }, STEP);
        updates++;
      }
    }
    const after = on.backend.counters();
    expect(learner.updates).toBe(updates);
    expect([after.programs, after.pipelines]).toEqual([before.programs, before.pipelines]);
    learner.dispose();
  });

  test("no row, no step: weights, moments and the count stay", async () => {
    const learner = make(8);
    await learner.update(everyRow(5), STEP);
    const hash = await weightsSha256(learner.params);
    expect(await learner.update({ batch, rows: [], weights: [] }, STEP)).toBeNull();
    expect(learner.updates).toBe(1);
    expect(await weightsSha256(learner.params)).toBe(hash);
    learner.dispose();
  });

  test("a bad learning rate is refused", async () => {
    const learner = make(8);
    await expect(learner.update(everyRow(2), { lr: Number.NaN })).rejects.toThrow(/lr: a finite number/);
    expect(learner.updates).toBe(0);
    learner.dispose();
  });
});

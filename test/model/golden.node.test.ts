/** The golden files of PyTorch agree with themselves: a damaged one would otherwise look like an error of ours. */

import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { readSafetensors } from "../../src/model/safetensors.ts";
import { exp, log } from "../../src/tensor/math.ts";

const folder = new URL("../golden/torch/", import.meta.url);
const load = (path: string) => readSafetensors(readFileSync(new URL(path, folder))).tensors;

for (const name of ["llama", "gpt2", "qwen3"]) {
  test(`${name}: the loss is that of the logits, and every weight has its gradient`, () => {
    const weights = load(`${name}/model.safetensors`);
    const golden = load(`${name}/golden.safetensors`);
    const [, , vocab] = golden.get("logits")!.shape;
    const [logits, targets, mask] = ["logits", "targets", "mask"].map(
      (key) => golden.get(key)!.data as Float64Array,
    );
    let [sum, total] = [0, 0];
    for (let row = 0; row < targets.length; row++) {
      const own = logits.subarray(row * vocab, (row + 1) * vocab);
      const largest = own.reduce((a, b) => Math.max(a, b));
      const norm = largest + log(own.reduce((a, z) => a + exp(z - largest), 0));
      sum += mask[row] * (norm - own[targets[row]]);
      total += mask[row];
    }
    const loss = golden.get("loss")!.data[0] as number;
    expect(Math.abs(sum / total - loss)).toBeLessThan(1e-12);
    const losses = golden.get("adam_losses")!.data as Float64Array;
    expect(losses.length).toBe(11);
    expect(losses[0]).toBe(loss);
    expect(losses[10]).toBeLessThan(loss);
    for (const [key, { shape }] of weights) expect(golden.get(`grad.${key}`)!.shape).toEqual(shape);
    expect(golden.size).toBe(weights.size + 6);
  });
}

test("filtered probabilities sum to one and keep at most topK", () => {
  interface Case {
    topK: number;
    logProbs: number[][];
    probs: number[][];
  }
  const { cases } = JSON.parse(readFileSync(new URL("sampling.json", folder), "utf8")) as { cases: Case[] };
  expect(cases.length).toBe(24);
  for (const { topK, probs, logProbs } of cases) {
    for (const [i, row] of probs.entries()) {
      expect(Math.abs(row.reduce((a, b) => a + b) - 1)).toBeLessThan(1e-14);
      expect(Math.abs(logProbs[i].reduce((a, b) => a + exp(b), 0) - 1)).toBeLessThan(1e-14);
      // ties at the k-th place are all kept
      if (topK > 0 && i < 4) expect(row.filter((p) => p > 0).length).toBeLessThanOrEqual(topK);
    }
  }
});

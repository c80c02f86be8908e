/** The model and AdamW against PyTorch in float64: test/golden/torch_models.py made the files. */
import { beforeAll, describe, expect, test } from "vitest";
import { fromHuggingFace } from "../../src/model/config.ts";
import { allocateParameters, parameterSpecs } from "../../src/model/parameters.ts";
import { readSafetensors, toFloat32 } from "../../src/model/safetensors.ts";
import { scoreLogits } from "../../src/model/scoring.ts";
import { type Parameters, Transformer } from "../../src/model/transformer.ts";
import { valueAndGrad } from "../../src/tensor/autodiff.ts";
import { compile } from "../../src/tensor/compile.ts";
import { tensor } from "../../src/tensor/create.ts";
import { ops } from "../../src/tensor/ops/index.ts";
import { AdamW, accumulate } from "../../src/tensor/optim.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { useBackend } from "../helpers/backend.ts";
import { golden, goldenJson } from "../helpers/golden.ts";

beforeAll(async () => {
  await useBackend();
});

/** |a - b| / |b|, Euclidean. */
function relative(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a.length).toBe(b.length);
  let [distance, norm] = [0, 0];
  for (let i = 0; i < b.length; i++) {
    distance += (a[i] - b[i]) ** 2;
    norm += b[i] ** 2;
  }
  return Math.sqrt(distance / norm);
}

async function load(name: string) {
  const config = fromHuggingFace(await goldenJson(`torch/${name}/config.json`));
  const weights = readSafetensors(await golden(`torch/${name}/model.safetensors`));
  const expected = readSafetensors(await golden(`torch/${name}/golden.safetensors`));
  const entry = (key: string) => {
    const e = expected.tensors.get(key);
    if (!e) throw new Error(`${key} is missing`);
    return e;
  };
  const params = allocateParameters(config);
  expect([...weights.tensors.keys()].sort()).toEqual(
    parameterSpecs(config)
      .map((s) => s.name)
      .sort(),
  );
  for (const [key, e] of weights.tensors) {
    expect(params.get(key).shape).toEqual(e.shape);
    params.get(key).write(toFloat32(e));
  }
  const integers = (key: string): Tensor =>
    tensor(Uint32Array.from(entry(key).data as Int32Array), { shape: entry(key).shape, dtype: "u32" });
  const mask = tensor(toFloat32(entry("mask")), { shape: entry("mask").shape });
  return {
    config,
    params,
    model: new Transformer(config),
    ids: integers("input_ids"),
    targets: integers("targets"),
    mask,
    entry,
  };
}

describe.each(["llama", "gpt2", "qwen3"])("%s as PyTorch computes it", (name) => {
  test("logits, loss and the gradient of every parameter", async () => {
    const { params, model, ids, targets, mask, entry } = await load(name);
    const step = compile((p: Parameters, i: Tensor, t: Tensor, w: Tensor) =>
      valueAndGrad((q: Parameters) => {
        const logits = model.logits(q, model.hidden(q, i));
        const { logProbs } = scoreLogits(logits, t);
        return [ops.neg(ops.div(ops.sum(ops.mul(logProbs, w)), ops.sum(w))), logits] as const;
      })(p),
    );
    const { value, grad, aux } = step(params.tensors, ids, targets, mask);
    expect(relative(await aux.data(), entry("logits").data as Float64Array)).toBeLessThan(1e-5);
    expect(relative(await value.data(), entry("loss").data as Float64Array)).toBeLessThan(1e-5);
    for (const key of Object.keys(params.tensors)) {
      const distance = relative(await grad[key].data(), entry(`grad.${key}`).data as Float32Array);
      expect(distance, key).toBeLessThan(1e-5);
    }
  });

  test("ten AdamW steps", async () => {
    const { params, model, ids, targets, mask, entry } = await load(name);
    const optimizer = new AdamW(params, { decays: () => true });
    const loss = compile(
      (p: Parameters, g: Parameters, i: Tensor, t: Tensor, w: Tensor) => {
        const { value, grad } = valueAndGrad((q: Parameters) => {
          const { logProbs } = scoreLogits(model.logits(q, model.hidden(q, i)), t);
          return ops.neg(ops.sum(ops.mul(logProbs, w)));
        })(p);
        accumulate(g, grad);
        return value;
      },
      { state: [1] },
    );
    const weights = toFloat32(entry("mask"));
    const total = weights.reduce((a, b) => a + b, 0);
    const expected = entry("adam_losses").data as Float64Array;
    for (let step = 1; step <= 11; step++) {
      const value = (await loss(params.tensors, optimizer.grads.tensors, ids, targets, mask).item()) / total;
      expect(Math.abs(value - expected[step - 1]) / expected[step - 1], `step ${step}`).toBeLessThan(1e-5);
      optimizer.step({ lr: 1e-3, step, weightDecay: 0.01, gradScale: 1 / total }).dispose();
    }
    expect(loss.programs).toBe(1);
    expect(optimizer.programs).toBe(1);
  });
});

/**
 * A token embedding and an output layer that are cut by rows, as those of large vocabularies are (here by a limit of a few
 * KiB): losses, gradients, training, checkpoints and generation are those of the uncut model.
 */
import { beforeAll, describe, expect, test } from "vitest";
import {
  decodeCheckpoint,
  encodeCheckpoint,
  parametersFrom,
  readWeights,
  weightsSha256,
} from "../../src/model/checkpoint.ts";
import { type ModelConfig, modelConfig } from "../../src/model/config.ts";
import { Generator } from "../../src/model/generate.ts";
import { initializeParameters, parameterSpecs } from "../../src/model/parameters.ts";
import { tokenLogProbs } from "../../src/model/scoring.ts";
import { type Parameters, Transformer } from "../../src/model/transformer.ts";
import { valueAndGrad } from "../../src/tensor/autodiff.ts";
import { compile } from "../../src/tensor/compile.ts";
import { type FlatTensors, flatLayout, SEGMENT_LIMIT, tensor } from "../../src/tensor/create.ts";
import { ops } from "../../src/tensor/ops/index.ts";
import { AdamW, accumulateGrad } from "../../src/tensor/optim.ts";
import { numel } from "../../src/tensor/shape.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { useBackend } from "../helpers/backend.ts";

beforeAll(async () => {
  await useBackend();
});

/** [B, T] tokens, of every block. */
const TOKENS = [
  [0, 23, 24, 47, 48, 60],
  [59, 1, 30, 30, 22, 7],
];
const tokensOf = (rows: readonly (readonly number[])[]): Tensor =>
  tensor(rows.flat(), { shape: [rows.length, rows[0].length], dtype: "u32" });

/** A policy's training step: adds a gradient, then takes one of AdamW's. */
class Training {
  readonly params: FlatTensors;
  readonly model: Transformer;
  readonly optimizer: AdamW;
  private readonly add;

  constructor(config: ModelConfig, params: FlatTensors) {
    this.params = params;
    this.model = new Transformer(config);
    this.optimizer = new AdamW(params);
    this.add = compile(
      (grads: Parameters, trained: Parameters, tokens: Tensor) =>
        accumulateGrad(grads, (p) => {
          const { logProbs, entropy } = tokenLogProbs(this.model, p, tokens);
          return ops.sub(ops.mul(ops.sum(entropy), -0.01), ops.mean(logProbs));
        })(trained).value,
      { state: [0], label: "step" },
    );
  }

  async gradient(
    rows: readonly (readonly number[])[],
  ): Promise<{ loss: number; grads: Map<string, Float32Array> }> {
    using loss = this.add(this.optimizer.grads.tensors, this.params.tensors, tokensOf(rows));
    return { loss: await loss.item(), grads: await readWeights(this.optimizer.grads) };
  }

  step(step: number): void {
    this.optimizer.step({ lr: 0.01, step }).dispose();
  }
}

const small = { vocabSize: 61, hiddenSize: 8, numLayers: 1, numHeads: 2, maxPositions: 16 } as const;
/** The MLP's [24, 8] fits whole; the tables [61, 8] become blocks of 24, 24 and 13 rows. */
const LIMIT = 24 * 8;

describe.each([
  ["tied", modelConfig(small)],
  ["an output layer of its own", modelConfig({ ...small, tieEmbeddings: false })],
  [
    "GPT-2's names",
    modelConfig({
      ...small,
      modelType: "gpt2",
      norm: "layer",
      positions: "learned",
      gatedMlp: false,
      hiddenAct: "gelu_new",
      intermediateSize: 24,
      qkvBias: true,
      outputBias: true,
      mlpBias: true,
    }),
  ],
])("%s", (_, config) => {
  const make = (segmentLimit?: number): FlatTensors =>
    initializeParameters(config, 3, { std: 0.3, segmentLimit });

  test("losses and gradients are the uncut model's, and so is what training makes of the weights", async () => {
    const [whole, cut] = [new Training(config, make()), new Training(config, make(LIMIT))];
    const name = cut.model.parts.tokenEmbedding;
    expect([0, 1, 2].map((i) => cut.params.get(`${name}#${i}`).shape)).toEqual([
      [24, 8],
      [24, 8],
      [13, 8],
    ]);
    expect(await readWeights(cut.params)).toEqual(await readWeights(whole.params));
    for (let step = 1; step <= 3; step++) {
      const [a, b] = [await whole.gradient(TOKENS), await cut.gradient(TOKENS)];
      expect(Math.abs(a.loss - b.loss)).toBeLessThan(1e-5);
      expect([...b.grads.keys()]).toEqual([...a.grads.keys()]);
      for (const [key, want] of a.grads) {
        const scale = want.reduce((m, x) => Math.max(m, Math.abs(x)), 0);
        const got = b.grads.get(key) as Float32Array;
        const worst = want.reduce((m, x, i) => Math.max(m, Math.abs(x - got[i])), 0);
        expect(worst / scale, key).toBeLessThan(1e-4);
        expect(scale, key).toBeGreaterThan(0);
      }
      for (const t of [whole, cut]) t.step(step);
    }
    expect((await cut.gradient(TOKENS)).loss).toBeLessThan(
      (await new Training(config, make()).gradient(TOKENS)).loss,
    );
  });

  test("a checkpoint is byte for byte the uncut model's, and may be read cut or not", async () => {
    const [whole, cut] = [make(), make(LIMIT)];
    const file = await encodeCheckpoint({ config, params: cut });
    expect(await encodeCheckpoint({ config, params: whole })).toEqual(file);
    expect(await weightsSha256(cut)).toBe(await weightsSha256(whole));
    const optimizer = new AdamW(cut);
    const moments = Float32Array.from({ length: 61 * 8 }, (_x, at) => at);
    optimizer.m.write(new Transformer(config).parts.tokenEmbedding, moments);
    const back = decodeCheckpoint(await encodeCheckpoint({ config, params: cut, optimizer }));
    expect(back.optimizer?.m).toEqual(await readWeights(optimizer.m));
    for (const limit of [LIMIT, undefined])
      expect(await readWeights(parametersFrom(back, limit))).toEqual(await readWeights(whole));
  });

  test("generation draws the same tokens", async () => {
    const model = new Transformer(config);
    const request = { maxCompletionLength: 5, seed: 9, eosTokenId: 2, padTokenId: 0, numGenerations: 3 };
    const [a, b] = await Promise.all(
      [make(), make(LIMIT)].map((p) =>
        new Generator(model, { rows: 8 }).generate(p.tensors, TOKENS, request),
      ),
    );
    expect(b.tokens).toEqual(a.tokens);
    expect(b.logProbs).toEqual(a.logProbs);
  });
});

test("where blocks are whole chunks, every bit of loss and gradients is the uncut model's", async () => {
  const config = modelConfig({ vocabSize: 5000, hiddenSize: 4, numLayers: 1, numHeads: 1, maxPositions: 8 });
  const tokens = [[0, 4999, 2047, 2048, 4095, 4096]];
  const results = await Promise.all(
    [SEGMENT_LIMIT, 4 * 4500].map(async (segmentLimit) => {
      const training = new Training(config, initializeParameters(config, 3, { std: 0.3, segmentLimit }));
      await training.gradient(tokens);
      return { result: await training.gradient(tokens), params: training.params };
    }),
  );
  const [whole, cut] = results;
  expect(cut.params.get("model.embed_tokens.weight#0").shape).toEqual([4096, 4]);
  expect(cut.params.get("model.embed_tokens.weight#1").shape).toEqual([904, 4]);
  expect(cut.result).toEqual(whole.result);
  // As by valueAndGrad, where parts are joined instead of added as they come.
  const model = new Transformer(config);
  const joined = compile(
    (p: Parameters, t: Tensor) =>
      valueAndGrad((q: Parameters) => ops.mean(tokenLogProbs(model, q, t).logProbs))(p).grad,
  );
  const [a, b] = results.map(({ params }) => joined(params.tensors, tokensOf(tokens)));
  const name = "model.embed_tokens.weight";
  const blocks = await Promise.all([0, 1].map((i) => b[`${name}#${i}`].data()));
  expect(blocks.flatMap((x) => Array.from(x))).toEqual(Array.from(await a[name].data()));
});

test("lookups in a cut table: within blocks, at their edges and beyond the table", async () => {
  const rows = [
    [0, 1],
    [2, 3],
    [4, 5],
    [6, 7],
    [8, 9],
  ];
  const blocks = [tensor(rows.slice(0, 2)), tensor(rows.slice(2, 4)), tensor(rows.slice(4))];
  const at = tensor([4, 0, 1, 2, 3, 9], { dtype: "u32" });
  using found = ops.takeRows(blocks, at);
  expect(Array.from(await found.data())).toEqual([8, 9, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  expect(() => ops.takeRows([tensor([[1]]), tensor([[1, 2]])], at)).toThrow(
    /takeRows: blocks\[R, C\] of one width/,
  );
  expect(() => ops.takeRows([], at)).toThrow(/takeRows: .* got none/);
});

test("a layout of the size of Qwen2.5 0.5B: blocks of whole chunks, none beyond the limit", () => {
  const config = modelConfig({
    modelType: "qwen2",
    vocabSize: 151936,
    hiddenSize: 896,
    intermediateSize: 4864,
    numLayers: 24,
    numHeads: 14,
    numKeyValueHeads: 2,
    qkvBias: true,
  });
  const layout = flatLayout(parameterSpecs(config));
  const blocks = layout.parts.filter((p) => p.whole?.name === "model.embed_tokens.weight");
  expect(blocks.map((p) => p.shape[0])).toEqual([36864, 36864, 36864, 36864, 4480]);
  expect(Math.max(...layout.segments)).toBeLessThanOrEqual(SEGMENT_LIMIT);
  const placed = layout.parts.reduce((n, p) => n + numel(p.shape), 0);
  expect(placed).toBe(parameterSpecs(config).reduce((n, p) => n + numel(p.shape), 0));
});

test("what cannot be cut, and a cut tensor asked for in one piece, are named", () => {
  const config = modelConfig(small);
  const make = (segmentLimit: number): FlatTensors => initializeParameters(config, 3, { segmentLimit });
  expect(() => make(128)).toThrow(/parameters: at most 128 elements a tensor .*layers.0.mlp/);
  const table = [{ name: "t", shape: [10, 200], byRows: true }];
  expect(() => flatLayout(table, 128)).toThrow(
    /parameters: rows of at most 128 elements .* got t \[10, 200\]/,
  );
  const params = make(LIMIT);
  expect(() => params.get("model.embed_tokens.weight")).toThrow(/in one piece .* which is cut by rows/);
  expect(() => params.write("model.embed_tokens.weight", new Float32Array(7))).toThrow(
    /488 values for .* got 7/,
  );
  expect(() => params.write("none", new Float32Array(7))).toThrow(/a known name was expected, got none/);
});

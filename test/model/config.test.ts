import { describe, expect, test } from "vitest";
import { fromHuggingFace, type ModelOptions, modelConfig, toHuggingFace } from "../../src/model/config.ts";
import { countParameters, initialValues, parameterSpecs } from "../../src/model/parameters.ts";

const small = { vocabSize: 20, hiddenSize: 48, numLayers: 2, numHeads: 4 } as const;

test("a small policy from its sizes alone", () => {
  const c = modelConfig(small);
  expect(c).toMatchObject({
    headDim: 12,
    numKeyValueHeads: 4,
    intermediateSize: 128,
    norm: "rms",
    positions: "rope",
  });
  expect(countParameters(c)).toBe(20 * 48 + 2 * (4 * 48 * 48 + 3 * 48 * 128 + 2 * 48) + 48);
  expect(modelConfig({ ...small, gatedMlp: false }).intermediateSize).toBe(192);
});

describe("refused", () => {
  test.each<[string, Record<string, unknown>, RegExp]>([
    ["an unknown key", { hidden_size: 4 }, /hidden_size.*Did you mean "hiddenSize"/],
    ["heads that do not divide", { numHeads: 5 }, /hiddenSize divisible by numHeads/],
    ["key heads that do not divide", { numKeyValueHeads: 3 }, /numKeyValueHeads/],
    ["an odd head with rotary positions", { headDim: 7 }, /even headDim/],
    ["an unknown activation", { hiddenAct: "relu" }, /hiddenAct/],
    ["no layers", { numLayers: 0 }, /numLayers/],
    ["NaN", { normEps: Number.NaN }, /normEps/],
    ["gpt2 with rotary positions", { modelType: "gpt2" }, /gpt2.*modelType: "llama"/],
  ])("%s", (_name, change, message) => {
    const build = () => modelConfig({ ...small, ...change } as ModelOptions);
    expect(build).toThrow(message);
    expect(build).toThrow(expect.objectContaining({ name: "ConfigError" }));
  });
});

const llama = {
  model_type: "llama",
  vocab_size: 61,
  hidden_size: 32,
  intermediate_size: 48,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 64,
  rms_norm_eps: 1e-6,
  hidden_act: "silu",
};

test("Hugging Face's families", () => {
  expect(fromHuggingFace({ ...llama, torch_dtype: "bfloat16" })).toMatchObject({
    numKeyValueHeads: 2,
    headDim: 8,
    tieEmbeddings: false,
    qkvBias: false,
    ropeTheta: 10000,
    maxPositions: 64,
  });
  expect(
    fromHuggingFace({ ...llama, rope_parameters: { rope_type: "default", rope_theta: 5e5 } }).ropeTheta,
  ).toBe(5e5);
  const qwen2 = fromHuggingFace({ ...llama, model_type: "qwen2", use_sliding_window: false });
  expect(qwen2).toMatchObject({ qkvBias: true, outputBias: false });
  expect(parameterSpecs(qwen2).map((s) => s.name)).toContain("model.layers.1.self_attn.k_proj.bias");
  const qwen3 = fromHuggingFace({ ...llama, model_type: "qwen3", head_dim: 16, tie_word_embeddings: true });
  expect(qwen3).toMatchObject({ qkNorm: true, headDim: 16, tieEmbeddings: true });
  expect(parameterSpecs(qwen3).find((s) => s.name.endsWith("0.self_attn.q_norm.weight"))?.shape).toEqual([
    16,
  ]);
  const gpt2 = fromHuggingFace({ model_type: "gpt2", vocab_size: 59, n_embd: 32, n_layer: 2, n_head: 4 });
  expect(gpt2).toMatchObject({
    intermediateSize: 128,
    maxPositions: 1024,
    norm: "layer",
    hiddenAct: "gelu_new",
  });
  expect(parameterSpecs(gpt2).find((s) => s.name.endsWith("h.0.attn.c_attn.weight"))?.shape).toEqual([
    32, 96,
  ]);
  for (const config of [fromHuggingFace(llama), qwen2, qwen3, gpt2]) {
    expect(fromHuggingFace(toHuggingFace(config))).toEqual(config);
  }
});

test("what is not supported is said", () => {
  expect(() => fromHuggingFace({ ...llama, model_type: "lama" })).toThrow(/model_type.*Did you mean "llama"/);
  expect(() => fromHuggingFace({ ...llama, rope_scaling: { factor: 8 } })).toThrow(/rope_scaling/);
  expect(() => fromHuggingFace({ ...llama, hidden_act: "relu" })).toThrow(/relu/);
  expect(() => fromHuggingFace({ ...llama, hidden_size: undefined })).toThrow(/hiddenSize/);
  expect(() => fromHuggingFace([])).toThrow(/an object/);
  expect(() => toHuggingFace(modelConfig({ ...small, positions: "learned" }))).toThrow(/toHuggingFace/);
});

test("initial values: a seed's own, one parameter apart from another", () => {
  const c = modelConfig(small);
  const specs = parameterSpecs(c);
  const at = (end: string): number => specs.findIndex((s) => s.name.endsWith(end));
  const values = initialValues(c, at("0.mlp.up_proj.weight"), 1);
  expect(initialValues(c, at("0.mlp.up_proj.weight"), 1)).toEqual(values);
  expect(initialValues(c, at("0.mlp.up_proj.weight"), 2)).not.toEqual(values);
  expect(initialValues(c, at("0.mlp.gate_proj.weight"), 1)).not.toEqual(values);
  const deviation = (x: Float32Array): number => Math.sqrt(x.reduce((s, v) => s + v * v, 0) / x.length);
  expect(deviation(values)).toBeCloseTo(0.02, 3);
  expect(deviation(initialValues(c, at("0.mlp.down_proj.weight"), 1))).toBeCloseTo(0.01, 3);
  expect(initialValues(c, at("model.norm.weight"), 1).every((x) => x === 1)).toBe(true);
});

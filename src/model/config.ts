/**
 * What a decoder-only transformer is made of, in one record. `modelConfig` builds it for a policy of one's own,
 * `fromHuggingFace` reads a `config.json`, `toHuggingFace` writes one.
 */
import { ConfigError } from "../tensor/errors.ts";
import { didYouMean } from "../tensor/suggest.ts";
import {
  boolean,
  type Infer,
  integer,
  number,
  object,
  oneOf,
  type Rule,
  validate,
  withDefault,
} from "../tensor/validate.ts";

/** Names of parameters and layout of checkpoints follow these families; see `parameterSpecs`. */
export type ModelType = "gpt2" | "llama" | "qwen2" | "qwen3";
export const MODEL_TYPES: readonly ModelType[] = ["gpt2", "llama", "qwen2", "qwen3"];

export interface ModelConfig {
  readonly modelType: ModelType;
  readonly vocabSize: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly numLayers: number;
  readonly numHeads: number;
  /** Heads of keys and values; each serves `numHeads / numKeyValueHeads` heads of queries. */
  readonly numKeyValueHeads: number;
  readonly headDim: number;
  /** Longest sequence, prompt and completion together. */
  readonly maxPositions: number;
  readonly norm: "rms" | "layer";
  /** rms_norm_eps or layer_norm_epsilon. */
  readonly normEps: number;
  readonly positions: "rope" | "learned";
  readonly ropeTheta: number;
  readonly hiddenAct: "silu" | "gelu_new";
  /** down(act(gate(x)) * up(x)) instead of down(act(up(x))). */
  readonly gatedMlp: boolean;
  /** The output layer is the token embedding. */
  readonly tieEmbeddings: boolean;
  /** RMSNorm over each head of queries and keys before rotation. */
  readonly qkNorm: boolean;
  /** Biases of the query, key and value projections. */
  readonly qkvBias: boolean;
  /** Bias of attention's output projection. */
  readonly outputBias: boolean;
  readonly mlpBias: boolean;
}

/** The largest width, count or number of positions that a configuration may have. */
export const MOST_SIZE = 1 << 24;
const size = integer({ min: 1, max: MOST_SIZE });
const maybeSize: Rule<number | undefined> = (value, path) =>
  value === undefined ? undefined : size(value, path);
const positive = number({ above: 0 });

const rules = object({
  modelType: withDefault(oneOf("gpt2", "llama", "qwen2", "qwen3"), "llama"),
  vocabSize: size,
  hiddenSize: size,
  intermediateSize: maybeSize,
  numLayers: integer({ min: 1, max: 1024 }),
  numHeads: size,
  numKeyValueHeads: maybeSize,
  headDim: maybeSize,
  maxPositions: withDefault(size, 512),
  norm: withDefault(oneOf("rms", "layer"), "rms"),
  normEps: withDefault(positive, 1e-5),
  positions: withDefault(oneOf("rope", "learned"), "rope"),
  ropeTheta: withDefault(positive, 10000),
  hiddenAct: withDefault(oneOf("silu", "gelu_new"), "silu"),
  gatedMlp: withDefault(boolean(), true),
  tieEmbeddings: withDefault(boolean(), true),
  qkNorm: withDefault(boolean(), false),
  qkvBias: withDefault(boolean(), false),
  outputBias: withDefault(boolean(), false),
  mlpBias: withDefault(boolean(), false),
});

/** What `modelConfig` takes: sizes, and whatever differs from a small Llama. */
export type ModelOptions = Partial<Infer<typeof rules>> &
  Pick<ModelConfig, "vocabSize" | "hiddenSize" | "numLayers" | "numHeads">;

/**
 * A whole configuration from the sizes and what differs from a small Llama (RMSNorm, rotary positions, SwiGLU, tied
 * embeddings, no biases). Throws `ConfigError` for unknown keys and for sizes that do not fit together.
 */
export function modelConfig(options: ModelOptions): ModelConfig {
  const c = validate("modelConfig", rules, options);
  const headDim = c.headDim ?? c.hiddenSize / c.numHeads;
  const config: ModelConfig = {
    ...c,
    numKeyValueHeads: c.numKeyValueHeads ?? c.numHeads,
    headDim,
    intermediateSize: c.intermediateSize ?? (c.gatedMlp ? Math.ceil(c.hiddenSize / 3) * 8 : 4 * c.hiddenSize),
  };
  if (!Number.isInteger(headDim)) {
    refuse(
      `hiddenSize divisible by numHeads expected, got ${c.hiddenSize} and ${c.numHeads}`,
      "Change one or set headDim",
    );
  }
  if (config.numHeads % config.numKeyValueHeads !== 0) {
    refuse(
      `numHeads divisible by numKeyValueHeads expected, got ${config.numHeads} and ${config.numKeyValueHeads}`,
      "Each head of keys serves a whole number of heads of queries",
    );
  }
  if (config.positions === "rope" && headDim % 2 !== 0) {
    refuse(
      `an even headDim expected with rotary positions, got ${headDim}`,
      'Change it or set positions: "learned"',
    );
  }
  if (config.modelType === "gpt2") {
    const fits =
      config.norm === "layer" &&
      config.positions === "learned" &&
      !config.gatedMlp &&
      !config.qkNorm &&
      config.numKeyValueHeads === config.numHeads &&
      headDim * config.numHeads === config.hiddenSize &&
      config.qkvBias &&
      config.outputBias &&
      config.mlpBias;
    if (!fits) {
      refuse(
        "LayerNorm, learned positions, a plain MLP, biases and one head of keys a head expected with modelType gpt2, got something else",
        'Use modelType: "llama", which takes any combination',
      );
    }
  }
  return config;
}

function refuse(what: string, remedy: string): never {
  throw new ConfigError(`modelConfig: ${what}. ${remedy}.`);
}

type Json = Readonly<Record<string, unknown>>;

/** Settings that change the arithmetic in a way that is not built: each must be absent or one of these values. */
const UNSUPPORTED: Readonly<Record<string, readonly unknown[]>> = {
  rope_scaling: [null],
  use_sliding_window: [false],
  partial_rotary_factor: [1],
  scale_attn_weights: [true],
  scale_attn_by_inverse_layer_idx: [false],
  add_cross_attention: [false],
};

/**
 * The configuration in a Hugging Face `config.json` (parsed) of GPT-2, Llama, Qwen2 or Qwen3. Keys that do not
 * change the arithmetic are ignored. Throws `ConfigError` for other model types and for what is not supported.
 */
export function fromHuggingFace(json: unknown): ModelConfig {
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new ConfigError("config.json: an object expected, got something else. Pass the parsed file.");
  }
  const given = json as Json;
  const type = given.model_type;
  if (typeof type !== "string" || !MODEL_TYPES.includes(type as ModelType)) {
    const hint = typeof type === "string" ? didYouMean(type, MODEL_TYPES) : "Add it.";
    throw new ConfigError(
      `config.json: model_type: one of ${MODEL_TYPES.join(", ")} expected, got ${JSON.stringify(type)}. ${hint}`,
    );
  }
  for (const [key, allowed] of Object.entries(UNSUPPORTED)) {
    if (given[key] !== undefined && !allowed.includes(given[key])) {
      throw new ConfigError(
        `config.json: ${key}: ${allowed.map(String).join(" or ")} expected, got ${JSON.stringify(given[key])}. This variant is not supported.`,
      );
    }
  }
  return type === "gpt2" ? fromGpt2(given) : fromLlama(given, type as ModelType);
}

function activation(value: unknown): "silu" | "gelu_new" {
  if (value === "silu" || value === "swish") return "silu";
  if (value === "gelu_new" || value === "gelu_pytorch_tanh") return "gelu_new";
  throw new ConfigError(
    `config.json: an activation of silu or gelu_new expected, got ${JSON.stringify(value)}. This variant is not supported.`,
  );
}

const fallback = (value: unknown, or: unknown): never =>
  (value === undefined || value === null ? or : value) as never;

function fromGpt2(json: Json): ModelConfig {
  const hidden = json.n_embd as number;
  return modelConfig({
    modelType: "gpt2",
    vocabSize: json.vocab_size as number,
    hiddenSize: hidden,
    intermediateSize: fallback(json.n_inner, 4 * hidden),
    numLayers: json.n_layer as number,
    numHeads: json.n_head as number,
    maxPositions: fallback(json.n_positions, 1024),
    norm: "layer",
    normEps: fallback(json.layer_norm_epsilon, 1e-5),
    positions: "learned",
    hiddenAct: activation(fallback(json.activation_function, "gelu_new")),
    gatedMlp: false,
    tieEmbeddings: fallback(json.tie_word_embeddings, true),
    qkvBias: true,
    outputBias: true,
    mlpBias: true,
  });
}

function fromLlama(json: Json, modelType: ModelType): ModelConfig {
  const rope = (json.rope_parameters ?? {}) as Json;
  if (rope.rope_type !== undefined && rope.rope_type !== "default") {
    throw new ConfigError(
      `config.json: rope_parameters.rope_type: default expected, got ${JSON.stringify(rope.rope_type)}. This variant is not supported.`,
    );
  }
  const bias = fallback(json.attention_bias, false) as boolean;
  return modelConfig({
    modelType,
    vocabSize: json.vocab_size as number,
    hiddenSize: json.hidden_size as number,
    intermediateSize: json.intermediate_size as number,
    numLayers: json.num_hidden_layers as number,
    numHeads: json.num_attention_heads as number,
    numKeyValueHeads: fallback(json.num_key_value_heads, json.num_attention_heads),
    headDim: fallback(json.head_dim, modelType === "qwen3" ? 128 : undefined),
    maxPositions: fallback(json.max_position_embeddings, 2048),
    normEps: fallback(json.rms_norm_eps, 1e-6),
    ropeTheta: fallback(rope.rope_theta, fallback(json.rope_theta, 10000)),
    hiddenAct: activation(fallback(json.hidden_act, "silu")),
    tieEmbeddings: fallback(json.tie_word_embeddings, false),
    qkNorm: modelType === "qwen3",
    qkvBias: modelType === "qwen2" || bias,
    outputBias: modelType === "qwen2" ? false : bias,
    mlpBias: fallback(json.mlp_bias, false),
  });
}

/** A `config.json` for this configuration. Throws `ConfigError` where no Hugging Face family has this shape. */
export function toHuggingFace(config: ModelConfig): Record<string, unknown> {
  const c = config;
  if (c.modelType === "gpt2") {
    return {
      architectures: ["GPT2LMHeadModel"],
      model_type: "gpt2",
      vocab_size: c.vocabSize,
      n_embd: c.hiddenSize,
      n_layer: c.numLayers,
      n_head: c.numHeads,
      n_positions: c.maxPositions,
      n_inner: c.intermediateSize,
      activation_function: c.hiddenAct,
      layer_norm_epsilon: c.normEps,
      tie_word_embeddings: c.tieEmbeddings,
    };
  }
  const type = c.qkNorm ? "qwen3" : c.qkvBias && !c.outputBias ? "qwen2" : "llama";
  const fits =
    c.norm === "rms" &&
    c.positions === "rope" &&
    c.gatedMlp &&
    (type === "llama" || !c.mlpBias) &&
    (type === "qwen2" || c.qkvBias === c.outputBias) &&
    (type !== "qwen2" || c.headDim * c.numHeads === c.hiddenSize);
  if (!fits) {
    throw new ConfigError(
      "toHuggingFace: the shape of GPT-2, Llama, Qwen2 or Qwen3 expected, got another combination. The checkpoint's own metadata keeps it.",
    );
  }
  const architecture = { llama: "LlamaForCausalLM", qwen2: "Qwen2ForCausalLM", qwen3: "Qwen3ForCausalLM" }[
    type
  ];
  return {
    architectures: [architecture],
    model_type: type,
    vocab_size: c.vocabSize,
    hidden_size: c.hiddenSize,
    intermediate_size: c.intermediateSize,
    num_hidden_layers: c.numLayers,
    num_attention_heads: c.numHeads,
    num_key_value_heads: c.numKeyValueHeads,
    head_dim: c.headDim,
    max_position_embeddings: c.maxPositions,
    rms_norm_eps: c.normEps,
    rope_theta: c.ropeTheta,
    hidden_act: c.hiddenAct === "gelu_new" ? "gelu_pytorch_tanh" : c.hiddenAct,
    tie_word_embeddings: c.tieEmbeddings,
    ...(type === "qwen2" ? {} : { attention_bias: c.qkvBias }),
    ...(type === "llama" ? { mlp_bias: c.mlpBias } : {}),
  };
}

/** The first thing in which a checkpoint's model is another than the one here, for a message; null where they are the same. */
export function modelDifference(there: ModelConfig | undefined, here: ModelConfig): string | null {
  for (const key of Object.keys(here) as (keyof ModelConfig)[]) {
    if (there?.[key] !== here[key]) return `${key} ${there?.[key]} in the checkpoint and ${here[key]} here`;
  }
  return null;
}

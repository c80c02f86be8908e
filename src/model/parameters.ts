/**
 * The parameters of a transformer: names and shapes as in Hugging Face checkpoints, and values drawn from a seed.
 *
 * Linear weights are [out, in] as in `torch.nn.Linear`; GPT-2 stores them [in, out] (`Conv1D`), and its query, key and
 * value projections as one.
 */
import { FlatTensors, flatLayout, SEGMENT_LIMIT } from "../tensor/create.ts";
import { Rng, type Seed, Stream } from "../tensor/random.ts";
import { numel, type Shape } from "../tensor/shape.ts";
import type { ModelConfig } from "./config.ts";

export interface LinearPart {
  readonly weight: string;
  readonly bias: string | null;
  readonly inputs: number;
  readonly outputs: number;
  /** Layout of the weight. */
  readonly layout: "outIn" | "inOut";
  /** Its result is added to the residual stream. */
  readonly residual: boolean;
}

export interface NormPart {
  readonly weight: string;
  readonly bias: string | null;
  readonly size: number;
}

export interface LayerParts {
  readonly attentionNorm: NormPart;
  /** One projection [q | k | v], or three. */
  readonly qkv: readonly [LinearPart] | readonly [LinearPart, LinearPart, LinearPart];
  readonly queryNorm: NormPart | null;
  readonly keyNorm: NormPart | null;
  readonly output: LinearPart;
  readonly mlpNorm: NormPart;
  readonly gate: LinearPart | null;
  readonly up: LinearPart;
  readonly down: LinearPart;
}

export interface ModelParts {
  readonly tokenEmbedding: string;
  readonly positionEmbedding: string | null;
  readonly layers: readonly LayerParts[];
  readonly finalNorm: NormPart;
  /** Output layer [vocabSize, hiddenSize]: the token embedding itself where tied. */
  readonly head: string;
}

export interface ParameterSpec {
  readonly name: string;
  readonly shape: Shape;
  readonly kind: "weight" | "embedding" | "scale" | "bias";
  /** A weight whose result is added to the residual stream: drawn smaller by 1/sqrt(2 numLayers). */
  readonly residual: boolean;
  /** A table of the vocabulary, which may be cut by rows: where it is larger than one binding. */
  readonly byRows: boolean;
}

/** Where each parameter goes in the network. */
export function modelParts(c: ModelConfig): ModelParts {
  return c.modelType === "gpt2" ? gpt2Parts(c) : llamaParts(c);
}

function gpt2Parts(c: ModelConfig): ModelParts {
  const linear = (name: string, inputs: number, outputs: number, residual = false): LinearPart => ({
    weight: `${name}.weight`,
    bias: `${name}.bias`,
    inputs,
    outputs,
    layout: "inOut",
    residual,
  });
  const norm = (name: string): NormPart => ({
    weight: `${name}.weight`,
    bias: `${name}.bias`,
    size: c.hiddenSize,
  });
  const layers = Array.from({ length: c.numLayers }, (_, i): LayerParts => {
    const h = `transformer.h.${i}`;
    return {
      attentionNorm: norm(`${h}.ln_1`),
      qkv: [linear(`${h}.attn.c_attn`, c.hiddenSize, 3 * c.hiddenSize)],
      queryNorm: null,
      keyNorm: null,
      output: linear(`${h}.attn.c_proj`, c.hiddenSize, c.hiddenSize, true),
      mlpNorm: norm(`${h}.ln_2`),
      gate: null,
      up: linear(`${h}.mlp.c_fc`, c.hiddenSize, c.intermediateSize),
      down: linear(`${h}.mlp.c_proj`, c.intermediateSize, c.hiddenSize, true),
    };
  });
  return {
    tokenEmbedding: "transformer.wte.weight",
    positionEmbedding: "transformer.wpe.weight",
    layers,
    finalNorm: norm("transformer.ln_f"),
    head: c.tieEmbeddings ? "transformer.wte.weight" : "lm_head.weight",
  };
}

function llamaParts(c: ModelConfig): ModelParts {
  const linear = (
    name: string,
    inputs: number,
    outputs: number,
    bias: boolean,
    residual = false,
  ): LinearPart => ({
    weight: `${name}.weight`,
    bias: bias ? `${name}.bias` : null,
    inputs,
    outputs,
    layout: "outIn",
    residual,
  });
  const norm = (name: string, size = c.hiddenSize): NormPart => ({
    weight: `${name}.weight`,
    bias: c.norm === "layer" && size === c.hiddenSize ? `${name}.bias` : null,
    size,
  });
  const headNorm = (name: string): NormPart | null =>
    c.qkNorm ? { weight: `${name}.weight`, bias: null, size: c.headDim } : null;
  const [queries, keys] = [c.numHeads * c.headDim, c.numKeyValueHeads * c.headDim];
  const layers = Array.from({ length: c.numLayers }, (_, i): LayerParts => {
    const [attn, mlp] = [`model.layers.${i}.self_attn`, `model.layers.${i}.mlp`];
    return {
      attentionNorm: norm(`model.layers.${i}.input_layernorm`),
      qkv: [
        linear(`${attn}.q_proj`, c.hiddenSize, queries, c.qkvBias),
        linear(`${attn}.k_proj`, c.hiddenSize, keys, c.qkvBias),
        linear(`${attn}.v_proj`, c.hiddenSize, keys, c.qkvBias),
      ],
      queryNorm: headNorm(`${attn}.q_norm`),
      keyNorm: headNorm(`${attn}.k_norm`),
      output: linear(`${attn}.o_proj`, queries, c.hiddenSize, c.outputBias, true),
      mlpNorm: norm(`model.layers.${i}.post_attention_layernorm`),
      gate: c.gatedMlp ? linear(`${mlp}.gate_proj`, c.hiddenSize, c.intermediateSize, c.mlpBias) : null,
      up: linear(`${mlp}.up_proj`, c.hiddenSize, c.intermediateSize, c.mlpBias),
      down: linear(`${mlp}.down_proj`, c.intermediateSize, c.hiddenSize, c.mlpBias, true),
    };
  });
  return {
    tokenEmbedding: "model.embed_tokens.weight",
    positionEmbedding: c.positions === "learned" ? "model.embed_positions.weight" : null,
    layers,
    finalNorm: norm("model.norm"),
    head: c.tieEmbeddings ? "model.embed_tokens.weight" : "lm_head.weight",
  };
}

/** Every parameter in the order of the network: name, shape and what it is. */
export function parameterSpecs(c: ModelConfig): ParameterSpec[] {
  const parts = modelParts(c);
  const specs: ParameterSpec[] = [];
  const put = (name: string, shape: Shape, kind: ParameterSpec["kind"], residual = false): void => {
    specs.push({ name, shape, kind, residual, byRows: name === parts.tokenEmbedding || name === parts.head });
  };
  const linear = (p: LinearPart): void => {
    put(p.weight, p.layout === "outIn" ? [p.outputs, p.inputs] : [p.inputs, p.outputs], "weight", p.residual);
    if (p.bias !== null) put(p.bias, [p.outputs], "bias");
  };
  const norm = (p: NormPart | null): void => {
    if (!p) return;
    put(p.weight, [p.size], "scale");
    if (p.bias !== null) put(p.bias, [p.size], "bias");
  };
  put(parts.tokenEmbedding, [c.vocabSize, c.hiddenSize], "embedding");
  if (parts.positionEmbedding !== null)
    put(parts.positionEmbedding, [c.maxPositions, c.hiddenSize], "embedding");
  for (const layer of parts.layers) {
    norm(layer.attentionNorm);
    layer.qkv.forEach(linear);
    norm(layer.queryNorm);
    norm(layer.keyNorm);
    linear(layer.output);
    norm(layer.mlpNorm);
    if (layer.gate) linear(layer.gate);
    linear(layer.up);
    linear(layer.down);
  }
  norm(parts.finalNorm);
  if (parts.head !== parts.tokenEmbedding) put(parts.head, [c.vocabSize, c.hiddenSize], "weight");
  return specs;
}

/** Number of parameters; a tied output layer counts once. */
export function countParameters(c: ModelConfig): number {
  return parameterSpecs(c).reduce((n, p) => n + numel(p.shape), 0);
}

/**
 * All parameters, zero, in as few segments as the binding limit allows: `limit` elements each. A larger token embedding or
 * output layer is cut by rows, and its blocks are named `<name>#0`, `<name>#1`, ...
 */
export function allocateParameters(c: ModelConfig, label = "params", limit = SEGMENT_LIMIT): FlatTensors {
  return new FlatTensors(flatLayout(parameterSpecs(c), limit), label);
}

export interface InitOptions {
  /** Standard deviation of weights and embeddings; default 0.02. */
  std?: number;
  /** Most elements of a segment; default: what every adapter can bind. */
  segmentLimit?: number;
}

/**
 * Values of one parameter: weights and embeddings normal with `std` (those that feed the residual stream smaller by
 * 1/sqrt(2 numLayers)), scales 1, biases 0. Source: GPT-2, section 2.3.
 */
export function initialValues(
  c: ModelConfig,
  index: number,
  seed: Seed | number,
  options: InitOptions = {},
): Float32Array {
  const spec = parameterSpecs(c)[index];
  const out = new Float32Array(numel(spec.shape));
  if (spec.kind === "scale") return out.fill(1);
  if (spec.kind === "bias") return out;
  const std = (options.std ?? 0.02) / (spec.residual ? Math.sqrt(2 * c.numLayers) : 1);
  return new Rng(seed, Stream.init, index).fillNormal(out, std);
}

/** Parameters drawn from a seed: the same bits in every engine and on every device. */
export function initializeParameters(
  c: ModelConfig,
  seed: Seed | number,
  options: InitOptions = {},
): FlatTensors {
  const params = allocateParameters(c, undefined, options.segmentLimit);
  parameterSpecs(c).forEach((spec, i) => {
    params.write(spec.name, initialValues(c, i, seed, options));
  });
  return params;
}

/**
 * The model of W2 and W3: GPT-2's shape (LayerNorm, learned positions, biases, GELU, tied embeddings) with a vocabulary of
 * 64, width 128, 4 layers, 4 heads and 128 positions; its data, and what it computes.
 */

import { type ModelConfig, modelConfig } from "../model/config.ts";
import { Rng } from "../tensor/random.ts";

export interface ModelSizes {
  vocabSize: number;
  hiddenSize: number;
  numLayers: number;
  numHeads: number;
  maxPositions: number;
  batch: number;
}

export interface SamplingSizes {
  rows: number;
  prompt: number;
  length: number;
}

export const SMALL: ModelSizes = {
  vocabSize: 64,
  hiddenSize: 128,
  numLayers: 4,
  numHeads: 4,
  maxPositions: 128,
  batch: 8,
};
export const TINY: ModelSizes = {
  vocabSize: 16,
  hiddenSize: 16,
  numLayers: 1,
  numHeads: 2,
  maxPositions: 16,
  batch: 2,
};

/** Both seeds of weights and of tokens. */
const SEED = 5;

/** The configuration of `SMALL` or `TINY`. */
export function smallModel({ batch: _, ...sizes }: ModelSizes): ModelConfig {
  return modelConfig({
    ...sizes,
    modelType: "gpt2",
    norm: "layer",
    positions: "learned",
    hiddenAct: "gelu_new",
    gatedMlp: false,
    qkvBias: true,
    outputBias: true,
    mlpBias: true,
  });
}

/** Weights: larger than GPT-2's, so that a mistake in any part shows in the loss. */
export const WEIGHTS = { seed: SEED, std: 0.08 };

/** Tokens [batch, maxPositions] and those that follow them: a random walk, so that there is something to learn. */
export function smallBatch({
  vocabSize,
  maxPositions,
  batch,
}: Pick<ModelSizes, "vocabSize" | "maxPositions" | "batch">): { tokens: Uint32Array; targets: Uint32Array } {
  const rng = new Rng(SEED, 1);
  const tokens = new Uint32Array(batch * maxPositions);
  const targets = new Uint32Array(tokens.length);
  for (let b = 0; b < batch; b++) {
    let token = Math.floor(rng.uniform() * vocabSize);
    for (let t = 0; t < maxPositions; t++) {
      tokens[b * maxPositions + t] = token;
      token = (token + 1 + Math.floor(rng.uniform() * 3)) % vocabSize;
      targets[b * maxPositions + t] = token;
    }
  }
  return { tokens, targets };
}

/** Optimizer numbers of W2: those of GPT-2's training, without clipping. */
export const ADAMW = { lr: 1e-3, beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1 };

/**
 * Multiplications and additions of scores and mixing in all layers, of `t` tokens one after another: token i sees itself and the
 * i before it, which is what attention's kernels walk.
 */
function causalMacs(layers: number, t: number, width: number): number {
  return layers * 2 * width * ((t * (t + 1)) / 2);
}

/**
 * Operations of the matrix products of one training step: a forward pass, and twice as many backward. Of attention's square only
 * the half that is seen counts; a library that computes the other half too is not credited for it.
 */
export function trainingFlops({
  vocabSize,
  hiddenSize: c,
  numLayers,
  maxPositions: t,
  batch,
}: Omit<ModelSizes, "numHeads">): number {
  const linear = numLayers * (4 * c * c + 8 * c * c) + vocabSize * c;
  return 3 * 2 * batch * (t * linear + causalMacs(numLayers, t, c));
}

/** A rollout: so many samples of each prompt, whose prefix is computed once. A decoded token's query sees `span` keys. */
export interface RolloutSizes {
  prompts: number;
  samples: number;
  prompt: number;
  length: number;
  span: number;
}

/**
 * The same for a rollout: the layers run once for each token but the last, and logits are computed for each token that is
 * drawn.
 */
export function rolloutFlops(
  { vocabSize, hiddenSize: c, numLayers }: Pick<ModelSizes, "vocabSize" | "hiddenSize" | "numLayers">,
  { prompts, samples, prompt, length, span }: RolloutSizes,
): number {
  const rows = prompts * samples;
  const layers = numLayers * 12 * c * c;
  const prefill = prompts * (prompt * layers + causalMacs(numLayers, prompt, c));
  const decode = rows * (length - 1) * (layers + numLayers * 2 * span * c);
  return 2 * (prefill + decode + rows * length * vocabSize * c);
}

/** Of sampling from prompts that are all different. */
export function samplingFlops(
  sizes: Pick<ModelSizes, "vocabSize" | "hiddenSize" | "numLayers">,
  { rows, ...rest }: SamplingSizes & { span: number },
): number {
  return rolloutFlops(sizes, { prompts: rows, samples: 1, ...rest });
}

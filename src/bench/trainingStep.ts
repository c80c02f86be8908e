/**
 * W2: one training step (forward, backward, AdamW) of the small model in f32, and its first step in a fresh process. W5: the
 * same step of a model of GPT-2 124M's shape.
 */

import type { ModelConfig } from "../model/config.ts";
import { initializeParameters } from "../model/parameters.ts";
import { type Parameters, Transformer } from "../model/transformer.ts";
import { compile } from "../tensor/compile.ts";
import { type FlatTensors, tensor } from "../tensor/create.ts";
import { ops } from "../tensor/ops/index.ts";
import { AdamW, accumulateGrad } from "../tensor/optim.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { WebGpuBackend } from "../tensor/webgpu.ts";
import { measure } from "./measure.ts";
import { countWork, programFacts, recordPrograms } from "./programs.ts";
import type { MeasuredRow, MeasureOptions } from "./result.ts";
import {
  ADAMW,
  type ModelSizes,
  SMALL,
  smallBatch,
  smallModel,
  TINY,
  trainingFlops,
  WEIGHTS,
} from "./smallModel.ts";

export interface TrainingSetup {
  params: FlatTensors;
  optimizer: AdamW;
  step(): Tensor;
  dispose(): void;
}

/** The model of these sizes, its data and a step. */
export function trainingSetup(sizes: ModelSizes): TrainingSetup {
  const config = smallModel(sizes);
  const params = initializeParameters(config, WEIGHTS.seed, { std: WEIGHTS.std });
  const shape = [sizes.batch, sizes.maxPositions];
  return trainingStep(config, params, { shape, ...smallBatch(sizes) });
}

/** Tokens [B, T] and those that follow them. */
export interface TrainingData {
  shape: readonly number[];
  tokens: Uint32Array;
  targets: Uint32Array;
}

/**
 * A step on one batch: `step()` enqueues it and returns the loss, which the caller owns; `dispose()` releases the parameters,
 * too. `recompute` keeps no layer's activations for the backward pass.
 */
export function trainingStep(
  config: ModelConfig,
  params: FlatTensors,
  data: TrainingData,
  { recompute = false } = {},
): TrainingSetup {
  const model = new Transformer(config);
  const optimizer = new AdamW(params);
  const { shape } = data;
  const tokens = tensor(data.tokens, { shape, dtype: "u32" });
  const targets = tensor(data.targets, { shape, dtype: "u32" });
  const gradients = compile(
    (grads: Parameters, trained: Parameters, x: Tensor, y: Tensor) => {
      const loss = (p: Parameters) => {
        // Beyond one chunk of the vocabulary without [B, T, V].
        const { logProbs } = ops.linearLogProbs(model.hidden(p, x, { recompute }), model.head(p), y); // [B, T]
        return ops.neg(ops.mean(logProbs));
      };
      return accumulateGrad(grads, loss)(trained).value;
    },
    { state: [0], label: "train" },
  );
  let count = 0;
  return {
    params,
    optimizer,
    step() {
      const loss = gradients(optimizer.grads.tensors, params.tensors, tokens, targets);
      optimizer.step({ ...ADAMW, step: ++count }).dispose();
      return loss;
    },
    dispose() {
      gradients.dispose();
      optimizer.dispose();
      params.dispose();
      model.dispose();
      tokens.dispose();
      targets.dispose();
    },
  };
}

/** Times steps of a model of these sizes, and tells what they are made of. */
async function stepRow(
  backend: WebGpuBackend,
  sizes: ModelSizes,
  { group, name }: Pick<MeasuredRow, "group" | "name">,
  { time, signal }: MeasureOptions,
): Promise<MeasuredRow & { details: NonNullable<MeasuredRow["details"]> }> {
  const programs = recordPrograms(backend);
  const made: TrainingSetup[] = [];
  try {
    made.push(trainingSetup(sizes));
    const [{ step }] = made;
    const lossOf = async (): Promise<number> => {
      const loss = step();
      try {
        return await loss.item();
      } finally {
        loss.dispose();
      }
    };
    const run = async (): Promise<void> => {
      step().dispose();
      await backend.sync();
    };
    const firstLoss = await lossOf();
    const work = await countWork(backend, run);
    const { wall, gpu, kernels } = await measure(backend, run, { time, signal });
    const facts = programFacts(programs.built);
    const lastLoss = await lossOf();
    return {
      group,
      name,
      time: "wall",
      wall,
      gpu,
      flops: trainingFlops(sizes),
      bytes: kernels?.bytes ?? null,
      details: [
        { name: "dispatches", value: work.dispatches },
        { name: "submissions", value: work.submits },
        { name: "distinct pipelines", value: facts.pipelines },
        { name: "planned temporaries", value: facts.plannedBytes, unit: "bytes" },
        { name: "alive at once, at least", value: facts.lowerBound, unit: "bytes" },
        { name: "loss at the first step", value: firstLoss },
        { name: "loss at the last", value: lastLoss },
      ],
    };
  } finally {
    for (const setup of made) setup.dispose();
    programs.stop();
  }
}

/** The row of W2. */
export async function* trainingRows(
  backend: WebGpuBackend,
  options: MeasureOptions,
): AsyncGenerator<MeasuredRow> {
  const sizes = options.quick ? TINY : SMALL;
  const { vocabSize, hiddenSize, numLayers, maxPositions, batch } = sizes;
  const cold = await options.coldStart?.();
  const name = `w2 training step: vocabulary ${vocabSize}, width ${hiddenSize}, ${numLayers} layers, batch ${batch} x ${maxPositions}`;
  const row = await stepRow(backend, sizes, { group: "w2", name }, options);
  if (cold) {
    row.details.push(
      { name: "first step in a fresh process", value: cold.firstStepMs, unit: "ms" },
      { name: "of it, until the device was there", value: cold.deviceMs, unit: "ms" },
      { name: "peak memory of that process", value: cold.peakRssBytes, unit: "bytes" },
    );
  }
  yield row;
}

/** GPT-2 124M but for context and batch; in little for a quick run. */
export const GPT2 = { vocabSize: 50257, hiddenSize: 768, numLayers: 12, numHeads: 12 };
const GPT2_LITTLE = { vocabSize: 512, hiddenSize: 48, numLayers: 2, numHeads: 4 };
const GPT2_SIZES = [
  { batch: 1, maxPositions: 512 },
  { batch: 1, maxPositions: 1024 },
  { batch: 4, maxPositions: 1024 },
];

/** The rows of W5, as work to be done: one that does not fit leaves the others alone. */
export function gpt2Rows({ quick }: MeasureOptions): {
  name: string;
  measure(backend: WebGpuBackend, options: MeasureOptions): Promise<MeasuredRow>;
}[] {
  const sizes = quick ? [{ batch: 1, maxPositions: 32 }] : GPT2_SIZES;
  return sizes.map(({ batch, maxPositions }) => {
    const name = `w5 step of GPT-2 ${quick ? "in little" : "124M"}: batch ${batch} x ${maxPositions}`;
    const model = { ...(quick ? GPT2_LITTLE : GPT2), batch, maxPositions };
    return { name, measure: (backend, options) => stepRow(backend, model, { group: "w5", name }, options) };
  });
}

/** A base policy from nothing: parameters from a seed, pretrained on the task's traces, as a checkpoint with its recipe. */
import { encodeCheckpoint, weightsSha256 } from "../model/checkpoint.ts";
import { type ModelConfig, type ModelOptions, modelConfig } from "../model/config.ts";
import { initializeParameters } from "../model/parameters.ts";
import { Transformer } from "../model/transformer.ts";
import type { FlatTensors } from "../tensor/create.ts";
import { ConfigError } from "../tensor/errors.ts";
import type { PretrainConfig, PretrainStep } from "./pretrain.ts";
import { pretrain } from "./pretrain.ts";
import type { AnyTask } from "./task.ts";

export interface BaseOptions {
  task: AnyTask;
  /** Sizes; the vocabulary is the task's. */
  model: Record<string, unknown>;
  pretrain: Partial<PretrainConfig>;
  seed: number;
  /** Kept in the file's metadata beside the seed. */
  recipe?: unknown;
  signal?: AbortSignal;
  /** Awaited before each step: a pause. */
  gate?(): Promise<void> | void;
  onStep?(step: PretrainStep): void;
}

/** Standard deviation of the first weights: tiny models learn faster from more than GPT-2's 0.02. */
const INIT_STD = 0.05;

/** The configuration of a model for a task. */
export function taskModel(task: AnyTask, sizes: Record<string, unknown>): ModelConfig {
  const longest = task.promptLength + task.maxCompletionLength;
  const options = { maxPositions: longest, ...sizes, vocabSize: task.tokenizer.vocabSize };
  const config = modelConfig(options as unknown as ModelOptions);
  if (config.maxPositions >= longest) return config;
  throw new ConfigError(
    `model: maxPositions of at least ${longest} expected for ${task.name}, got ${config.maxPositions}. Raise it, or leave it out.`,
  );
}

/** Pretrains a policy. The last twentieth of the steps gives the final loss. */
export async function makeBase(options: BaseOptions): Promise<{
  bytes: Uint8Array<ArrayBuffer>;
  config: ModelConfig;
  finalLoss: number;
  sha256: string;
}> {
  const { task, seed } = options;
  const config = taskModel(task, options.model);
  const params: FlatTensors = initializeParameters(config, seed, { std: INIT_STD });
  const model = new Transformer(config);
  const losses: number[] = [];
  try {
    for await (const step of pretrain(model, params, task, options.pretrain, {
      seed,
      signal: options.signal,
      gate: options.gate,
    })) {
      if (step.step > 0.95 * step.steps) losses.push(step.loss);
      options.onStep?.(step);
    }
    let sum = 0;
    for (const loss of losses) sum += loss;
    const metadata = {
      seed: String(seed),
      recipe: JSON.stringify(options.recipe ?? { pretrain: options.pretrain }),
      tokenizer: JSON.stringify(task.tokenizer.toJSON()),
    };
    return {
      bytes: await encodeCheckpoint({ config, params, metadata }),
      config,
      finalLoss: losses.length > 0 ? sum / losses.length : 0,
      sha256: await weightsSha256(params),
    };
  } finally {
    params.dispose();
    model.dispose();
  }
}

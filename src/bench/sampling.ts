/** W3: sampling from the small model: 64 sequences, prompts of 16 tokens, 48 new tokens each. */

import { Generator } from "../model/generate.ts";
import { initializeParameters } from "../model/parameters.ts";
import { Transformer } from "../model/transformer.ts";
import type { WebGpuBackend } from "../tensor/webgpu.ts";
import { measure } from "./measure.ts";
import { countWork } from "./programs.ts";
import type { MeasuredRow, MeasureOptions } from "./result.ts";
import {
  type ModelSizes,
  type SamplingSizes,
  SMALL,
  samplingFlops,
  smallBatch,
  smallModel,
  TINY,
  WEIGHTS,
} from "./smallModel.ts";

const FULL: SamplingSizes = { rows: 64, prompt: 16, length: 48 };
const QUICK: SamplingSizes = { rows: 4, prompt: 4, length: 4 };

/** How many sequences of which lengths. */
export function samplingSizes(quick: boolean): SamplingSizes {
  return quick ? QUICK : FULL;
}

/** Prompts: the beginnings of as many random walks. */
export function samplingPrompts(
  sizes: ModelSizes,
  { rows, prompt }: Pick<SamplingSizes, "rows" | "prompt">,
): number[][] {
  const { tokens } = smallBatch({ ...sizes, batch: rows, maxPositions: prompt });
  return Array.from({ length: rows }, (_, r) => [...tokens.subarray(r * prompt, (r + 1) * prompt)]);
}

/** The row of W3. */
export async function* samplingRows(
  backend: WebGpuBackend,
  { time, quick, signal }: MeasureOptions,
): AsyncGenerator<MeasuredRow> {
  const sizes = quick ? TINY : SMALL;
  const { rows, prompt, length } = samplingSizes(quick);
  const config = smallModel(sizes);
  const params = initializeParameters(config, WEIGHTS.seed, { std: WEIGHTS.std });
  const model = new Transformer(config);
  const generator = new Generator(model, { rows });
  const prompts = samplingPrompts(sizes, { rows, prompt });
  let rollout = 0;
  const run = async () => {
    await generator.generate(params.tensors, prompts, {
      maxCompletionLength: length,
      promptLength: prompt,
      seed: 1,
      rollout: rollout++,
    });
  };
  try {
    await run();
    const work = await countWork(backend, run);
    const { wall, gpu, kernels } = await measure(backend, run, { time, signal, warmup: 0 });
    const span = Math.ceil((prompt + length - 1) / 4) * 4;
    yield {
      group: "w3",
      name: `w3 sampling: ${rows} sequences, prompt ${prompt}, ${length} new tokens`,
      time: "wall",
      wall,
      gpu,
      flops: samplingFlops(sizes, { rows, prompt, length, span }),
      bytes: kernels?.bytes ?? null,
      details: [
        { name: "new tokens a second", value: (rows * length) / (wall.ms / 1000) },
        { name: "dispatches", value: work.dispatches },
        { name: "submissions", value: work.submits },
      ],
    };
  } finally {
    generator.dispose();
    model.dispose();
    params.dispose();
  }
}

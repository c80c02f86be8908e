/** W3: sampling from the small model: 64 sequences, prompts of 16 tokens, 48 new tokens each. */

import { Generator } from "../dist/model/generate.js";
import { initializeParameters } from "../dist/model/parameters.js";
import { Transformer } from "../dist/model/transformer.js";
import { measure } from "./measure.mjs";
import { countWork } from "./programs.mjs";
import { SMALL, samplingFlops, smallBatch, smallModel, TINY, WEIGHTS } from "./smallModel.mjs";

const FULL = { rows: 64, prompt: 16, length: 48 };
const QUICK = { rows: 4, prompt: 4, length: 4 };

/** How many sequences of which lengths. */
export function samplingSizes(quick) {
  return quick ? QUICK : FULL;
}

/** Prompts: the beginnings of as many random walks. */
export function samplingPrompts(sizes, { rows, prompt }) {
  const { tokens } = smallBatch({ ...sizes, batch: rows, maxPositions: prompt });
  return Array.from({ length: rows }, (_, r) => [...tokens.subarray(r * prompt, (r + 1) * prompt)]);
}

/** The row of W3. */
export async function* samplingRows(backend, { time, quick }) {
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
    const { wall, gpu, kernels } = await measure(backend, run, { time, warmup: 0 });
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

/** W2: one training step (forward, backward, AdamW) of the small model in f32, and its first step in a fresh process. */

import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { initializeParameters } from "../dist/model/parameters.js";
import { scoreLogits } from "../dist/model/scoring.js";
import { Transformer } from "../dist/model/transformer.js";
import { valueAndGrad } from "../dist/tensor/autodiff.js";
import { compile } from "../dist/tensor/compile.js";
import { tensor } from "../dist/tensor/create.js";
import { ops } from "../dist/tensor/ops/index.js";
import { AdamW, accumulate } from "../dist/tensor/optim.js";
import { measure } from "./measure.mjs";
import { countWork, programFacts, recordPrograms } from "./programs.mjs";
import { ADAMW, SMALL, smallBatch, smallModel, TINY, trainingFlops, WEIGHTS } from "./smallModel.mjs";

/** The model, its data and a step: `step()` enqueues one and returns the loss, which the caller owns. */
export function trainingSetup(sizes) {
  const config = smallModel(sizes);
  const params = initializeParameters(config, WEIGHTS.seed, { std: WEIGHTS.std });
  const model = new Transformer(config);
  const optimizer = new AdamW(params);
  const shape = [sizes.batch, sizes.maxPositions];
  const data = smallBatch(sizes);
  const tokens = tensor(data.tokens, { shape, dtype: "u32" });
  const targets = tensor(data.targets, { shape, dtype: "u32" });
  const gradients = compile(
    (grads, trained, x, y) => {
      const loss = (p) => {
        const logits = model.logits(p, model.hidden(p, x)); // [B, T, V]
        return ops.neg(ops.mean(scoreLogits(logits, y).logProbs));
      };
      const { value, grad } = valueAndGrad(loss)(trained);
      accumulate(grads, grad);
      return value;
    },
    { state: [0], label: "train" },
  );
  let count = 0;
  return {
    params,
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

/** Driver caches of compiled shaders, off: a first step that finds its shaders on disk is no first step. */
const NO_SHADER_CACHE = { MESA_SHADER_CACHE_DISABLE: "true", __GL_SHADER_DISK_CACHE: "0" };

/** Runs `cold.mjs` and gives what it measured. */
function coldStart({ quick, tier }) {
  const script = fileURLToPath(new URL("./cold.mjs", import.meta.url));
  const args = [script, JSON.stringify({ quick, tier })];
  const child = spawn(process.execPath, args, {
    env: { ...process.env, ...NO_SHADER_CACHE },
    stdio: ["ignore", "pipe", "inherit"],
  });
  let text = "";
  child.stdout.on("data", (chunk) => {
    text += chunk;
  });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => {
      if (code === 0) resolve(JSON.parse(text));
      else reject(new Error(`bench: a first step expected of cold.mjs, got exit code ${code}. See above.`));
    });
  });
}

/** The row of W2. */
export async function* trainingRows(backend, { time, quick, tier }) {
  const sizes = quick ? TINY : SMALL;
  const cold = await coldStart({ quick, tier });
  const programs = recordPrograms(backend);
  const setup = trainingSetup(sizes);
  try {
    const run = async () => {
      setup.step().dispose();
      await backend.sync();
    };
    const first = setup.step();
    const firstLoss = await first.item();
    first.dispose();
    const work = await countWork(backend, run);
    const { wall, gpu, kernels } = await measure(backend, run, { time });
    const facts = programFacts(programs.built);
    const last = setup.step();
    const lastLoss = await last.item();
    last.dispose();
    const { vocabSize, hiddenSize, numLayers, maxPositions, batch } = sizes;
    yield {
      group: "w2",
      name: `w2 training step: vocabulary ${vocabSize}, width ${hiddenSize}, ${numLayers} layers, batch ${batch} x ${maxPositions}`,
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
        { name: "first step in a fresh process", value: cold.firstStepMs, unit: "ms" },
        { name: "of it, until the device was there", value: cold.deviceMs, unit: "ms" },
        { name: "peak memory of that process", value: cold.peakRssBytes, unit: "bytes" },
        { name: "loss at the first step", value: firstLoss },
        { name: "loss at the last", value: lastLoss },
      ],
    };
  } finally {
    setup.dispose();
    programs.stop();
  }
}

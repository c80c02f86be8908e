/** naysay's side of the comparison. */

import { readFileSync } from "node:fs";
import { smallModel, WEIGHTS } from "../../dist/bench/smallModel.js";
import { trainingSetup } from "../../dist/bench/trainingStep.js";
import { Generator } from "../../dist/model/generate.js";
import { initializeParameters } from "../../dist/model/parameters.js";
import { Transformer } from "../../dist/model/transformer.js";
import { compile } from "../../dist/tensor/compile.js";
import { tensor } from "../../dist/tensor/create.js";
import { init } from "../../dist/tensor/init.js";
import { ops } from "../../dist/tensor/ops/index.js";

const manifest = new URL("../../package.json", import.meta.url);

/** Opens a device. Each kind of work gives `run()`, which ends when the device is done, and what its results are checked by. */
export async function open() {
  const backend = await init();
  return {
    name: "naysay",
    version: JSON.parse(readFileSync(manifest, "utf8")).version,
    adapter: backend.device.describe(),

    async matmul({ a, b, transposeA }) {
      const [x, y] = [a, b].map(({ data, shape }) => tensor(data, { shape }));
      const product = compile((p, q) => ops.matmul(p, q, { transposeA }), { label: "matmul" });
      return {
        async run() {
          product(x, y).dispose();
          await backend.sync();
        },
        async result() {
          const z = product(x, y);
          const data = await z.data();
          z.dispose();
          return data;
        },
        dispose() {
          for (const t of [x, y, product]) t.dispose();
        },
      };
    },

    async training({ sizes }) {
      const setup = trainingSetup(sizes);
      return {
        async run() {
          setup.step().dispose();
          await backend.sync();
        },
        /** Takes a step and gives the loss before it. */
        async loss() {
          const loss = setup.step();
          const value = await loss.item();
          loss.dispose();
          return value;
        },
        dispose: setup.dispose,
      };
    },

    async sampling({ sizes, prompts, length }) {
      const config = smallModel(sizes);
      const params = initializeParameters(config, WEIGHTS.seed, { std: WEIGHTS.std });
      const model = new Transformer(config);
      const generator = new Generator(model, { rows: prompts.length });
      const draw = async (temperature, rollout) => {
        const { tokens } = await generator.generate(params.tensors, prompts, {
          maxCompletionLength: length,
          promptLength: prompts[0].length,
          temperature,
          seed: 1,
          rollout,
        });
        return tokens;
      };
      let rollout = 0;
      return {
        async run() {
          await draw(1, rollout++);
        },
        /** [rows, length]: always the likeliest token. */
        greedy: () => draw(0, 0),
        dispose() {
          for (const x of [generator, model, params]) x.dispose();
        },
      };
    },

    close: () => backend.destroy(),
  };
}

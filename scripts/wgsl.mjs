/**
 * `npm run wgsl -- [--tier T2]`: writes every resolved kernel out for reading, to .cache/wgsl/<tier>/: one file for each
 * text of the op table's cases (ops/) and the kernels of one step of a small model in order (step/). Needs no GPU.
 */

import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { modelConfig } from "../dist/model/config.js";
import { initializeParameters } from "../dist/model/parameters.js";
import { Transformer } from "../dist/model/transformer.js";
import { valueAndGrad } from "../dist/tensor/autodiff.js";
import { lanesFor } from "../dist/tensor/codegen/lanes.js";
import { traceCall } from "../dist/tensor/compile.js";
import { tensor } from "../dist/tensor/create.js";
import { init } from "../dist/tensor/init.js";
import { ops } from "../dist/tensor/ops/index.js";
import { allOps } from "../dist/tensor/ops/table.js";
import { accumulate } from "../dist/tensor/optim.js";
import { lowerGraph } from "../dist/tensor/passes/pipeline.js";
import { Tensor } from "../dist/tensor/tensor.js";
import { parseTier } from "../dist/tensor/tiers.js";
import { apply, Trace, withTrace } from "../dist/tensor/trace.js";

const { values } = parseArgs({ options: { tier: { type: "string", default: "T0" } } });
const tier = parseTier(values.tier);
const folder = join(fileURLToPath(new URL("..", import.meta.url)), ".cache", "wgsl", tier);
rmSync(folder, { recursive: true, force: true });
mkdirSync(join(folder, "ops"), { recursive: true });
mkdirSync(join(folder, "step"));

/** Of T4's matrices: NVIDIA's, for reading. */
const MATRIX = { m: 16, n: 16, k: 16, lanes: 32 };

const lower = (graph, label, together = true) =>
  lowerGraph(graph, {
    label,
    passesOff: [],
    bindingLimit: 2 ** 27,
    budget: 2 ** 31,
    maxGroups: 65535,
    tier,
    lanes: { ...lanesFor(tier, MATRIX), together },
  }).kernels;

const fileName = (text) => text.replaceAll(/[^A-Za-z0-9]+/g, "-").slice(0, 80);

/** The kernel's text under a heading that says what it is. */
function write(path, kernel) {
  const bindings = kernel.bindings
    .map((b) => `${b.name} ${b.value.dtype}[${b.value.shape}]${b.write ? " written" : ""}`)
    .join(", ");
  writeFileSync(
    join(folder, path),
    `// ${kernel.label}\n// grid ${kernel.grid.join(" x ")}, ${bindings}\n${kernel.wgsl}`,
  );
}

const seen = new Set();
for (const op of allOps()) {
  let count = 0;
  for (const test of op.cases) {
    const trace = new Trace();
    const outputs = withTrace(trace, () => {
      const xs = test.inputs.map(({ shape, dtype = "f32" }) =>
        Tensor.traced(trace, trace.input({ shape, dtype })),
      );
      return apply(op, xs, test.attrs).map((t) => trace.valueOf(t));
    });
    // Threads share work, and, as on SwiftShader, do not.
    for (const together of [true, false]) {
      for (const kernel of lower({ inputs: trace.inputs, outputs, updates: [] }, op.name, together)) {
        if (seen.has(kernel.wgsl)) continue;
        seen.add(kernel.wgsl);
        write(join("ops", `${op.name}.${++count}.wgsl`), kernel);
      }
    }
  }
}

// Tracing reads shapes only; the reference backend holds the tensors it captures.
await init({ device: "reference" });
const config = modelConfig({ vocabSize: 64, hiddenSize: 48, numLayers: 2, numHeads: 4, maxPositions: 32 });
const model = new Transformer(config);
const params = initializeParameters(config, 1);
const grads = initializeParameters(config, 2);
const tokens = tensor(new Uint32Array(4 * 32), { shape: [4, 32], dtype: "u32" });
const loss = (p, ids) => ops.sum(ops.square(ops.logSoftmax(model.logits(p, model.hidden(p, ids)))));
const step = (into, p, ids) => {
  const r = valueAndGrad(loss)(p, ids);
  accumulate(into, r.grad);
  return r.value;
};
const { graph } = traceCall(step, [grads.tensors, params.tensors, tokens], { state: [0] });
const kernels = lower(graph, "step");
kernels.forEach((kernel, i) => {
  write(
    join("step", `${String(i + 1).padStart(3, "0")}-${fileName(kernel.label.replace("step/", ""))}.wgsl`),
    kernel,
  );
});
const distinct = new Set(kernels.map((k) => k.wgsl)).size;
console.log(
  `${seen.size} kernels of ops and ${kernels.length} of a step (${distinct} distinct) in .cache/wgsl/${tier}`,
);

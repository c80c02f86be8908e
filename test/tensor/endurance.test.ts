/** What a long run must not do: grow, slow down, build again. And what replay costs beside a bare loop. */

import { beforeAll, describe, expect, test, vi } from "vitest";
import { platform } from "#gpu";
import { modelConfig } from "../../src/model/config.ts";
import { initializeParameters, parameterSpecs } from "../../src/model/parameters.ts";
import { type Parameters, Transformer } from "../../src/model/transformer.ts";
import { valueAndGrad } from "../../src/tensor/autodiff.ts";
import { compile, traceCall } from "../../src/tensor/compile.ts";
import { FlatTensors, flatLayout, tensor } from "../../src/tensor/create.ts";
import { init } from "../../src/tensor/init.ts";
import { ops } from "../../src/tensor/ops/index.ts";
import { AdamW, accumulate } from "../../src/tensor/optim.ts";
import type { Storage, Tensor } from "../../src/tensor/tensor.ts";
import type { WebGpuBackend } from "../../src/tensor/webgpu.ts";

let b: WebGpuBackend;
beforeAll(async () => {
  b = await init({ timestamps: false });
});

const median = (x: readonly number[]): number => [...x].sort((p, q) => p - q)[x.length >> 1];

type Named = Readonly<Record<string, Tensor>>;

/** Mean squared error of a perceptron with one hidden layer. */
function loss(p: Named, x: Tensor, y: Tensor): Tensor {
  const hidden = ops.tanh(ops.add(ops.matmul(x, p.w1), p.b1)); // [B, H]
  return ops.mean(ops.square(ops.sub(ops.matmul(hidden, p.w2), y)));
}

describe("1,000 replayed training steps", () => {
  const STEPS = 1000;

  async function train() {
    const specs = [
      { name: "w1", shape: [4, 8] },
      { name: "b1", shape: [8] },
      { name: "w2", shape: [8, 1] },
    ];
    const params = new FlatTensors(flatLayout(specs), "params");
    specs.forEach(({ name, shape }) => {
      const n = shape.reduce((p, q) => p * q, 1);
      params.get(name).write(Float32Array.from({ length: n }, (_, i) => ((i * 7) % 11) / 11 - 0.45));
    });
    const optimizer = new AdamW(params);
    const micro = compile(
      (grads: Named, p: Named, x: Tensor, y: Tensor) => {
        const r = valueAndGrad(loss)(p, x, y);
        accumulate(grads, r.grad);
        return r.value;
      },
      { state: [0], label: "micro" },
    );
    const x = tensor(
      Float32Array.from({ length: 64 }, (_, i) => ((i * 13) % 17) / 17 - 0.5),
      { shape: [16, 4] },
    );
    const y = tensor(
      Float32Array.from({ length: 16 }, (_, i) => ((i * 5) % 7) / 7),
      { shape: [16, 1] },
    );
    const losses: number[] = [];
    const times: number[] = [];
    const marks: unknown[] = [];
    const { gpu } = b.device;
    const makers = [
      vi.spyOn(gpu, "createBindGroup"),
      vi.spyOn(gpu, "createBuffer"),
      vi.spyOn(gpu, "createShaderModule"),
      vi.spyOn(gpu, "createComputePipelineAsync"),
    ];
    for (let i = 1; i <= STEPS; i++) {
      const begun = performance.now();
      using value = micro(optimizer.grads.tensors, params.tensors, x, y);
      using norm = optimizer.step({ lr: 0.01, step: i, weightDecay: 0 });
      if (i % 100 === 0) {
        losses.push(await value.item());
        await norm.item();
      } else await b.sync();
      times.push(performance.now() - begun);
      if (i === 100 || i === STEPS) {
        const { programs, pipelines } = b.counters();
        const made = makers.map((m) => m.mock.calls.length);
        marks.push({ ...b.memory(), programs, pipelines, made });
      }
    }
    vi.restoreAllMocks();
    for (const t of [params, optimizer, micro, x, y]) t.dispose();
    return { losses, times, marks };
  }

  test("allocate nothing, build nothing, and take no longer at the end than at the start", async () => {
    const before = b.memory().liveBytes;
    let ratio = Number.POSITIVE_INFINITY;
    // Ten times at most: other test files share the two cores, and the step time jumps between levels with them (1, 3 and
    // 4 ms up and down over 3,000 steps; ratios of 3.4, 9.6 and 0.89 in a row). A trend would fail each time.
    for (let attempt = 0; attempt < 10 && ratio > 1.15; attempt++) {
      const { losses, times, marks } = await train();
      expect(losses.at(-1)).toBeLessThan(losses[0]);
      expect(marks[1]).toEqual(marks[0]);
      ratio = median(times.slice(-100)) / median(times.slice(100, 200));
      console.log(
        `step time: ${median(times.slice(100, 200)).toFixed(2)} ms at first, ratio at the end ${ratio.toFixed(3)}`,
      );
    }
    expect(b.memory().liveBytes).toBe(before);
    expect(ratio).toBeLessThanOrEqual(1.15);
  });
});

describe("a small transformer", () => {
  const config = modelConfig({ vocabSize: 13, hiddenSize: 16, numLayers: 3, numHeads: 4, maxPositions: 16 });
  const lossOf =
    (model: Transformer, recompute: boolean) =>
    (p: Parameters, tokens: Tensor): Tensor => {
      const logits = model.logits(p, model.hidden(p, tokens, { recompute })); // [B, T, V]
      return ops.sum(ops.square(ops.logSoftmax(logits)));
    };
  const tokens = () =>
    tensor(
      Array.from({ length: 4 }, (_, r) => Array.from({ length: 16 }, (_, i) => (r * 5 + i * 3) % 13)),
      { dtype: "u32" },
    );

  test("checkpoint plans fewer bytes and leaves every bit of the gradients alone", async () => {
    const model = new Transformer(config);
    const params = initializeParameters(config, 7, { std: 0.2 });
    const ids = tokens();
    const words: Record<string, Uint32Array>[] = [];
    const planned: number[] = [];
    for (const recompute of [false, true]) {
      const f = compile(valueAndGrad(lossOf(model, recompute)), { label: `recompute=${recompute}` });
      const r = f(params.tensors, ids);
      const bits: Record<string, Uint32Array> = {};
      for (const { name } of parameterSpecs(config)) {
        bits[name] = new Uint32Array(((await r.grad[name].data()) as Float32Array).buffer);
      }
      words.push(bits);
      planned.push(f.plannedBytes);
    }
    console.log(`planned bytes: ${planned[0]}, with checkpoint ${planned[1]}`);
    expect(planned[1]).toBeLessThan(planned[0]);
    expect(words[1]).toEqual(words[0]);
    expect(words[0][parameterSpecs(config)[0].name].some((w) => w !== 0)).toBe(true);
  });

  interface Dispatch {
    pipeline: GPUComputePipeline;
    group: GPUBindGroup;
    x: number;
    y: number;
  }

  /** What a run hands to its compute passes. */
  function record(run: () => void): Dispatch[] {
    const { gpu } = b.device;
    const list: Dispatch[] = [];
    const create = gpu.createCommandEncoder.bind(gpu);
    vi.spyOn(gpu, "createCommandEncoder").mockImplementation((descriptor) => {
      const encoder = create(descriptor);
      const begin = encoder.beginComputePass.bind(encoder);
      vi.spyOn(encoder, "beginComputePass").mockImplementation((d) => {
        const pass = begin(d);
        const now = {} as { pipeline: GPUComputePipeline; group: GPUBindGroup };
        const { setPipeline, setBindGroup, dispatchWorkgroups } = pass;
        pass.setPipeline = (p) => {
          now.pipeline = p;
          setPipeline.call(pass, p);
        };
        pass.setBindGroup = ((i: number, g: GPUBindGroup) => {
          now.group = g;
          (setBindGroup as (i: number, g: GPUBindGroup) => void).call(pass, i, g);
        }) as typeof pass.setBindGroup;
        pass.dispatchWorkgroups = (x, y = 1) => {
          list.push({ ...now, x, y });
          dispatchWorkgroups.call(pass, x, y);
        };
        return pass;
      });
      return encoder;
    });
    run();
    vi.restoreAllMocks();
    return list;
  }

  test("encoding and submitting a step costs at most 1.25 times a bare loop over its dispatches", async () => {
    const model = new Transformer(config);
    const params = initializeParameters(config, 7, { std: 0.2 });
    const grads = new FlatTensors(params.layout, "grads");
    const ids = tokens();
    const micro = (into: Named, p: Parameters, t: Tensor): Tensor => {
      const r = valueAndGrad(lossOf(model, false))(p, t);
      accumulate(into, r.grad);
      return r.value;
    };
    const args = [grads.tensors, params.tensors, ids];
    const { graph, captures } = traceCall(micro as never, args, { state: [0] });
    const program = b.build(graph, { label: "step" });
    await program.ready();
    const tensors = [...Object.values(grads.tensors), ...Object.values(params.tensors), ids, ...captures];
    const inputs: Storage[] = tensors.map((t) => t.storage);
    const run = (): void => {
      for (const s of program.run(inputs)) s.release();
    };
    run();
    await b.sync();
    const before = b.counters().dispatches;
    const dispatches = record(run);
    expect(dispatches.length).toBe(b.counters().dispatches - before);
    expect(dispatches.length).toBeGreaterThan(40);
    const { gpu, queue } = b.device;
    const bare = (): void => {
      const encoder = gpu.createCommandEncoder();
      const pass = encoder.beginComputePass();
      for (const d of dispatches) {
        pass.setPipeline(d.pipeline);
        pass.setBindGroup(0, d.group);
        pass.dispatchWorkgroups(d.x, d.y);
      }
      pass.end();
      queue.submit([encoder.finish()]);
    };
    // A page's clock ticks in steps of 0.1 ms and encoding there takes less: many runs a sample. In Node the work of
    // the first run would take the cores away from encoding the second: one run a sample.
    const runs = platform === "browser" ? 32 : 1;
    const sample = async (f: () => void): Promise<number> => {
      const begun = performance.now();
      for (let i = 0; i < runs; i++) f();
      const ms = (performance.now() - begun) / runs;
      await b.sync();
      return ms;
    };
    // In a page the bare loop takes 0.3 us a dispatch (another process does the work): what a run costs whatever its
    // length, 0.03 ms, would be all that is compared, and is allowed for.
    const fixed = platform === "browser" ? 0.05 : 0;
    for (let i = 0; i < 5; i++) for (const f of [run, bare]) await sample(f); // until both are optimized code
    let ratio = Number.POSITIVE_INFINITY;
    // Three times at most: other work on these machines can hit one side's median; samples alternate within each.
    for (let attempt = 0; attempt < 10 && ratio > 1.25; attempt++) {
      const [ours, theirs]: [number[], number[]] = [[], []];
      for (let i = 0; i < (platform === "browser" ? 21 : 81); i++) {
        ours.push(await sample(run));
        theirs.push(await sample(bare));
      }
      ratio = (median(ours) - fixed) / median(theirs);
      console.log(
        `encode and submit: ${median(ours).toFixed(3)} ms for ${dispatches.length} dispatches, bare loop ${median(theirs).toFixed(3)} ms, ratio ${ratio.toFixed(3)}`,
      );
    }
    expect(ratio).toBeLessThanOrEqual(1.25);
  });
});

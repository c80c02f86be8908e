/** What a long run must not do: grow, slow down, build again. And what replay costs beside a bare loop. */

import { beforeAll, describe, expect, test, vi } from "vitest";
import { platform } from "#gpu";
import { modelConfig } from "../../src/model/config.ts";
import { initializeParameters, parameterSpecs } from "../../src/model/parameters.ts";
import { type Parameters, Transformer } from "../../src/model/transformer.ts";
import { valueAndGrad } from "../../src/tensor/autodiff.ts";
import { setBackend } from "../../src/tensor/backend.ts";
import type { GpuStorage } from "../../src/tensor/buffers.ts";
import { compile, traceCall } from "../../src/tensor/compile.ts";
import { FlatTensors, flatLayout, tensor } from "../../src/tensor/create.ts";
import { init } from "../../src/tensor/init.ts";
import { ops } from "../../src/tensor/ops/index.ts";
import { AdamW, accumulate } from "../../src/tensor/optim.ts";
import type { Program } from "../../src/tensor/program.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import type { WebGpuBackend } from "../../src/tensor/webgpu.ts";

let b: WebGpuBackend;
beforeAll(async () => {
  b = await init({ timestamps: false });
});

/** Other work on the machine makes some samples longer and none shorter: a low quantile says what the work takes. */
const lower = (part: number, x: readonly number[]): number =>
  [...x].sort((p, q) => p - q)[Math.floor(part * x.length)];

/** The least of a few attempts at a ratio, which end with the first that is small enough. */
async function leastRatio(limit: number, attempt: () => Promise<number>, most = 3): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < most && least > limit; i++) least = Math.min(least, await attempt());
  return least;
}

type Named = Readonly<Record<string, Tensor>>;

/** Mean squared error of a perceptron with one hidden layer. */
function loss(p: Named, x: Tensor, y: Tensor): Tensor {
  const hidden = ops.tanh(ops.add(ops.matmul(x, p.w1), p.b1)); // [B, H]
  return ops.mean(ops.square(ops.sub(ops.matmul(hidden, p.w2), y)));
}

describe("1,000 replayed training steps", () => {
  const STEPS = 1000;

  /** A perceptron and its optimizer on the current device. */
  function learner(on: WebGpuBackend) {
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
    let steps = 0;
    return {
      /** One step: what it takes of the host, ms, without waiting for the GPU; and the loss where asked for. */
      async step(read = false): Promise<{ ms: number; loss: number }> {
        setBackend(on);
        let ms = -performance.now();
        using value = micro(optimizer.grads.tensors, params.tensors, x, y);
        ms += performance.now();
        await on.sync(); // a software adapter's work would take the cores away from what is measured
        ms -= performance.now();
        optimizer.step({ lr: 0.01, step: ++steps, weightDecay: 0 }).dispose();
        ms += performance.now();
        await on.sync();
        return { ms, loss: read ? await value.item() : Number.NaN };
      },
      dispose() {
        for (const t of [params, optimizer, micro, x, y]) t.dispose();
      },
    };
  }

  test("allocate nothing, build nothing, and take no longer at the end than at the start", async () => {
    const before = b.memory().liveBytes;
    const old = learner(b);
    const { gpu } = b.device;
    const makers = [
      vi.spyOn(gpu, "createBindGroup"),
      vi.spyOn(gpu, "createBuffer"),
      vi.spyOn(gpu, "createShaderModule"),
      vi.spyOn(gpu, "createComputePipelineAsync"),
    ];
    const losses: number[] = [];
    const marks: unknown[] = [];
    for (let i = 1; i <= STEPS; i++) {
      const { loss } = await old.step(i % 100 === 0);
      if (i % 100 === 0) losses.push(loss);
      if (i === 100 || i === STEPS) {
        const { programs, pipelines } = b.counters();
        marks.push({ ...b.memory(), programs, pipelines, made: makers.map((m) => m.mock.calls.length) });
      }
    }
    vi.restoreAllMocks();
    expect(losses.at(-1)).toBeLessThan(losses[0]);
    expect(marks[1]).toEqual(marks[0]);
    // The start is a second learner's on a device of its own: steps that take turns meet the same load of the machine,
    // where windows a second apart differed by factors (3.4, 9.6 and 0.89 in a row) with what other test files did.
    const fresh = await init({ timestamps: false });
    const young = learner(fresh);
    for (let i = 0; i < 100; i++) await young.step();
    const ratio = await leastRatio(1.15, async () => {
      const [late, early]: [number[], number[]] = [[], []];
      for (let i = 0; i < 200; i++) {
        late.push((await old.step()).ms);
        early.push((await young.step()).ms);
      }
      const [ms, ref] = [lower(0.25, late), lower(0.25, early)];
      console.log(
        `host's time of a step: ${ref.toFixed(3)} ms at first, ${ms.toFixed(3)} after ${STEPS}, ratio ${(ms / ref).toFixed(3)}`,
      );
      return ms / ref;
    });
    fresh.destroy();
    setBackend(b);
    old.dispose();
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

  test("encoding and submitting a step costs at most 1.1 times a bare loop over its dispatches, in a page 1.25", async () => {
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
    const program = b.build(graph, { label: "step" }) as Program;
    await program.ready();
    const tensors = [...Object.values(grads.tensors), ...Object.values(params.tensors), ids, ...captures];
    const inputs = tensors.map((t) => t.storage as GpuStorage);
    // One submission a run, as the bare loop: left to itself, a turn's runs are one.
    const run = (): void => {
      for (const s of program.run(inputs)) s.release();
      b.commands.flush();
    };
    const results = program.run(inputs) as GpuStorage[];
    const dispatches = program.dispatches({ args: inputs, results });
    for (const s of results) s.release();
    await b.sync();
    expect(dispatches.length).toBeGreaterThan(40);
    // Next to nothing to compute: on a machine without a GPU the cores that encode do that too. The program replays these
    // very objects: its result comes from the pool, the same buffer each time.
    for (const d of dispatches) Object.assign(d, { x: 1, y: 1 });
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
    // Encoding takes less in a page, where another process does the rest, than one reading of the clock can tell. On two cores
    // that process often takes the page's core after a submission, 0.17 ms each time, whoever submits: most samples hold
    // several of those, so the lower decile says what encoding takes (bench/NOTES.md).
    const [runs, samples] = platform === "browser" ? [16, 61] : [4, 21];
    if (platform === "browser") expect(globalThis.crossOriginIsolated).toBe(true); // its clock ticks 5 us, else 0.1 ms
    const sample = async (f: () => void): Promise<number> => {
      const begun = performance.now();
      for (let i = 0; i < runs; i++) f();
      const ms = (performance.now() - begun) / runs;
      await b.sync();
      return ms;
    };
    // Until both are optimized code, the helpers of a run too: 30 runs were not enough.
    for (let i = 0; i < 1000; i += runs) for (const f of [run, bare]) await sample(f);
    // 1.1 is the aim in a page too, and missed: attempts there give 1.03 to 1.31, most 1.1 to 1.2 (bench/NOTES.md), since a run meets
    // the caches that the other process has left. 1.25, as before, guards what has been reached.
    const limit = platform === "browser" ? 1.25 : 1.1;
    const attempt = async (): Promise<number> => {
      const [ours, theirs]: [number[], number[]] = [[], []];
      for (let i = 0; i < samples; i++) {
        // Who goes first takes turns: what one left behind is the other's to wait for.
        const first = i % 2 === 0;
        if (first) ours.push(await sample(run));
        theirs.push(await sample(bare));
        if (!first) ours.push(await sample(run));
      }
      const [a, z] = [lower(0.1, ours), lower(0.1, theirs)];
      console.log(
        `encode and submit: ${a.toFixed(4)} ms for ${dispatches.length} dispatches, bare loop ${z.toFixed(4)} ms, ratio ${(a / z).toFixed(3)}`,
      );
      return a / z;
    };
    const ratio = await leastRatio(limit, attempt, 5);
    const before = b.counters().dispatches;
    run();
    expect(b.counters().dispatches - before).toBe(dispatches.length);
    expect(ratio).toBeLessThanOrEqual(limit);
  });
});

/** The debug flags at work: builds and kernel times as text, the first value that is not finite, traces. */

import { afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { compile } from "../../src/tensor/compile.ts";
import { tensor } from "../../src/tensor/create.ts";
import { setFlags } from "../../src/tensor/flags.ts";
import { init } from "../../src/tensor/init.ts";
import { ops } from "../../src/tensor/ops/index.ts";
import { Profiler } from "../../src/tensor/profiler.ts";
import { profileTrace } from "../../src/tensor/report.ts";
import { recordedSpans, recordSpans, stopSpans } from "../../src/tensor/spans.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import type { WebGpuBackend } from "../../src/tensor/webgpu.ts";

let backend: WebGpuBackend;
beforeAll(async () => {
  backend = await init({ timestamps: true });
});
afterEach(() => {
  setFlags({ debug: 0, nan: false });
  stopSpans();
  vi.restoreAllMocks();
});

const lines = (): string[] => {
  const said: string[] = [];
  vi.spyOn(console, "error").mockImplementation((text) => said.push(String(text)));
  return said;
};

/** Sums over 3 rows and a map over what is as long: two kernels. */
const twoKernels = () =>
  compile((x: Tensor, y: Tensor) => ({ sums: ops.sum(x, 1), far: ops.mul(ops.exp(y), 2) }), { label: "two" });

test("DEBUG=1 tells of builds with kernels and memory, and of pipelines", async () => {
  const said = lines();
  setFlags({ debug: 1 });
  const x = tensor(new Float32Array(600).fill(1), { shape: [3, 200] });
  await twoKernels()(x, tensor([1, 2])).far.data();
  expect(said[0]).toMatch(/^build: two: 2 kernels, 2 distinct, 0 bytes in 0 arenas .* ms to compile$/);
  expect(said[1]).toMatch(/^ready: two: 2 pipelines in \d+ ms$/);
});

describe("NAN=1", () => {
  test("names the kernel, its ops, the value and the place", async () => {
    setFlags({ nan: true });
    const f = compile(
      (x: Tensor) => {
        const roots = ops.sqrt(ops.sub(x, 1));
        return ops.mul(ops.sum(roots), 2);
      },
      { label: "roots" },
    );
    const y = f(tensor([4, 1, 0, 5]));
    await expect(y.data()).rejects.toMatchObject({
      name: "NonFiniteError",
      message: expect.stringMatching(
        /^roots\/.*sum.*: finite results were expected, got NaN at element 0 of f32\[\] \(kernel 1 of \d in roots; ops .*sqrt.*, from finite inputs/,
      ),
    });
    expect(await f(tensor([4, 1, 1, 5])).item()).toBeCloseTo(2 * (Math.sqrt(3) + 2), 5);
  });

  test("without fusion names one op", async () => {
    setFlags({ nan: true });
    const f = compile((x: Tensor) => ops.mul(ops.sum(ops.sqrt(ops.sub(x, 1))), 2), {
      label: "roots",
      passesOff: ["fuse"],
    });
    await expect(f(tensor([4, 0, 2, 5])).data()).rejects.toMatchObject({
      name: "NonFiniteError",
      message: expect.stringMatching(/NaN at element 1 of f32\[4\] \(kernel 2 of 4 in roots; ops sqrt\)/),
    });
  });

  test("tells an argument from a result, and states from both", async () => {
    setFlags({ nan: true });
    const f = compile((x: Tensor) => ops.add(x, 1), { label: "plus" });
    await expect(f(tensor([1, Number.NaN])).data()).rejects.toThrow(
      /plus: finite arguments were expected, got NaN at element 1 of f32\[2\]/,
    );
    await expect(backend.sync()).resolves.toBeUndefined();
  });

  test("looks beyond integers, and padding is no value", async () => {
    setFlags({ nan: true });
    const bits = tensor([0x7fc00000, 1], { dtype: "u32" });
    expect(Array.from(await ops.add(bits, bits).data())).toEqual([0xff800000, 2]);
    for (const n of [1, 3, 65, 1000]) {
      expect(await ops.sum(tensor(new Float32Array(n).fill(1))).item()).toBe(n);
    }
  });
});

describe("the profiler", () => {
  test("times each kernel under its label, with rates", async () => {
    const profiler = backend.profiler as Profiler;
    profiler.reset();
    const x = tensor(new Float32Array(600), { shape: [3, 200] });
    const f = twoKernels();
    for (let i = 0; i < 3; i++) f(x, tensor([1, 2]));
    await backend.sync();
    await profiler.finish();
    const rows = [...profiler.totals];
    expect(rows.map(([, t]) => t.count)).toEqual([3, 3]);
    expect(rows.find(([label]) => label.includes("sum"))?.[1]).toMatchObject({
      flops: 3 * 600,
      bytes: 3 * (2400 + 16),
    });
    expect(profiler.table()).toMatch(
      /^\d+\.\d ms on the GPU in 6 kernels, 2 distinct\n.*GFLOP\/s.*GB\/s {2}two\//,
    );
  });

  test("a program of more passes than a query set holds is timed whole", async () => {
    const before = backend.profiler;
    const small = new Profiler(backend.device, { capacity: 4, keepTimes: true });
    backend.profiler = small;
    try {
      const f = compile(
        (x: Tensor) => {
          let y = x;
          for (let i = 1; i <= 11; i++) y = ops.add(y, i);
          return y;
        },
        { passesOff: ["fuse", "simplify"] },
      );
      expect(Array.from(await f(tensor([1, 2])).data())).toEqual([67, 68]);
      await small.finish();
      expect(small.times.length).toBe(11);
      expect(small.times.every((t) => t.ms >= 0 && Number.isFinite(t.start))).toBe(true);
    } finally {
      backend.profiler = before;
    }
  });
});

test("PROFILE's trace has spans of the host and kernels of the GPU, as Perfetto wants them", async () => {
  recordSpans();
  const profiler = new Profiler(backend.device, { keepTimes: true });
  const before = backend.profiler;
  backend.profiler = profiler;
  const f = compile((x: Tensor) => ops.add(ops.sum(x), 1), { label: "traced" });
  await f(tensor([1, 2, 3])).data();
  await profiler.finish();
  backend.profiler = before;
  const kinds = new Set(recordedSpans().spans.map((s) => s.kind));
  expect([...kinds].sort()).toEqual(["compile", "encode", "pipelines", "read", "trace"]);
  const { traceEvents } = JSON.parse(profileTrace([{ label: "gpu", profiler }]));
  const complete = traceEvents.filter((e: { ph: string }) => e.ph === "X");
  expect(complete.length).toBeGreaterThanOrEqual(6);
  for (const e of complete) {
    expect(Number.isFinite(e.ts) && e.dur >= 0, e.name).toBe(true);
  }
  expect(complete.some((e: { cat: string; pid: number }) => e.cat === "kernel" && e.pid === 2)).toBe(true);
});

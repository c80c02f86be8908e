/** Wrong use of the engine: named errors with a remedy, before any GPU call or at the next await; nothing hangs. */

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { grad } from "../../src/tensor/autodiff.ts";
import type { GpuStorage } from "../../src/tensor/buffers.ts";
import { assign, compile, traceCall, u32 } from "../../src/tensor/compile.ts";
import { FlatTensors, flatLayout, tensor } from "../../src/tensor/create.ts";
import { init } from "../../src/tensor/init.ts";
import { ops } from "../../src/tensor/ops/index.ts";
import { AdamW } from "../../src/tensor/optim.ts";
import { scope, type Tensor } from "../../src/tensor/tensor.ts";
import type { WebGpuBackend, WebGpuOptions } from "../../src/tensor/webgpu.ts";

let b: WebGpuBackend;
const start = async (options: WebGpuOptions = {}): Promise<WebGpuBackend> => {
  b?.destroy();
  b = await init({ tier: "T0", ...options });
  return b;
};
beforeEach(async () => {
  if (!b || b.device.failure) await start();
});
afterEach(() => {
  vi.restoreAllMocks();
});

const shape = (...dims: number[]): Tensor =>
  tensor(
    Float32Array.from({ length: dims.reduce((x, y) => x * y, 1) }, (_, i) => i),
    { shape: dims },
  );

describe("JavaScript's operators on tensors", () => {
  const n = (f: (n: number) => unknown) => () =>
    compile((n: number, x: Tensor) => {
      f(n);
      return x;
    })(4, shape(2));

  test.each<[string, (n: number) => unknown]>([
    ["comparison", (n) => n > 3],
    ["arithmetic", (n) => n * 2],
    ["a sum", (n) => n + 1],
    ["Math", (n) => Math.sqrt(n)],
    ["a loop", (n) => Array.from({ length: n })],
    ["a count of elements", (n) => ops.full([2], n)],
  ])("%s on a number of a compiled function", (_, f) => {
    expect(n(f)).toThrow(
      expect.objectContaining({
        name: "TensorError",
        message: expect.stringMatching(
          /got the tensor argument 0: f32\[\]\. .*(`static` option|broadcastTo)/,
        ),
      }),
    );
  });

  test("named in static, the same number decides the graph", async () => {
    const f = compile((x: Tensor, n: number) => ops.mul(x, n > 3 ? 2 : 1), { static: [1] });
    expect(Array.from(await f(shape(2), 4).data())).toEqual([0, 2]);
    expect(Array.from(await f(shape(2), 3).data())).toEqual([0, 1]);
  });

  test("on a concrete tensor; text stays text", () => {
    const x = shape(2) as unknown as number;
    expect(() => x + 1).toThrow(/TensorError|await t\.item\(\)/);
    expect(`${x}`).toBe("f32[2]");
  });
});

describe("arrays where tensors belong, and names that are not known", () => {
  test.each<[string, () => unknown, RegExp]>([
    ["mean", () => ops.mean([1, 2] as never), /^mean: a tensor was expected, got an array of 2\. Make one/],
    [
      "add",
      () => ops.add([1, 2] as never, 3),
      /^add: a tensor or number .*got an array of 2\. Make a tensor/,
    ],
    ["square", () => ops.square([1] as never), /^square: .*an array of 1/],
    ["softmax", () => ops.softmax([1] as never), /^softmax: /],
    ["matmul", () => ops.matmul(new Float32Array(2) as never, shape(2, 2)), /^matmul: .*a Float32Array/],
    [
      "reshape",
      () => ops.reshape([1] as never, [1]),
      /^reshape: a tensor was expected, got an array of 1\. Make/,
    ],
    ["permute", () => ops.permute(3 as never, [0]), /^permute: a tensor was expected, got .* number\. Make/],
    ["slice", () => ops.slice(3 as never, [0], [1]), /^slice: a tensor was expected/],
    ["pad", () => ops.pad(3 as never, [0], [1]), /^pad: a tensor was expected/],
    ["concat", () => ops.concat([1, 2] as never, 0), /^concat: a tensor was expected/],
    ["take", () => ops.take(shape(2), 1 as never), /^take: a tensor was expected/],
    ["takeAlong", () => ops.takeAlong(shape(2), 1 as never), /^takeAlong: a tensor was expected/],
    ["sliceAt", () => ops.sliceAt(3 as never, shape(), 0, 1), /^sliceAt: a tensor was expected/],
    ["updateAt", () => ops.updateAt(shape(2), 1 as never, shape(), 0), /^updateAt: a tensor was expected/],
    ["indexChain", () => ops.indexChain(1 as never, 1), /^indexChain: a tensor was expected/],
    ["scatterAdd", () => ops.scatterAdd(1 as never, shape(), 1), /^scatterAdd: a tensor was expected/],
    [
      "dtype",
      () => tensor([1], { dtype: "float32" as never }),
      /^tensor: dtype: .*got float32\. Write "f32"/,
    ],
  ])("%s", (_, f, message) => expect(f).toThrow(message));

  test("an option of AdamW", () => {
    const params = new FlatTensors(flatLayout([{ name: "w", shape: [2] }]), "p");
    const adamw = new AdamW(params);
    expect(() => adamw.step({ lr: 1, step: 1, weight_decay: 0 } as never)).toThrow(
      /^adamw: weight_decay: .*Did you mean "weightDecay"\?/,
    );
    adamw.dispose();
    params.dispose();
  });
});

describe("refused before any GPU call", () => {
  test("shapes and dtypes that do not fit, with their names", () => {
    const [x, y] = [shape(2, 3), shape(4, 5)];
    const before = b.counters();
    expect(() => ops.add(x, y)).toThrow(
      expect.objectContaining({
        name: "ShapeError",
        message: expect.stringMatching(/add.*\[2, 3\].*\[4, 5\]/),
      }),
    );
    expect(() => ops.matmul(x, y)).toThrow(
      expect.objectContaining({ name: "ShapeError", message: expect.stringMatching(/^matmul: inner dims/) }),
    );
    expect(() => ops.exp(tensor([1], { dtype: "u32" }))).toThrow(
      expect.objectContaining({ name: "DTypeError" }),
    );
    expect(() => compile(() => ops.matmul(x, y))()).toThrow(expect.objectContaining({ name: "ShapeError" }));
    expect(b.counters()).toEqual(before);
  });

  test("disposed tensors: as operand, as argument, to read and to write", async () => {
    const x = shape(3);
    const f = compile((t: Tensor) => ops.add(t, 1), { label: "plus" });
    f(x).dispose();
    x.dispose();
    const gone = {
      name: "TensorError",
      message: expect.stringMatching(/live tensor was expected, got a disposed one/),
    };
    expect(() => ops.add(x, 1)).toThrow(expect.objectContaining(gone));
    expect(() => f(x)).toThrow(
      expect.objectContaining({ ...gone, message: expect.stringMatching(/^plus:/) }),
    );
    expect(() => x.write([1, 2, 3])).toThrow(expect.objectContaining(gone));
    await expect(x.data()).rejects.toMatchObject(gone);
    expect(() => x.dispose()).not.toThrow();
  });

  test("a captured tensor disposed between trace and run", () => {
    const weight = shape(3);
    const f = compile((t: Tensor) => ops.mul(t, weight), { label: "scaled" });
    const x = shape(3);
    f(x).dispose();
    weight.dispose();
    expect(() => f(x)).toThrow(/^scaled: a live tensor was expected, got a disposed one f32\[3\]/);
  });

  test("a tensor that the device cannot bind, as a result, as an argument's memory; the device works on", async () => {
    const made = vi.spyOn(b.device.gpu, "createBuffer");
    const before = b.counters();
    const big = 40_000_000;
    const refused = (what: RegExp) =>
      expect.objectContaining({ name: "MemoryBudgetError", message: expect.stringMatching(what) });
    expect(() => ops.full([big], 1)).toThrow(
      refused(
        /^broadcastTo: a result of broadcastTo: at most 134217728 bytes .* got 160000000 for f32\[40000000\]/,
      ),
    );
    const wide = compile((x: Tensor) => [ops.add(x, 1), ops.broadcastTo(ops.exp(x), [big, 2])], {
      label: "wide",
    });
    const x = shape(2);
    made.mockClear();
    expect(() => wide(x)).toThrow(refused(/^wide: a result of \w+: .* f32\[40000000, 2\]\. Make the batch/));
    expect(() => b.allocate("u32", big)).toThrow(refused(/^tensor: .* u32\[40000000\]/));
    expect(made).not.toHaveBeenCalled();
    expect(b.counters()).toEqual(before);
    expect(Array.from(await ops.add(x, 1).data())).toEqual([1, 2]);
    await expect(b.sync()).resolves.toBeUndefined();
  });

  test("numbers that are none", () => {
    const f = compile((t: Tensor, o: { lr: number }) => ops.mul(t, o.lr), { label: "step" });
    expect(() => f(shape(2), { lr: Number.NaN })).toThrow(
      /step: a number was expected for argument 1 \(lr\), got NaN/,
    );
    expect(() => u32(-1)).toThrow(/u32: an integer in \[0, 2\^32\)/);
    expect(() => u32(1.5)).toThrow(expect.objectContaining({ name: "TensorError" }));
    const params = new FlatTensors(flatLayout([{ name: "w", shape: [3] }]), "p");
    const optimizer = new AdamW(params);
    for (const bad of [{ lr: Number.NaN }, { lr: 1, step: 0 }, { lr: 1, beta2: 1 }]) {
      expect(() => optimizer.step({ step: 1, ...bad })).toThrow(
        expect.objectContaining({ name: "ConfigError" }),
      );
    }
    optimizer.dispose();
    params.dispose();
  });

  test("a state passed twice, whole or as a part of the same memory", () => {
    const f = compile((s: Tensor, t: Tensor) => assign(s, ops.add(s, ops.sum(t))), {
      state: [0],
      label: "twice",
    });
    const x = shape(64);
    expect(() => f(x, x)).toThrow(/^twice: a state was expected once among the arguments/);
    const flat = new FlatTensors(
      flatLayout([
        { name: "a", shape: [64] },
        { name: "b", shape: [64] },
      ]),
      "p",
    );
    expect(() => f(flat.flat[0], flat.get("b"))).toThrow(expect.objectContaining({ name: "TensorError" }));
    expect(() => f(flat.get("b"), flat.flat[0])).toThrow(expect.objectContaining({ name: "TensorError" }));
    flat.dispose();
  });

  test("assign of another shape, of another dtype, to no state, outside compile", () => {
    const wrong = compile((s: Tensor) => assign(s, ops.sum(s)), { state: [0] });
    expect(() => wrong(shape(3))).toThrow(
      expect.objectContaining({
        name: "ShapeError",
        message: expect.stringMatching(/assign: f32\[3\] was expected, got f32\[\]/),
      }),
    );
    const type = compile((s: Tensor) => assign(s, ops.cast(s, "i32")), { state: [0] });
    expect(() => type(shape(3))).toThrow(
      expect.objectContaining({
        name: "DTypeError",
        message: expect.stringMatching(/assign: f32\[3\] was expected, got i32\[3\]/),
      }),
    );
    const none = compile((s: Tensor) => assign(s, ops.add(s, 1)));
    expect(() => none(shape(3))).toThrow(/assign: a tensor declared as state was expected/);
    expect(() => assign(shape(3), shape(3))).toThrow(/assign: an open trace was expected/);
  });

  test("traced tensors that escaped", async () => {
    let escaped: Tensor | undefined;
    compile((t: Tensor) => {
      escaped = ops.add(t, 1);
      return escaped;
    })(shape(2));
    const gone = escaped as Tensor;
    expect(() => ops.add(gone, 1)).toThrow(/escaped/);
    expect(() => compile((t: Tensor) => ops.add(t, gone))(shape(2))).toThrow(/escaped/);
    expect(() => compile((t: Tensor) => ops.add(t, 1), { label: "f" })(gone)).toThrow(
      /^f: a concrete tensor was expected, got f32\[2\] that escaped/,
    );
    await expect(gone.data()).rejects.toThrow(
      /^data: a concrete tensor was expected, got f32\[2\] that escaped/,
    );
    expect(() => gone.write([1, 2])).toThrow(expect.objectContaining({ name: "TensorError" }));
  });

  test("asynchronous functions, and what they do later fails quietly", async () => {
    const f = compile(async (t: Tensor) => {
      await Promise.resolve();
      return ops.add(t, 1);
    });
    expect(() => f(shape(2))).toThrow(/a synchronous function was expected, got a promise/);
    expect(() =>
      scope(async () => {
        await Promise.resolve();
        throw new Error("later");
      }),
    ).toThrow(/synchronous/);
    await new Promise((resolve) => setTimeout(resolve, 5));
  });

  test("a gradient of what is no scalar", () => {
    expect(() => grad((x: Tensor) => ops.mul(x, x))(shape(3))).toThrow(
      /grad: a scalar f32 result was expected/,
    );
  });

  test("tensors of another backend, after init()", async () => {
    const old = shape(3);
    const weight = shape(3);
    const f = compile((t: Tensor) => ops.mul(t, weight), { label: "f" });
    f(old).dispose();
    const first = b;
    const second = await init({ tier: "T0" });
    const other = {
      name: "TensorError",
      message: expect.stringMatching(/tensor of the current device was expected, got/),
    };
    expect(() => ops.add(old, 1)).toThrow(expect.objectContaining(other));
    expect(() => f(old)).toThrow(expect.objectContaining(other));
    expect(() => f(shape(3))).toThrow(expect.objectContaining(other));
    await init({ device: "reference" });
    expect(() => ops.add(old, 1)).toThrow(expect.objectContaining(other));
    // The old device still answers for its own.
    expect(Array.from(await old.data())).toEqual([0, 1, 2]);
    first.destroy();
    second.destroy();
    await start();
  });
});

test("a program that is handed too few storages", () => {
  const { graph } = traceCall(((t: Tensor) => ops.add(t, 1)) as never, [shape(3)], {});
  const program = b.build(graph, { label: "short" });
  expect(() => program.run([])).toThrow(/^short: a tensor of the current device was expected/);
});

describe("the memory budget", () => {
  test("is kept before anything is allocated, and the error lists the largest", async () => {
    await start({ memoryBudget: 20_000 });
    const x = shape(64, 64);
    const f = compile((t: Tensor) => ops.matmul(ops.matmul(t, t), ops.matmul(ops.exp(t), t)), {
      label: "big",
    });
    const before = { ...b.memory(), ...b.counters() };
    const create = vi.spyOn(b.device.gpu, "createBuffer");
    expect(() => f(x)).toThrow(
      expect.objectContaining({
        name: "MemoryBudgetError",
        message: expect.stringMatching(
          /at most 20000 bytes .* got \d+ bytes\. .*Largest: 2 of 0\.0 MiB big\/matmul.*\[64,64\]/,
        ),
      }),
    );
    expect(create).not.toHaveBeenCalled();
    expect(b.memory()).toEqual({ liveBytes: before.liveBytes, allocatedBytes: before.allocatedBytes });
    expect(f.programs).toBe(0);
    await start();
  });
});

describe("failures of the GPU", () => {
  /** Makes the adapter refuse the kernels whose label matches. */
  function breakKernels(label: RegExp): void {
    const { gpu } = b.device;
    const original = gpu.createShaderModule.bind(gpu);
    vi.spyOn(gpu, "createShaderModule").mockImplementation((d) =>
      original(
        label.test(d.label ?? "") ? { ...d, code: `${d.code}\nfn oops() -> u32 { return nothing; }` } : d,
      ),
    );
  }

  test("a kernel that does not compile rejects the next await and every read of what it should have made", async () => {
    breakKernels(/^bad\//);
    const x = shape(3);
    const bad = compile((t: Tensor) => ops.cos(t), { label: "bad" });
    const y = bad(x);
    const z = ops.add(y, 1);
    const shader = {
      name: "ShaderError",
      message: expect.stringMatching(/^bad\/map:cos: a kernel that compiles/),
    };
    await expect(b.sync()).rejects.toMatchObject(shader);
    await expect(y.data()).rejects.toMatchObject(shader);
    await expect(z.data()).rejects.toMatchObject(shader);
    await expect(bad.ready()).rejects.toMatchObject(shader);
    // The device and everything else work on.
    expect(b.device.failure).toBeNull();
    expect(Array.from(await ops.add(x, 1).data())).toEqual([1, 2, 3]);
    y.write([1, 2, 3]);
    expect(Array.from(await y.data())).toEqual([1, 2, 3]);
  });

  test("memory of a result that failed is as good as new for the next", async () => {
    breakKernels(/^bad\//);
    const x = shape(3);
    const y = compile((t: Tensor) => ops.cos(t), { label: "bad" })(x);
    await expect(b.sync()).rejects.toMatchObject({ name: "ShaderError" });
    const { buffer } = y.storage as GpuStorage;
    y.dispose();
    const z = compile((t: Tensor) => ops.add(t, 1), { label: "good" })(x);
    expect((z.storage as GpuStorage).buffer).toBe(buffer);
    expect(Array.from(await z.data())).toEqual([1, 2, 3]);
  });

  test("a state that a failed run should have given a new value says so, also by its parts, until it is written", async () => {
    breakKernels(/^halfway\//);
    const flat = new FlatTensors(flatLayout(["a", "b"].map((name) => ({ name, shape: [4] }))), "flat");
    const step = compile((s: Tensor) => assign(s, ops.cos(s)), { state: [0], label: "halfway" });
    step(flat.get("a"));
    await expect(b.sync()).rejects.toMatchObject({ name: "ShaderError" });
    await expect(flat.get("a").data()).rejects.toMatchObject({ name: "ShaderError" });
    await expect(flat.flat[0].data()).rejects.toMatchObject({ name: "ShaderError" });
    await expect(ops.add(flat.get("a"), 1).data()).rejects.toMatchObject({ name: "ShaderError" });
    expect(Array.from(await flat.get("b").data())).toEqual([0, 0, 0, 0]);
    flat.get("a").write([1, 2, 3, 4]);
    expect(Array.from(await flat.get("a").data())).toEqual([1, 2, 3, 4]);
    expect((await flat.flat[0].data())[3]).toBe(4);
    flat.dispose();
  });

  test("every pending await on a failed program rejects", async () => {
    breakKernels(/^pending\//);
    const y = compile((t: Tensor) => ops.sin(t), { label: "pending" })(shape(3));
    const results = await Promise.allSettled([y.data(), y.data(), y.data()]);
    expect(results.map((r) => (r.status === "rejected" ? r.reason.name : "fulfilled"))).toEqual(
      Array(3).fill("ShaderError"),
    );
  });

  test("an uncaptured error rejects the next await by name", async () => {
    await start();
    const x = shape(3);
    b.device.gpu.createBuffer({ label: "naysay.bad", size: 16, usage: 0xffff });
    await expect(
      (async () => {
        for (let i = 0; i < 50; i++) await b.sync();
      })(),
    ).rejects.toMatchObject({ name: "DeviceError", message: expect.stringContaining("naysay") });
    await expect(x.data()).rejects.toMatchObject({ name: "DeviceError" });
    await start();
  });

  test("a device lost in the middle of training rejects all that waits; a fresh one works", async () => {
    await start();
    const params = new FlatTensors(flatLayout([{ name: "w", shape: [64] }]), "p");
    const optimizer = new AdamW(params);
    const loss = compile((w: Tensor) => ops.sum(ops.square(ops.sub(w, 1))), { label: "loss" });
    const step = (i: number): Promise<ArrayLike<number>> => {
      const norm = optimizer.step({ lr: 0.1, step: i });
      return norm.data();
    };
    await step(1);
    const waiting = [step(2), loss(params.get("w")).data(), b.sync(), params.get("w").data()];
    b.device.gpu.destroy();
    const after = [step(3), b.sync(), params.get("w").data()];
    const results = await Promise.allSettled([...waiting, ...after]);
    expect(results.map((r) => (r.status === "rejected" ? r.reason.name : "fulfilled"))).toEqual(
      Array(7).fill("DeviceLostError"),
    );
    const old = params.get("w");
    await start();
    await expect(old.data()).rejects.toMatchObject({ name: "DeviceLostError" });
    expect(() => loss(old)).toThrow(expect.objectContaining({ name: "TensorError" }));
    expect(await loss(shape(64)).item()).toBeGreaterThan(0);
    // Releasing what the lost device held is harmless.
    optimizer.dispose();
    params.dispose();
  });

  test("a device lost while pipelines compile rejects too", async () => {
    await start();
    const y = compile((t: Tensor) => ops.sum(ops.tanh(ops.mul(t, 3))), { label: "cold" })(shape(65, 7));
    const waiting = [y.data(), b.sync()];
    b.device.gpu.destroy();
    const results = await Promise.allSettled(waiting);
    expect(results.map((r) => (r.status === "rejected" ? r.reason.name : "fulfilled"))).toEqual(
      Array(2).fill("DeviceLostError"),
    );
    await start();
  });

  test("reads that fail keep no staging buffer", async () => {
    await start();
    const x = shape(100);
    const buffers: GPUBuffer = Object.getPrototypeOf((x.storage as GpuStorage).buffer);
    const bytes: number[] = [];
    for (let i = 0; i < 4; i++) {
      // The map is refused; then a program fails whose failure the read has to tell.
      vi.spyOn(buffers, "mapAsync").mockRejectedValueOnce(new Error("refused"));
      await expect(x.data()).rejects.toMatchObject({ message: expect.stringContaining("refused") });
      breakKernels(/^broken/);
      const broken = compile((t: Tensor) => ops.sin(t), { label: `broken${i}` });
      broken(x).dispose();
      await expect(x.data()).rejects.toMatchObject({ name: "ShaderError" });
      broken.dispose();
      vi.restoreAllMocks();
      expect((await x.data())[99]).toBe(99);
      bytes.push(b.memory().allocatedBytes);
    }
    expect(bytes).toEqual(Array(4).fill(bytes[0]));
    x.dispose();
  });

  test("a failure on a segment ends part by part, as each is written anew", async () => {
    const flat = new FlatTensors(
      flatLayout([
        { name: "w", shape: [3] },
        { name: "v", shape: [65] },
      ]),
      "p",
    );
    breakKernels(/^broken/);
    const broken = compile((s: readonly Tensor[]) => assign(s[0], ops.cos(s[0])), {
      state: [0],
      label: "broken",
    });
    const failed = { name: "ShaderError" };
    // Twice: what failed twice is well again after one write too.
    for (let i = 0; i < 2; i++) {
      broken(flat.flat);
      await expect(b.sync()).rejects.toMatchObject(failed);
    }
    vi.restoreAllMocks();
    await expect(flat.get("w").data()).rejects.toMatchObject(failed);
    flat.get("w").write([7, 8, 9]);
    expect(Array.from(await flat.get("w").data())).toEqual([7, 8, 9]);
    await expect(flat.get("v").data()).rejects.toMatchObject(failed);
    await expect(flat.flat[0].data()).rejects.toMatchObject(failed);
    flat.get("v").write(new Float32Array(65).fill(2));
    expect((await flat.get("v").data())[64]).toBe(2);
    expect(Array.from(await flat.flat[0].data()).slice(0, 4)).toEqual([7, 8, 9, 0]);
    expect(await ops.sum(flat.flat[0]).item()).toBe(24 + 130);
    broken.dispose();
    flat.dispose();
  });

  test("a program disposed with runs under way finishes them", async () => {
    const f = compile((t: Tensor) => ops.matmul(ops.matmul(t, t), t), { label: "leaving" });
    const y = f(shape(2, 2));
    f.dispose();
    expect(Array.from(await y.data())).toEqual([6, 11, 22, 39]);
    expect(Array.from(await f(shape(2, 2)).data())).toEqual([6, 11, 22, 39]);
    f.dispose();
  });
});

describe("scopes and bytes", () => {
  test("scope keeps what is returned or kept, and releases the rest, also where it throws", () => {
    const before = b.memory().liveBytes;
    let inside: Tensor | undefined;
    let saved: Tensor | undefined;
    const out = scope((keep) => {
      inside = shape(100);
      saved = keep(shape(10));
      return { a: [shape(20)], n: 3 };
    });
    expect([inside?.disposed, saved?.disposed, out.a[0].disposed]).toEqual([true, false, false]);
    expect(b.memory().liveBytes).toBe(before + 48 + 80);
    expect(() =>
      scope((keep) => {
        keep(shape(100));
        throw new Error("stop");
      }),
    ).toThrow("stop");
    expect(b.memory().liveBytes).toBe(before + 48 + 80);
    saved?.dispose();
    out.a[0].dispose();
    expect(b.memory().liveBytes).toBe(before);
  });

  test("what an inner scope returns belongs to the outer one", () => {
    let inner: Tensor | undefined;
    scope(() => {
      inner = scope(() => shape(4));
      expect(inner.disposed).toBe(false);
    });
    expect(inner?.disposed).toBe(true);
  });

  test("using releases at the end of its block, also where it throws", () => {
    const before = b.memory().liveBytes;
    expect(() => {
      using x = shape(100);
      expect(b.memory().liveBytes).toBe(before + 400);
      x.write([1]);
    }).toThrow();
    expect(b.memory().liveBytes).toBe(before);
  });

  test("released memory is used again: allocated bytes stay", async () => {
    const f = compile((t: Tensor) => ops.add(t, 1));
    const x = shape(1000);
    await f(x).data();
    const keep = b.memory();
    for (let i = 0; i < 20; i++) {
      using y = f(x);
      expect((await y.data())[999]).toBe(1000);
    }
    // The first result is not released: one buffer more than before, whatever the number of runs.
    expect(b.memory().liveBytes).toBe(keep.liveBytes);
    expect(b.memory().allocatedBytes - keep.allocatedBytes).toBeLessThanOrEqual(8192);
    const size = b.memory().allocatedBytes;
    for (let i = 0; i < 20; i++) f(x).dispose();
    await b.sync();
    expect(b.memory().allocatedBytes).toBe(size);
    x.dispose();
  });
});

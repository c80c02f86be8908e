/** Submissions end by estimated work, so that no driver's watchdog fires: where, and that no bit depends on it. */

import { afterEach, describe, expect, test, vi } from "vitest";
import { Commands } from "../../src/tensor/commands.ts";
import { assign, compile, u32 } from "../../src/tensor/compile.ts";
import { tensor } from "../../src/tensor/create.ts";
import { setFlags } from "../../src/tensor/flags.ts";
import { init } from "../../src/tensor/init.ts";
import { ops } from "../../src/tensor/ops/index.ts";
import { opByName } from "../../src/tensor/ops/table.ts";
import type { Dispatch, Recorded } from "../../src/tensor/tapes.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";

afterEach(() => setFlags({ nan: false, debug: 0 }));

/** A device that writes down what it is given: dispatches by their work, `c` for a copy, `|` for a submission. */
function tape(): { gpu: GPUDevice; log: () => string } {
  const words: (string | number)[] = [];
  const pass = {
    setPipeline: () => {},
    setBindGroup: () => {},
    dispatchWorkgroups: (x: number) => words.push(x),
    end: () => {},
  };
  const encoder = {
    beginComputePass: () => pass,
    copyBufferToBuffer: () => words.push("c"),
    finish: () => ({}),
  };
  const gpu = { createCommandEncoder: () => encoder, queue: { submit: () => words.push("|") } };
  return { gpu: gpu as unknown as GPUDevice, log: () => words.join(" ") };
}

const works = (...flops: number[]): Recorded => ({
  dispatches: flops.map((f) => ({ pipeline: {}, again: false, group: {}, x: f, y: 1, flops: f }) as Dispatch),
  flops: flops.reduce((sum, f) => sum + f, 0),
});
const buffer = {} as GPUBuffer;

test("encoders and passes have a label where DEBUG asks for one, also once the device is there", () => {
  const { gpu } = tape();
  const encoders = vi.spyOn(gpu, "createCommandEncoder");
  const commands = new Commands(gpu);
  for (const debug of [0, 1] as const) {
    setFlags({ debug });
    commands.copy(buffer, 0, buffer, 0, 4);
    commands.flush();
  }
  expect(encoders.mock.calls.map(([given]) => given?.label)).toEqual([undefined, "naysay"]);
});

describe("where a submission ends", () => {
  test("after the kernel that passes the limit, counted over runs, and with the turn", async () => {
    const { gpu, log } = tape();
    const commands = new Commands(gpu, 7);
    commands.run(works(4, 4, 4));
    commands.run(works(4, 1));
    commands.copy(buffer, 0, buffer, 0, 4);
    commands.run(works(2));
    expect(log()).toBe("4 4 | 4 4 | 1 c 2");
    await Promise.resolve();
    expect(log()).toBe("4 4 | 4 4 | 1 c 2 |");
    commands.run(works(9));
    expect(log()).toBe("4 4 | 4 4 | 1 c 2 | 9 |");
    await Promise.resolve();
    expect(log()).toBe("4 4 | 4 4 | 1 c 2 | 9 |");
    expect([commands.submits, commands.dispatches, commands.current]).toEqual([4, 7, 5]);
  });

  test("after so many dispatches, however small", () => {
    const { gpu, log } = tape();
    new Commands(gpu).run(works(...new Array(2100).fill(1)));
    expect(
      log()
        .split(" | ")
        .map((run) => run.split(" ").length),
    ).toEqual([1024, 1024, 52]);
  });

  test("after so many dispatches of several runs", () => {
    const { gpu, log } = tape();
    const commands = new Commands(gpu);
    const small = (n: number) => works(...new Array(n).fill(1));
    const sizes = () =>
      log()
        .split("|")
        .map((run) => run.split(" ").filter((word) => word !== "").length);
    for (const n of [1000, 1000]) commands.run(small(n));
    expect(sizes()).toEqual([1024, 976]);
    for (const n of [48, 1024]) commands.run(small(n));
    expect(sizes()).toEqual([1024, 1024, 1024, 0]);
  });

  test("before a caller's own encoder", () => {
    const { gpu, log } = tape();
    const commands = new Commands(gpu);
    commands.run(works(3));
    commands.submit(gpu.createCommandEncoder());
    expect(log()).toBe("3 | |");
  });

  test("by default within a second at 100 GFLOP/s", () => {
    const { gpu, log } = tape();
    new Commands(gpu).run(works(...new Array(20).fill(2e10)));
    const longest = Math.max(
      ...log()
        .split("|")
        .map((run) => run.trim().split(" ").length),
    );
    expect(log()).toContain("|");
    expect(longest * 2e10).toBeLessThan(1e11);
  });
});

const scalars = [
  { shape: [], dtype: "f32" as const },
  { shape: [], dtype: "u32" as const },
  { shape: [], dtype: "f32" as const },
];

test("loops over data that a kernel's results do not show are part of the estimate", () => {
  const chain = (n: number, rows: number): number =>
    opByName("indexChain").cost?.(
      [{ shape: [n], dtype: "u32" }],
      [
        { shape: [rows], dtype: "u32" },
        { shape: [n], dtype: "u32" },
      ],
      { rows },
    ).flops as number;
  // Each of V lists looks through N indices, each index through those after it.
  expect(chain(8192, 50257)).toBeGreaterThanOrEqual(8192 * 50257 + (8192 * 8191) / 2);
  const f32 = (...shape: number[]) => ({ shape, dtype: "f32" as const });
  const outs = [{ shape: [3], dtype: "u32" as const }, f32(3)];
  const sample = opByName("sample").cost?.([f32(3, 100), f32(3), ...scalars], outs, {}).mostFlops as number;
  // Two bisections over 32 bits, each step a pass over the row.
  expect(sample).toBeGreaterThanOrEqual(64 * 300);
});

describe("a program of several submissions", () => {
  const values = Float32Array.from({ length: 64 }, (_, i) => (((i * 7) % 11) - 5) / 8);

  /** Words of the result, and the submissions that the run took. */
  async function run(submitFlops?: number, nan = false): Promise<{ words: number[]; submits: number }> {
    const b = await init({ submitFlops });
    setFlags({ nan });
    const f = compile(
      (x: Tensor) => {
        let y = x;
        for (let i = 0; i < 6; i++) y = ops.matmul(y, x);
        return y;
      },
      { label: "powers" },
    );
    const x = tensor(values, { shape: [8, 8] });
    const y = f(x);
    await b.sync();
    const { submits } = b.counters();
    const words = Array.from(new Uint32Array(((await y.data()) as Float32Array).buffer));
    b.destroy();
    return { words, submits };
  }

  test("gives the bits of one submission, and of one with a check after each kernel", async () => {
    const whole = await run();
    expect(whole.submits).toBe(1);
    // A product of 8 x 8 by 8 x 8 takes 1,024 operations: two pass 1,500.
    const cut = await run(1500);
    expect(cut).toEqual({ words: whole.words, submits: 3 });
    expect(await run(1500, true)).toEqual(cut);
    expect(new Set(whole.words).size).toBeGreaterThan(30);
  });
});

describe("runs of one turn", () => {
  const grow = (state: Tensor, by: Tensor | number): undefined => {
    assign(state, ops.add(ops.mul(state, 2), by));
    return undefined;
  };

  test("share a submission, and each sees the numbers and the data of its own", async () => {
    const b = await init();
    const a = compile(grow, { state: [0], label: "a" });
    const c = compile(grow, { state: [0], label: "c" });
    const state = tensor([1]);
    const by = tensor([1]);
    a(state, by);
    c(state, 1);
    await b.sync();
    expect(Array.from(await state.data())).toEqual([7]);
    const since = b.counters().submits;
    a(state, by); // 15
    c(state, 2); // 32
    a(state, by); // 65
    await b.sync();
    // The other number waits for no one: c's were with the device.
    expect(b.counters().submits - since).toBe(1);
    c(state, 3); // 133
    c(state, 4); // 270: another number, so what waits goes first
    by.write([5]);
    a(state, by); // 545
    await b.sync();
    expect(b.counters().submits - since).toBe(4);
    expect(Array.from(await state.data())).toEqual([545]);
    b.destroy();
  });

  test("use buffers that were given back and destroyed meanwhile", async () => {
    const b = await init({ spareBytes: 0 });
    const f = compile((x: Tensor) => ops.mul(x, 2));
    const first = tensor(Float32Array.from({ length: 5000 }, (_, i) => i));
    const y = f(first);
    first.dispose();
    const z = f(y);
    y.dispose();
    tensor(new Float32Array(90_000)).dispose();
    f.dispose();
    expect(Array.from((await z.data()).slice(0, 4))).toEqual([0, 4, 8, 12]);
    b.destroy();
  });

  test("are handed over without an await, at the end of the turn", async () => {
    const b = await init();
    const f = compile((x: Tensor) => ops.add(x, 1));
    f(tensor([1])).dispose();
    await b.sync();
    const { submits } = b.counters();
    f(tensor([1])).dispose();
    await new Promise((resolve) => setTimeout(resolve, 0));
    expect(b.counters().submits).toBe(submits + 1);
    b.destroy();
  });
});

describe("repeat", () => {
  const count = (state: { at: Tensor; sum: Tensor }, step: Tensor): undefined => {
    assign(state.sum, ops.add(state.sum, ops.cast(state.at, "f32")));
    assign(state.at, ops.add(state.at, step));
    return undefined;
  };
  const made = () => ({ at: tensor([1], { dtype: "u32" }), sum: tensor([0.5]) });

  test("is so many calls, in one submission", async () => {
    const b = await init();
    const f = compile(count as (state: ReturnType<typeof made>, step: unknown) => undefined, { state: [0] });
    const [one, many] = [made(), made()];
    f.repeat(1, many, u32(3));
    await b.sync();
    const since = b.counters();
    f.repeat(6, many, u32(3));
    f.repeat(0, many, u32(3));
    await b.sync();
    const { submits, dispatches } = b.counters();
    expect([submits - since.submits, (dispatches - since.dispatches) % 6]).toEqual([1, 0]);
    for (let i = 0; i < 7; i++) f(one, u32(3));
    for (const key of ["at", "sum"] as const) {
      expect(Array.from(await many[key].data())).toEqual(Array.from(await one[key].data()));
    }
    expect(Array.from(await many.sum.data())).toEqual([0.5 + 1 + 4 + 7 + 10 + 13 + 16 + 19]);
    b.destroy();
  });

  test("inside a compiled function is so many copies of the graph", async () => {
    const b = await init();
    const f = compile(count as (state: ReturnType<typeof made>, step: unknown) => undefined, { state: [0] });
    const outer = compile(
      (state: ReturnType<typeof made>) => {
        f.repeat(3, state, u32(2));
        return undefined;
      },
      { state: [0] },
    );
    const state = made();
    outer(state);
    expect(Array.from(await state.sum.data())).toEqual([0.5 + 1 + 3 + 5]);
    b.destroy();
  });

  test("with a check after each kernel gives the same, and tells of what is not finite", async () => {
    const b = await init();
    setFlags({ nan: true });
    const f = compile(count as (state: ReturnType<typeof made>, step: unknown) => undefined, { state: [0] });
    const state = made();
    f.repeat(7, state, u32(3));
    await b.sync();
    expect(Array.from(await state.sum.data())).toEqual([0.5 + 1 + 4 + 7 + 10 + 13 + 16 + 19]);
    state.sum.write([Number.NaN]);
    f.repeat(2, state, u32(3));
    await expect(b.sync()).rejects.toThrow(/^count: finite arguments were expected/);
    b.destroy();
  });

  test("refuses results and what is no number of times", async () => {
    const b = await init();
    const f = compile((x: Tensor) => ops.add(x, 1), { label: "f" });
    const x = tensor([1]);
    expect(() => f.repeat(2, x)).toThrow(/^f: repeat: a function that returns no tensors was expected/);
    const outer = compile((y: Tensor) => f.repeat(2, y));
    expect(() => outer(x)).toThrow(/^f: repeat: a function that returns no tensors was expected/);
    for (const state of [0, "0", [-1], [0.5]]) {
      expect(() => compile((y: Tensor) => y, { state: state as number[] })).toThrow(
        /^compile: state: a list of positions of arguments was expected, got/,
      );
    }
    for (const times of [-1, 1.5, Number.NaN]) {
      expect(() => f.repeat(times, x)).toThrow(/^f: repeat: a number of times was expected, got/);
    }
    b.destroy();
  });
});

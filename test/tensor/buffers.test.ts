/** The pool of buffers: what it keeps, what it gives back, and which tensors it refuses. */

import { describe, expect, test, vi } from "vitest";
import { BufferPool, type GpuStorage } from "../../src/tensor/buffers.ts";
import { tensor } from "../../src/tensor/create.ts";
import type { Device } from "../../src/tensor/device.ts";
import { init } from "../../src/tensor/init.ts";
import { ops } from "../../src/tensor/ops/index.ts";

const MiB = 2 ** 20;

/** A pool over a device that makes buffers of nothing, and how many it made and which it destroyed. */
function pool(limits = { maxStorageBufferBindingSize: 128 * MiB, maxBufferSize: 256 * MiB }) {
  const seen = { made: 0, destroyed: [] as number[] };
  const gpu = {
    createBuffer: ({ size }: { size: number }) => {
      const number = seen.made++;
      return { size, destroy: () => seen.destroyed.push(number) };
    },
  };
  const p = new BufferPool({ gpu, limits, tier: "T0" } as unknown as Device, false);
  return { p, seen, take: (bytes: number): GpuStorage => p.take({} as never, bytes, "x") };
}

describe("what the pool keeps", () => {
  test("of many sizes no more than 64 MiB beyond what was alive at once, oldest first", () => {
    const { p, seen, take } = pool();
    for (let i = 1; i <= 400; i++) take(i * 50_000).release();
    expect(p.liveBytes).toBe(0);
    expect(p.allocatedBytes).toBeLessThanOrEqual(64 * MiB + 24 * MiB);
    expect(p.allocatedBytes).toBeGreaterThan(32 * MiB);
    expect(seen.destroyed.length).toBeGreaterThan(20);
    expect(seen.destroyed).toEqual([...seen.destroyed].sort((a, b) => a - b));
    const { made } = seen;
    take(400 * 50_000).release();
    expect(seen.made).toBe(made);
  });

  test("what lives is left alone, and repeated steps make and destroy nothing", () => {
    const { p, seen, take } = pool();
    const weights = Array.from({ length: 10 }, () => take(30 * MiB));
    const step = (): void => {
      // Two phases whose sizes differ: 80 MiB at once, then 48.
      for (const sizes of [
        [32, 32, 16],
        [24, 24],
      ]) {
        const held = sizes.map((n) => take(n * MiB));
        for (const s of held) s.release();
      }
    };
    step();
    const after = { ...seen, destroyed: [...seen.destroyed], bytes: p.allocatedBytes };
    for (let i = 0; i < 5000; i++) step();
    expect({ ...seen, bytes: p.allocatedBytes }).toEqual(after);
    expect(after.destroyed).toEqual([]);
    for (const s of weights) s.release();
  });

  test("a peak is forgotten, and its buffers go", () => {
    const { p, take } = pool();
    const many = Array.from({ length: 20 }, () => take(100 * MiB));
    for (const s of many) s.release();
    expect(p.allocatedBytes).toBe(20 * 104 * MiB);
    for (let i = 0; i < 5000; i++) take(1000).release();
    expect(p.allocatedBytes).toBeLessThanOrEqual(65 * MiB);
  });
});

test("a tensor beyond the largest binding or the largest buffer is refused, one as large is not", () => {
  const { p } = pool();
  expect(() => p.requireFits("x", 32 * MiB, "f32")).not.toThrow();
  const refused = {
    name: "MemoryBudgetError",
    message: expect.stringMatching(
      /^x: at most 134217728 bytes for one tensor were expected .*T0\), got 134217744 for f32\[33554433\]\. Make the batch/,
    ),
  };
  expect(() => p.requireFits("x", 32 * MiB + 1, "f32")).toThrow(expect.objectContaining(refused));
  const narrow = pool({ maxStorageBufferBindingSize: 2 ** 31, maxBufferSize: 1024 });
  expect(() => narrow.p.requireFits("x", 256, "u32")).not.toThrow();
  expect(() => narrow.p.requireFits("x", 257, "u32")).toThrow(
    /at most 1024 bytes .* got 1040 for u32\[257\]/,
  );
  // Rounded sizes do not pass the limit either.
  expect(pool({ maxStorageBufferBindingSize: 2 ** 31, maxBufferSize: 4500 }).take(4400).buffer.size).toBe(
    4500,
  );
});

test("buffers destroyed while work on them is under way change no result", async () => {
  const b = await init({ spareBytes: 0 });
  const sizes = Array.from({ length: 30 }, (_, i) => 400 * (i + 1));
  const sumOf = (n: number): Promise<number> => {
    using x = tensor(new Float32Array(n).fill(n / 400));
    using y = ops.add(x, 1);
    using s = ops.sum(y);
    return s.item();
  };
  const want = sizes.map((n) => n * (n / 400 + 1));
  // One after another, so that little is alive at once; what the pool may keep follows from that.
  const slowly: number[] = [];
  for (const n of sizes) slowly.push(await sumOf(n));
  expect(slowly).toEqual(want);
  const probe = tensor([1]);
  const destroy = vi.spyOn(Object.getPrototypeOf((probe.storage as GpuStorage).buffer), "destroy");
  // The programs are there: each run goes to the device at once, and what it read is free before it is done.
  const quickly = sizes.map(sumOf);
  expect(destroy.mock.calls.length).toBeGreaterThan(20);
  expect(await Promise.all(quickly)).toEqual(want);
  vi.restoreAllMocks();
  b.destroy();
});

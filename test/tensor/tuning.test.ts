/** Measured choices of kernels: every way to compute a product has the same bits, and only such are entered. */

import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { gainOf } from "../../src/cli/tuneAndKeep.ts";
import { lanesFor } from "../../src/tensor/codegen/lanes.ts";
import { preferredWay } from "../../src/tensor/codegen/matmulPreferred.ts";
import { matmulClass, matmulVariants } from "../../src/tensor/codegen/matmulTiles.ts";
import { compile } from "../../src/tensor/compile.ts";
import { tensor } from "../../src/tensor/create.ts";
import { requestAdapter, requestDevice } from "../../src/tensor/device.ts";
import { ConfigError } from "../../src/tensor/errors.ts";
import { init } from "../../src/tensor/init.ts";
import { ops } from "../../src/tensor/ops/index.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { tune } from "../../src/tensor/tune.ts";
import { loadTuning, parseTuning, Tuning, tuningKey } from "../../src/tensor/tuning.ts";
import type { WebGpuBackend } from "../../src/tensor/webgpu.ts";

const { tier } = (await requestAdapter()).info;
let backend: WebGpuBackend;

beforeAll(async () => {
  backend = await init({ tuning: "off" });
});

afterAll(() => backend.destroy());

const random = (shape: number[]): Tensor => {
  const values = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => Math.random() - 0.5);
  return tensor(values, { shape });
};

const words = async (t: Tensor): Promise<number[]> =>
  Array.from(new Uint32Array(((await t.data()) as Float32Array).buffer));

/** A product with work on its operands and on its result, as a transformer's layers have. */
function product(transposeA: boolean, transposeB: boolean) {
  return compile((a: Tensor, b: Tensor, bias: Tensor) =>
    ops.maximum(ops.add(ops.matmul(ops.mul(a, 2), b, { transposeA, transposeB }), bias), 0),
  );
}

test.each([
  { transposeA: false, transposeB: false, m: 64, n: 128 },
  { transposeA: true, transposeB: true, m: 64, n: 128 },
  { transposeA: false, transposeB: false, m: 37, n: 107 },
])(
  "products have the same bits, whichever way they are computed: $m, $n, $transposeA, $transposeB",
  async ({ transposeA, transposeB, m, n }) => {
    const [batches, k] = [2, 48];
    const a = random([batches, ...(transposeA ? [k, m] : [m, k])]);
    const b = random([batches, ...(transposeB ? [n, k] : [k, n])]);
    const bias = random([n]);
    const sizes = { batch: [batches], batches, m, k, n, transposeA, transposeB };
    const names = matmulVariants(sizes, lanesFor(tier));
    expect(names).toEqual(
      expect.arrayContaining(["direct8x8", ...(m === 64 ? ["shared32x16", "shared64x8"] : [])]),
    );
    // Sizes that no tile divides take the same path in all of them: the largest tiles will do.
    const tried = m === 64 ? names : names.filter((name) => /8x8$|16x8q/.test(name));
    const shapeClass = matmulClass(sizes);
    const texts = new Set<string>();
    const spy = vi.spyOn(backend.device.gpu, "createShaderModule");
    const results: number[][] = [];
    for (const name of ["default", ...tried]) {
      backend.tuning = new Tuning("test");
      backend.tuning.set(shapeClass, name);
      const f = product(transposeA, transposeB);
      results.push(await words(f(a, b, bias)));
      f.dispose();
      expect(backend.tuning.missing.size).toBe(0);
    }
    for (const [d] of spy.mock.calls) if (d.label?.includes("matmul")) texts.add(d.code);
    spy.mockRestore();
    // Each way is another kernel, but for the one that is the default.
    expect(texts.size).toBeGreaterThanOrEqual(tried.length);
    tried.forEach((name, i) => {
      expect(results[i + 1], name).toEqual(results[0]);
    });
    expect(results[0].some((w) => w !== 0)).toBe(true);
  },
);

test("a class that was met is measured once, and later programs take what was found", async () => {
  backend.tuning = new Tuning("test");
  const [a, b] = [random([96, 32]), random([32, 64])];
  const before = await words(compile((x: Tensor, y: Tensor) => ops.matmul(x, y))(a, b));
  const [shapeClass] = backend.tuning.missing.keys();
  expect([...backend.tuning.missing.keys()]).toEqual(["matmul nn b1 m128/32 n64/64 k32/32"]);
  const [tuned, ...more] = await tune(backend, { time: 1 });
  expect(more).toEqual([]);
  expect(tuned.shapeClass).toBe(shapeClass);
  expect(tuned.refused).toEqual({});
  expect(Object.keys(tuned.ms)).toEqual(expect.arrayContaining(["default", "direct8x4", "shared32x16"]));
  for (const ms of Object.values(tuned.ms)) expect(ms).toBeGreaterThan(0);
  expect(await tune(backend)).toEqual([]);
  // Whatever was chosen here: another way, entered by hand, is what the next program takes.
  backend.tuning.set(shapeClass, "shared32x16");
  const spy = vi.spyOn(backend.device.gpu, "createShaderModule");
  expect(await words(compile((x: Tensor, y: Tensor) => ops.matmul(x, y))(a, b))).toEqual(before);
  const texts = spy.mock.calls.map(([d]) => d.code);
  spy.mockRestore();
  expect(texts.length).toBeLessThanOrEqual(1);
  const { choices } = backend.tuning.table();
  expect(choices).toEqual({ [shapeClass]: "shared32x16" });
});

test("what is gained is gained over the way that is taken without a table, and that one stays where nothing is faster", async () => {
  backend.tuning = new Tuning("test");
  const sizes = { batch: [], batches: 1, m: 128, n: 128, k: 8, transposeA: false, transposeB: false };
  ops.matmul(random([128, 8]), random([8, 128])).dispose();
  // A clock by which every way takes as long as every other.
  let now = 0;
  vi.spyOn(performance, "now").mockImplementation(() => now);
  const sync = backend.sync.bind(backend);
  vi.spyOn(backend, "sync").mockImplementation(async () => {
    await sync();
    now += 10;
  });
  const [tuned] = await tune(backend, { time: 1 }).finally(() => vi.restoreAllMocks());
  const untuned = preferredWay(backend.device.info.architecture, sizes) ?? "default";
  expect(tuned).toMatchObject({ untuned, chosen: null });
  expect(backend.tuning.choose(matmulClass(sizes), sizes)).toBe(untuned);
  expect(gainOf(tuned)).toBe(1);
  const ms = { default: 8, direct16x4q: 4, direct8x8: 2 };
  expect(gainOf({ ...tuned, untuned: "direct16x4q", chosen: "direct8x8", ms })).toBe(2);
});

test("a way with other bits than the default is not entered", async () => {
  backend.tuning = new Tuning("test");
  const [a, b] = [random([32, 16]), random([16, 32])];
  ops.matmul(a, b).dispose();
  // The device is honest here, so the reading is not: every product but the default's has one bit more.
  const read = backend.read.bind(backend);
  let reads = 0;
  const spy = vi.spyOn(backend, "read").mockImplementation(async (...args) => {
    const got = await read(...args);
    // The first to be read are the default's.
    if (reads++ > 0) got[3] ^= 1;
    return got;
  });
  const [tuned] = await tune(backend, { time: 1 });
  spy.mockRestore();
  expect(Object.keys(tuned.ms)).toEqual(["default"]);
  expect(tuned.chosen).toBeNull();
  expect(new Set(Object.values(tuned.refused))).toEqual(new Set(["other bits than the default"]));
  expect(Object.values(backend.tuning.table().choices)).toEqual(["default"]);
});

test("a table is used on its adapter only, and what is no table is refused", () => {
  const mine = new Tuning("this adapter");
  expect(mine.add({ adapter: "another", choices: { x: "direct4x4" } })).toBe(0);
  expect(mine.add({ adapter: "this adapter", choices: { x: "direct4x4" } })).toBe(1);
  expect(parseTuning(JSON.stringify(mine.table()), "file")).toEqual(mine.table());
  for (const text of [
    "",
    "7",
    "null",
    '{"adapter":"a","choices":["x"]}',
    "{}",
    '{"adapter":"a","choices":{"x":7}}',
    '{"adapter":1,"choices":{}}',
  ])
    expect(() => parseTuning(text, "file"), text).toThrow(ConfigError);
  // A way that this version does not know is none: its class is measured again.
  expect(new Tuning("a").add({ adapter: "a", choices: { x: "fastest", y: "default" } })).toBe(1);
});

test("what an adapter of the processor is known to do fastest is taken where no entry says otherwise", async () => {
  const sizes = { batch: [], batches: 1, m: 64, n: 128, k: 16, transposeA: false, transposeB: false };
  const [known, quads] = [preferredWay("software", sizes) as string, lanesFor("T2")];
  expect(matmulVariants(sizes, quads)).toContain(known);
  const larger = preferredWay("swiftshader", { ...sizes, m: 1024 }) as string;
  expect(matmulVariants({ ...sizes, m: 1024 }, quads)).toContain(larger);
  // Sizes that the tile does not divide, and products with fewer tiles than cores may have.
  for (const m of [63, 16]) expect(preferredWay("software", { ...sizes, m })).toBeUndefined();
  expect(preferredWay("ampere", sizes)).toBeUndefined();
  const tuning = new Tuning("test", "repeatable", (product) => preferredWay("software", product));
  expect(tuning.choose("x", sizes)).toBe(known);
  expect([...tuning.missing.keys()]).toEqual(["x"]);
  tuning.set("x", "default");
  expect(tuning.choose("x", sizes)).toBe("default");
  // Off is off, and the device at hand takes what its architecture prefers.
  const { device } = backend;
  expect((await loadTuning(device, "off")).choose("x", sizes)).toBeUndefined();
  const own = preferredWay(device.info.architecture, sizes);
  expect((await loadTuning(device, { adapter: "another", choices: {} })).choose("x", sizes)).toBe(own);
});

test("a table that was given and has nothing for this adapter is told, once", async () => {
  const spy = vi.spyOn(console, "error").mockImplementation(() => {});
  try {
    const mine = tuningKey(backend.device);
    const load = async (adapter: string, choices: Record<string, string>) => {
      for (let i = 0; i < 2; i++)
        expect((await loadTuning(backend.device, { adapter, choices })).source).toBe(null);
      return spy.mock.calls.splice(0).map(([line]) => line);
    };
    expect(await load("another", { x: "direct4x4" })).toEqual([
      `init: tuning: a table of this adapter, ${mine}, expected, got one of another. It is not used: make one here with naysay tune.`,
    ]);
    expect(await load(mine, { x: "fastest" })).toEqual([
      "init: tuning: ways that this version knows expected, got none among 1. The table is not used: make one with naysay tune.",
    ]);
    expect(await load("another", {})).toEqual([]);
    expect((await loadTuning(backend.device, { adapter: mine, choices: { x: "direct4x4" } })).size).toBe(1);
    expect(spy).not.toHaveBeenCalled();
  } finally {
    spy.mockRestore();
  }
});

test("a table that was of no use is told when its device ends", async () => {
  const sizes = { batch: [], batches: 1, m: 64, n: 128, k: 16, transposeA: false, transposeB: false };
  const spy = vi.spyOn(console, "error").mockImplementation(() => {});
  try {
    for (const met of ["one", "two"]) {
      const device = await requestDevice();
      const given = { adapter: tuningKey(device), choices: { x: "direct4x4" } };
      (await loadTuning(device, given)).choose(met, sizes);
      device.destroy();
      await device.gpu.lost;
      expect(spy.mock.calls.splice(0)).toEqual([
        [expect.stringMatching(`^init: tuning: entries .* of this device expected, such as ${met}, got 1 `)],
      ]);
    }
  } finally {
    spy.mockRestore();
  }
});

test("wrong arguments are refused before anything is measured", async () => {
  backend.tuning = new Tuning("test");
  ops.matmul(random([4, 4]), random([4, 4])).dispose();
  for (const time of [Number.NaN, 0, -1]) await expect(tune(backend, { time })).rejects.toThrow(ConfigError);
  expect(backend.tuning.missing.size).toBe(1);
  const reference = { kind: "reference" } as unknown as WebGpuBackend;
  await expect(tune(reference)).rejects.toThrow(/tune: a WebGPU backend expected, got reference/);
  for (const tuning of [
    "on",
    5,
    { adapter: "a" },
    { adapter: "a", choices: { x: 7 } },
    { adapter: "a", choices: new Map() },
  ])
    await expect(init({ tuning: tuning as never })).rejects.toThrow(ConfigError);
});

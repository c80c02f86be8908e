/**
 * Products by subgroup matrices (T4): on an emulation everywhere, on an adapter that has them where there is one (Mesa 26.2's
 * lavapipe is such an adapter). Beside the float64 product of the operands rounded to f16.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { lanesFor } from "../../src/tensor/codegen/lanes.ts";
import { compile } from "../../src/tensor/compile.ts";
import { tensor } from "../../src/tensor/create.ts";
import { type Device, requestAdapter, requestDevice } from "../../src/tensor/device.ts";
import { fromHalf, toHalf } from "../../src/tensor/halfBits.ts";
import { init } from "../../src/tensor/init.ts";
import { ops } from "../../src/tensor/ops/index.ts";
import { Rng, Stream } from "../../src/tensor/random.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { TierCheck } from "../../src/tensor/tierCheck.ts";
import type { MatrixConfig } from "../../src/tensor/tiers.ts";
import type { WebGpuBackend } from "../../src/tensor/webgpu.ts";
import { emulateMatrices, emulateOn, type Fault } from "../helpers/matrixEmulation.ts";
import { repeat, seed } from "../helpers/seed.ts";

const gap = (await requestAdapter({ tier: "T4" })).gaps.T4;

/** Sizes that differ, so that none can stand for another; and lanes for which results of two matrices go together. */
const EMULATED: MatrixConfig = { m: 8, n: 4, k: 16, lanes: 1 };
const IN_STRIPS: MatrixConfig = { m: 4, n: 8, k: 8, lanes: 16 };

async function emulated(config: MatrixConfig, fault?: Fault): Promise<WebGpuBackend> {
  const lanes = { ...lanesFor("T1"), matrix: config };
  const backend = await init({ tier: "T1", lanes, tuning: "off", guardWords: true });
  emulateOn(backend.device.gpu, config, fault);
  return backend;
}

interface Sizes {
  batch?: number;
  m: number;
  n: number;
  k: number;
  ta?: boolean;
  tb?: boolean;
}

const rng = new Rng(seed, Stream.test, 4);
const half = (x: number): number => fromHalf(toHalf(x, "f16"), "f16");
const draw = (length: number): Float32Array => Float32Array.from({ length }, () => 2 * rng.uniform() - 1);
const data = async (t: Tensor): Promise<Float32Array> => (await t.data()) as Float32Array;
const words = async (t: Tensor): Promise<Uint32Array> => new Uint32Array((await data(t)).buffer);

interface Operands extends Required<Sizes> {
  a: Float32Array;
  b: Float32Array;
}

function operands({ batch = 1, m, n, k, ta = false, tb = false }: Sizes): Operands {
  return { batch, m, n, k, ta, tb, a: draw(batch * m * k), b: draw(batch * k * n) };
}

function product({ batch, m, n, k, ta, tb, a, b }: Operands): Tensor {
  const lead = batch === 1 ? [] : [batch];
  return ops.matmul(
    tensor(a, { shape: [...lead, ...(ta ? [k, m] : [m, k])] }),
    tensor(b, { shape: [...lead, ...(tb ? [n, k] : [k, n])] }),
    { transposeA: ta, transposeB: tb },
  );
}

/** Sum and sum of magnitudes of each output, of rounded operands unless `exact`. */
function reference({ batch, m, n, k, ta, tb, a, b }: Operands, exact = false): [Float64Array, Float64Array] {
  const [x, y] = [a, b].map((list) => Float64Array.from(list, exact ? (v) => v : half));
  const sums = new Float64Array(batch * m * n);
  const sizes = new Float64Array(batch * m * n);
  for (let z = 0, at = 0; z < batch; z++) {
    for (let i = 0; i < m; i++) {
      for (let j = 0; j < n; j++, at++) {
        for (let q = 0; q < k; q++) {
          const term =
            x[z * m * k + (ta ? q * m + i : i * k + q)] * y[z * k * n + (tb ? j * k + q : q * n + j)];
          sums[at] += term;
          sizes[at] += Math.abs(term);
        }
      }
    }
  }
  return [sums, sizes];
}

/** Largest error over k 2^-23 of the magnitudes' sum. */
function worst(got: Float32Array, given: Operands, exact = false): number {
  const [sums, sizes] = reference(given, exact);
  expect(got.length).toBe(sums.length);
  return got.reduce((most, x, at) => {
    const error = Math.abs(x - sums[at]) / (given.k * 2 ** -23 * sizes[at]);
    return Number.isNaN(error) ? Infinity : Math.max(most, error);
  }, 0);
}

/** Blocks that are full, and edges of every kind: rows, columns, steps, by vectors of four and one by one. */
const PRODUCTS: Sizes[] = [
  { m: 16, n: 64, k: 32 },
  { m: 16, n: 68, k: 44, tb: true },
  { m: 12, n: 33, k: 35, ta: true },
  { m: 5, n: 65, k: 64, batch: 3, ta: true, tb: true },
];
/** What the adapter's own compiler is spared on an emulation. */
const MORE: Sizes[] = [
  { m: 64, n: 64, k: 32 },
  { m: 70, n: 68, k: 44, ta: true },
  { m: 130, n: 140, k: 33, tb: true },
  { m: 17, n: 33, k: 64, batch: 2, ta: true, tb: true },
  { m: 1, n: 32, k: 32 },
];

afterEach(() => {
  vi.restoreAllMocks();
});

/** Whose matrices, what an adapter lacks for them, a backend that has them, products, and blocks that are compared. */
const BACKENDS: [string, string | null, () => Promise<WebGpuBackend>, Sizes[], string[]][] = [
  ["emulated", null, () => emulated(EMULATED), PRODUCTS, ["matrix64x64"]],
  ["emulated, results in strips", null, () => emulated(IN_STRIPS), [PRODUCTS[1]], []],
  [
    "of the adapter",
    gap,
    () => init({ tier: "T4", tuning: "off", guardWords: true }),
    [...PRODUCTS, ...MORE],
    ["matrix64x64", "matrix128x64", "matrix128x128"],
  ],
];

describe.each(BACKENDS)("matrices %s", (_name, missing, make, sizes, ways) => {
  let backend: WebGpuBackend;
  const own = missing === null;

  beforeAll(async () => {
    if (own) backend = await make();
  });

  afterAll(() => backend?.destroy());

  test.runIf(own)("products are those of rounded operands, with sums in f32", async () => {
    const said = vi.spyOn(console, "error").mockImplementation(() => {});
    const given = sizes.map(operands);
    const got = given.map(product);
    for (const [i, t] of got.entries()) {
      const numbers = await data(t);
      expect(worst(numbers, given[i]), `${JSON.stringify(sizes[i])} ${repeat}`).toBeLessThan(1);
      // And not those of the operands as they are.
      expect(worst(numbers, given[i], true)).toBeGreaterThan(1);
    }
    expect(await backend.checkGuards()).toEqual([]);
    expect([...backend.pipelines.fallbacks]).toEqual([]);
    expect(said.mock.calls).toEqual([]);
  });

  test.runIf(own && sizes.length > 1)(
    "a row has the same bits among many and alone, in blocks of every size",
    async () => {
      const given = operands({ m: 16, n: 36, k: 40 });
      const all = await words(product(given));
      const one = await words(product({ ...given, m: 1, a: given.a.slice(0, given.k) }));
      expect(one).toEqual(all.slice(0, given.n));
      // Rows that hold these and others.
      const more = { ...given, m: 70, a: Float32Array.of(...given.a, ...draw(54 * given.k)) };
      const kernels = vi.spyOn(backend.device.gpu, "createShaderModule");
      for (const way of ways) {
        vi.spyOn(backend.tuning, "choose").mockReturnValue(way);
        const f = compile((a: Tensor, b: Tensor) => ops.matmul(a, b));
        const got = f(
          tensor(more.a, { shape: [more.m, more.k] }),
          tensor(more.b, { shape: [more.k, more.n] }),
        );
        expect((await words(got)).slice(0, all.length), way).toEqual(all);
      }
      expect(kernels.mock.calls.length).toBeGreaterThanOrEqual(ways.length);
      expect([...backend.pipelines.fallbacks]).toEqual([]);
    },
  );

  test.runIf(own && sizes.length > 1)(
    "what stands before and after a product is part of its kernel",
    async () => {
      const [m, n, k] = [15, 44, 48];
      const [x, w, bias, rest] = [draw(m * k), draw(n * k), draw(n), draw(m * n)];
      const f = compile((a: Tensor, b: Tensor, c: Tensor, d: Tensor) =>
        ops.add(ops.tanh(ops.add(ops.matmul(ops.mul(a, 0.5), b, { transposeB: true }), c)), d),
      );
      const got = await data(
        f(
          tensor(x, { shape: [m, k] }),
          tensor(w, { shape: [n, k] }),
          tensor(bias, { shape: [n] }),
          tensor(rest, { shape: [m, n] }),
        ),
      );
      const given = { batch: 1, m, n, k, ta: false, tb: true, a: x.map((v) => v / 2), b: w };
      const [sums] = reference(given);
      got.forEach((y, at) => {
        expect(Math.abs(y - (Math.tanh(sums[at] + bias[at % n]) + rest[at])), repeat).toBeLessThan(1e-5);
      });
    },
  );

  test.runIf(own && sizes.length > 1)("packed weights are read as they are", async () => {
    const [m, n, k] = [16, 40, 64];
    for (const [format, tb] of [
      ["f16", false],
      ["bf16", true],
    ] as const) {
      const weights = draw(n * k).map((x) => fromHalf(toHalf(x, format), format));
      const given = { batch: 1, m, n, k, ta: false, tb, a: draw(m * k), b: weights };
      const packed = ops.packHalf(tensor(weights, { shape: tb ? [n, k] : [k, n] }), format);
      const f = compile((a: Tensor, b: Tensor) =>
        ops.matmul(a, ops.unpackHalf(b, format), { transposeB: tb }),
      );
      const got = await data(f(tensor(given.a, { shape: [m, k] }), packed));
      expect(worst(got, given), `${format} ${repeat}`).toBeLessThan(1);
    }
  });
});

describe("an adapter whose matrices are wrong", () => {
  const swap =
    (find: string, by: string): Fault =>
    (wgsl) => {
      if (!wgsl.includes(find)) throw new Error(`a fault in "${find}" expected, got\n${wgsl}`);
      return wgsl.replace(find, by);
    };
  /** Each of which the check has to notice, for operands that lie as the variant says. */
  const FAULTS: [string, string, Fault][] = [
    [
      "rows and columns of a exchanged",
      "nn",
      swap("r * 10u + q / 4u], q % 4u)", "q * 10u + r / 4u], r % 4u)"),
    ],
    [
      "rows and columns of b exchanged",
      "nt",
      swap("c * 10u + q / 4u], q % 4u)", "q * 10u + c / 4u], c % 4u)"),
    ],
    ["a by columns taken for rows", "tn", swap("q * 6u + r / 4u], r % 4u)", "r * 6u + q / 4u], q % 4u)")],
    ["more lanes than there are", "nn", swap("let subgroupId = lane / 1u", "let subgroupId = lane / 2u")],
    ["sums in f16", "nn", swap("sums[place] = sum;", "sums[place] = halfOf(toHalf(vec4<f32>(sum)), 0u);")],
    ["operands of fewer bits", "nn", swap("0xffffe000u", "0xffff8000u")],
  ];
  let device: Device;

  beforeAll(async () => {
    device = await requestDevice({ tier: "T1" });
  });

  afterAll(() => device.destroy());

  test.each(FAULTS)("%s", async (_, layout, fault) => {
    const lanes = { ...lanesFor("T1"), matrix: EMULATED };
    const variant = `matrix/matrix16x64/${layout}`;
    const check = new TierCheck(device, lanes, async (kernel, wgsl) => {
      expect(kernel.variants).toEqual([variant]);
      const module = device.gpu.createShaderModule({ code: emulateMatrices(wgsl, EMULATED, fault) });
      const pipeline = await device.gpu.createComputePipelineAsync({ layout: "auto", compute: { module } });
      return { pipeline, layout: pipeline.getBindGroupLayout(0) };
    });
    expect(await check.refusal([variant])).toMatch(/within \S+ was expected of row \d+, column \d+, got/);
    expect(device.takeFailure()).toBeNull();
  });

  test("products are T0's then, and a line says so", async () => {
    const list = [
      { m: 16, n: 36, k: 40, ta: true, tb: true },
      { m: 20, n: 33, k: 35 },
    ].map(operands);
    const bits = async (): Promise<Uint32Array[]> => Promise.all(list.map((given) => words(product(given))));
    const said = vi.spyOn(console, "error").mockImplementation(() => {});
    const unknown = await emulated(IN_STRIPS, (wgsl) =>
      wgsl.replace("lane / 16u", "thereIsNoSuchFunction()"),
    );
    const got = await bits();
    expect(await unknown.checkGuards()).toEqual([]);
    const variants = ["matrix/matrix16x64/tt", "matrix/matrix64x64/nn"];
    expect([...unknown.pipelines.fallbacks.keys()].sort()).toEqual(variants);
    for (const why of unknown.pipelines.fallbacks.values()) expect(why).toMatch(/thereIsNoSuchFunction/);
    expect(
      said.mock.calls.map(([text]) => String(text)).filter((t) => /falls back to T0/.test(t)),
    ).toHaveLength(2);
    unknown.destroy();
    const fixed = await init({ tier: "T0", tuning: "off" });
    expect(got).toEqual(await bits());
    fixed.destroy();
  });
});

test("T4 is taken where it is named, and nowhere else", async () => {
  const { info, gaps, facts } = await requestAdapter();
  expect(info.tier).not.toBe("T4");
  expect(gaps.T4).not.toBeNull();
  expect(facts.features.has("chromium-experimental-subgroup-matrix")).toBe(false);
  if (gap === null) {
    const device = await requestDevice({ tier: "T4" });
    expect(device.matrix).toMatchObject({ lanes: device.subgroupMinSize });
    device.destroy();
    const below = await requestDevice({ tier: "T3" });
    expect(below.matrix).toBeNull();
    below.destroy();
  } else {
    await expect(requestDevice({ tier: "T4" })).rejects.toThrow(/expected tier T4, got an adapter of T/);
  }
});

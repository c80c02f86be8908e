/**
 * Products whose k is shared out among threads: every case of the op table and random sizes against float64, with work on
 * operands and result, the same bits twice, and each output written once.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { Bench } from "../../src/check/bench.ts";
import { forwardCall } from "../../src/check/calls.ts";
import { allCases, type NamedCase } from "../../src/check/cases.ts";
import { type MatmulProduct, tilingOf } from "../../src/tensor/codegen/matmulTiles.ts";
import { assign, compile } from "../../src/tensor/compile.ts";
import { tensor } from "../../src/tensor/create.ts";
import type { HostArray } from "../../src/tensor/dtype.ts";
import { init } from "../../src/tensor/init.ts";
import { ops } from "../../src/tensor/ops/index.ts";
import { matmulDims } from "../../src/tensor/ops/matmulDims.ts";
import { Rng, Stream } from "../../src/tensor/random.ts";
import { numel } from "../../src/tensor/shape.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { Tuning } from "../../src/tensor/tuning.ts";
import type { WebGpuBackend } from "../../src/tensor/webgpu.ts";
import { repeat, seed } from "../helpers/seed.ts";

const VARIANTS = ["split4x4p4", "split8x4p4", "split4x4p16", "split8x4p16", "split4x4p64"];

let backend: WebGpuBackend;

beforeAll(async () => {
  backend = await init({ determinism: "fast", tuning: "off", guardWords: true });
});

afterAll(() => backend.destroy());

/** From here on every product is computed in this way, where it fits. */
function choose(variant: string): void {
  backend.tuning = new Tuning("test", "fast");
  backend.tuning.choose = () => variant;
}

/** Whether a way fits: the tiles of eight rows want more than four. */
function fits(variant: string, product: MatmulProduct): boolean {
  return tilingOf(product, backend.lanes, variant).kind === "split";
}

function productOf({ test: { inputs, attrs } }: NamedCase): MatmulProduct {
  const [a, b] = inputs.map(({ shape }) => shape);
  const [transposeA, transposeB] = [attrs?.transposeA === true, attrs?.transposeB === true];
  const dims = matmulDims(a, b, transposeA, transposeB);
  return { ...dims, batches: numel(dims.batch), transposeA, transposeB };
}

const words = async (t: Tensor): Promise<Uint32Array> =>
  new Uint32Array(((await t.data()) as Float32Array).buffer);

// Every case by every way takes a minute of compilation: each run takes another way for a case, all of them in turn.
test("the op table's products by the ways in turn: float64, the same bits twice, nothing beside them", async () => {
  const bench = new Bench(backend);
  const list = allCases(["matmul"]).map((c, i) => {
    const ways = VARIANTS.filter((variant) => fits(variant, productOf(c)));
    const variant = ways[(i + seed) % ways.length] ?? "default";
    choose(variant);
    const call = forwardCall(c, seed);
    return { variant, call, p: bench.prepare(`${call.name} by ${variant}`, call.graph, call.inputs) };
  });
  expect(new Set(list.map(({ variant }) => variant))).toEqual(new Set(["default", ...VARIANTS]));
  await bench.ready();
  const runs: HostArray[][][] = [];
  for (let run = 0; run < 2; run++) {
    for (const { p } of list) bench.run(p);
    runs.push(await Promise.all(list.map(({ p }) => bench.read(p))));
    if (run === 0) for (const { p } of list) bench.release(p);
  }
  for (const [i, { call, p }] of list.entries()) {
    const { worst, complaint } = call.judge(runs[0][i]);
    expect(worst, `${p.name}: ${complaint}; ${repeat}`).toBeLessThanOrEqual(1);
    expect(runs[1][i], p.name).toEqual(runs[0][i]);
  }
  expect(await backend.checkGuards(), repeat).toEqual([]);
  for (const { p } of list) bench.dispose(p);
});

/** Sizes with k that parts divide and do not, rows and columns that tiles divide and do not, vectors. */
function randomProducts(): MatmulProduct[] {
  const rng = new Rng(seed, Stream.test);
  const below = (n: number): number => 1 + Math.floor(rng.uniform() * n);
  return [
    { m: 1, n: 4 * below(8), k: 4 * below(150), batch: [] },
    { m: 1 + below(40), n: 1, k: below(300), batch: [] },
    { m: 5 + below(30), n: 4 * below(8) + below(3), k: 60 + below(200), batch: [3] },
  ].map((sizes) => {
    const [transposeA, transposeB] = [rng.uniform() < 0.5, rng.uniform() < 0.5];
    return { ...sizes, batches: numel(sizes.batch), transposeA, transposeB };
  });
}

test("random sizes with work on operands and result, added to a state in place", async () => {
  const rng = new Rng(seed, Stream.test, 1);
  for (const product of randomProducts()) {
    const { batch, m, n, k, transposeA, transposeB } = product;
    const draw = (shape: number[]): Float32Array =>
      Float32Array.from({ length: numel(shape) }, () => rng.uniform() - 0.5);
    const shapes = [
      [...batch, ...(transposeA ? [k, m] : [m, k])],
      [...batch, ...(transposeB ? [n, k] : [k, n])],
      [n],
      [...batch, m, n],
    ];
    const [a, b, bias, start] = shapes.map(draw);
    const wanted = new Float64Array(start.length);
    const magnitude = new Float64Array(start.length);
    for (let at = 0; at < wanted.length; at++) {
      const j = at % n;
      const i = Math.floor(at / n) % m;
      const z = Math.floor(at / n / m);
      for (let q = 0; q < k; q++) {
        const x = 2 * a[z * m * k + (transposeA ? q * m + i : i * k + q)];
        const y = b[z * k * n + (transposeB ? j * k + q : q * n + j)];
        wanted[at] += x * y;
        magnitude[at] += Math.abs(x * y);
      }
      wanted[at] = start[at] + Math.max(wanted[at] + bias[j], -0.25);
    }
    const sums: string[] = [];
    for (const variant of ["default", ...VARIANTS]) {
      if (variant !== "default" && !fits(variant, product)) continue;
      choose(variant);
      const f = compile(
        (state: Tensor, x: Tensor, y: Tensor, c: Tensor) => {
          const sum = ops.matmul(ops.mul(x, 2), y, { transposeA, transposeB });
          assign(state, ops.add(state, ops.maximum(ops.add(sum, c), -0.25)));
          return ops.sum(c);
        },
        { state: [0] },
      );
      const runs: Uint32Array[] = [];
      for (let run = 0; run < 2; run++) {
        const operands = [start, a, b, bias].map((data, i) => tensor(data, { shape: shapes[(i + 3) % 4] }));
        const [state, x, y, c] = operands;
        f(state, x, y, c).dispose();
        runs.push(await words(state));
        for (const t of operands) t.dispose();
      }
      f.dispose();
      const name = `${variant} of ${JSON.stringify(product)}; ${repeat}`;
      expect(runs[1], name).toEqual(runs[0]);
      const got = new Float32Array(runs[0].slice().buffer);
      const worst = Math.max(
        ...got.map((x, at) => Math.abs(x - wanted[at]) / (magnitude[at] + Math.abs(start[at]) + 1)),
      );
      expect(worst, name).toBeLessThan(2e-6);
      sums.push(runs[0].join());
    }
    // Each way has sums of its own: where sums are long and many, no two are alike in all.
    if (k > 60 && m * n > 60) expect(new Set(sums).size, repeat).toBeGreaterThan(2);
  }
  expect(await backend.checkGuards(), repeat).toEqual([]);
});

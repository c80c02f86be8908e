/**
 * Products whose rows and columns no tile divides: their outputs have the bits that they have within a larger product that tiles
 * divide, each is written, none twice, and nothing beside them.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { assign, compile } from "../../src/tensor/compile.ts";
import { tensor } from "../../src/tensor/create.ts";
import { init } from "../../src/tensor/init.ts";
import { ops } from "../../src/tensor/ops/index.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import type { WebGpuBackend } from "../../src/tensor/webgpu.ts";

let backend: WebGpuBackend;

beforeAll(async () => {
  backend = await init({ tuning: "off", guardWords: true });
});

afterAll(() => backend.destroy());

const ROWS = 64;
const COLUMNS = 128;

const words = async (t: Tensor): Promise<Uint32Array> =>
  new Uint32Array(((await t.data()) as Float32Array).buffer);

/** A NaN that no arithmetic gives. */
const POISON = 0x7fa5a5a5;

/** Leaves poison in the memory that the next result of this size takes. */
function poison(elements: number): void {
  const storage = backend.allocate("f32", elements);
  backend.write(storage, "u32", new Uint32Array(elements).fill(POISON));
  storage.release();
}

/** The first m rows and n columns of the operands, as a product with these transposes has them. */
function corner(whole: Float32Array[], k: number, ta: boolean, tb: boolean, m: number, n: number): Tensor[] {
  const [a, b, bias] = whole;
  const left = Float32Array.from({ length: m * k }, (_, at) => {
    const [i, q] = ta ? [at % m, Math.floor(at / m)] : [Math.floor(at / k), at % k];
    return a[i * k + q];
  });
  const right = Float32Array.from({ length: k * n }, (_, at) => {
    const [j, q] = tb ? [Math.floor(at / k), at % k] : [at % n, Math.floor(at / n)];
    return b[q * COLUMNS + j];
  });
  return [
    tensor(left, { shape: ta ? [k, m] : [m, k] }),
    tensor(right, { shape: tb ? [n, k] : [k, n] }),
    tensor(bias.slice(0, n), { shape: [n] }),
  ];
}

test.each([
  // Few rows; rows and columns that are moved back; by vectors of four and one by one.
  {
    k: 16,
    ta: false,
    tb: false,
    sizes: [
      [3, 64],
      [6, 37],
      [37, 70],
    ],
  },
  {
    k: 16,
    ta: false,
    tb: true,
    sizes: [
      [5, 30],
      [41, 100],
      [1, 127],
    ],
  },
  {
    k: 16,
    ta: true,
    tb: false,
    sizes: [
      [20, 36],
      [22, 37],
    ],
  },
  {
    k: 7,
    ta: true,
    tb: true,
    sizes: [
      [9, 5],
      [35, 101],
    ],
  },
])(
  "a row's and a column's bits do not depend on how many there are: $k, $ta, $tb",
  async ({ k, ta, tb, sizes }) => {
    const random = (length: number): Float32Array => Float32Array.from({ length }, () => Math.random() - 0.5);
    const whole = [random(ROWS * k), random(k * COLUMNS), random(COLUMNS)];
    const f = compile((a: Tensor, b: Tensor, bias: Tensor) =>
      ops.maximum(ops.add(ops.matmul(ops.mul(a, 2), b, { transposeA: ta, transposeB: tb }), bias), -0.5),
    );
    const full = await words(f(...(corner(whole, k, ta, tb, ROWS, COLUMNS) as [Tensor, Tensor, Tensor])));
    for (const [m, n] of sizes) {
      const operands = corner(whole, k, ta, tb, m, n) as [Tensor, Tensor, Tensor];
      poison(m * n);
      const got = await words(f(...operands));
      const want = got.map((_, at) => full[Math.floor(at / n) * COLUMNS + (at % n)]);
      expect(got, `${m} x ${n}`).toEqual(want);
    }
    expect(await backend.checkGuards()).toEqual([]);
  },
);

test.each([
  [13, 37],
  [11, 36],
  [37, 132],
])("each output is written once: %i x %i added to a state in place", async (m, n) => {
  const k = 8;
  const small = (length: number, step: number): number[] =>
    Array.from({ length }, (_, i) => ((i * step) % 11) - 5);
  const [a, b, s] = [small(m * k, 3), small(k * n, 7), small(m * n, 5)];
  const f = compile(
    (state: Tensor, x: Tensor, y: Tensor) => {
      assign(state, ops.add(state, ops.matmul(x, y)));
      return ops.sum(x);
    },
    { state: [0] },
  );
  const state = tensor(s, { shape: [m, n] });
  const [x, y] = [tensor(a, { shape: [m, k] }), tensor(b, { shape: [k, n] })];
  f(state, x, y).dispose();
  f(state, x, y).dispose();
  const want = s.map((start, at) => {
    let sum = 0;
    for (let q = 0; q < k; q++) sum += a[Math.floor(at / n) * k + q] * b[q * n + (at % n)];
    return start + 2 * sum;
  });
  expect(Array.from(await state.data())).toEqual(want);
  expect(await backend.checkGuards()).toEqual([]);
});

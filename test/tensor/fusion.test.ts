/** Fusion: what may not become one kernel (a lookup of what it would compute elsewhere), and what must be found in it. */
import { expect, test } from "vitest";
import { valueAndGrad } from "../../src/tensor/autodiff.ts";
import { compile } from "../../src/tensor/compile.ts";
import { tensor } from "../../src/tensor/create.ts";
import { init } from "../../src/tensor/init.ts";
import { ops } from "../../src/tensor/ops/index.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";

const N = 8;
const square = (step: number): Tensor =>
  tensor(
    Float32Array.from({ length: N * N }, (_, i) => ((i * step) % 13) - 6),
    { shape: [N, N] },
  );
const reversed = (): Tensor => tensor([7, 6, 5, 4, 3, 2, 1, 0], { dtype: "u32" });

/** Functions of whole numbers, exact in f32, whose lookup has as many elements as what it looks into. */
const lookups: [string, (x: Tensor, y: Tensor, at: Tensor) => Tensor | Tensor[]][] = [
  ["rows of a product", (x, y, at) => ops.take(ops.matmul(x, y), at)],
  [
    "rows of a product that is a result too",
    (x, y, at) => {
      const p = ops.matmul(x, y);
      return [ops.take(p, at), p];
    },
  ],
  ["sums of rows", (x, y, at) => ops.take(ops.sum(ops.mul(x, y), 1), at)],
  [
    "rows less the sum of another row",
    (x, y, at) => {
      const s = ops.sum(ops.mul(x, y), 1);
      return [ops.add(x, ops.reshape(ops.take(s, at), [N, 1])), s];
    },
  ],
  ["one element of each row of a product", (x, y, at) => ops.takeAlong(ops.matmul(x, y), at)],
];

test.each(lookups)("%s", async (_name, f) => {
  const run = async (): Promise<number[][]> => {
    const got = compile(f)(square(3), square(5), reversed());
    return Promise.all((Array.isArray(got) ? got : [got]).map(async (t) => Array.from(await t.data())));
  };
  await init({ device: "reference" });
  const want = await run();
  await init();
  expect(await run()).toEqual(want);
});

test("rows of a reshape that cuts across them are found where the row program made them", async () => {
  const values = Float32Array.from({ length: 48 }, (_, i) => ((i * 7) % 11) - 5);
  const run = async (): Promise<number[]> => {
    const f = compile((x: Tensor) => {
      const total = ops.reshape(ops.sum(ops.mul(x, x), 3), [2, 6, 2, 1]);
      return ops.mul(ops.reshape(ops.sub(x, total), [2, 8, 3, 1]), 2);
    });
    return Array.from(await f(tensor(values, { shape: [2, 6, 2, 2] })).data());
  };
  await init({ device: "reference" });
  const want = await run();
  await init();
  expect(await run()).toEqual(want);
});

test("groups that reach into each other's past do not form a ring", async () => {
  // The product of tanh and a later product becomes one kernel that begins before the first product and ends after it;
  // what is behind that kernel may then not be joined with what is before it, though its numbers lie between.
  const f = (x: Tensor, w: Tensor, v: Tensor, at: Tensor): Tensor[] => {
    const early = ops.tanh(x);
    const product = ops.matmul(early, w);
    const shifted = ops.sub(v, 1);
    const least = ops.take(ops.min(product, 1), at);
    const late = ops.sub(ops.mul(ops.matmul(x, w), early), shifted);
    return [late, ops.add(shifted, least), product, shifted];
  };
  const run = async (): Promise<number[][]> => {
    const got = compile(f)(square(3), square(5), tensor([3, 1, 4, 1, 5, 9, 2, 6]), reversed());
    return Promise.all(got.map(async (t) => Array.from(await t.data())));
  };
  await init({ device: "reference" });
  const want = await run();
  await init();
  const got = await run();
  const worst = got.map((values, i) => Math.max(...values.map((value, j) => Math.abs(value - want[i][j]))));
  // Sums of eight products of numbers below 6.
  expect(Math.max(...worst)).toBeLessThan(1e-4);
});

test("a chain of reductions over rows of 64 lanes is cut where one kernel would take minutes to compile", async () => {
  const values = Float32Array.from({ length: 2 * 256 }, (_, i) => ((i * 7) % 11) - 5);
  const run = async (): Promise<{ got: number[]; plan: string }> => {
    const f = compile((x: Tensor) => {
      let y = x;
      for (let i = 0; i < 6; i++) y = ops.sub(i, ops.sub(y, ops.max(y, 1, true)));
      return y;
    });
    const got = Array.from(await f(tensor(values, { shape: [2, 256] })).data());
    return { got, plan: f.describe() };
  };
  await init({ device: "reference" });
  const want = (await run()).got;
  await init({ tier: "T0" });
  const { got, plan } = await run();
  expect(plan).toMatch(/: 2 kernels, /);
  expect(got).toEqual(want);
});

test("the largest of infinities is one, over lanes and over nothing too", async () => {
  const run = async (): Promise<number[][]> => {
    const low = (...shape: number[]) =>
      tensor(new Float32Array(shape.reduce((p, q) => p * q, 1)).fill(-Infinity), { shape });
    const out = [ops.max(low(3, 5), 1), ops.max(low(2, 200), 1), ops.max(low(0, 3), 0)];
    out.push(ops.min(ops.neg(low(2, 200)), 1), ops.min(ops.neg(low(4)), 0), ops.min(low(0, 2), 0));
    return Promise.all(out.map(async (t) => Array.from(await t.data())));
  };
  await init({ device: "reference" });
  const want = await run();
  expect(want.flat().every((x, i) => x === (i < 8 ? -Infinity : Infinity))).toBe(true);
  await init();
  expect(await run()).toEqual(want);
});

/** The plan of `f`, called as `call` does, on the device, once its results are those of the reference. */
async function planOf<A extends readonly unknown[]>(
  f: (...args: A) => Tensor[],
  call: (compiled: (...args: A) => Tensor[]) => Tensor[],
): Promise<string> {
  const run = async (): Promise<{ got: number[][]; plan: string }> => {
    const compiled = compile(f);
    const got = await Promise.all(call(compiled).map(async (t) => Array.from(await t.data())));
    return { got, plan: compiled.describe() };
  };
  await init({ device: "reference" });
  const want = await run();
  await init();
  const { got, plan } = await run();
  expect(got).toEqual(want.got);
  return plan;
}

test("a square is computed again where it is read, and not stored beside its root", async () => {
  const f = (x: Tensor, w: Tensor, at: Tensor): Tensor[] => {
    const y = ops.matmul(x, w);
    const square = ops.mul(y, y);
    const far = ops.add(ops.mul(ops.add(square, ops.take(y, at)), y), ops.matmul(x, ops.add(square, y)));
    return [ops.add(square, 1), far];
  };
  const plan = await planOf(f, (g) => g(square(3), square(5), reversed()));
  // Of the first product: two operands, itself, the sum with 1 and what the second product reads; no square.
  expect(plan).toMatch(/matmul\S* grid \S+ bindings 5 /);
  expect(plan).not.toMatch(/bindings [6-8] /);
});

test("what two products read is stored where it would be two arrays to each", async () => {
  const compiled = compile((x: Tensor, w: Tensor) => {
    const act = ops.mul(x, w);
    return [ops.matmul(act, w), ops.matmul(w, act)];
  });
  await init({ device: "reference" });
  const want = await Promise.all(
    compile((x: Tensor, w: Tensor) => [ops.matmul(ops.mul(x, w), w), ops.matmul(w, ops.mul(x, w))])(
      square(3),
      square(5),
    ).map(async (t) => Array.from(await t.data())),
  );
  await init();
  const got = await Promise.all(compiled(square(3), square(5)).map(async (t) => Array.from(await t.data())));
  expect(got).toEqual(want);
  expect(compiled.describe()).toContain("3 kernels");
});

test("rows looked up by counting, and their gradient, are no lookups", async () => {
  const f = (x: Tensor, y: Tensor): Tensor[] => {
    const rows = ops.take(x, ops.iota([5]));
    return [ops.mul(rows, 2), ops.scatterAdd(y, ops.iota([8]), 8), ops.scatterAdd(y, ops.iota([8]), 11)];
  };
  const plan = await planOf(f, (g) => g(square(3), square(5)));
  expect(plan).not.toMatch(/indexChain|chainSum|take/);
});

test("gradients of the parts of a product are its gradient, with nothing put together", async () => {
  const plans: string[] = [];
  const run = async (): Promise<number[]> => {
    const f = compile((x: Tensor, w: Tensor, seen: Tensor) =>
      valueAndGrad((v: Tensor) => {
        const all = ops.matmul(x, v); // [B T, 3 C]
        const part = (i: number, shape: number[]): Tensor =>
          ops.reshape(ops.slice(ops.reshape(all, [2, 4, 24]), [0, 0, 8 * i], [2, 4, 8 * i + 8]), shape);
        const { out } = ops.attention(
          part(0, [2, 4, 2, 1, 4]),
          part(1, [2, 4, 2, 4]),
          part(2, [2, 4, 2, 4]),
          seen,
        );
        return ops.sum(ops.mul(out, out));
      })(w),
    );
    const w = tensor(
      Float32Array.from({ length: 8 * 24 }, (_, i) => ((i * 5) % 13) / 40 - 0.15),
      { shape: [8, 24] },
    );
    const seen = tensor(
      Uint32Array.from({ length: 16 }, (_, i) => (i % 2 === 0 ? 0 : ((i >> 1) % 4) + 1)),
      { shape: [2, 4, 2], dtype: "u32" },
    );
    const { grad } = f(square(3), w, seen) as unknown as { grad: Tensor };
    plans.push(f.describe());
    return Array.from(await grad.data());
  };
  await init({ device: "reference" });
  const want = await run();
  await init();
  const got = await run();
  const scale = Math.max(...want.map(Math.abs));
  for (let i = 0; i < want.length; i++) expect(Math.abs(got[i] - want[i])).toBeLessThan(2e-5 * scale);
  expect(plans[1]).not.toMatch(/copy|pad|concat/);
});

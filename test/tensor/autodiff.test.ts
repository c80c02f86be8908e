import { beforeAll, expect, test } from "vitest";
import { checkpoint, customVjp, grad, valueAndGrad } from "../../src/tensor/autodiff.ts";
import { backend } from "../../src/tensor/backend.ts";
import { assign, compile } from "../../src/tensor/compile.ts";
import { tensor } from "../../src/tensor/create.ts";
import { init } from "../../src/tensor/init.ts";
import { ops } from "../../src/tensor/ops/index.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";

beforeAll(async () => {
  await init();
});

const list = async (t: Tensor): Promise<number[]> => Array.from(await t.data());

test("an op called alone is a program of one op", async () => {
  expect(await list(ops.add(tensor([1, 2, 3]), 10))).toEqual([11, 12, 13]);
  expect(
    await list(
      ops.sum(
        tensor([
          [1, 2],
          [3, 4],
        ]),
        0,
      ),
    ),
  ).toEqual([4, 6]);
});

test("gradients of x^2 y, outside and inside compile", async () => {
  const f = (p: { x: Tensor; y: Tensor }): Tensor => ops.sum(ops.mul(ops.square(p.x), p.y));
  const p = { x: tensor([1, 2, 3]), y: tensor([4, 5, 6]) };
  const g = grad(f)(p);
  expect(await list(g.x)).toEqual([8, 20, 36]);
  expect(await list(g.y)).toEqual([1, 4, 9]);
  const step = compile((q: typeof p) => valueAndGrad(f)(q));
  const r = step(p);
  expect(await r.value.item()).toBe(4 + 20 + 54);
  expect(await list(r.grad.x)).toEqual([8, 20, 36]);
});

test("second derivative", async () => {
  const f = (x: Tensor): Tensor => ops.sum(ops.mul(ops.square(x), x));
  const gg = grad((x: Tensor) => ops.sum(grad(f)(x)));
  expect(await list(gg(tensor([1, 2])))).toEqual([6, 12]);
});

test("checkpoint gives the same gradients, through its closure too", async () => {
  const w = tensor([0.5, -0.25]);
  const f = (x: Tensor): Tensor => ops.sum(ops.tanh(ops.mul(ops.exp(x), w)));
  const g0 = grad((p: { x: Tensor; w: Tensor }) => ops.sum(ops.tanh(ops.mul(ops.exp(p.x), p.w))))({
    x: tensor([1, 2]),
    w,
  });
  const g1 = grad((p: { x: Tensor; w: Tensor }) =>
    checkpoint((x: Tensor) => ops.sum(ops.tanh(ops.mul(ops.exp(x), p.w))))(p.x),
  )({ x: tensor([1, 2]), w });
  expect(await list(g1.x)).toEqual(await list(g0.x));
  expect(await list(g1.w)).toEqual(await list(g0.w));
  expect(await list(grad(f)(tensor([1, 2])))).toEqual(await list(g0.x));
});

test("equal gradients through checkpoint, asked for again, build one program", async () => {
  const b = backend();
  const [x, w] = [tensor([1, 2]), tensor([2, 3])];
  const g = grad((v: Tensor) => {
    const inner = checkpoint((t: Tensor) => ops.exp(ops.mul(t, x)));
    return ops.sum(checkpoint((t: Tensor) => ops.mul(inner(t), inner(t)))(v));
  });
  const first = await list(g(w));
  const { programs } = b.counters();
  for (let i = 0; i < 5; i++) expect(await list(g(w))).toEqual(first);
  expect(b.counters().programs).toBe(programs);
});

test("customVjp replaces the gradient", async () => {
  const f = customVjp(
    (x: Tensor) => ops.square(x),
    ({ g, inputs }) => [ops.mul(g, ops.mul(inputs[0], 100))],
  );
  expect(await list(grad((x: Tensor) => ops.sum(f(x)))(tensor([1, 2])))).toEqual([100, 200]);
});

test("nothing flows back through stopGradient", async () => {
  const g = grad((x: Tensor) => ops.sum(ops.mul(x, ops.stopGradient(ops.mul(x, 3)))));
  expect(await list(g(tensor([1, 2])))).toEqual([3, 6]);
});

test("states are updated in place and numbers are data", async () => {
  const step = compile(
    (s: Tensor, lr: Tensor | number) => {
      assign(s, ops.sub(s, ops.mul(lr, 2)));
      return ops.sum(s);
    },
    { state: [0] },
  );
  const s = tensor([1, 2]);
  expect(await step(s, 0.5).item()).toBe(1);
  expect(await step(s, 0.25).item()).toBe(0);
  expect(await list(s)).toEqual([-0.5, 0.5]);
  expect(step.programs).toBe(1);
});

test("a checkpoint within a checkpoint keeps what the outer one keeps, and every bit of the gradients", async () => {
  const width = 32;
  const weight = (seed: number): Tensor =>
    tensor(
      Float32Array.from({ length: width * width }, (_, i) => (((i * seed) % 13) - 6) / 30),
      { shape: [width, width] },
    );
  const layer = (x: Tensor, w: Tensor): Tensor => {
    const wide = [0.5, 1, 2].map((k) => ops.tanh(ops.matmul(ops.mul(x, k), w)));
    return wide.reduce((a, b) => ops.mul(ops.add(a, b), 0.7));
  };
  type Wrap = (f: (x: Tensor) => Tensor) => (x: Tensor) => Tensor;
  const plain: Wrap = (f) => f;
  /** Sixteen layers in groups of four. */
  const run = async (inner: Wrap, outer: Wrap) => {
    const ws = [3, 5, 7, 11].map(weight);
    const group = (x: Tensor): Tensor => ws.reduce((y, w) => inner((z) => layer(z, w))(y), x);
    const f = compile(
      grad((x: Tensor) => ops.sum([0, 1, 2, 3].reduce((y) => outer(group)(y), x))),
      { label: "nested" },
    );
    return { words: await list(f(weight(17))), bytes: f.plannedBytes };
  };
  const none = await run(plain, plain);
  const layers = await run(checkpoint, plain);
  const nested = await run(checkpoint, checkpoint);
  console.log(`planned bytes: ${none.bytes}, layers ${layers.bytes}, groups of layers ${nested.bytes}`);
  expect(layers.bytes).toBeLessThan(none.bytes);
  expect(nested.bytes).toBeLessThan(layers.bytes);
  expect(layers.words).toEqual(none.words);
  expect(nested.words).toEqual(none.words);
  expect(none.words.some((x) => x !== 0)).toBe(true);
});

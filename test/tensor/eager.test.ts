/** Ops called outside `compile`: one program for each op and signature, whatever the numbers among the arguments. */

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Backend } from "../../src/tensor/backend.ts";
import { tensor } from "../../src/tensor/create.ts";
import { init } from "../../src/tensor/init.ts";
import { ops } from "../../src/tensor/ops/index.ts";
import { scope, type Tensor } from "../../src/tensor/tensor.ts";

/** Calls with a number in each place where an op takes one. */
const calls: [string, (k: number) => Tensor][] = [
  ["mul(x, k)", (k) => ops.mul(tensor([1, -2, 3]), k)],
  ["sub(k, x)", (k) => ops.sub(k, tensor([1, -2, 3]))],
  ["add(k, k)", (k) => ops.add(k, k)],
  ["exp(k)", (k) => ops.exp(k)],
  ["maximum(u32, k)", (k) => ops.maximum(tensor([1, 200, 3], { dtype: "u32" }), Math.floor(k))],
  ["mul(i32, k)", (k) => ops.mul(tensor([1, -2, 3], { dtype: "i32" }), Math.floor(k))],
  ["where(c, k, x)", (k) => ops.where(tensor([true, false, true], { dtype: "bool" }), k, tensor([1, 2, 3]))],
  ["where(true, k, -k)", (k) => ops.where(true, k, -k)],
  ["full([2, 3], k)", (k) => ops.full([2, 3], k)],
  ["full([], k)", (k) => ops.full([], k)],
  ["rmsNorm(x, w, k)", (k) => ops.rmsNorm(tensor([[1, 2]]), tensor([1, 1]), k)],
  ["layerNorm(x, w, b, k)", (k) => ops.layerNorm(tensor([[1, 2]]), tensor([1, 1]), tensor([0, 0]), k)],
  ["randomBits", (k) => ops.randomBits([ops.iota([4]), Math.floor(k), 0, 0], [7, 0])],
];

describe.each(["webgpu", "reference"] as const)("on %s", (device) => {
  let b: Backend;
  beforeAll(async () => {
    b = device === "reference" ? await init({ device }) : await init();
  });
  afterAll(() => b.destroy());

  test.each(calls)("%s: a hundred numbers build one program", async (_name, call) => {
    const run = (k: number): void => scope(() => void call(k));
    run(0.25);
    const { programs } = b.counters();
    // 0, -0 and 1 among them, on which constants would fold away; integers are floored to 0, 1, 2 ... and back.
    for (let i = 0; i < 100; i++) run(i / 4);
    run(-0);
    expect(b.counters().programs).toBe(programs);
    await b.sync();
  });

  test("runs asked for together keep their own numbers", async () => {
    const x = tensor([1, -2, 0.5]);
    const values = [0.1, -0, 0, 1, -1, 1e30, 0.1];
    const results = await Promise.all(values.map((k) => ops.mul(x, k).data()));
    const rounded = (v: number): number => (b.kind === "reference" ? v : Math.fround(v));
    expect(results.map((r) => Array.from(r))).toEqual(
      values.map((k) => [1, -2, 0.5].map((v) => rounded(k) * v)),
    );
    x.dispose();
  });
});

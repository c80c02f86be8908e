/** Tensors from host data, and numbers beside tensors: what a shape or dtype cannot hold is refused, never rounded. */

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Backend } from "../../src/tensor/backend.ts";
import { compile, i32 } from "../../src/tensor/compile.ts";
import { tensor } from "../../src/tensor/create.ts";
import type { DType } from "../../src/tensor/dtype.ts";
import { init } from "../../src/tensor/init.ts";
import { ops } from "../../src/tensor/ops/index.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";

const values = async (t: Tensor): Promise<number[]> => Array.from(await t.data());
const named = (name: string, message: RegExp) =>
  expect.objectContaining({ name, message: expect.stringMatching(message) });

describe.each(["webgpu", "reference"] as const)("on %s", (device) => {
  let b: Backend;
  beforeAll(async () => {
    b = device === "reference" ? await init({ device }) : await init();
  });
  afterAll(() => b.destroy());

  const ints = (...x: number[]): Tensor => tensor(x, { dtype: "i32" });
  const words = (...x: number[]): Tensor => tensor(x, { dtype: "u32" });

  test.each<[string, unknown, RegExp]>([
    ["rows that differ", [[1, 2], [3, 4, 5], [6]], /2 elements were expected at \[1\] .*\[3, 2\], got 3/],
    ["a deeper row", [1, [2]], /a number was expected at \[1\] of a nest \[2\], got 1 elements/],
    ["a shallower row", [[1], 2], /1 elements were expected at \[1\] .*got none/],
    [
      "a difference further down",
      [
        [[1], [2]],
        [[3], [4, 5]],
      ],
      /1 elements .* at \[1, 1\].* got 2/,
    ],
    ["an empty row", [[], [1]], /0 elements were expected at \[1\] .*got 1/],
  ])("a ragged nest is refused: %s", (_name, data, message) => {
    const before = b.memory();
    expect(() => tensor(data as number[])).toThrow(named("ShapeError", message));
    expect(b.memory()).toEqual(before);
  });

  test.each<[string, unknown, RegExp]>([
    [
      "a shape in their place",
      [2, 3],
      /^tensor: an object of options expected, got a list\. Write \{ shape: \.\.\. \}/,
    ],
    ["an unknown key", { shap: [2, 3] }, /^tensor: shap: a known option expected.*Did you mean "shape"\?/],
    ["a dtype in their place", "i32", /an object of options expected, got a string/],
  ])("options that are none are refused: %s", (_name, options, message) => {
    expect(() => tensor(new Float32Array(6), options as object)).toThrow(named("ConfigError", message));
  });

  test("axes of reductions are a number or a list of numbers", () => {
    const x = tensor([[1, 2, 3]]);
    for (const name of ["sum", "max", "min", "mean"] as const) {
      for (const axes of [{ axis: 0 }, null, "0", ["0"], true]) {
        expect(() => ops[name](x, axes as unknown as number)).toThrow(
          named("ShapeError", new RegExp(`^${name}: axes: a number or a list of numbers was expected, got `)),
        );
      }
    }
  });

  test("regular nests of every depth", async () => {
    expect([tensor(3).shape, tensor([]).shape, tensor([[], []]).shape]).toEqual([[], [0], [2, 0]]);
    const t = tensor([[[1, 2]], [[3, 4]], [[5, 6]]]);
    expect([t.shape, await values(t)]).toEqual([
      [3, 1, 2],
      [1, 2, 3, 4, 5, 6],
    ]);
    expect(await values(tensor([true, false], { dtype: "bool" }))).toEqual([1, 0]);
    expect(tensor({ length: 2, 0: 1, 1: 2 }).shape).toEqual([2]);
  });

  test("typed arrays give the dtype that they hold, lists and other arrays f32, and dtype is above both", async () => {
    const [big, low] = [4294967295, -2147483648];
    const made = {
      u32: tensor(new Uint32Array([big, 0])),
      i32: tensor(new Int32Array([low, 0])),
      f32: tensor(new Float32Array([0.5, 0])),
    };
    for (const [dtype, t] of Object.entries(made)) expect(t.dtype).toBe(dtype);
    expect(await Promise.all(Object.values(made).map(values))).toEqual([
      [big, 0],
      [low, 0],
      [0.5, 0],
    ]);
    for (const data of [
      [1, 2],
      3,
      new Uint8Array(2),
      new Int16Array(2),
      new Float64Array(2),
      { length: 1, 0: 1 },
    ]) {
      expect(tensor(data).dtype).toBe("f32");
    }
    expect(tensor(new Uint32Array(2), { dtype: "f32" }).dtype).toBe("f32");
    expect(tensor(new Float32Array(2), { dtype: "i32" }).dtype).toBe("i32");
    expect(() => tensor(new Int32Array([-1]), { dtype: "u32" })).toThrow(named("DTypeError", /^tensor: /));
    // What it is for: ids that index, without a word about dtypes.
    const rows = ops.takeRows([tensor([[1], [2], [3]])], tensor(new Uint32Array([2, 0])));
    expect(await values(rows)).toEqual([3, 1]);
  });

  test.each([
    ["text", "1"],
    ["null", null],
    ["an object", {}],
    ["nothing", undefined],
    ["a bigint", 1n],
  ])("elements that are no numbers: %s", (_name, x) => {
    expect(() => tensor([1, x] as number[])).toThrow(named("TensorError", /^tensor: .* at \[1\], got/));
    expect(() => tensor(x as number)).toThrow(expect.objectContaining({ name: "TensorError" }));
  });

  test.each<[DType, number]>([
    ["i32", 1.7],
    ["i32", 2147483648],
    ["u32", -1],
    ["u32", 4294967296],
    ["u32", Number.NaN],
  ])("elements that %s cannot hold: %f", (dtype, x) => {
    const before = b.memory();
    expect(() => tensor([0, x], { dtype })).toThrow(named("DTypeError", /^tensor: .* at element 1\. Round/));
    expect(() => tensor(new Float64Array([0, x]), { dtype })).toThrow(named("DTypeError", /^tensor: /));
    expect(b.memory()).toEqual(before);
    using t = tensor([0, 0], { dtype });
    expect(() => t.write([0, x])).toThrow(named("DTypeError", /^write: /));
  });

  test.each<[string, () => Tensor]>([
    ["mul", () => ops.mul(ints(4), 0.5)],
    ["mul", () => ops.mul(0.5, ints(4))],
    ["eq", () => ops.eq(ints(0), 0.5)],
    ["maximum", () => ops.maximum(words(1), -1)],
    ["add", () => ops.add(ints(1), 2147483648)],
    ["where", () => ops.where(tensor([true], { dtype: "bool" }), 0.5, ints(1))],
    ["full", () => ops.full([2], 1.5, "i32")],
    ["full", () => ops.full([2], 2, "bool")],
    ["full", () => ops.full([2], Number.NaN, "u32")],
  ])("a number that the dtype beside it cannot hold, in %s, alone and compiled", (name, f) => {
    const refused = named("DTypeError", new RegExp(`^${name}: an integer in .* Use ops\\.cast`));
    expect(f).toThrow(refused);
    expect(() => compile(f)()).toThrow(refused);
  });

  test("a mean of integers", () => {
    for (const x of [ints(1, 2, 3, 6), words(1, 2)]) {
      expect(() => ops.mean(x)).toThrow(named("DTypeError", /^mean: .* must be f32, got .* Use ops\.cast/));
    }
  });

  test("numbers that it can hold", async () => {
    expect(await values(ops.mul(ints(4), -2))).toEqual([-8]);
    expect(await values(ops.maximum(words(1), 4294967295))).toEqual([4294967295]);
    expect(await values(ops.mul(ops.cast(ints(4), "f32"), 0.5))).toEqual([2]);
    // The condition's dtype says nothing of the numbers beside it.
    const where = (x: Tensor): Tensor => ops.where(ops.eq(x, 1), 7, x);
    expect(await values(where(ints(1, 2)))).toEqual([7, 2]);
    expect(await values(ops.where(tensor([true, false], { dtype: "bool" }), 7, ints(1, 2)))).toEqual([7, 2]);
    const plus = compile((x: Tensor, n: unknown) => ops.add(x, n as Tensor));
    expect(await values(plus(ints(1), i32(-3)))).toEqual([-2]);
  });
});

/** Which calls of a compiled function share a program: only those that the function cannot tell apart. */

import { beforeAll, describe, expect, test } from "vitest";
import { compile, u32 } from "../../src/tensor/compile.ts";
import { tensor } from "../../src/tensor/create.ts";
import { ops } from "../../src/tensor/ops/index.ts";
import { readArguments } from "../../src/tensor/signature.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { useReference } from "../helpers/backend.ts";

let x: Tensor;
beforeAll(async () => {
  await useReference();
  x = tensor([1]);
});

class Schedule {
  readonly scale = 2;
}

const key = (args: readonly unknown[], fixed: readonly number[] = []): string =>
  readArguments("f", args, { static: fixed }).signature;

describe("calls that a function can tell apart", () => {
  // Each list: the arguments of one place, all different.
  const options: unknown[] = [
    [],
    {},
    "",
    null,
    "null",
    undefined,
    "undefined",
    false,
    "false",
    true,
    "T",
    "a",
    ["a"],
    [["a"]],
    ["a", "b"],
    ["a,b"],
    [null],
    [undefined],
    new Array(1),
    [[], []],
    [[[]]],
    [{}],
    { a: null },
    { a: undefined },
    { a: "" },
    { a: {} },
    { a: [] },
    { a: { b: "c" } },
    { "a.b": "c" },
    { a: "b", c: "d" },
    { a: "b,c:=d" },
    { 'a"': "}" },
    { a: '"}' },
    { "[0]": "a" },
  ];
  const withTensors = (t: Tensor): unknown[] => [
    t,
    [t],
    { a: { b: t } },
    { "a.b": t },
    { a: t },
    { a: [t] },
    { "a[0]": t },
    1,
    u32(1),
    [1, t],
    [t, 1],
  ];
  const numbers: unknown[] = [0, -0, 1, -1, 1n, "1", NaN, "NaN", Infinity, -Infinity, "#Infinity", { n: 1 }];

  test("have different signatures", () => {
    const all = [...options, ...withTensors(x)].map((o) => key([o]));
    expect(new Set(all).size).toBe(all.length);
    const fixed = [...options, ...numbers].map((o) => key([o], [0]));
    expect(new Set(fixed).size).toBe(fixed.length);
    expect(key([u32(1), x])).not.toBe(key([[u32(1), x]]));
    expect(key(["a", "b"])).not.toBe(key(["ab", ""]));
  });

  test("those it cannot tell apart have one", () => {
    expect(key([{ a: [2, x] }, "s"])).toBe(key([{ a: [3, tensor([5])] }, "s"]));
    expect(key([[1, { a: -0 }]], [0])).toBe(key([[1, { a: -0 }]], [0]));
  });

  test("get results of their own", async () => {
    const first = async (y: Tensor): Promise<number> => (await y.data())[0];
    const f = compile((t: Tensor, flag: unknown) => ops.mul(t, flag === null ? 10 : flag ? 20 : 30));
    expect([await first(f(x, null)), await first(f(x, "null")), await first(f(x, false))]).toEqual([
      10, 20, 30,
    ]);
    expect([await first(f(x, "false")), await first(f(x, true)), f.programs]).toEqual([20, 20, 5]);
    const g = compile((t: Tensor, o: unknown) => ops.mul(t, Array.isArray(o) ? 10 : 20));
    expect([await first(g(x, [])), await first(g(x, {}))]).toEqual([10, 20]);
    const same = compile((p: Record<string, unknown>) => p);
    expect(Object.keys(same({ a: { b: x } }))).toEqual(["a"]);
    expect(Object.keys(same({ "a.b": x }))).toEqual(["a.b"]);
  });
});

describe("what is no plain data", () => {
  const circular: Record<string, unknown> = {};
  circular.self = circular;
  test.each<[string, unknown, RegExp]>([
    ["a Map", new Map([["s", 2]]), /got a Map at argument 1 \(o\)\. Give numbers, text/],
    ["a Set", new Set([1]), /got a Set at argument 1/],
    ["a Date", new Date(0), /got a Date at argument 1/],
    ["an instance", new Schedule(), /got a Schedule at argument 1/],
    ["a view of memory", new Float32Array(2), /got a Float32Array at argument 1/],
    ["a function", () => 2, /got a function at argument 1 \(o\)\. Close over it/],
    ["a symbol", Symbol("s"), /got a symbol at argument 1/],
    ["what refers to itself", circular, /at most 64 levels deep .* argument 1 \(o\.self\.self/],
  ])("%s is refused, static or not", (_name, o, message) => {
    for (const fixed of [[1], []]) {
      const f = compile((t: Tensor, _o: unknown) => ops.mul(t, 2), { static: fixed, label: "f" });
      expect(() => f(x, { o })).toThrow(
        expect.objectContaining({ name: "TensorError", message: expect.stringMatching(message) }),
      );
    }
  });

  test("a tensor as a static option; a bigint as data", () => {
    const f = compile((t: Tensor, _o: unknown) => t, { static: [1], label: "f" });
    expect(() => f(x, [x])).toThrow(
      /^f: plain data .* got the tensor f32\[1\] at argument 1 \(\[0\]\)\. Take/,
    );
    expect(() => compile((n: bigint) => tensor([Number(n)]))(1n)).toThrow(/got a bigint .*`static` option/);
  });

  test("a number that its dtype cannot hold", () => {
    const f = compile((n: unknown) => n as Tensor, { label: "f" });
    expect(() => f({ scalar: 1.5, dtype: "u32" })).toThrow(
      expect.objectContaining({ name: "DTypeError", message: expect.stringMatching(/^f: an integer in/) }),
    );
  });
});

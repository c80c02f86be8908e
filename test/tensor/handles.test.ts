/** Ops that change nothing give a handle of their own: disposing of it, or of the argument, leaves the other alive. */

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { grad } from "../../src/tensor/autodiff.ts";
import type { Backend } from "../../src/tensor/backend.ts";
import { assign, compile } from "../../src/tensor/compile.ts";
import { FlatTensors, flatLayout, tensor } from "../../src/tensor/create.ts";
import { ShapeError } from "../../src/tensor/errors.ts";
import { init } from "../../src/tensor/init.ts";
import { ops } from "../../src/tensor/ops/index.ts";
import { scope, type Tensor } from "../../src/tensor/tensor.ts";

const values = async (t: Tensor): Promise<number[]> => Array.from(await t.data());

const unchanged: [string, (x: Tensor) => Tensor][] = [
  ["reshape", (x) => ops.reshape(x, [-1, 2])],
  ["broadcastTo", (x) => ops.broadcastTo(x, [1, 2])],
  ["slice", (x) => ops.slice(x, [0, 0], [1, 2])],
  ["pad", (x) => ops.pad(x, [0, 0], [0, 0])],
  ["permute", (x) => ops.permute(x, [0, 1])],
  ["cast", (x) => ops.cast(x, "f32")],
  ["sum over no axes", (x) => ops.sum(x, [])],
  ["max over no axes", (x) => ops.max(x, [])],
];

describe.each(["webgpu", "reference"] as const)("on %s", (device) => {
  let b: Backend;
  beforeAll(async () => {
    b = device === "reference" ? await init({ device }) : await init();
  });
  afterAll(() => b.destroy());

  test.each(unchanged)("%s: either goes first, and the bytes are counted once", async (_name, f) => {
    const before = b.memory().liveBytes;
    for (const first of [0, 1]) {
      const x = tensor([[1, 2]]);
      const { liveBytes } = b.memory();
      const pair = [x, f(x)];
      expect(pair[1]).not.toBe(x);
      expect(pair[1].shape).toEqual([1, 2]);
      expect(b.memory().liveBytes).toBe(liveBytes);
      pair[first].dispose();
      pair[first].dispose(); // a second time takes nothing from the other
      expect(pair[1 - first].disposed).toBe(false);
      expect(b.memory().liveBytes).toBe(liveBytes);
      // What is made now must not get the memory that is still held.
      using other = tensor([[8, 9]]);
      expect(await values(pair[1 - first])).toEqual([1, 2]);
      expect(await values(other)).toEqual([8, 9]);
      pair[1 - first].dispose();
      other.dispose();
      expect(b.memory().liveBytes).toBe(before);
    }
  });

  test("what a program makes as it is traced outlives the scope of its first call, and goes with it", async () => {
    const f = compile((x: Tensor) => ops.add(x, tensor([10, 20])));
    const x = tensor([1, 2]);
    const before = b.memory().liveBytes;
    for (let i = 0; i < 2; i++) {
      const y = scope(() => f(x));
      expect(await values(y)).toEqual([11, 22]);
      y.dispose();
    }
    expect(b.memory().liveBytes).toBeGreaterThan(before);
    f.dispose();
    expect(b.memory().liveBytes).toBe(before);
    const failing = compile((y: Tensor) => {
      ops.add(y, tensor([1, 2]));
      return ops.reshape(y, [3]);
    });
    expect(() => failing(x)).toThrow(ShapeError);
    expect(b.memory().liveBytes).toBe(before);
    x.dispose();
  });

  test("a reduction of a scalar", async () => {
    const x = tensor(5);
    {
      using y = ops.sum(x);
      expect(await values(y)).toEqual([5]);
    }
    expect(await values(x)).toEqual([5]);
    x.dispose();
    expect(() => ops.sum(tensor(true, { dtype: "bool" }))).toThrow(
      expect.objectContaining({ name: "DTypeError" }),
    );
  });

  test("a part of a flat segment keeps the segment alive", async () => {
    const before = b.memory().liveBytes;
    const flat = new FlatTensors(flatLayout([{ name: "w", shape: [2] }]), "p");
    flat.get("w").write([3, 4]);
    const w = ops.reshape(flat.get("w"), [2]);
    flat.dispose();
    expect(await values(w)).toEqual([3, 4]);
    w.dispose();
    expect(b.memory().liveBytes).toBe(before);
  });

  test("a scope releases it like any other result", () => {
    const x = tensor([[1, 2]]);
    const before = b.memory().liveBytes;
    const kept = scope(() => {
      ops.cast(x, "f32");
      return ops.reshape(x, [1, 2]);
    });
    expect([x.disposed, kept.disposed]).toEqual([false, false]);
    x.dispose();
    expect(b.memory().liveBytes).toBe(before);
    kept.dispose();
    expect(b.memory().liveBytes).toBeLessThan(before);
  });

  test("of a released tensor it is refused by name", () => {
    const x = tensor([[1, 2]]);
    x.dispose();
    for (const [, f] of unchanged) {
      expect(() => f(x)).toThrow(/^(\w+): a live tensor was expected, got a disposed one/);
    }
  });

  test("one memory under two handles is still no two states", () => {
    const s = tensor([1, 2]);
    const t = ops.reshape(s, [2]);
    const f = compile((a: Tensor, c: Tensor) => assign(a, ops.add(a, c)), { state: [0], label: "twice" });
    expect(() => f(s, t)).toThrow(/^twice: a state was expected once among the arguments/);
    for (const x of [s, t]) x.dispose();
  });

  test.each(unchanged)(
    "%s: in a trace it keeps the value of a state that is then assigned to",
    async (_name, f) => {
      const step = compile(
        (s: Tensor) => {
          const before = f(s);
          assign(s, ops.mul(s, 10));
          return ops.add(before, 0.5);
        },
        { state: [0] },
      );
      using s = tensor([[1, 2]]);
      using old = step(s);
      expect(await values(old)).toEqual([1.5, 2.5]);
      expect(await values(s)).toEqual([10, 20]);
    },
  );

  test("a captured tensor outlives what is done in a trace to what is made of it", async () => {
    const weight = tensor([[3, 4]]);
    const f = compile(
      (s: Tensor) => {
        assign(s, ops.add(s, 1));
        using w = ops.cast(weight, "f32");
        return ops.mul(w, s);
      },
      { state: [0] },
    );
    const s = tensor([[1, 2]]);
    expect(await values(f(s))).toEqual([6, 12]);
    expect(await values(f(s))).toEqual([9, 16]);
    expect(await values(weight)).toEqual([3, 4]);
  });

  test.each<[string, (t: Tensor) => unknown, RegExp]>([
    ["item", (t) => ops.sum(t).item(), /^item: .* got f32\[\] inside compile or grad, .*Return it and read/],
    ["item", (t) => t.item(), /^item: .* got .*f32\[2\] inside compile or grad/],
    [
      "data",
      (t) => t.data(),
      /^data: .* inside compile or grad, .*Return it, and read the result outside\.$/,
    ],
    ["write", (t) => t.write([1, 2]), /^write: .* inside compile or grad, .*Use assign\(\) /],
  ])("%s inside a trace says so, where it is called", async (_, read, message) => {
    const wrong = (t: Tensor): Tensor => {
      read(t);
      return ops.sum(t);
    };
    for (const call of [() => compile(wrong)(tensor([0, 1])), () => grad(wrong)(tensor([0, 1]))]) {
      expect(call).toThrow(
        expect.objectContaining({ name: "TensorError", message: expect.stringMatching(message) }),
      );
    }
    // Of a tensor that is captured there are elements to read, inside as well.
    const outside = tensor([0]);
    let seen: Promise<number> | undefined;
    compile((t: Tensor) => {
      seen = outside.item();
      return ops.add(t, outside);
    })(tensor([0, 1]));
    expect(await seen).toBe(0);
  });
});

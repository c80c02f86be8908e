/** States updated in place, where something else still reads the old value: the order that the graph means holds. */
import { expect, test } from "vitest";
import { assign, compile, u32 } from "../../src/tensor/compile.ts";
import { tensor, zeros } from "../../src/tensor/create.ts";
import { init } from "../../src/tensor/init.ts";
import { ops } from "../../src/tensor/ops/index.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { useBackend } from "../helpers/backend.ts";

type Run = () => Promise<number[][]>;

/** Runs the same on the reference and on the device; both must agree exactly (the numbers are small integers). */
async function agree(run: Run): Promise<void> {
  await init({ device: "reference" });
  const want = await run();
  await useBackend();
  expect(await run()).toEqual(want);
}

const list = async (...tensors: Tensor[]): Promise<number[][]> =>
  Promise.all(tensors.map(async (t) => Array.from(await t.data())));

const range = (n: number, step = 1): number[] => Array.from({ length: n }, (_, i) => ((i * step) % 17) - 5);

test("map: another result of the kernel reads the old value", () =>
  agree(async () => {
    const s = tensor([1, 2, 3, 4]);
    const f = compile(
      (state: Tensor, x: Tensor) => {
        const v = ops.mul(x, 2);
        const y = ops.add(v, state);
        assign(state, v);
        return y;
      },
      { state: [0] },
    );
    return list(f(s, tensor([10, 20, 30, 40])), s);
  }));

test("matmul: the epilogue of another result reads the old value", () =>
  agree(async () => {
    const s = tensor(range(16), { shape: [4, 4] });
    const f = compile(
      (state: Tensor, a: Tensor, b: Tensor) => {
        const v = ops.matmul(a, b);
        const y = ops.add(v, state);
        assign(state, v);
        return y;
      },
      { state: [0] },
    );
    return list(f(s, tensor(range(16, 3), { shape: [4, 4] }), tensor(range(16, 5), { shape: [4, 4] })), s);
  }));

test.each([16, 4096])("row program of %i: a result of the row replaces what the row reads", (length) =>
  agree(async () => {
    const s = tensor(range(8));
    const f = compile(
      (state: Tensor, x: Tensor) => {
        const y = ops.mul(x, ops.reshape(state, [8, 1]));
        assign(state, ops.sum(y, -1));
        return y;
      },
      { state: [0] },
    );
    return list(f(s, tensor(range(8 * length, 7), { shape: [8, length] })), s);
  }),
);

test.each([
  ["itself", (w: Tensor): Tensor => w],
  ["computed from itself", (w: Tensor): Tensor => ops.mul(w, 2)],
])("a window shifted within its state: %s", (_name, make) =>
  agree(async () => {
    const s = tensor(range(512));
    const f = compile(
      (state: Tensor) => {
        assign(state, ops.updateAt(state, make(ops.slice(state, [0], [511])), ops.full([], 1, "u32"), 0));
      },
      { state: [0] },
    );
    f(s);
    f(s);
    return list(s);
  }),
);

test("a chain of patches whose middle is a result, and another state's new value", () =>
  agree(async () => {
    const s = zeros([4]);
    const t = tensor([5, 5, 5, 5]);
    const f = compile(
      (a: Tensor, b: Tensor, i: ReturnType<typeof u32>, j: ReturnType<typeof u32>) => {
        const patch = tensor7();
        const middle = ops.updateAt(a, patch, i as unknown as Tensor, 0);
        assign(a, ops.updateAt(middle, patch, j as unknown as Tensor, 0));
        assign(b, middle);
        return middle;
      },
      { state: [0, 1] },
    );
    return list(f(s, t, u32(0), u32(2)), s, t);
  }));

test("a patch comes after what reads the old value, also in a kernel that ends later", () =>
  agree(async () => {
    const s = tensor(range(8));
    const f = compile(
      (state: Tensor, x: Tensor, at: ReturnType<typeof u32>) => {
        const twice = ops.mul(state, 2);
        assign(state, ops.updateAt(state, tensor7(), at as unknown as Tensor, 0));
        return ops.add(twice, ops.tanh(x));
      },
      { state: [0] },
    );
    return list(f(s, zeros([8]), u32(3)), s);
  }));

test.each([
  ["single numbers", [9], [4]],
  ["rows of three", [9, 3], [4, 3]],
  ["rows of four", [9, 2, 4], [4, 2, 4]],
] as const)(
  "rows written in place: %s, places that are computed, some of them beyond the last",
  (_name, shape, patch) =>
    agree(async () => {
      const size = (of: readonly number[]): number => of.reduce((a, b) => a * b, 1);
      const s = tensor(range(size(shape)), { shape: [...shape] });
      const ended = tensor([1, 0, 1, 0, 1, 0, 1, 0, 1]);
      const f = compile(
        (state: { s: Tensor; ended: Tensor }, x: Tensor, rows: Tensor) => {
          // The patch is made of what it replaces: all of that is read before.
          const old = ops.take(state.s, ops.minimum(rows, 8));
          const place = ops.where(ops.lt(rows, 7), rows, 0xffffffff);
          assign(state.s, ops.updateRows(state.s, ops.add(ops.mul(old, 2), x), place));
          assign(state.ended, ops.updateRows(state.ended, ops.add(ops.take(state.ended, rows), 10), rows));
          return ops.mul(state.s, 1);
        },
        { state: [0] },
      );
      const x = tensor(range(size(patch)), { shape: [...patch] });
      const rows = tensor([5, 0, 99, 7], { dtype: "u32" });
      const y = f({ s, ended }, x, rows);
      return list(y, s, ended);
    }),
);

test("a row just beyond the last is not written, nor what stands behind the state", async () => {
  const b = await init({ guardWords: true });
  for (const shape of [[9], [9, 3], [9, 4]]) {
    const s = zeros(shape);
    const f = compile(
      (state: Tensor, patch: Tensor, rows: Tensor) => {
        assign(state, ops.updateRows(state, patch, rows));
      },
      { state: [0] },
    );
    f(s, ops.full([2, ...shape.slice(1)], 7), tensor([9, 2], { dtype: "u32" }));
    expect(Array.from(await s.data()).filter((x) => x === 7)).toHaveLength(shape[1] ?? 1);
    expect(await b.checkGuards()).toEqual([]);
  }
  b.destroy();
});

test("a constant that replaces a state is stored by the kernel that reads it last", () =>
  agree(async () => {
    const [s, t, u] = [tensor(range(12)), tensor(range(12, 5)), tensor(range(12, 3))];
    const f = compile(
      (a: Tensor, b: Tensor, c: Tensor) => {
        const sum = ops.add(a, b);
        // Needs `sum` from another kernel, and reads a as well: a is not yet to be 0 there.
        const turned = ops.add(ops.mul(ops.sum(sum), 2), a);
        assign(b, sum);
        assign(a, ops.full([12], 0));
        assign(c, ops.full([12], 2));
        return turned;
      },
      { state: [0, 1, 2] },
    );
    const y = f(s, t, u);
    return list(y, s, t, u);
  }));

test("an update that leaves its gradient 0 is one kernel", () =>
  agree(async () => {
    const [p, m, g] = [tensor(range(12)), tensor(range(12, 5)), tensor(range(12, 3))];
    const f = compile(
      (weights: Tensor, moment: Tensor, gradient: Tensor) => {
        const next = ops.add(ops.mul(moment, 2), gradient);
        assign(weights, ops.sub(weights, next));
        assign(moment, next);
        assign(gradient, ops.full([12], 0));
      },
      { state: [0, 1, 2] },
    );
    f(p, m, g);
    f(p, m, g);
    expect(f.describe()).toMatch(/reference|: 1 kernels,/);
    return list(p, m, g);
  }));

test("a hand-built kernel reads a new value in the memory of its state", () =>
  agree(async () => {
    const s = tensor(range(8), { shape: [4, 2] });
    const f = compile(
      (state: Tensor, rows: Tensor) => {
        const next = ops.add(ops.mul(state, 2), 1);
        assign(state, next);
        return ops.scatterAdd(next, rows, 3);
      },
      { state: [0] },
    );
    return list(f(s, tensor([2, 0, 2, 1], { dtype: "u32" })), s);
  }));

const tensor7 = (): Tensor => ops.full([1], 7);

test("two states swap their values", () =>
  agree(async () => {
    const [s, t] = [tensor([1, 2, 3]), tensor([4, 5, 6])];
    const f = compile(
      (a: Tensor, b: Tensor) => {
        const old = ops.mul(a, 1);
        assign(a, b);
        assign(b, old);
      },
      { state: [0, 1] },
    );
    f(s, t);
    return list(s, t);
  }));

test("a product is added to a state once for each element, however few tiles it has", async () => {
  // Four tiles for 64 threads: those beyond the last run along with it where the tier has quads, and must not store.
  const [m, k, n] = [8, 4, 16];
  const start = Float32Array.from({ length: m * n }, () => Math.random());
  const state = tensor(start, { shape: [m, n] });
  const a = Float32Array.from({ length: m * k }, () => Math.random() - 0.5);
  const b = Float32Array.from({ length: k * n }, () => Math.random() - 0.5);
  const add = compile(
    (sum: Tensor, x: Tensor, y: Tensor) => {
      assign(sum, ops.add(sum, ops.matmul(x, y)));
    },
    { state: [0] },
  );
  const [x, y] = [tensor(a, { shape: [m, k] }), tensor(b, { shape: [k, n] })];
  for (let i = 0; i < 3; i++) add(state, x, y);
  const got = await state.data();
  for (let i = 0; i < m * n; i++) {
    let product = 0;
    for (let q = 0; q < k; q++) product += a[Math.floor(i / n) * k + q] * b[q * n + (i % n)];
    expect(Math.abs(got[i] - (start[i] + 3 * product))).toBeLessThan(1e-5);
  }
});

test("what is made of a state's old value is not computed again beside its new one", () =>
  agree(async () => {
    const state = tensor(range(16));
    const f = compile(
      (s: Tensor, x: Tensor, at: Tensor) => {
        const old = ops.mul(s, s);
        const early = ops.add(ops.mul(old, 2), ops.take(x, at));
        const next = ops.updateAt(s, ops.slice(early, [0], [4]), ops.full([], 8, "u32"), 0);
        assign(s, next);
        return [early, ops.add(old, ops.take(next, at))];
      },
      { state: [0] },
    );
    const at = tensor(
      Uint32Array.from({ length: 16 }, (_, i) => 15 - i),
      { dtype: "u32" },
    );
    const results = f(state, tensor(range(16, 3)), at) as Tensor[];
    return list(...results, state);
  }));

test.each(["updateAt", "updateRows"] as const)(
  "%s of a state whose old value is needed after the new one",
  (op) =>
    agree(async () => {
      const state = tensor(range(16));
      const f = compile(
        (s: Tensor, patch: Tensor, at: Tensor) => {
          const old = ops.add(s, 0);
          const next =
            op === "updateAt"
              ? ops.updateAt(s, patch, ops.sum(at), 0)
              : ops.updateRows(s, patch, ops.add(at, ops.full([], 3, "u32")));
          // The first sum needs the new value, and the kernel that needs it reads the old one.
          const shifted = ops.sub(old, ops.sum(next));
          assign(s, next);
          return [shifted, ops.max(ops.mul(s, old), 0)];
        },
        { state: [0] },
      );
      const at = tensor(Uint32Array.of(0, 1, 2), { dtype: "u32" });
      const patch = tensor([50, 60, 70]);
      const first = f(state, patch, at) as Tensor[];
      const seen = await list(...first, state);
      return [...seen, ...(await list(...(f(state, ops.mul(patch, 2), at) as Tensor[]), state))];
    }),
);

test.each([
  ["a slice", (x: Tensor) => ops.slice(x, [1, 0], [2, 2])],
  ["turned", (x: Tensor) => ops.permute(ops.slice(x, [0, 0], [2, 1]), [1, 0])],
  ["one number", () => ops.full([1, 2], 5)],
] as const)("rows that are %s, patched into a state whose new value another state gets too", (_name, patch) =>
  agree(async () => {
    const [a, b] = [tensor([0, 0, 0, 0], { shape: [2, 2] }), tensor([1, 2, 3, 4], { shape: [2, 2] })];
    const run = (inOrder: boolean, first: Tensor, second: Tensor, x: Tensor): void => {
      const f = compile(
        (p: Tensor, q: Tensor, y: Tensor) => {
          const next = ops.updateRows(q, patch(y), ops.iota([1]));
          for (const s of inOrder ? [p, q] : [q, p]) assign(s, next);
        },
        { state: [0, 1] },
      );
      f(first, second, x);
    };
    run(true, a, b, tensor([10, 11, 20, 21], { shape: [2, 2] }));
    const seen = await list(a, b);
    run(false, b, a, tensor([30, 31, 40, 41], { shape: [2, 2] }));
    return [...seen, ...(await list(a, b))];
  }),
);

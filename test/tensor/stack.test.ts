/** Sums down columns, and patches, that share a kernel: which do, which may not, and that they give what they gave alone. */
import { beforeAll, expect, test } from "vitest";
import { withBackend } from "../../src/tensor/backend.ts";
import { assign, compile } from "../../src/tensor/compile.ts";
import { FlatTensors, flatLayout, tensor, zeros } from "../../src/tensor/create.ts";
import type { DType } from "../../src/tensor/dtype.ts";
import { ops } from "../../src/tensor/ops/index.ts";
import { ReferenceBackend } from "../../src/tensor/reference.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { useBackend } from "../helpers/backend.ts";

beforeAll(async () => {
  await useBackend();
});

/** Whole numbers, whose sums are exact; of u32 none below 0. */
const grid = (rows: number, columns: number, step: number, dtype: DType = "f32"): Tensor =>
  tensor(
    Array.from({ length: rows * columns }, (_, i) => ((i * step) % 13) - (dtype === "u32" ? 0 : 6)),
    { shape: [rows, columns], dtype },
  );

const list = async (tensors: readonly Tensor[]): Promise<number[][]> =>
  Promise.all(tensors.map(async (t) => Array.from(await t.data())));

/** Results of `f` on the device, which must be the reference's, and how many kernels computed them. */
async function run(
  f: (...args: Tensor[]) => Tensor[],
  make: () => Tensor[],
  state: number[] = [],
): Promise<number> {
  const once = async (): Promise<{ got: number[][]; kernels: number }> => {
    const compiled = compile(f as (...args: never[]) => Tensor[], { state });
    const args = make();
    const results = (compiled as unknown as (...args: Tensor[]) => Tensor[])(...args);
    const got = await list([...results, ...state.map((i) => args[i])]);
    return { got, kernels: Number(/(\d+) kernels/.exec(compiled.describe())?.[1] ?? 0) };
  };
  const want = await withBackend(new ReferenceBackend(), once);
  const { got, kernels } = await once();
  expect(got).toEqual(want.got);
  return kernels;
}

// Rows of one thread and of 64, results by four and one by one.
test.each([
  [40, 8, 12],
  [40, 5, 9],
  [300, 8, 12],
  [300, 7, 1],
])("sums of %i rows of %i and of %i columns are one kernel", async (rows, first, second) => {
  const kernels = await run(
    (x, y) => [ops.sum(x, 0), ops.sum(ops.mul(y, y), 0), ops.sum(ops.neg(x), 0)],
    () => [grid(rows, first, 3), grid(rows, second, 5)],
  );
  expect(kernels).toBe(1);
});

// Several results a workgroup or fewer, by four and one by one, in one kernel.
test.each([
  [300, 8, 7],
  [191, 4, 12],
  [129, 5, 1],
  [320, 33, 68],
])(
  "of %i rows, sums and maxima of several dtypes of %i and %i columns share a kernel",
  async (rows, first, second) => {
    const kinds = await run(
      (x, y, i, u) => [ops.sum(x, 0), ops.max(y, 0), ops.sum(i, 0), ops.sum(u, 0)],
      () => [
        grid(rows, first, 3),
        grid(rows, second, 5),
        grid(rows, first, 7, "i32"),
        grid(rows, second, 11, "u32"),
      ],
    );
    const parts = await run(
      (x, y) => [ops.sum(x, 0), ops.max(x, 0), ops.sum(ops.square(x), 0), ops.max(ops.neg(y), 0)],
      () => [grid(rows, first, 3), grid(rows, second, 5)],
    );
    expect([kinds, parts]).toEqual([1, 1]);
  },
);

test("rows of one thread and rows that 64 share are two kernels", async () => {
  const kernels = await run(
    (x, y) => [ops.sum(x, 0), ops.sum(y, 0)],
    () => [grid(40, 8, 3), grid(300, 8, 5)],
  );
  expect(kernels).toBe(2);
});

test("a sum of what needs another sum comes after it", async () => {
  const kernels = await run(
    (x, y) => {
      const first = ops.sum(x, 0);
      return [first, ops.sum(ops.mul(y, ops.reshape(first, [1, 8])), 0), ops.sum(y, 0)];
    },
    () => [grid(300, 8, 3), grid(300, 8, 5)],
  );
  expect(kernels).toBe(2);
});

test("a kernel binds no more than every device can", async () => {
  const kernels = await run(
    (...xs) => xs.map((x) => ops.sum(x, 0)),
    () => Array.from({ length: 9 }, (_, i) => grid(200, 8, i + 1)),
  );
  // Four sums, of an array each, in a kernel.
  expect(kernels).toBe(3);
});

test("states that sums are added to are written in place by one kernel", async () => {
  const make = (): Tensor[] => [zeros([8]), zeros([12]), grid(300, 4, 3), grid(4, 8, 5), grid(4, 12, 7)];
  const kernels = await run(
    (a, b, x, v, w) => {
      assign(a, ops.add(a, ops.sum(ops.matmul(x, v), 0)));
      assign(b, ops.add(b, ops.sum(ops.matmul(x, w), 0)));
      return [];
    },
    make,
    [0, 1],
  );
  expect(kernels).toBe(3);
});

test("arguments that one of them reads may lie beside a state that the other writes", async () => {
  // No kernel may read and write one buffer: those of one kernel would be refused.
  const make = (): Tensor[] => {
    const specs = [
      { name: "state", shape: [8] },
      { name: "read", shape: [300, 8] },
    ];
    const { state, read } = new FlatTensors(flatLayout(specs), "parts").tensors;
    read.write(Float32Array.from({ length: 2400 }, (_, i) => i % 7));
    return [state, read, grid(300, 4, 3), grid(4, 8, 5)];
  };
  const kernels = await run(
    (state, x, y, w) => {
      assign(state, ops.add(state, ops.sum(ops.matmul(y, w), 0)));
      return [ops.sum(x, 0)];
    },
    make,
    [0],
  );
  expect(kernels).toBe(3);
});

test("a sum of a state's old value is taken before another sum replaces it", async () => {
  await run(
    (state, x) => {
      const old = ops.sum(state, 0);
      const next = ops.sum(x, 0);
      assign(state, ops.reshape(ops.concat([next, next], 0), [2, 8]));
      return [old];
    },
    () => [grid(2, 8, 3), grid(300, 8, 5)],
    [0],
  );
  const kernels = await run(
    (state, x) => {
      const doubled = ops.sum(ops.mul(x, ops.reshape(state, [1, 8])), 0);
      assign(state, ops.sum(x, 0));
      return [doubled];
    },
    () => [zeros([8]), grid(300, 8, 5)],
    [0],
  );
  expect(kernels).toBe(2);
});

// Rows and values that kernels before them made, so that patches read no argument.
const patchArguments = (): Tensor[] => [
  grid(9, 1, 3),
  grid(9, 1, 5),
  grid(4, 3, 2),
  tensor([5, 0, 1, 2, 60, 39, 4, 4], { shape: [4, 2], dtype: "u32" }),
  grid(4, 1, 7),
];
type Patches = (a: Tensor, b: Tensor, p: Tensor, rows: Tensor, y: Tensor) => void;
const patched = (patches: Patches): Promise<number> =>
  run(
    (a, b, x, r, y) => {
      patches(a, b, ops.reshape(ops.sum(x, 1), [4, 1]), ops.sum(r, 1), y);
      return [];
    },
    patchArguments,
    [0, 1],
  );

test.each([
  [
    "one shape are one kernel",
    3,
    (a, b, p, rows) => {
      assign(a, ops.updateRows(a, p, rows));
      assign(b, ops.updateRows(b, ops.mul(p, 2), rows));
    },
  ],
  [
    "two states that read an argument are two: it may share memory with one",
    4,
    (a, b, p, rows, y) => {
      assign(a, ops.updateRows(a, y, rows));
      assign(b, ops.updateRows(b, p, rows));
    },
  ],
  [
    "one state are two: the second writes over the first",
    4,
    (a, _b, p, rows) => {
      assign(a, ops.updateRows(a, p, rows));
      assign(a, ops.updateRows(a, ops.mul(p, 2), rows));
    },
  ],
  [
    "two shapes are two",
    4,
    (a, b, p, rows) => {
      assign(a, ops.updateRows(a, p, rows));
      assign(b, ops.updateRows(b, ops.slice(p, [0, 0], [2, 1]), ops.slice(rows, [0], [2])));
    },
  ],
  [
    "rows and windows are two",
    4,
    (a, b, p, rows) => {
      assign(a, ops.updateRows(a, p, rows));
      assign(b, ops.updateAt(b, p, ops.reshape(ops.slice(rows, [0], [1]), []), 0));
    },
  ],
] as [string, number, Patches][])("patches of %s", async (_name, kernels, patches) => {
  expect(await patched(patches)).toBe(kernels);
});

test("a patch that reads what another replaces is a kernel of its own", async () => {
  const kernels = await patched((a, b, p, rows) => {
    assign(a, ops.updateRows(a, p, rows));
    assign(b, ops.updateRows(b, ops.take(a, ops.minimum(rows, 8)), rows));
  });
  expect(kernels).toBe(4);
});

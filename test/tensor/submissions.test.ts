/** Submissions end by estimated work, so that no driver's watchdog fires: where, and that no bit depends on it. */

import { afterEach, describe, expect, test } from "vitest";
import { compile } from "../../src/tensor/compile.ts";
import { tensor } from "../../src/tensor/create.ts";
import { setFlags } from "../../src/tensor/flags.ts";
import { init } from "../../src/tensor/init.ts";
import { ops } from "../../src/tensor/ops/index.ts";
import { opByName } from "../../src/tensor/ops/table.ts";
import { submissionEnds } from "../../src/tensor/program.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";

afterEach(() => setFlags({ nan: false }));

describe("where a submission ends", () => {
  test("after the kernel that passes the limit, and not after the last", () => {
    expect(submissionEnds([4, 4, 4, 4, 4, 4], 7)).toEqual([false, true, false, true, false, false]);
    expect(submissionEnds([9, 1, 9], 7)).toEqual([true, false, false]);
    expect(submissionEnds([], 7)).toEqual([]);
  });

  test("by default within a second at 100 GFLOP/s", () => {
    const ends = submissionEnds(Array.from({ length: 20 }, () => 2e10));
    const longest = Math.max(
      ...ends
        .join()
        .split("true")
        .map((run) => run.split(",").length - 1),
    );
    expect(ends).toContain(true);
    expect(longest * 2e10).toBeLessThan(1e11);
  });
});

const scalars = [
  { shape: [], dtype: "f32" as const },
  { shape: [], dtype: "u32" as const },
  { shape: [], dtype: "f32" as const },
];

test("loops over data that a kernel's results do not show are part of the estimate", () => {
  const chain = (n: number, rows: number): number =>
    opByName("indexChain").cost?.(
      [{ shape: [n], dtype: "u32" }],
      [
        { shape: [rows], dtype: "u32" },
        { shape: [n], dtype: "u32" },
      ],
      { rows },
    ).flops as number;
  // Each of V lists looks through N indices, each index through those after it.
  expect(chain(8192, 50257)).toBeGreaterThanOrEqual(8192 * 50257 + (8192 * 8191) / 2);
  const f32 = (...shape: number[]) => ({ shape, dtype: "f32" as const });
  const outs = [{ shape: [3], dtype: "u32" as const }, f32(3)];
  const sample = opByName("sample").cost?.([f32(3, 100), f32(3), ...scalars], outs, {}).mostFlops as number;
  // Two bisections over 32 bits, each step a pass over the row.
  expect(sample).toBeGreaterThanOrEqual(64 * 300);
});

describe("a program of several submissions", () => {
  const values = Float32Array.from({ length: 64 }, (_, i) => (((i * 7) % 11) - 5) / 8);

  /** Words of the result, and the submissions that the run took. */
  async function run(submitFlops?: number, nan = false): Promise<{ words: number[]; submits: number }> {
    const b = await init({ submitFlops });
    setFlags({ nan });
    const f = compile(
      (x: Tensor) => {
        let y = x;
        for (let i = 0; i < 6; i++) y = ops.matmul(y, x);
        return y;
      },
      { label: "powers" },
    );
    const x = tensor(values, { shape: [8, 8] });
    const y = f(x);
    await b.sync();
    const { submits } = b.counters();
    const words = Array.from(new Uint32Array(((await y.data()) as Float32Array).buffer));
    b.destroy();
    return { words, submits };
  }

  test("gives the bits of one submission, and of one with a check after each kernel", async () => {
    const whole = await run();
    expect(whole.submits).toBe(1);
    // A product of 8 x 8 by 8 x 8 takes 1,024 operations: two pass 1,500.
    const cut = await run(1500);
    expect(cut).toEqual({ words: whole.words, submits: 3 });
    expect(await run(1500, true)).toEqual(cut);
    expect(new Set(whole.words).size).toBeGreaterThan(30);
  });
});

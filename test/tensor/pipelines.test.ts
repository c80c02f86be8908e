/** Pipelines: what a bind group layout says of the parameters, which one implementation would otherwise mix up. */

import { expect, test, vi } from "vitest";
import { compile } from "../../src/tensor/compile.ts";
import { tensor } from "../../src/tensor/create.ts";
import { init } from "../../src/tensor/init.ts";
import { ops } from "../../src/tensor/ops/index.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";

test("layouts name the size of the parameters, so that pipelines with other sizes have other layouts", async () => {
  const backend = await init();
  const { gpu } = backend.device;
  const layouts = vi.spyOn(gpu, "createBindGroupLayout");
  const groups = vi.spyOn(gpu, "createBindGroup");
  // A movement has more sizes among its parameters than a sum.
  const f = compile((x: Tensor) => ops.sum(ops.matmul(ops.permute(x, [2, 0, 1]), x), 2));
  const x = tensor(new Float32Array(4 * 4 * 4), { shape: [4, 4, 4] });
  await f(x).data();
  const sizes = layouts.mock.calls.map(
    ([{ entries }]) => [...entries].find(({ buffer }) => buffer?.type === "uniform")?.buffer?.minBindingSize,
  );
  expect(new Set(sizes).size).toBeGreaterThan(1);
  for (const size of sizes) expect(size).toBeGreaterThanOrEqual(16);
  for (const [{ entries, layout }] of groups.mock.calls) {
    const made = layouts.mock.results.findIndex(({ value }) => value === layout);
    const bound = [...entries].at(-1)?.resource as GPUBufferBinding;
    expect(bound.size).toBe(sizes[made]);
  }
  expect(groups).toHaveBeenCalled();
  vi.restoreAllMocks();
  backend.destroy();
});

/**
 * The texts of products by subgroup matrices for adapters of several makers, without such an adapter: Dawn's null backend reads
 * and validates them, and what they fall back to reads the same bindings and parameters.
 */
import { expect, test } from "vitest";
import { create } from "webgpu";
import { forwardGraph, gradGraph } from "../../src/check/cases.ts";
import { withBackend } from "../../src/tensor/backend.ts";
import type { KernelText } from "../../src/tensor/codegen/builder.ts";
import type { Kernel } from "../../src/tensor/codegen/kernel.ts";
import { lanesFor } from "../../src/tensor/codegen/lanes.ts";
import { type MatmulProduct, matmulVariants, takesMatrices } from "../../src/tensor/codegen/matmulTiles.ts";
import { traceCall } from "../../src/tensor/compile.ts";
import { tensor } from "../../src/tensor/create.ts";
import type { Graph } from "../../src/tensor/ir.ts";
import { ops } from "../../src/tensor/ops/index.ts";
import { lowerGraph } from "../../src/tensor/passes/pipeline.ts";
import { ReferenceBackend } from "../../src/tensor/reference.ts";
import { numel } from "../../src/tensor/shape.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { type MatrixConfig, RAISED_LIMITS } from "../../src/tensor/tiers.ts";
import { casesOfRun } from "../helpers/casesOfRun.ts";

/** lavapipe's, Apple's, NVIDIA's, NVIDIA's smaller, AMD's. */
const CONFIGS: MatrixConfig[] = [
  { m: 8, n: 8, k: 8, lanes: 8 },
  { m: 8, n: 8, k: 8, lanes: 32 },
  { m: 16, n: 16, k: 16, lanes: 32 },
  { m: 16, n: 8, k: 16, lanes: 32 },
  { m: 16, n: 16, k: 16, lanes: 64 },
];

/** Kept: a process in which such an object is collected crashes. */
const gpu = create(["backend=null", "enable-dawn-features=allow_unsafe_apis"]);

function lower(graph: Graph, label: string, matrix: MatrixConfig, way?: string): readonly Kernel[] {
  const limits = { bindingLimit: 128 << 20, budget: 2 ** 31, maxGroups: 65535 };
  const lanes = lanesFor("T4", matrix);
  return lowerGraph(graph, { label, passesOff: [], ...limits, tier: "T4", lanes, tuning: () => way }).kernels;
}

/** Products with something before and after them, for all four ways that operands lie. */
function graphOf(sizes: { m: number; n: number; k: number }, ta: boolean, tb: boolean): Graph {
  return withBackend(new ReferenceBackend(), () => {
    const { m, n, k } = sizes;
    const make = (shape: number[]): Tensor => tensor(new Float32Array(numel(shape)), { shape });
    const fn = (a: Tensor, b: Tensor, c: Tensor): Tensor =>
      ops.add(ops.matmul(ops.mul(a, 0.5), b, { transposeA: ta, transposeB: tb }), c);
    return traceCall(fn, [make(ta ? [k, m] : [m, k]), make(tb ? [n, k] : [k, n]), make([n])], {}).graph;
  });
}

function texts(matrix: MatrixConfig): Kernel[] {
  const found = new Map<string, Kernel>();
  const take = (kernels: readonly Kernel[]): void => {
    for (const k of kernels) if (k.wgsl.includes("subgroup_matrix")) found.set(k.wgsl, k);
  };
  for (const c of casesOfRun().filter(({ op }) => op.name === "matmul")) {
    take(lower(forwardGraph(c), c.name, matrix));
    take(lower(gradGraph(c).graph, c.name, matrix));
  }
  for (const sizes of [
    { m: 128, n: 128, k: 64 },
    { m: 131, n: 68, k: 44 },
    { m: 7, n: 33, k: 35 },
  ]) {
    for (const [ta, tb] of [
      [false, false],
      [false, true],
      [true, false],
      [true, true],
    ]) {
      const graph = graphOf(sizes, ta, tb);
      const product: MatmulProduct = { ...sizes, batch: [], batches: 1, transposeA: ta, transposeB: tb };
      const ways = matmulVariants(product, lanesFor("T4", matrix));
      expect(ways.filter((way) => !way.startsWith("matrix"))).toEqual([]);
      expect(ways.length).toBeGreaterThan(0);
      for (const way of ways) take(lower(graph, way, matrix, way));
    }
  }
  return [...found.values()];
}

/** Bytes of a kernel's workgroup memory. */
function memoryOf(wgsl: string): number {
  const arrays = [...wgsl.matchAll(/var<workgroup> \w+: array<vec4<(f16|f32)>, (\d+)>/g)];
  return arrays.reduce((sum, [, type, length]) => sum + Number(length) * (type === "f16" ? 8 : 16), 0);
}

test("Dawn accepts the texts without a warning, within what T1 has", async () => {
  const adapter = await gpu.requestAdapter();
  const device = await (adapter as GPUAdapter).requestDevice({
    requiredFeatures: ["chromium-experimental-subgroup-matrix" as GPUFeatureName, "shader-f16", "subgroups"],
  });
  const said: string[] = [];
  device.addEventListener("uncapturederror", (event) => {
    event.preventDefault();
    said.push(event.error.message);
  });
  const own = await Promise.all(
    CONFIGS.map(async (config) => {
      const list = texts(config);
      for (const kernel of list) {
        const { m, n, k } = config;
        expect(kernel.wgsl).toContain(`subgroup_matrix_left<f16, ${k}, ${m}>`);
        expect(kernel.wgsl).toContain(`subgroup_matrix_right<f16, ${n}, ${k}>`);
        const portable = (kernel.portable as () => KernelText)();
        expect(portable.fields).toEqual(kernel.fields);
        expect(portable.bindings.map((b) => b.value)).toEqual(kernel.bindings.map((b) => b.value));
        expect(portable.wgsl).not.toMatch(/subgroup|f16/);
        for (const code of [kernel.wgsl, portable.wgsl]) {
          expect(memoryOf(code)).toBeGreaterThan(0);
          expect(memoryOf(code)).toBeLessThanOrEqual(RAISED_LIMITS.maxComputeWorkgroupStorageSize);
          const threads = Number(code.match(/@workgroup_size\((\d+)\)/)?.[1]);
          expect(threads % config.lanes).toBe(0);
          expect(threads).toBeLessThanOrEqual(256);
          const module = device.createShaderModule({ code });
          said.push(...(await module.getCompilationInfo()).messages.map(({ message }) => message));
        }
      }
      return list.length;
    }),
  );
  expect(said).toEqual([]);
  expect(Math.min(...own)).toBeGreaterThan(20);
});

test("what takes matrices depends on columns and steps, never on rows or batch", () => {
  const base = { batch: [], batches: 1, transposeA: false, transposeB: false };
  for (const matrix of CONFIGS) {
    const lanes = lanesFor("T4", matrix);
    for (const [n, k, expected] of [
      [32, 32, true],
      [31, 64, false],
      [64, 31, false],
    ] as const) {
      for (const m of [1, 2, 16, 17, 1000]) {
        for (const batches of [1, 64]) {
          const product = { ...base, batch: [batches], batches, m, n, k };
          expect(takesMatrices(product, lanes)).toBe(expected);
          expect(matmulVariants(product, lanes).every((way) => way.startsWith("matrix") === expected)).toBe(
            true,
          );
        }
      }
    }
    expect(takesMatrices({ ...base, m: 64, n: 64, k: 64 }, lanesFor("T3"))).toBe(false);
  }
});

/**
 * Every kernel of the op table's cases, forward and backward, read by a WGSL parser that is not ours: the bindings
 * and the parameter block are what the code generator declares and the host packs, and no two lanes race.
 */

import { describe, expect, test } from "vitest";
import { detectRaces, WgslReflect } from "wgsl_reflect/wgsl_reflect.module.js";
import { forwardGraph, gradGraph, gradInputs } from "../../src/check/cases.ts";
import { withBackend } from "../../src/tensor/backend.ts";
import type { KernelText } from "../../src/tensor/codegen/builder.ts";
import type { Kernel } from "../../src/tensor/codegen/kernel.ts";
import { SMALL_WORKGROUP, WORKGROUP } from "../../src/tensor/codegen/kernel.ts";
import { lanesFor } from "../../src/tensor/codegen/lanes.ts";
import { traceCall } from "../../src/tensor/compile.ts";
import { tensor } from "../../src/tensor/create.ts";
import { type Graph, Node } from "../../src/tensor/ir.ts";
import { ops } from "../../src/tensor/ops/index.ts";
import { lowerGraph } from "../../src/tensor/passes/pipeline.ts";
import { ReferenceBackend } from "../../src/tensor/reference.ts";
import { numel } from "../../src/tensor/shape.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { TIERS, type Tier, tierAtLeast } from "../../src/tensor/tiers.ts";
import { casesOfRun } from "../helpers/casesOfRun.ts";

function kernelsOf(
  graph: Graph,
  label: string,
  tier: Tier,
  way?: string,
  together = true,
): readonly Kernel[] {
  const limits = { bindingLimit: 128 << 20, budget: 2 ** 31, maxGroups: 65535 };
  const lanes = { ...lanesFor(tier), together };
  return lowerGraph(graph, { label, passesOff: [], ...limits, tier, lanes, tuning: () => way }).kernels;
}

/** Kernels by text: one of each, from graphs that the derived tests run. */
function kernels(tier: Tier, together = true): Map<string, Kernel> {
  const found = new Map<string, Kernel>();
  const lower = (graph: Graph, label: string): void => {
    for (const k of kernelsOf(graph, label, tier, undefined, together)) {
      if (!found.has(k.wgsl)) found.set(k.wgsl, k);
    }
  };
  for (const c of casesOfRun()) {
    lower(forwardGraph(c), c.name);
    if (gradInputs(c).length > 0) lower(gradGraph(c).graph, `vjp of ${c.name}`);
  }
  return found;
}

const all = kernels("T0");
/** Products whose k is shared out, of either order of threads, with columns stored by four and one by one. */
const split = ["split8x4p4", "split4x4p16", "split4x4p64"].flatMap((way) =>
  [
    { a: [5, 9], b: [9, 7], transposeB: false },
    { a: [8, 16], b: [12, 16], transposeB: true },
  ].flatMap(({ a, b, transposeB }) => {
    const inputs = [a, b].map((shape) => new Node("input", [], {}, [{ shape, dtype: "f32" }]).results[0]);
    const type = { shape: [a[0], transposeB ? b[0] : b[1]], dtype: "f32" } as const;
    const outputs = new Node("matmul", inputs, { transposeA: false, transposeB }, [type]).results;
    return kernelsOf({ inputs, outputs, updates: [] }, way, "T0", way);
  }),
);
/** Texts above T0: what a subgroup does is beyond the race detector, its bits are tierCheck.test.ts's subject. */
const above = [...kernels("T2").values()].filter((k) => k.variants.length > 0);
/** Texts of adapters on which threads do not share a unit of work. */
const alone = [...kernels("T0", false).values()].filter((k) => !all.has(k.wgsl));
const elementOf = (dtype: string): string => (dtype === "bool" ? "u32" : dtype);

test("bindings and parameters are what the host binds and packs", () => {
  expect(all.size).toBeGreaterThan(100);
  expect(above.length).toBeGreaterThan(4);
  expect(alone.length).toBeGreaterThan(1);
  expect(alone.filter((k) => k.wgsl.includes("Barrier"))).toEqual([]);
  // What a kernel falls back to takes the place of its text, and has to read the same bindings and parameters.
  const fallbacks = above.map((k) => {
    const { wgsl, fields, bindings } = (k.portable as () => KernelText)();
    expect(fields, k.label).toEqual(k.fields);
    expect(bindings.map((b) => b.value)).toEqual(k.bindings.map((b) => b.value));
    return { ...k, wgsl };
  });
  expect(fallbacks.filter((k) => /subgroup|quad/.test(k.wgsl))).toEqual([]);
  const sizes = new Set<number>();
  for (const k of [...all.values(), ...split, ...alone, ...above, ...fallbacks]) {
    const reflected = new WgslReflect(k.wgsl);
    expect(
      reflected.entry.compute.map((f) => f.name),
      k.label,
    ).toEqual(["main"]);
    const size = reflected.entry.compute[0].attributes?.find((a) => a.name === "workgroup_size")?.value;
    const threads = [size].flat().map(Number)[0];
    expect([SMALL_WORKGROUP, WORKGROUP], k.label).toContain(threads);
    // Where a thread has a unit of its own, workgroups count in as many as they have threads.
    const stride = /wg\.x\) \* (\d+)u \+ lane;/.exec(k.wgsl)?.[1];
    expect(Number(stride ?? WORKGROUP), k.label).toBe(threads);
    sizes.add(threads);
    expect(reflected.storage.length, k.label).toBe(k.bindings.length);
    k.bindings.forEach((b, i) => {
      const v = reflected.storage.find((s) => s.binding === i);
      expect(v, `${k.label}: binding ${i}`).toMatchObject({
        group: 0,
        name: b.name,
        access: b.write ? "read_write" : "read",
      });
      const element = elementOf(b.value.dtype);
      // The parser writes a length of 0 where there is none, and vectors by their short names.
      const type = v?.type.getTypeName().replace(", 0>", ">");
      expect([`array<${element}>`, `array<vec4${element[0]}>`], `${k.label}: ${b.name}`).toContain(type);
    });
    expect(reflected.uniforms.length, k.label).toBe(k.fields.length > 0 ? 1 : 0);
    if (k.fields.length === 0) continue;
    const [block] = reflected.uniforms;
    expect([block.group, block.binding], k.label).toEqual([0, k.bindings.length]);
    const members = block.members ?? [];
    expect(
      members.map((m) => `${m.name}: ${m.type.getTypeName()} @ ${m.offset}`),
      k.label,
    ).toEqual(k.fields.map((f, i) => `${f.name}: ${f.type} @ ${4 * i}`));
    expect(block.size, k.label).toBeLessThanOrEqual(Math.ceil((4 * k.fields.length) / 16) * 16);
  }
  expect([...sizes].sort()).toEqual([SMALL_WORKGROUP, WORKGROUP]);
});

const shared = [...all.values()].filter((k) => k.wgsl.includes("var<workgroup>"));

/** Host's side of a kernel: every buffer zeroed, the parameter block packed as the program packs it. */
function bindGroups(k: Kernel): Record<string, Record<string, unknown>> {
  const group: Record<string, unknown> = {};
  k.bindings.forEach((b, i) => {
    group[i] = new Float32Array(Math.max(4, Math.ceil(numel(b.value.shape) / 4) * 4));
  });
  const words = new DataView(new ArrayBuffer(Math.ceil(k.fields.length / 4) * 16));
  k.fields.forEach((f, i) => {
    const x = typeof f.value === "number" ? f.value : 0;
    if (f.type === "f32") words.setFloat32(4 * i, x, true);
    else words.setUint32(4 * i, x >>> 0, true);
  });
  group[k.bindings.length] = { uniform: new Uint8Array(words.buffer) };
  return { 0: group };
}

/** Races of one workgroup of a kernel, lanes in lockstep between barriers. */
function races(k: Kernel, wgsl: string): string[] {
  const found = detectRaces(wgsl, "main", [1, 1, 1], bindGroups(k));
  return [...found.errors, ...found.races.map((r) => r.message)];
}

/** Each of a kernel's barriers keeps its lanes from racing. */
function expectBarriersNeeded(k: Kernel, barriers: number): void {
  const barrier = "workgroupBarrier();";
  const parts = k.wgsl.split(barrier);
  expect(parts.length, k.label).toBe(barriers + 1);
  for (let cut = 1; cut < parts.length; cut++) {
    const without = `${parts.slice(0, cut).join(barrier)}${parts.slice(cut).join(barrier)}`;
    expect(races(k, without).length, `${k.label} without barrier ${cut}`).toBeGreaterThan(0);
  }
}

test("lanes that share memory do not race", () => {
  expect(shared.length).toBeGreaterThan(4);
  for (const k of shared) expect(races(k, k.wgsl), k.label).toEqual([]);
});

test("dropping any barrier makes them race", () => {
  // Scalar and vector accumulators; one by one this takes a second each.
  const some = [
    shared.find((k) => !k.wgsl.includes("array<vec4<f32>, 64>")),
    shared.find((k) => k.wgsl.includes("array<vec4<f32>, 64>")),
  ];
  for (const k of some as Kernel[]) expectBarriersNeeded(k, 2);
});

test("the threads of a product whose k is shared out do not race, and would without either barrier", () => {
  for (const k of split) {
    expect(races(k, k.wgsl), k.label).toEqual([]);
    expectBarriersNeeded(k, 2);
  }
});

test("dropping any barrier of attention that is split makes them race", () => {
  // Of more elements than are joined at a time, so that the last barrier matters too.
  const k = shared.filter((k) => k.group.kind === "template").at(-1) as Kernel;
  expectBarriersNeeded(k, 3);
});

describe("a row program of many reductions", () => {
  /** Kernels of `f` on rows of 64 lanes, without a device. */
  const rowKernels = (f: (x: Tensor) => unknown, length: number, tier: Tier): readonly Kernel[] =>
    withBackend(new ReferenceBackend(), () => {
      const x = tensor(new Float32Array(2 * length), { shape: [2, length] });
      return kernelsOf(traceCall(f, [x], {}).graph, "rows", tier);
    });
  const softmaxes = (x: Tensor, n: number): Tensor => {
    let y = x;
    for (let i = 0; i < n; i++) y = ops.softmax(ops.mul(y, 3));
    return y;
  };
  const workgroupBytes = (k: Kernel): number =>
    [...k.wgsl.matchAll(/var<workgroup> \w+: array<(vec4<)?\w+>?, (\d+)>/g)].reduce(
      (sum, [, vector, n]) => sum + Number(n) * (vector ? 16 : 4),
      0,
    );

  test("takes no more workgroup memory than one of two, whatever the tier", () => {
    for (const tier of TIERS) {
      for (const length of [256, 257]) {
        for (const n of [1, 9, 20]) {
          const bytes = rowKernels((x) => softmaxes(x, n), length, tier).map(workgroupBytes);
          // What all lanes have, and from there what eight have made of it, or what all have the next time.
          const places = WORKGROUP + (tierAtLeast(tier, "T2") ? WORKGROUP : 8);
          expect(Math.max(...bytes), `${n} of ${length} at ${tier}`).toBe(places * (length === 256 ? 16 : 4));
        }
      }
    }
  });

  test("of every dtype stays within the 16 KiB of T0", () => {
    const mixed = (x: Tensor): unknown => {
      let y = x;
      for (let i = 0; i < 6; i++) {
        const whole = ops.sub(ops.cast(y, "i32"), ops.max(ops.cast(y, "i32"), 1, true));
        const words = ops.sub(ops.cast(y, "u32"), ops.min(ops.cast(y, "u32"), 1, true));
        y = ops.softmax(ops.add(ops.cast(whole, "f32"), ops.cast(words, "f32")));
      }
      return y;
    };
    const bytes = rowKernels(mixed, 256, "T0").map(workgroupBytes);
    // Reductions of three dtypes.
    expect(Math.max(...bytes)).toBe(3 * (WORKGROUP + 8) * 16);
  });

  test.each(["T0", "T2"] as const)("shares two arrays at %s, and with one it would race", (tier) => {
    const [{ wgsl, ...k }] = rowKernels((x) => softmaxes(x, 2), 132, tier);
    // Of subgroups the simulation knows nothing: what lanes exchange is no memory that they share.
    const text = wgsl
      .replace("enable subgroups;", "")
      .replace(/, @builtin\(subgroup_\w+\) \w+: u32/g, "")
      .replace(/subgroupShuffleXor\((\w+), \du\)/g, "$1")
      .replaceAll("subgroupLane", "lane");
    const kernel = { ...k, wgsl: text };
    const names = [...text.matchAll(/var<workgroup> (\w+)/g)].map((m) => m[1]);
    expect(names.length).toBe(2);
    expect(races(kernel, text)).toEqual([]);
    const [line, second] = [`var<workgroup> ${names[1]}:`, new RegExp(`\\b${names[1]}\\b`, "g")];
    const single = text
      .split("\n")
      .filter((l) => !l.startsWith(line))
      .join("\n")
      .replaceAll(second, names[0]);
    expect(races(kernel, single).length).toBeGreaterThan(0);
  });

  test("sums down columns do not race, and would without either barrier", () => {
    const [k] = rowKernels((x) => ops.sum(ops.reshape(ops.broadcastTo(x, [2, 132]), [132, 2]), 0), 132, "T0");
    expect(races(k, k.wgsl)).toEqual([]);
    expectBarriersNeeded(k, 2);
  });
});

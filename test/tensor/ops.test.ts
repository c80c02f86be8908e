/**
 * Tests derived from the op table, on the device: every case of every op, forward and backward, against float64;
 * every call that has to be refused; guard words around each tensor; folded and huge grids; every tier.
 */

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Kernel } from "../../src/tensor/codegen/kernel.ts";
import { tensor } from "../../src/tensor/create.ts";
import { requestAdapter } from "../../src/tensor/device.ts";
import { init } from "../../src/tensor/init.ts";
import { interpret } from "../../src/tensor/interpreter.ts";
import { ops } from "../../src/tensor/ops/index.ts";
import { allOps } from "../../src/tensor/ops/table.ts";
import { lowerGraph } from "../../src/tensor/passes/pipeline.ts";
import { scope } from "../../src/tensor/tensor.ts";
import { TIERS, type Tier } from "../../src/tensor/tiers.ts";
import { apply } from "../../src/tensor/trace.ts";
import { WebGpuBackend } from "../../src/tensor/webgpu.ts";
import { Bench, type Prepared } from "../helpers/bench.ts";
import {
  allCases,
  callText,
  compare,
  describeDifference,
  drawInputs,
  forwardAccept,
  forwardGraph,
  gradGraph,
  gradInputs,
  largest,
  type NamedCase,
  rngOf,
  typeOf,
} from "../helpers/opCases.ts";
import { repeat } from "../helpers/seed.ts";

const cases = allCases();
const byOp = (list: readonly NamedCase[], name: string): NamedCase[] =>
  list.filter((c) => c.op.name === name);
const opNames = [...new Set(cases.map((c) => c.op.name))];

/** The case's call, ready to run on the backend. */
function prepareForward(bench: Bench, c: NamedCase): Prepared {
  return bench.prepare(c.name, forwardGraph(c), drawInputs(c.test.inputs, rngOf(c.index)));
}

/** Compares a run of the case with the float64 reference. */
async function checkForward(bench: Bench, c: NamedCase, p: Prepared): Promise<void> {
  const attrs = c.test.attrs ?? {};
  const want = c.op.reference(p.inputs, attrs, p.graph.outputs);
  const unstable = c.op.unstable?.(p.inputs, attrs);
  const got = await bench.read(p);
  want.forEach((w, r) => {
    const d = compare(got[r], w, forwardAccept(c.op, p.inputs, attrs, r), (at) => unstable?.(r, at) ?? false);
    expect(d.worst, `${describeDifference(c.name, d)}; ${repeat}`).toBeLessThanOrEqual(1);
  });
}

async function checkAll(
  bench: Bench,
  list: readonly NamedCase[],
  prepared: ReadonlyMap<NamedCase, Prepared>,
) {
  const mine = list.map((c) => [c, prepared.get(c) as Prepared] as const);
  for (const [, p] of mine) bench.run(p);
  for (const [c, p] of mine) await checkForward(bench, c, p);
  expect(await bench.backend.checkGuards(), `words outside a tensor; ${repeat}`).toEqual([]);
  for (const [, p] of mine) bench.dispose(p);
}

describe("T0", () => {
  let bench: Bench;
  const forward = new Map<NamedCase, Prepared>();
  beforeAll(async () => {
    bench = new Bench(await init({ tier: "T0", guardWords: true }));
    for (const c of cases) forward.set(c, prepareForward(bench, c));
    await bench.ready();
  });
  afterAll(() => bench?.backend.destroy());

  test.each(opNames)("forward: %s", async (name) => {
    await checkAll(bench, byOp(cases, name), forward);
  });

  test.each(
    allOps()
      .filter((op) => op.bad)
      .map((op) => op.name),
  )("refused before any GPU call: %s", (name) => {
    const op = allOps().find((x) => x.name === name);
    for (const bad of op?.bad ?? []) {
      scope(() => {
        const inputs = bad.inputs.map((x) => {
          const { shape, dtype } = typeOf(x);
          return tensor(new Float32Array(shape.reduce((a, b) => a * b, 1)), { shape, dtype });
        });
        const before = bench.backend.counters();
        const call = callText(name, bad.inputs, bad.attrs);
        let thrown: unknown = null;
        try {
          apply(op!, inputs, bad.attrs);
        } catch (error) {
          thrown = error;
        }
        expect(thrown, call).toMatchObject({ name: bad.error });
        const { message } = thrown as Error;
        expect(message, call).toMatch(new RegExp(`^${name}: .*(got|differ).*\\. `, "s"));
        expect(bench.backend.counters(), call).toEqual(before);
      });
    }
  });

  test("constants never make an expression that WGSL refuses to compile", async () => {
    const x = tensor([3, 5, 7], { dtype: "u32" });
    expect([...(await ops.rem(x, 0).data())]).toEqual([0, 0, 0]);
    expect([...(await ops.div(x, 0).data())]).toEqual([3, 5, 7]);
    expect([...(await ops.sub(ops.full([3], 0, "u32"), ops.mul(x, 0)).data())]).toEqual([0, 0, 0]);
    expect((await ops.log(ops.full([3], 0)).data()).length).toBe(3);
    x.dispose();
  });

  test("a map over more than 65,535 workgroups", async () => {
    const n = 65536 * 64 + 1;
    const data = new Float32Array(n);
    for (let i = 0; i < n; i++) data[i] = i % 1021;
    const x = tensor(data);
    const y = ops.add(x, 1);
    const got = (await y.data()) as Float32Array;
    let wrong = 0;
    for (let i = 0; i < n; i++) if (got[i] !== (i % 1021) + 1) wrong++;
    expect(wrong).toBe(0);
    expect(await bench.backend.checkGuards()).toEqual([]);
    x.dispose();
    y.dispose();
  });
});

describe("vjp on T0", () => {
  let bench: Bench;
  const prepared = new Map<NamedCase, Prepared>();
  const list = cases.filter((c) => gradInputs(c).length > 0);
  beforeAll(async () => {
    bench = new Bench(await init({ tier: "T0", guardWords: true }));
    for (const c of list) {
      const rng = rngOf(c.index);
      const inputs = drawInputs(c.test.inputs, rng);
      const built = gradGraph(c);
      const cotangents = built.cotangents.flatMap((t) => drawInputs([t], rng));
      prepared.set(c, bench.prepare(`vjp of ${c.name}`, built.graph, [...inputs, ...cotangents]));
    }
    await bench.ready();
  });
  afterAll(() => bench?.backend.destroy());

  test.each([...new Set(list.map((c) => c.op.name))])("vjp: %s", async (name) => {
    const mine = byOp(list, name).map((c) => [c, prepared.get(c) as Prepared] as const);
    for (const [, p] of mine) bench.run(p);
    for (const [c, p] of mine) {
      const want = interpret(p.graph, p.inputs, p.graph.outputs);
      const got = await bench.read(p);
      const t = c.op.tolerance ?? {};
      const scale = Math.max(...p.inputs.slice(c.test.inputs.length).map((x) => largest(x.data)));
      want.forEach((w, r) => {
        const accept = { relative: t.gradient ?? 2e-4, floor: 1e-2, absolute: (t.absolute ?? 0) * scale };
        const d = compare(got[r], w, accept);
        expect(d.worst, `${describeDifference(p.name, d)}; ${repeat}`).toBeLessThanOrEqual(1);
      });
    }
    expect(await bench.backend.checkGuards(), `words outside a tensor; ${repeat}`).toEqual([]);
    for (const [, p] of mine) bench.dispose(p);
  });
});

/** What a case's call is lowered to, without a device. */
function kernelsOf(c: NamedCase, options: { tier?: Tier; maxGroups?: number }): readonly Kernel[] {
  const all = { label: c.name, passesOff: [], bindingLimit: 128 << 20, budget: 2 ** 31 };
  return lowerGraph(forwardGraph(c), { ...all, tier: "T0", maxGroups: 65535, ...options }).kernels;
}

test("grids folded into two axes give the same", async () => {
  const { device } = await init({ tier: "T0", guardWords: true });
  const bench = new Bench(new WebGpuBackend(device, { maxGroups: 2, guardWords: true }));
  const prepared = new Map<NamedCase, Prepared>();
  const folded = new Set<string>();
  for (const c of cases) {
    const kernels = kernelsOf(c, { maxGroups: 2 }).filter((k) => k.grid[1] > 1);
    for (const k of kernels) folded.add(k.group.kind);
    if (kernels.length > 0) prepared.set(c, prepareForward(bench, c));
  }
  await bench.ready();
  expect([...folded].sort()).toEqual(["map", "matmul", "row", "template"]);
  await checkAll(bench, [...prepared.keys()], prepared);
  bench.backend.destroy();
});

test("tiers above T0", async () => {
  const { gaps } = await requestAdapter();
  const tiers = TIERS.filter((tier): tier is Tier => tier !== "T0" && gaps[tier] === null);
  // Most ops have T0's text on every tier: one call shows that it runs there. Those with a text of their own run whole.
  for (const tier of tiers) {
    const own = cases.filter((c) => kernelsOf(c, { tier }).some((k) => k.variants.length > 0));
    const last = cases.filter((c) => c === byOp(cases, c.op.name).at(-1) && !own.includes(c));
    const bench = new Bench(await init({ tier, guardWords: true }));
    const prepared = new Map([...own, ...last].map((c) => [c, prepareForward(bench, c)]));
    await bench.ready();
    await checkAll(bench, [...prepared.keys()], prepared);
    // A kernel that its first check refused would have been replaced by T0's, and its results right.
    expect([...bench.backend.pipelines.fallbacks]).toEqual([]);
    bench.backend.destroy();
    const names = [...new Set(own.map((c) => c.op.name))].join(", ") || "none";
    console.log(
      `${tier}: ${own.length} calls of ops with kernels of their own (${names}), ${last.length} with T0's`,
    );
  }
});

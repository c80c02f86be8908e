/**
 * Tests derived from the op table, on the device: every case of every op, forward and backward, against float64;
 * every call that has to be refused; guard words around each tensor; folded and huge grids; every tier.
 */

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Bench, type Prepared } from "../../src/check/bench.ts";
import { type Call, forwardCall, gradientCall } from "../../src/check/calls.ts";
import { callText, forwardGraph, gradInputs, type NamedCase, typeOf } from "../../src/check/cases.ts";
import type { Kernel } from "../../src/tensor/codegen/kernel.ts";
import { tensor } from "../../src/tensor/create.ts";
import { requestAdapter } from "../../src/tensor/device.ts";
import { init } from "../../src/tensor/init.ts";
import type { Attrs } from "../../src/tensor/ir.ts";
import type { OpDef, OpFunction } from "../../src/tensor/opdef.ts";
import { ops } from "../../src/tensor/ops/index.ts";
import { allOps } from "../../src/tensor/ops/table.ts";
import { lowerGraph } from "../../src/tensor/passes/pipeline.ts";
import { scope, type Tensor } from "../../src/tensor/tensor.ts";
import { TIERS, type Tier } from "../../src/tensor/tiers.ts";
import { apply } from "../../src/tensor/trace.ts";
import { WebGpuBackend } from "../../src/tensor/webgpu.ts";
import { casesOfRun } from "../helpers/casesOfRun.ts";
import { repeat, seed } from "../helpers/seed.ts";

const cases = casesOfRun();
const byOp = (list: readonly NamedCase[], name: string): NamedCase[] =>
  list.filter((c) => c.op.name === name);
const preparedOf = (prepared: ReadonlyMap<NamedCase, Ready>, name: string): Ready[] =>
  [...prepared].filter(([c]) => c.op.name === name).map(([, ready]) => ready);
const opNames = [...new Set(cases.map((c) => c.op.name))];

interface Ready {
  call: Call;
  p: Prepared;
}

function prepare(bench: Bench, call: Call): Ready {
  return { call, p: bench.prepare(call.name, call.graph, call.inputs) };
}

/** Runs calls and compares them with the float64 reference; then looks at the words around their tensors. */
async function checkAll(bench: Bench, list: readonly Ready[]): Promise<void> {
  for (const { p } of list) bench.run(p);
  for (const { call, p } of list) {
    const { worst, complaint } = call.judge(await bench.read(p));
    expect(worst, `${complaint}; ${repeat}`).toBeLessThanOrEqual(1);
  }
  expect(await bench.backend.checkGuards(), `words outside a tensor; ${repeat}`).toEqual([]);
  for (const { p } of list) bench.dispose(p);
}

/** The call as users write it: operands, then attributes in order; the few that take them otherwise by name. */
function publicCall(op: OpDef, inputs: readonly Tensor[], attrs: Attrs = {}): unknown {
  const found = Object.values(ops).find((f) => (f as Partial<OpFunction>).op === op);
  if (typeof found !== "function") throw new Error(`${op.name} has no function among ops`);
  const call = found as (...args: unknown[]) => unknown;
  if (op.name === "concat") return call(inputs, attrs.axis);
  if (op.name === "matmul") return call(...inputs, attrs);
  if (op.name === "philox") return call(inputs.slice(0, 4), inputs.slice(4));
  return call(...inputs, ...Object.values(attrs));
}

describe("T0", () => {
  let bench: Bench;
  const forward = new Map<NamedCase, Ready>();
  beforeAll(async () => {
    bench = new Bench(await init({ tier: "T0", guardWords: true }));
    for (const c of cases) forward.set(c, prepare(bench, forwardCall(c, seed)));
    await bench.ready();
  });
  afterAll(() => bench?.backend.destroy());

  test.each(opNames)("forward: %s", async (name) => {
    await checkAll(bench, preparedOf(forward, name));
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
        for (const f of [apply, publicCall]) {
          let thrown: unknown = null;
          try {
            f(op!, inputs, bad.attrs);
          } catch (error) {
            thrown = error;
          }
          expect(thrown, call).toMatchObject({ name: bad.error });
          const { message } = thrown as Error;
          expect(message, call).toMatch(new RegExp(`^${name}: .*(got|differ).*\\. `, "s"));
          expect(bench.backend.counters(), call).toEqual(before);
        }
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
  const backward = new Map<NamedCase, Ready>();
  const list = cases.filter((c) => gradInputs(c).length > 0);
  beforeAll(async () => {
    bench = new Bench(await init({ tier: "T0", guardWords: true }));
    for (const c of list) backward.set(c, prepare(bench, gradientCall(c, seed)));
    await bench.ready();
  });
  afterAll(() => bench?.backend.destroy());

  test.each([...new Set(list.map((c) => c.op.name))])("vjp: %s", async (name) => {
    await checkAll(bench, preparedOf(backward, name));
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
  const prepared: Ready[] = [];
  const folded = new Set<string>();
  for (const c of cases) {
    const kernels = kernelsOf(c, { maxGroups: 2 }).filter((k) => k.grid[1] > 1);
    for (const k of kernels) folded.add(k.group.kind);
    if (kernels.length > 0) prepared.push(prepare(bench, forwardCall(c, seed)));
  }
  await bench.ready();
  expect([...folded].sort()).toEqual(["map", "matmul", "row", "template"]);
  await checkAll(bench, prepared);
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
    const prepared = [...own, ...last].map((c) => prepare(bench, forwardCall(c, seed)));
    await bench.ready();
    await checkAll(bench, prepared);
    // A kernel that its first check refused would have been replaced by T0's, and its results right.
    expect([...bench.backend.pipelines.fallbacks]).toEqual([]);
    bench.backend.destroy();
    const names = [...new Set(own.map((c) => c.op.name))].join(", ") || "none";
    console.log(
      `${tier}: ${own.length} calls of ops with kernels of their own (${names}), ${last.length} with T0's`,
    );
  }
});

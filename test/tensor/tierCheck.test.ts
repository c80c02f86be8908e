/** Kernels above T0: the same bits as T0, checked at first use, and a fallback that says so. */

import { afterEach, describe, expect, test, vi } from "vitest";
import type { QuadRead } from "../../src/shaders/quads.ts";
import { type JoinLanes, lanesFor, PORTABLE_LANES } from "../../src/tensor/codegen/lanes.ts";
import { compile } from "../../src/tensor/compile.ts";
import { tensor } from "../../src/tensor/create.ts";
import { requestAdapter } from "../../src/tensor/device.ts";
import { init } from "../../src/tensor/init.ts";
import { ops } from "../../src/tensor/ops/index.ts";
import { philox } from "../../src/tensor/random.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { type Tier, tierAtLeast } from "../../src/tensor/tiers.ts";
import type { WebGpuOptions } from "../../src/tensor/webgpu.ts";

const best = (await requestAdapter()).info.tier;
const hasSubgroups = tierAtLeast(best, "T2");

afterEach(() => {
  vi.restoreAllMocks();
});

function floats(n: number): Float32Array {
  return Float32Array.from({ length: n }, (_, i) => philox([i, 0, 0, 0], [5, 6])[0] / 2 ** 30 - 2);
}

const bits = async (t: Tensor): Promise<number[]> =>
  Array.from(new Uint32Array(((await t.data()) as Float32Array).buffer));

/** Reductions of each kind on the device of a tier: raw words. */
async function reductions(tier: Tier, options: WebGpuOptions = {}): Promise<number[][]> {
  const backend = await init({ tier, ...options });
  const out: number[][] = [];
  const wide = tensor(floats(5 * 1032), { shape: [5, 1032] });
  const odd = tensor(floats(3 * 129), { shape: [3, 129] });
  const words = tensor(
    floats(2 * 300).map((x) => Math.floor(x * 1000)),
    { shape: [2, 300], dtype: "i32" },
  );
  out.push(await bits(ops.sum(wide, 1)), await bits(ops.max(odd, 1)), await bits(ops.min(words, 1)));
  out.push(await bits(ops.sum(ops.permute(wide, [1, 0]), 0)));
  if (!options.lanes) out.push(await bits(compile((x: Tensor) => ops.softmax(x))(odd)));
  expect(backend.device.tier).toBe(tier);
  backend.destroy();
  return out;
}

describe.runIf(hasSubgroups)("subgroups", () => {
  test("give the bits of T0, whatever their size", async () => {
    const error = vi.spyOn(console, "error").mockImplementation(() => {});
    const fixed = await reductions("T0");
    expect(await reductions("T2")).toEqual(fixed);
    expect(error.mock.calls).toEqual([]);
  });

  test("are in the text from T2 on and not below", async () => {
    for (const tier of ["T0", "T1", "T2"] as const) {
      const backend = await init({ tier });
      const spy = vi.spyOn(backend.device.gpu, "createShaderModule");
      await ops.sum(tensor(floats(300))).data();
      const used = spy.mock.calls.some(([d]) => d.code.includes("subgroupShuffleXor"));
      expect(used, tier).toBe(tier === "T2");
      expect(backend.pipelines.fallbacks.size).toBe(0);
      backend.destroy();
    }
  });

  /** A tempting mistake: two subgroups of 32, whatever the adapter has; wrong where it has fewer or more. */
  const assumes32: JoinLanes = (a, k) => {
    k.subgroups();
    const shared = k.fresh("sh");
    k.declare(`var<workgroup> ${shared}: array<${a.type}, 64>;`);
    const own = k.name("s", `subgroupShuffleXor(${a.name}, 1u)`);
    k.line(`${shared}[lane] = ${a.combine(a.name, own)};`);
    k.line("workgroupBarrier();");
    return k.name("all", a.combine(`${shared}[0]`, `${shared}[32]`));
  };

  const doesNotCompile: JoinLanes = (a, k) => {
    k.line("let broken = thereIsNoSuchFunction(lane);");
    return a.name;
  };

  test.each([
    ["gives wrong sums", assumes32, /the bits of T0 were expected, got others: 0x/],
    ["does not compile", doesNotCompile, /thereIsNoSuchFunction/],
  ])("a variant that %s falls back to T0 aloud", async (_, join, why) => {
    const fixed = await reductions("T0");
    const said = vi.spyOn(console, "error").mockImplementation(() => {});
    expect(await reductions("T2", { lanes: { ...lanesFor("T2"), join } })).toEqual(fixed.slice(0, 4));
    const messages = said.mock.calls.map(([text]) => String(text));
    const sums = messages.filter((m) => m.includes("join/sum/f32/4"));
    expect(sums.length).toBe(1);
    expect(sums[0]).toMatch(/of tier T2 falls back to T0/);
    expect(sums[0]).toMatch(why);
  });
});

/** Products whose operands lie every way, with sizes that fill tiles and that do not, on the device of a tier: raw words. */
async function products(tier: Tier, lanes = lanesFor(tier)): Promise<{ bits: number[][]; quads: boolean }> {
  const backend = await init({ tier, lanes });
  const spy = vi.spyOn(backend.device.gpu, "createShaderModule");
  const out: number[][] = [];
  for (const [m, k, n] of [
    [8, 12, 16],
    [4, 7, 32],
    [24, 20, 48],
    [12, 8, 5],
    // In whole workgroups, and so by a variant of its own.
    [520, 4, 16],
  ]) {
    for (const transposeA of [false, true]) {
      for (const transposeB of [false, true]) {
        const a = tensor(floats(3 * m * k), { shape: transposeA ? [3, k, m] : [3, m, k] });
        const b = tensor(floats(3 * k * n), { shape: transposeB ? [3, n, k] : [3, k, n] });
        out.push(await bits(ops.matmul(a, b, { transposeA, transposeB })));
      }
    }
  }
  const quads = spy.mock.calls.some(([d]) => d.code.includes("quadBroadcast"));
  backend.destroy();
  return { bits: out, quads };
}

describe.runIf(hasSubgroups)("quads", () => {
  test("give the products the bits of T0", async () => {
    const error = vi.spyOn(console, "error").mockImplementation(() => {});
    const fixed = await products("T0");
    const shared = await products("T2");
    expect([fixed.quads, shared.quads]).toEqual([false, true]);
    expect(shared.bits).toEqual(fixed.bits);
    expect(error.mock.calls).toEqual([]);
  });

  const neighbour: QuadRead = (name, place) => `quadBroadcast(${name}, ${(place + 1) % 4}u)`;
  const unknown: QuadRead = (name) => `thereIsNoSuchFunction(${name})`;

  test.each([
    ["read another thread than they should", neighbour, /the bits of T0 were expected, got others: 0x/],
    ["do not compile", unknown, /thereIsNoSuchFunction/],
  ])("where they %s, products fall back to T0 aloud", async (_, quad, why) => {
    const fixed = await products("T0");
    const said = vi.spyOn(console, "error").mockImplementation(() => {});
    expect((await products("T2", { ...lanesFor("T2"), quad })).bits).toEqual(fixed.bits);
    const messages = said.mock.calls.map(([text]) => String(text));
    expect(messages).toHaveLength(2);
    expect(messages[0]).toMatch(/quad\/matmul\/16 of tier T2 falls back to T0/);
    expect(messages[1]).toMatch(/quad\/matmul of tier T2 falls back to T0/);
    for (const text of messages) expect(text).toMatch(why);
  });
});

test.runIf(hasSubgroups)(
  "quads with the rows of another are found, where a subgroup has several",
  async () => {
    const fixed = await products("T0");
    const said = vi.spyOn(console, "error").mockImplementation(() => {});
    /** Right only where all quads of a subgroup have the rows of the first. */
    const firstQuad: QuadRead = (name, place) => `subgroupShuffle(${name}, ${place}u)`;
    expect((await products("T2", { ...lanesFor("T2"), quad: firstQuad })).bits).toEqual(fixed.bits);
    const { device } = await init({ tier: "T2" });
    expect(said.mock.calls.length).toBe(device.subgroupMinSize > 4 ? 2 : 0);
    device.destroy();
  },
);

test("an adapter below T2 runs the trees of T0", async () => {
  const backend = await init({ tier: "T0" });
  const spy = vi.spyOn(backend.device.gpu, "createShaderModule");
  expect(await ops.sum(tensor(new Float32Array(1000).fill(0.5))).item()).toBe(500);
  expect(spy.mock.calls.length).toBe(1);
  expect(spy.mock.calls[0][0].code).not.toContain("subgroup");
  expect(PORTABLE_LANES.join).toBeTypeOf("function");
  backend.destroy();
});

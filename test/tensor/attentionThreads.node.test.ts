/** How threads share what attention reads and adds changes no bit: shares of a query's keys, and quads. */
import { afterEach, describe, expect, test, vi } from "vitest";
import type { QuadRead } from "../../src/shaders/quads.ts";
import { valueAndGrad } from "../../src/tensor/autodiff.ts";
import { lanesFor, PORTABLE_LANES } from "../../src/tensor/codegen/lanes.ts";
import { compile } from "../../src/tensor/compile.ts";
import { tensor } from "../../src/tensor/create.ts";
import { requestAdapter } from "../../src/tensor/device.ts";
import { type InitOptions, init } from "../../src/tensor/init.ts";
import { WHOLE_LENGTH } from "../../src/tensor/ops/attentionShapes.ts";
import { ops } from "../../src/tensor/ops/index.ts";
import { Rng, Stream } from "../../src/tensor/random.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { tierAtLeast } from "../../src/tensor/tiers.ts";
import type { WebGpuOptions } from "../../src/tensor/webgpu.ts";
import { repeat, seed } from "../helpers/seed.ts";

afterEach(() => {
  vi.restoreAllMocks();
});

const best = (await requestAdapter()).info.tier;
const rng = new Rng(seed, Stream.test, 71);
const within = (least: number, most: number): number =>
  least + Math.floor(rng.uniform() * (most - least + 1));

/** Numbers that spread over many powers of two. */
function numbers(shape: readonly number[]): Float32Array {
  const count = shape.reduce((n, d) => n * d, 1);
  return Float32Array.from({ length: count }, () => 2 ** within(-8, 2) * (2 * rng.uniform() - 1));
}

const f32 = (x: Float32Array, shape: number[]): Tensor => tensor(x, { shape });
const u32 = (x: readonly number[], shape: number[]): Tensor => tensor([...x], { shape, dtype: "u32" });

/** Bits of what `f` computes on a device of its own, the texts of its kernels, and what fell back to T0. */
async function onDevice(
  options: InitOptions & WebGpuOptions,
  f: () => readonly Tensor[],
): Promise<{ bits: Uint32Array[]; texts: string[]; fallbacks: string[] }> {
  const backend = await init(options);
  const texts: string[] = [];
  const create = backend.device.gpu.createShaderModule.bind(backend.device.gpu);
  backend.device.gpu.createShaderModule = (d) => {
    texts.push(d.code);
    return create(d);
  };
  const bits: Uint32Array[] = [];
  for (const x of f()) bits.push(new Uint32Array((await x.data()).slice().buffer));
  const fallbacks = [...backend.pipelines.fallbacks.keys()];
  backend.destroy();
  return { bits, texts, fallbacks };
}

/** The same where a device hands round as `quad` says, and what it said about its quads. */
async function onWrongQuads(
  quad: QuadRead,
  f: () => readonly Tensor[],
): Promise<{ bits: Uint32Array[]; said: string }> {
  const lines = vi.spyOn(console, "error").mockImplementation(() => {});
  const { bits } = await onDevice({ tier: "T2", lanes: { ...lanesFor("T2"), quad } }, f);
  const said = lines.mock.calls.map(([text]) => String(text)).find((text) => text.includes("quad/walk"));
  return { bits, said: said ?? "" };
}

const negativeZeros = (bits: Uint32Array): number => bits.filter((word) => word === 0x80000000).length;

const finite = (bits: Uint32Array): boolean => [...new Float32Array(bits.buffer)].every(Number.isFinite);

const textsWith = (texts: readonly string[], word: string): number =>
  texts.filter((t) => t.includes(word)).length;

describe("a query's many keys are shared out: to threads side by side, or one after another", () => {
  const narrow = { rows: within(3, 5), heads: within(1, 3), groups: within(1, 6), width: within(1, 100) };
  const widest = { rows: 1, heads: 2, groups: 3, width: 256 };
  test.each([
    ["heads of up to four pieces", narrow],
    ["the widest heads", widest],
  ])("%s", async (_, { rows, heads, groups, width }) => {
    const keys = within(WHOLE_LENGTH + 1, 3 * WHOLE_LENGTH);
    const kv = [rows, keys, heads, width];
    const [q, k, v] = [[rows, heads, groups, width], kv, kv].map(numbers);
    // One row sees nothing, one a single key.
    const seen = Array.from({ length: rows }, (_, b) =>
      b === 1 ? keys : b === 2 ? keys - 1 : within(0, keys - 1),
    );
    const both = (): Tensor[] => {
      const [ks, vs] = [f32(k, kv), f32(v, kv)];
      const visible = u32(
        seen.flatMap((from) => [from, keys]),
        [rows, 1, 2],
      );
      const { out, logSumExp } = ops.attention(f32(q, [rows, 1, heads, groups, width]), ks, vs, visible);
      const cache = ops.reshape(ops.concat([ks, vs], 2), [rows * keys, 2, heads, width]);
      const places = u32(
        seen.flatMap((from, b) => [from, 0, 0, b * keys]),
        [rows, 4],
      );
      return [
        out,
        logSumExp,
        ops.cachedAttention(f32(q, [rows, heads, groups, width]), cache, places, u32([keys], [1]), keys),
      ];
    };
    const alone = await onDevice({ lanes: { ...PORTABLE_LANES, together: false } }, both);
    const together = await onDevice({ lanes: { ...PORTABLE_LANES, together: true } }, both);
    expect(textsWith(alone.texts, "workgroupBarrier")).toBe(0);
    expect(textsWith(together.texts, "workgroupBarrier")).toBe(2);
    expect(together.bits[2].some((x) => x !== 0)).toBe(true);
    const name = `${JSON.stringify({ rows, heads, groups, width, keys })}; ${repeat}`;
    alone.bits.forEach((bits, i) => {
      expect(bits, `result ${i} of ${name}`).toEqual(together.bits[i]);
    });
    // The same keys in a cache have the same bits.
    expect(alone.bits[2], name).toEqual(alone.bits[0]);
  });
});

test.each(["T0", best] as const)("no result of attention or of its gradient is -0 (%s)", async (tier) => {
  const [t, d] = [32, 64];
  const shape = [1, t, 4, d];
  const fill = (f: (row: number, c: number) => number): Tensor =>
    f32(
      Float32Array.from({ length: t * 4 * d }, (_, i) => f(Math.floor(i / (4 * d)), i % d)),
      shape,
    );
  const visible = (last: (row: number) => number): Tensor =>
    u32(Array.from({ length: t }, (_, i) => [0, last(i)]).flat(), [1, t, 2]);
  const grouped = (x: Tensor): Tensor => ops.reshape(x, [1, t, 4, 1, d]);
  const results = (): Tensor[] => {
    // The first keys weigh next to nothing, the others' values are -0: sums come close to 0 from below.
    const { out } = ops.attention(
      grouped(fill(() => 4)),
      fill((row) => (row < 8 ? 0 : 4)),
      fill((row, c) => (row < 8 ? -(2 ** -100) : c % 2 ? -0 : -1e-3)),
      visible((i) => i + 1),
    );
    const first = (x: (c: number) => number) => fill((row, c) => (row === 0 ? x(c) : 0));
    const [nothing, v] = [first(() => 0), first(() => 2 ** -6)];
    const gradients = (q: Tensor, k: Tensor, dOut: Tensor) =>
      valueAndGrad((x: { q: Tensor; k: Tensor; v: Tensor }) =>
        ops.sum(
          ops.mul(
            ops.attention(
              grouped(x.q),
              x.k,
              x.v,
              visible(() => 2),
            ).out,
            grouped(dOut),
          ),
        ),
      )({ q, k, v }).grad;
    // Sums that underflow from below: of dQ for small keys, of dK for small queries. (None was found of dV, on adapters without fma.)
    const { q: dq, v: dv } = gradients(
      nothing,
      first((c) => -(2 ** -(95 + c))),
      fill(() => 1),
    );
    const { k: dk } = gradients(
      first((c) => -(2 ** -(60 + c))),
      nothing,
      first(() => 2 ** -70),
    );
    return [out, dq, dk, dv];
  };
  const { bits } = await onDevice({ tier }, results);
  expect(bits.map(negativeZeros)).toEqual([0, 0, 0, 0]);
  expect(bits.slice(0, 3).every((x) => x.some((word) => word === 0))).toBe(true);
  expect(bits.slice(0, 2).every((x) => x.some((word) => word !== 0))).toBe(true);
});

test.each([true, false])("nor of one query over many keys (threads together: %s)", async (together) => {
  const keys = 3 * WHOLE_LENGTH;
  const shape = [1, keys, 2, 8];
  const fill = (f: (i: number) => number): Tensor =>
    f32(
      Float32Array.from({ length: keys * 16 }, (_, i) => f(i)),
      shape,
    );
  const result = (): Tensor[] => [
    ops.attention(
      f32(new Float32Array(16).fill(4), [1, 1, 2, 1, 8]),
      fill(() => 4),
      // The least number, and the least that no adapter takes for 0: divided by the number of keys one of them is -0.
      fill((i) => (i % 8 === 7 ? 1 : i >= 16 ? 0 : i % 2 ? -(2 ** -149) : -(2 ** -126))),
      u32([0, keys], [1, 1, 2]),
    ).out,
  ];
  const { bits } = await onDevice({ lanes: { ...PORTABLE_LANES, together } }, result);
  expect(bits.map(negativeZeros)).toEqual([0]);
  expect(bits[0].some((word) => word === 0) && bits[0].some((word) => word !== 0)).toBe(true);
});

describe.runIf(tierAtLeast(best, "T2"))("quads that hand round what they load", () => {
  const heads = (): { b: number; h: number; g: number; d: number } => ({
    b: within(1, 3),
    h: within(1, 4),
    g: within(1, 3),
    d: within(1, 64),
  });
  // Rows whose tiles fill quads, and that leave threads of the last without any.
  const whole = { ...heads(), t: 16 * within(1, 4) };
  // Rows too long to be kept.
  const ragged = { ...heads(), g: 1, d: within(65, 200), t: 16 * within(3, 5) - within(1, 11) };
  test.each([
    ["as many keys as queries", { ...whole, s: whole.t, scale: 1 }],
    ["more keys than queries", { ...ragged, s: ragged.t + 16 * within(1, 3), scale: 1 }],
    // Scores beyond 2^24, where whole numbers are apart.
    ["huge scores", { ...whole, d: within(4, 16), s: whole.t, scale: 4e3 }],
  ])("%s: forward and backward have the bits of T0", async (_, { b, t, s, h, g, d, scale }) => {
    const shapes = [
      [b, t, h, g, d],
      [b, s, h, d],
      [b, s, h, d],
    ];
    const data = shapes.map(numbers);
    for (const x of data.slice(0, 2)) for (let i = 0; i < x.length; i++) x[i] *= scale;
    const [weights, lseWeights] = [numbers(shapes[0]), numbers([b, t, h, g])];
    // Causal rows, any other interval, and rows that see nothing.
    const intervals = Array.from({ length: b * t }, (_, i) => {
      const kind = within(0, 9);
      if (kind === 0) return [within(0, s), 0];
      const from = kind < 6 ? 0 : within(0, s - 1);
      return [from, kind < 8 ? Math.max(from, (i % t) + 1 + s - t) : within(from, s + 3)];
    });
    const gradients = (): Tensor[] => {
      const visible = u32(intervals.flat(), [b, t, 2]);
      const [w, wl] = [f32(weights, shapes[0]), f32(lseWeights, [b, t, h, g])];
      const [q, k, v] = data.map((x, i) => f32(x, shapes[i]));
      const step = compile((q: Tensor, k: Tensor, v: Tensor) => {
        const { value, grad } = valueAndGrad((x: { q: Tensor; k: Tensor; v: Tensor }) => {
          const { out, logSumExp } = ops.attention(x.q, x.k, x.v, visible);
          // Rows that see nothing have -1e30.
          return ops.add(ops.sum(ops.mul(out, w)), ops.sum(ops.mul(ops.maximum(logSumExp, -1e4), wl)));
        })({ q, k, v });
        return [value, grad.q, grad.k, grad.v];
      });
      return step(q, k, v) as Tensor[];
    };
    const fixed = await onDevice({ tier: "T0" }, gradients);
    const quads = await onDevice({ tier: best }, gradients);
    expect(textsWith(fixed.texts, "quadBroadcast")).toBe(0);
    expect(quads.fallbacks).toEqual([]);
    // Both ways, beside the small texts that check quads.
    expect(quads.texts.filter((t) => /quadBroadcast\(kOwn/.test(t))).toHaveLength(2);
    quads.bits.forEach((bits, i) => {
      const name = ["value", "dq", "dk", "dv"][i];
      expect(bits, `${name} of ${JSON.stringify({ b, t, s, h, g, d })}; ${repeat}`).toEqual(fixed.bits[i]);
    });
    // One weight of huge scores is 1: what moves no weight moves no loss.
    const moved = scale === 1 ? quads.bits : [quads.bits[0], quads.bits[3]];
    expect(moved.every((bits) => bits.some((x) => x !== 0))).toBe(true);
  });

  test("a quad's gaps are read into nobody's results, and quads that read others' are found", async () => {
    const [b, t, h, d] = [2, 16 * within(1, 3), 2, within(1, 20)];
    const first = 4 * within(1, 3);
    // Tiles of four queries see a few keys at the beginning, or at the end of what is left; other rows see all up to their own.
    const intervals = Array.from({ length: b * t }, (_, i) =>
      i >= t ? [0, (i % t) + 1] : i < first ? [0, 2] : [t - 3, t],
    );
    const seen = (key: number): boolean => key < 2 || key >= t - 3;
    const [q, k, v] = [1, 2, 3].map(() => numbers([b, t, h, d]));
    for (let i = 0; i < t * h * d; i++) {
      if (!seen(Math.floor(i / (h * d)))) [k[i], v[i]] = [Number.NaN, 3e38];
    }
    const both = (): Tensor[] => {
      const visible = u32(intervals.flat(), [b, t, 2]);
      const { value, grad } = valueAndGrad((x: { q: Tensor; k: Tensor; v: Tensor }) =>
        ops.sum(ops.mul(ops.attention(x.q, x.k, x.v, visible).out, 4)),
      )({ q: f32(q, [b, t, h, 1, d]), k: f32(k, [b, t, h, d]), v: f32(v, [b, t, h, d]) });
      return [value, grad.q, grad.k, grad.v];
    };
    const fixed = await onDevice({ tier: "T0" }, both);
    const quads = await onDevice({ tier: best }, both);
    expect(quads.texts.some((text) => /quadBroadcast\(kOwn/.test(text))).toBe(true);
    expect(quads.fallbacks).toEqual([]);
    const neighbour: QuadRead = (name, place) => `quadBroadcast(${name}, ${place ^ 1}u)`;
    const wrong = await onWrongQuads(neighbour, both);
    expect(wrong.said).toMatch(/quad\/walk\/16 of tier T2 falls back to T0\. .*the bits of T0 were expected/);
    expect(wrong.bits).toEqual(fixed.bits);
    expect(fixed.bits.every(finite), repeat).toBe(true);
    expect(quads.bits, `${JSON.stringify({ t, d, first })}; ${repeat}`).toEqual(fixed.bits);
  });

  test("a thread's own rows that hold NaN and are not seen are 0 in its gradients, whatever its quad walks", async () => {
    const [b, t, h, d] = [2, 16 * within(2, 3), 4, within(1, 40)];
    const shape = [b, t, h, d];
    const [q, k, v, w] = [1, 2, 3, 4].map(() => numbers(shape));
    // Two tiles of queries see a tile of keys each; the others nothing, and nobody sees the other keys.
    const seen = (i: number): number[] =>
      i >= 4 && i < 8 ? [0, 4] : i >= t - 12 && i < t - 8 ? [4, 8] : [0, 0];
    const intervals = Array.from({ length: b * t }, (_, i) => seen(i % t));
    for (let i = 0; i < b * t * h * d; i++) {
      const row = Math.floor(i / (h * d)) % t;
      if (seen(row)[1] === 0) [q[i], w[i]] = [Number.NaN, Number.POSITIVE_INFINITY];
      if (row >= 8) [k[i], v[i]] = [Number.NaN, Number.NaN];
    }
    const gradients = (): Tensor[] => {
      const visible = u32(intervals.flat(), [b, t, 2]);
      const { grad } = valueAndGrad((x: { q: Tensor; k: Tensor; v: Tensor }) =>
        ops.sum(ops.mul(ops.attention(x.q, x.k, x.v, visible).out, f32(w, [b, t, h, 1, d]))),
      )({ q: f32(q, [b, t, h, 1, d]), k: f32(k, shape), v: f32(v, shape) });
      return [grad.q, grad.k, grad.v];
    };
    const fixed = await onDevice({ tier: "T0" }, gradients);
    const quads = await onDevice({ tier: best }, gradients);
    expect(quads.texts.some((text) => /quadBroadcast\(kOwn/.test(text))).toBe(true);
    expect(quads.fallbacks).toEqual([]);
    expect(fixed.bits.every(finite) && fixed.bits.every((bits) => bits.some((x) => x !== 0)), repeat).toBe(
      true,
    );
    expect(quads.bits, `${JSON.stringify({ t, d })}; ${repeat}`).toEqual(fixed.bits);
  });

  test("quads that are not four threads side by side are found", async () => {
    const shape = [2, 256, 8, within(1, 8)];
    const [q, k, v] = [1, 2, 3].map(() => numbers(shape));
    const causal = Array.from({ length: 512 }, (_, i) => [0, (i % 256) + 1]);
    const gradients = (): Tensor[] => {
      const visible = u32(causal.flat(), [2, 256, 2]);
      const { value, grad } = valueAndGrad((x: { q: Tensor; k: Tensor; v: Tensor }) =>
        ops.sum(ops.mul(ops.attention(x.q, x.k, x.v, visible).out, 3)),
      )({ q: f32(q, [2, 256, 8, 1, shape[3]]), k: f32(k, shape), v: f32(v, shape) });
      return [value, grad.q, grad.k, grad.v];
    };
    // Of each eight threads every other one is of the other quad: 0, 5, 2, 7 and 4, 1, 6, 3.
    const mixed: QuadRead = (name, place) =>
      `subgroupShuffle(${name}, (subgroupLane & 4294967288u) | ((((subgroupLane >> 2u) ^ subgroupLane ^ ${place}u) & 1u) << 2u) | ${place}u)`;
    const fixed = await onDevice({ tier: "T0" }, gradients);
    const wrong = await onWrongQuads(mixed, gradients);
    expect(wrong.said).toMatch(/quad\/walk\/64 of tier T2 falls back to T0\. .*the bits of T0 were expected/);
    expect(wrong.bits).toEqual(fixed.bits);
  });
});

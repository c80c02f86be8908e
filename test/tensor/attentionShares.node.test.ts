/** A single query's many keys are shared out: by threads side by side or by one thread after another, with the same bits. */
import { expect, test } from "vitest";
import { PORTABLE_LANES } from "../../src/tensor/codegen/lanes.ts";
import { tensor } from "../../src/tensor/create.ts";
import { init } from "../../src/tensor/init.ts";
import { WHOLE_LENGTH } from "../../src/tensor/ops/attentionShapes.ts";
import { ops } from "../../src/tensor/ops/index.ts";
import { Rng, Stream } from "../../src/tensor/random.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { repeat, seed } from "../helpers/seed.ts";

interface Sizes {
  rows: number;
  heads: number;
  groups: number;
  width: number;
  keys: number;
}

const rng = new Rng(seed, Stream.test, 71);
const within = (least: number, most: number): number =>
  least + Math.floor(rng.uniform() * (most - least + 1));
const drawn = (most: number): Sizes => ({
  rows: within(1, 5),
  heads: within(1, 3),
  groups: within(1, 6),
  width: within(1, most),
  keys: within(WHOLE_LENGTH + 1, 3 * WHOLE_LENGTH),
});

/** Numbers whose products spread over many powers of two. */
function numbers(shape: readonly number[]): Float32Array {
  const count = shape.reduce((n, d) => n * d, 1);
  return Float32Array.from({ length: count }, () => 2 ** within(-8, 5) * (2 * rng.uniform() - 1));
}

/** Whether texts hold barriers, and the bits of both ops. */
async function bitsOf(
  together: boolean,
  s: Sizes,
  data: { q: Float32Array; kv: Float32Array[]; seen: readonly number[]; end: number },
): Promise<{ barriers: number; bits: Uint32Array[] }> {
  const { rows, heads, groups, width, keys } = s;
  const backend = await init({ lanes: { ...PORTABLE_LANES, together } });
  const texts: string[] = [];
  const create = backend.device.gpu.createShaderModule.bind(backend.device.gpu);
  backend.device.gpu.createShaderModule = (d) => {
    texts.push(d.code);
    return create(d);
  };
  const f32 = (x: Float32Array, shape: number[]): Tensor => tensor(x, { shape });
  const u32 = (x: readonly number[], shape: number[]): Tensor => tensor([...x], { shape, dtype: "u32" });
  const [k, v] = data.kv.map((x) => f32(x, [rows, keys, heads, width]));
  const visible = data.seen.flatMap((from) => [from, data.end]);
  const { out, logSumExp } = ops.attention(
    f32(data.q, [rows, 1, heads, groups, width]),
    k,
    v,
    u32(visible, [rows, 1, 2]),
  );
  const places = data.seen.flatMap((from, b) => [from, 0, 0, b * keys]);
  const cached = ops.cachedAttention(
    f32(data.q, [rows, heads, groups, width]),
    ops.reshape(ops.concat([k, v], 2), [rows * keys, 2, heads, width]),
    u32(places, [rows, 4]),
    u32([data.end], [1]),
    keys,
  );
  const bits: Uint32Array[] = [];
  for (const x of [out, logSumExp, cached]) bits.push(new Uint32Array((await x.data()).slice().buffer));
  backend.destroy();
  return { barriers: texts.filter((t) => t.includes("workgroupBarrier")).length, bits };
}

test.each([
  ["heads of up to four pieces", drawn(100)],
  ["the widest heads", { ...drawn(1), width: 256, rows: 1, groups: 3 }],
])("%s", async (_, sizes) => {
  const { rows, heads, groups, width, keys } = sizes;
  const kv = [rows, keys, heads, width];
  const data = {
    q: numbers([rows, heads, groups, width]),
    kv: [numbers(kv), numbers(kv)],
    // One row sees nothing, one a single key.
    seen: Array.from({ length: rows }, (_, b) => (b === 1 ? keys : b === 2 ? keys - 1 : within(0, keys - 1))),
    end: keys,
  };
  const alone = await bitsOf(false, sizes, data);
  const together = await bitsOf(true, sizes, data);
  expect(alone.barriers).toBe(0);
  expect(together.barriers).toBe(2);
  expect(together.bits[2].some((x) => x !== 0)).toBe(true);
  alone.bits.forEach((bits, i) => {
    expect(bits, `result ${i} of ${JSON.stringify(sizes)}; ${repeat}`).toEqual(together.bits[i]);
  });
  // The same keys in a cache have the same bits.
  expect(alone.bits[2]).toEqual(alone.bits[0]);
});

/** Numbers of 16 bits: rounding, every f16 there is, and matrix products that read packed weights as they are. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { recordPrograms } from "../../src/bench/programs.ts";
import { valueAndGrad } from "../../src/tensor/autodiff.ts";
import { compile } from "../../src/tensor/compile.ts";
import { tensor } from "../../src/tensor/create.ts";
import { ConfigError } from "../../src/tensor/errors.ts";
import { fromHalf, type HalfFormat, toHalf } from "../../src/tensor/halfBits.ts";
import { init } from "../../src/tensor/init.ts";
import { ops } from "../../src/tensor/ops/index.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import type { WebGpuBackend } from "../../src/tensor/webgpu.ts";

let backend: WebGpuBackend;

beforeAll(async () => {
  backend = await init({ tuning: "off" });
});

afterAll(() => backend.destroy());

const words = async (t: Tensor): Promise<Uint32Array> =>
  new Uint32Array(((await t.data()) as Float32Array).buffer);

const random = (shape: number[]): Tensor =>
  tensor(
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => Math.random() - 0.5),
    { shape },
  );

/** Where exponents are all ones: infinities and NaN from here to the sign bit. */
const SPECIAL = { f16: 0x7c00, bf16: 0x7f80 } as const;

test.each(["f16", "bf16"] as const)(
  "%s: what lies between two neighbours goes to the nearer, a tie to the even",
  (format) => {
    const top = SPECIAL[format];
    const step = format === "f16" ? 1 : 7;
    for (let bits = 0; bits + 1 < top; bits += step) {
      const [low, high] = [fromHalf(bits, format), fromHalf(bits + 1, format)];
      const middle = low + (high - low) / 2;
      const even = bits % 2 === 0 ? bits : bits + 1;
      // Halves of the least f32 are no f32.
      const f32 = Math.fround(middle) === middle;
      const got = [low, high, -low, low + (high - low) / 4, high - (high - low) / 4].map((x) =>
        toHalf(x, format),
      );
      if (bits > 128) expect(got, `${bits}`).toEqual([bits, bits + 1, bits + 0x8000, bits, bits + 1]);
      if (f32) expect(toHalf(middle, format), `${bits}`).toBe(even);
    }
    expect(fromHalf(0x3c00, "f16")).toBe(1);
    expect(fromHalf(0x3f80, "bf16")).toBe(1);
    expect(fromHalf(1, "f16")).toBe(2 ** -24);
  },
);

test.each(["f16", "bf16"] as const)(
  "%s: every number is unpacked and packed again to the same bits",
  async (format) => {
    // Subnormal bf16 are subnormal f32, which devices may flush to 0.
    const all = Array.from({ length: 65536 }, (_, bits) => bits).filter((bits) => {
      const size = bits & 0x7fff;
      return size <= SPECIAL[format] && (format === "f16" || size === 0 || size >= 0x80);
    });
    const packed = Uint32Array.from(
      { length: all.length / 2 },
      (_, i) => all[2 * i] + 65536 * all[2 * i + 1],
    );
    const x = tensor(packed, { dtype: "u32" });
    const numbers = ops.unpackHalf(x, format);
    expect(Array.from(await numbers.data())).toEqual(all.map((bits) => fromHalf(bits, format)));
    expect(await ops.packHalf(numbers, format).data()).toEqual(packed);
  },
);

test.each(["f16", "bf16"] as const)("%s: infinity beyond the range, and NaN stays NaN", async (format) => {
  const inf = SPECIAL[format];
  const x = tensor([65519.996, 65520, -1e30, Number.POSITIVE_INFINITY, Number.NaN, 3.4e38]);
  const got = await ops.packHalf(x, format).data();
  const halves = Array.from(got, (w) => [w & 0xffff, w >>> 16]).flat();
  const own = (v: number): number => toHalf(v, format);
  expect(halves.slice(0, 4)).toEqual([own(65519.996), own(65520), own(-1e30), inf]);
  expect(halves[4] & 0x7fff).toBeGreaterThan(inf);
  expect(halves[5]).toBe(inf);
  expect(own(65520)).toBe(format === "f16" ? inf : 0x4780);
});

const product = (format: HalfFormat | null, transposeB: boolean) =>
  compile((x: Tensor, w: Tensor) => {
    const b = format ? ops.unpackHalf(w, format) : w;
    return ops.maximum(ops.matmul(x, b, { transposeB }), -0.25);
  });

test.each([
  { format: "bf16", transposeB: false, m: 6, n: 64 },
  { format: "f16", transposeB: true, m: 6, n: 37 },
  { format: "f16", transposeB: false, m: 1, n: 70 },
  { format: "bf16", transposeB: true, m: 64, n: 64 },
] as const)(
  "a product with packed weights is one kernel with the bits of the unpacked: $format, $transposeB, $m, $n",
  async ({ format, transposeB, m, n }) => {
    const k = 48;
    const x = random([m, k]);
    const packed = ops.packHalf(random(transposeB ? [n, k] : [k, n]), format);
    const plain = ops.unpackHalf(packed, format);
    const recorded = recordPrograms(backend);
    const got = await words(product(format, transposeB)(x, packed));
    recorded.stop();
    const { kernels, memory } = recorded.built[0].lowered;
    expect(kernels.map((kernel) => kernel.group.kind)).toEqual(["matmul"]);
    expect(kernels[0].group.nodes.map((node) => node.op)).not.toContain("unpackHalf");
    expect(kernels[0].bindings.map(({ value }) => value.dtype).sort()).toEqual(["f32", "f32", "u32"]);
    expect(memory.totalBytes).toBe(0);
    expect(got).toEqual(await words(product(null, transposeB)(x, plain)));
  },
);

test("gradients flow to what is multiplied, in as few kernels, and not to packed weights", async () => {
  const [x, w] = [random([5, 8]), random([8, 6])];
  const packed = ops.packHalf(w, "bf16");
  const loss = (a: Tensor, b: Tensor): Tensor => ops.sum(ops.square(ops.matmul(a, b)));
  const f = compile(
    (a: Tensor, b: Tensor) => valueAndGrad((v: Tensor) => loss(v, ops.unpackHalf(b, "bf16")))(a).grad,
  );
  const recorded = recordPrograms(backend);
  const got = await words(f(x, packed));
  recorded.stop();
  const { kernels } = recorded.built[0].lowered;
  expect(kernels.filter((kernel) => kernel.group.kind === "map")).toEqual([]);
  const plain = compile((a: Tensor, b: Tensor) => valueAndGrad((v: Tensor) => loss(v, b))(a).grad);
  expect(got).toEqual(await words(plain(x, ops.unpackHalf(packed, "bf16"))));
  const through = (a: Tensor): Tensor => loss(x, ops.unpackHalf(ops.packHalf(a, "bf16"), "bf16"));
  expect(() => valueAndGrad(through)(w)).toThrow(
    /grad: unpackHalf has no derivative \(packed numbers are constants; train f32 weights/,
  );
});

test("another format is refused", () => {
  const x = random([2, 2]);
  expect(() => ops.packHalf(x, "f8" as HalfFormat)).toThrow(ConfigError);
  expect(() => ops.unpackHalf(x, "f32" as HalfFormat)).toThrow(
    /unpackHalf: a format of f16 or bf16 was expected, got f32/,
  );
});

/**
 * Two 16-bit numbers a word: weights at half the bytes, on every adapter. A matrix product computes in f32 what it reads of them, and
 * never writes them out: `ops.matmul(x, ops.unpackHalf(w, "bf16"))`.
 */
import { type DType, requireDType } from "../dtype.ts";
import { ConfigError, ShapeError } from "../errors.ts";
import { fromHalf, HALF_FORMATS, type HalfFormat, toHalf } from "../halfBits.ts";
import type { ValueType } from "../ir.ts";
import { ndarray } from "../ndarray.ts";
import { bytesOf, type OpCase, type OpDef, type OpFunction } from "../opdef.ts";
import { numel, show } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { apply, requireTensor } from "../trace.ts";

/** Numbers that halves have to round, keep or give up: ties, the smallest, the largest, beyond, and -0. */
const NUMBERS = [
  1, -2.5, 0.1, -0.3333333, 1.00048828125, 1.00146484375, 65504, 65519, 65520, -1e6, 6e-5, 6.1e-5,
  5.9604645e-8, 2.9802322e-8, 2.9802326e-8, 1e-9, -0, 0, 1.00390625, 1.01171875, 3e38, -3.4e38, 1e-30, 7,
];

/** Numbers that both formats have, so that what is unpacked is finite. */
const numbersOf = (length: number): number[] => Array.from({ length }, (_, i) => ((i * 37) % 101) / 8 - 5);

/** Subnormal and largest numbers of f16. */
const SMALL = [2 ** -24, -3 * 2 ** -24, 2 ** -15, 1023 * 2 ** -24, 2 ** -14, -65504, 0, 65504];

const formats = (make: (format: HalfFormat) => OpCase[]): OpCase[] => HALF_FORMATS.flatMap(make);

const packed = (shape: number[], format: HalfFormat): OpCase => ({
  inputs: [{ shape, dtype: "u32", values: wordsOf(numbersOf(2 * numel(shape)), format) }],
  attrs: { format },
});

function wordsOf(numbers: ArrayLike<number>, format: HalfFormat): number[] {
  return Array.from({ length: numbers.length / 2 }, (_, i) => {
    return toHalf(numbers[2 * i], format) + 65536 * toHalf(numbers[2 * i + 1], format);
  });
}

/** Size of the axis along which numbers are packed, and the axes before it. */
function lastAxis(op: string, x: ValueType, dtype: DType): [last: number, lead: readonly number[]] {
  requireDType(op, "x", x.dtype, [dtype]);
  const last = x.shape.at(-1);
  if (last === undefined) {
    throw new ShapeError(`${op}: at least one axis was expected, got x[]. Give it one with ops.reshape.`);
  }
  return [last, x.shape.slice(0, -1)];
}

const packOp: OpDef = {
  name: "packHalf",
  signature: "x[..., N] -> u32[..., N / 2], N even",
  doc: "Two neighbours a word as f16 or bf16, the first in the lower half; to nearest even, beyond f16's range infinity.",
  infer([x]) {
    const [last, lead] = lastAxis("packHalf", x, "f32");
    if (last % 2 !== 0) {
      throw new ShapeError(
        `packHalf: an even last axis was expected, got x${show(x.shape)}. Pad it with ops.pad.`,
      );
    }
    return [{ shape: [...lead, last / 2], dtype: "u32" }];
  },
  noGradient: "integers",
  reference: ([x], attrs, [t]) => [ndarray(t.shape, "u32", wordsOf(x.data, attrs.format as HalfFormat))],
  lowering: { kind: "indexed" },
  cases: formats((format) => [
    { inputs: [{ shape: [NUMBERS.length], values: NUMBERS }], attrs: { format } },
    { inputs: [{ shape: [3, 5, 2] }], attrs: { format } },
    { inputs: [{ shape: [5, 6], range: [-1e5, 1e5] }], attrs: { format } },
    { inputs: [{ shape: [4, 16], range: [-1e-5, 1e-5] }], attrs: { format } },
    { inputs: [{ shape: [0, 4] }], attrs: { format } },
  ]),
  bad: [
    { inputs: [{ shape: [4, 3] }], attrs: { format: "f16" }, error: "ShapeError" },
    { inputs: [{ shape: [] }], attrs: { format: "f16" }, error: "ShapeError" },
    { inputs: [{ shape: [4], dtype: "i32" }], attrs: { format: "bf16" }, error: "DTypeError" },
  ],
  noCase: { odd: "a word takes two numbers", one: "a word takes two numbers" },
  cost: (ins, outs) => ({ flops: 8 * numel(ins[0].shape), bytes: bytesOf(ins) + bytesOf(outs) }),
  perf: [{ inputs: [{ shape: [1024, 1024] }], attrs: { format: "bf16" } }],
};

const unpackOp: OpDef = {
  name: "unpackHalf",
  signature: "x: u32[..., N / 2] -> [..., N]",
  doc: "The numbers that `packHalf` packed, as f32.",
  infer([x]) {
    const [last, lead] = lastAxis("unpackHalf", x, "u32");
    return [{ shape: [...lead, 2 * last], dtype: "f32" }];
  },
  noGradient: "packed numbers are constants; train f32 weights and pack what was learned",
  reference([x], attrs, [t]) {
    const out = ndarray(t.shape, "f32");
    for (let i = 0; i < out.data.length; i++) {
      const word = x.data[i >> 1];
      out.data[i] = fromHalf(i % 2 === 0 ? word & 0xffff : word >>> 16, attrs.format as HalfFormat);
    }
    return [out];
  },
  lowering: { kind: "indexed" },
  cases: formats((format) => [
    packed([1], format),
    packed([7], format),
    packed([3, 5], format),
    packed([4, 6], format),
    packed([0, 3], format),
    { inputs: [{ shape: [4], dtype: "u32", values: wordsOf(SMALL, format) }], attrs: { format } },
  ]),
  bad: [
    { inputs: [{ shape: [4] }], attrs: { format: "f16" }, error: "DTypeError" },
    { inputs: [{ shape: [], dtype: "u32" }], attrs: { format: "f16" }, error: "ShapeError" },
  ],
  cost: (ins, outs) => ({ flops: 2 * numel(outs[0].shape), bytes: bytesOf(ins) + bytesOf(outs) }),
  // Drawn when they are needed: this many, written out, would be 17 MB at every start. Second numbers are from 0.5 to 2.
  perf: [
    {
      inputs: [{ shape: [1024, 512], dtype: "u32", range: [0x3f003f00, 0x3fff3fff] }],
      attrs: { format: "bf16" },
    },
  ],
};

function requireFormat(op: string, format: unknown): asserts format is HalfFormat {
  if (!HALF_FORMATS.includes(format as HalfFormat)) {
    throw new ConfigError(`${op}: a format of f16 or bf16 was expected, got ${String(format)}. Name one.`);
  }
}

export type HalfFunction = ((x: Tensor, format: HalfFormat) => Tensor) & OpFunction;

/**
 * `x[..., N] -> u32[..., N / 2]`: two neighbours a word, as f16 or bf16. To nearest even; beyond f16's range infinity; NaN stays NaN.
 * Throws `ShapeError` where N is odd, `DTypeError` unless x is f32, `ConfigError` for another format.
 */
export const packHalf: HalfFunction = Object.assign(
  (x: Tensor, format: HalfFormat): Tensor => {
    requireTensor("packHalf", x);
    requireFormat("packHalf", format);
    return apply(packOp, [x], { format })[0];
  },
  { op: packOp },
);

/**
 * `x: u32[..., N / 2] -> f32[..., N]`: what `packHalf` packed. As an operand of `matmul` it is never written to memory. Packed numbers have no
 * gradient. Throws `DTypeError` unless x is u32, `ConfigError` for another format.
 */
export const unpackHalf: HalfFunction = Object.assign(
  (x: Tensor, format: HalfFormat): Tensor => {
    requireTensor("unpackHalf", x);
    requireFormat("unpackHalf", format);
    return apply(unpackOp, [x], { format })[0];
  },
  { op: unpackOp },
);

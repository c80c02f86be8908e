import fc from "fast-check";
import { expect, test } from "vitest";
import {
  readSafetensors,
  type SafetensorsEntry,
  toFloat32,
  type WrittenEntry,
  writeSafetensors,
} from "../../src/model/safetensors.ts";
import { CheckpointError } from "../../src/tensor/errors.ts";
import { expected, file as golden } from "../golden/safetensors.golden.ts";

/** A file with this header text and this many bytes of data. */
function build(header: string | Uint8Array, data = 0, length?: number): Uint8Array {
  const text = typeof header === "string" ? new TextEncoder().encode(header) : header;
  const bytes = new Uint8Array(8 + text.length + data);
  const view = new DataView(bytes.buffer);
  const claimed = length ?? text.length;
  view.setUint32(0, claimed >>> 0, true);
  view.setUint32(4, Math.floor(claimed / 2 ** 32), true);
  bytes.set(text, 8);
  return bytes;
}

const entry = (shape: string, offsets: string, dtype = "F32") =>
  `{"dtype":"${dtype}","shape":${shape},"data_offsets":${offsets}}`;

const sample = () =>
  writeSafetensors(
    new Map<string, SafetensorsEntry>([
      ["w", { dtype: "F32", shape: [2, 3], data: new Float32Array([1, -2, 3.5, 0, 1e-40, 6]) }],
      ["b.é", { dtype: "BF16", shape: [3], data: new Uint16Array([0x3f80, 0x4000, 0xc000]) }],
      ["mask", { dtype: "BOOL", shape: [1], data: new Uint8Array([1]) }],
      ["step", { dtype: "U32", shape: [], data: new Uint32Array([7]) }],
    ]),
    new Map([["format", "pt"]]),
  );

test("reads a file that Python's safetensors wrote", () => {
  const bytes = Uint8Array.from(atob(golden), (character) => character.charCodeAt(0));
  const { tensors, metadata } = readSafetensors(bytes);
  expect(Object.fromEntries(metadata)).toEqual({ format: "pt", note: "café" });
  expect([...tensors.keys()].sort()).toEqual(Object.keys(expected).sort());
  for (const [name, { shape, values }] of Object.entries(expected)) {
    const got = tensors.get(name)!;
    expect(got.shape).toEqual(shape);
    const wanted = values.map((value) => (value === "inf" ? Number.POSITIVE_INFINITY : value));
    const half = got.dtype === "F16" || got.dtype === "BF16";
    const data = half ? toFloat32(got) : got.data;
    expect(Array.from(data as Iterable<number | bigint>, Number)).toEqual(wanted.map(Number));
  }
  expect(tensors.get("i64")!.data[0]).toBe(-(2n ** 62n));
  expect(() => toFloat32(tensors.get("i32")!)).toThrow(CheckpointError);
});

test("writes what it reads, bit for bit", () => {
  const bytes = sample();
  const { tensors, metadata } = readSafetensors(bytes);
  expect(writeSafetensors(tensors, metadata)).toEqual(bytes);
  expect(tensors.get("w")!.data).toEqual(new Float32Array([1, -2, 3.5, 0, 1e-40, 6]));
  expect([...toFloat32(tensors.get("b.é")!)]).toEqual([1, 2, -2]);
  expect(readSafetensors(writeSafetensors(new Map())).tensors.size).toBe(0);
  // a file that lies at an odd place of a larger buffer
  const shifted = new Uint8Array(bytes.length + 3);
  shifted.set(bytes, 3);
  expect(readSafetensors(shifted.subarray(3)).tensors.get("w")!.data).toEqual(tensors.get("w")!.data);
});

test("values in pieces are written as those in one", () => {
  const file = (data: WrittenEntry["data"]): Uint8Array =>
    writeSafetensors(new Map([["w", { dtype: "F32", shape: [2, 3], data }]]));
  const whole = new Float32Array([1, -2, 3.5, 0, 1e-40, 6]);
  const pieces = [whole.subarray(0, 1), whole.subarray(1, 4), new Float32Array(0), whole.slice(4)];
  expect(file(pieces)).toEqual(file(whole));
  expect(() => file(pieces.slice(1))).toThrow(
    /Float32Array of \[2,3\] expected for F32, got Float32Array of 5/,
  );
  expect(() => file([])).toThrow(/expected for F32, got Array of 0/);
  expect(() => file([whole.subarray(0, 5), new Int32Array(1)])).toThrow(/got Int32Array of 6/);
});

test("copies out of arrays whose slice is a view, such as Node's Buffer", () => {
  class View extends Uint8Array<ArrayBuffer> {
    override slice(begin?: number, end?: number): Uint8Array<ArrayBuffer> {
      return this.subarray(begin, end);
    }
  }
  const bytes = sample();
  const pool = new ArrayBuffer(bytes.length + 5);
  const view = new View(pool, 5);
  view.set(bytes);
  const { tensors } = readSafetensors(view);
  view.fill(0);
  expect(tensors).toEqual(readSafetensors(bytes).tensors);
});

test("any tensors survive writing and reading", () => {
  const tensor = fc
    .tuple(fc.array(fc.nat(4), { maxLength: 4 }), fc.constantFrom("F32", "I32", "F64", "U8"), fc.nat())
    .map(([shape, dtype, fill]): SafetensorsEntry => {
      const count = shape.reduce((a, b) => a * b, 1);
      const make = { F32: Float32Array, I32: Int32Array, F64: Float64Array, U8: Uint8Array }[dtype];
      return { dtype, shape, data: new make(count).fill(fill) };
    });
  const names = fc
    .string({ unit: "binary" })
    .filter((name) => name !== "__proto__" && name !== "__metadata__");
  fc.assert(
    fc.property(fc.uniqueArray(fc.tuple(names, tensor), { selector: ([name]) => name }), (pairs) => {
      const tensors = new Map(pairs.map(([name, value]) => [name, value]));
      expect(readSafetensors(writeSafetensors(tensors)).tensors).toEqual(tensors);
    }),
    { numRuns: 200, seed: 1 },
  );
});

const two = (a: string, b: string) => `{"a":${a},"b":${b}}`;
const HOSTILE: [string, Uint8Array, RegExp][] = [
  ["empty", new Uint8Array(0), /at least 8 bytes expected, got 0/],
  ["header beyond the file", build("{}", 0, 3), /header of 3 bytes expected/],
  ["header of 2^63 bytes", build("{}", 0, 2 ** 63), /at most 100000000/],
  ["header over 100 MB", build("{}", 0, 100_000_001), /at most 100000000/],
  ["not UTF-8", build(new Uint8Array([0x7b, 0xff, 0x7d])), /UTF-8/],
  ["byte order mark", build("\ufeff{}"), /begins with/],
  ["no object", build("[]"), /begins with/],
  ["broken JSON", build('{"a":'), /JSON/],
  ["tail after JSON", build("{} x"), /nothing more expected/],
  ["deep nesting", build(`{"a":${"[".repeat(100_000)}`), /nesting/],
  ["long number", build(`{"a":${"1".repeat(100_000)}}`), /a value expected/],
  ["NaN in JSON", build('{"a":NaN}'), /a value expected/],
  [
    "duplicate names",
    build(two(entry("[1]", "[0,4]"), entry("[1]", "[4,8]")).replace('"b"', '"a"'), 8),
    /not given before/,
  ],
  [
    "duplicate name by escape",
    build(two(entry("[1]", "[0,4]"), entry("[1]", "[4,8]")).replace('"b"', '"\\u0061"'), 8),
    /not given before/,
  ],
  [
    "duplicate key in an entry",
    build('{"a":{"dtype":"F32","dtype":"F32","shape":[],"data_offsets":[0,4]}}', 4),
    /not given before/,
  ],
  ["__proto__", build(`{"__proto__":${entry("[1]", "[0,4]")}}`, 4), /__proto__/],
  ["__proto__ by escape", build(`{"\\u005f_proto__":${entry("[1]", "[0,4]")}}`, 4), /__proto__/],
  ["overlap", build(two(entry("[2]", "[0,8]"), entry("[2]", "[4,12]")), 12), /no gap, no overlap/],
  ["same bytes twice", build(two(entry("[2]", "[0,8]"), entry("[2]", "[0,8]")), 8), /no overlap/],
  ["gap", build(two(entry("[1]", "[0,4]"), entry("[1]", "[8,12]")), 12), /no gap/],
  ["late start", build(`{"a":${entry("[1]", "[4,8]")}}`, 8), /data from 0 expected/],
  ["offsets out of the file", build(`{"a":${entry("[2]", "[0,8]")}}`, 4), /8 bytes of data expected, got 4/],
  ["tail of data", build(`{"a":${entry("[1]", "[0,4]")}}`, 5), /4 bytes of data expected, got 5/],
  ["end before begin", build(`{"a":${entry("[1]", "[4,0]")}}`, 4), /4 bytes expected/],
  ["negative offset", build(`{"a":${entry("[1]", "[-4,0]")}}`, 4), /data_offsets/],
  ["three offsets", build(`{"a":${entry("[1]", "[0,4,8]")}}`, 4), /data_offsets/],
  ["dtype size", build(`{"a":${entry("[1]", "[0,4]", "F64")}}`, 4), /8 bytes expected for F64/],
  [
    "unknown dtype",
    build(`{"a":${entry("[1]", "[0,4]", "F8_E4M3")}}`, 4),
    /dtype .* expected, got "F8_E4M3"/,
  ],
  ["inherited dtype", build(`{"a":${entry("[1]", "[0,4]", "constructor")}}`, 4), /dtype/],
  ["negative size", build(`{"a":${entry("[-1]", "[0,4]")}}`, 4), /sizes >= 0/],
  ["fraction", build(`{"a":${entry("[1.5]", "[0,6]")}}`, 6), /sizes >= 0/],
  ["huge size", build(`{"a":${entry("[9007199254740991]", "[0,4]")}}`, 4), /product below/],
  ["product overflow", build(`{"a":${entry("[4294967296,4294967296,4]", "[0,0]")}}`), /product below/],
  [
    "overflow then zero",
    build(`{"a":${entry(`[${"9e15,".repeat(15)}0]`, "[0,4]")}}`, 4),
    /sizes|0 bytes expected/,
  ],
  ["rank 17", build(`{"a":${entry(`[${Array(17).fill(1)}]`, "[0,4]")}}`, 4), /at most 16 sizes/],
  ["shape as text", build(`{"a":${entry('"12"', "[0,4]")}}`, 4), /sizes/],
  ["missing key", build('{"a":{"dtype":"F32","shape":[1]}}', 4), /data_offsets/],
  ["unknown key", build('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}}', 4), /"x"/],
  ["tensor as a number", build('{"a":3}'), /an object expected/],
  ["metadata as text", build('{"__metadata__":"x"}'), /__metadata__/],
  ["metadata with a number", build('{"__metadata__":{"x":1}}'), /text expected/],
];
for (const [name, bytes, message] of HOSTILE) {
  test(`refuses: ${name}`, () => {
    expect(() => readSafetensors(bytes)).toThrow(CheckpointError);
    expect(() => readSafetensors(bytes)).toThrow(message);
  });
}

test("refuses every truncation", () => {
  const bytes = sample();
  for (let length = 0; length < bytes.length; length++) {
    expect(() => readSafetensors(bytes.subarray(0, length))).toThrow(CheckpointError);
  }
});

test("what is no Uint8Array is refused with what to do", () => {
  for (const [given, got] of [
    [new ArrayBuffer(64), "an object"],
    ["model.safetensors", '"model.safetensors"'],
    [undefined, "undefined"],
  ]) {
    expect(() => readSafetensors(given as never)).toThrow(CheckpointError);
    expect(() => readSafetensors(given as never)).toThrow(
      `safetensors: a Uint8Array expected, got ${got}. Wrap an ArrayBuffer: new Uint8Array(buffer).`,
    );
  }
});

test("names that objects inherit are ordinary names", () => {
  const tensors = new Map<string, SafetensorsEntry>(
    ["constructor", "toString", "hasOwnProperty"].map((name) => [
      name,
      { dtype: "F32", shape: [1], data: new Float32Array([1]) },
    ]),
  );
  expect([...readSafetensors(writeSafetensors(tensors)).tensors.keys()]).toEqual([...tensors.keys()]);
});

test("refuses to write what it would not read", () => {
  const data = new Float32Array(2);
  const write = (name: string, value: SafetensorsEntry) => () => writeSafetensors(new Map([[name, value]]));
  expect(write("__proto__", { dtype: "F32", shape: [2], data })).toThrow(CheckpointError);
  expect(write("a", { dtype: "F32", shape: [3], data })).toThrow(/mend the shape/);
  expect(write("a", { dtype: "F64", shape: [2], data })).toThrow(CheckpointError);
  expect(write("a", { dtype: "F32", shape: [-2], data })).toThrow(CheckpointError);
});

test("mutated files never crash or hang with anything but a CheckpointError", () => {
  const bytes = sample();
  const mutation = fc.record({
    kind: fc.constantFrom("set", "flip", "cut", "insert", "swap"),
    at: fc.nat(bytes.length - 1),
    value: fc.oneof(fc.nat(255), fc.constantFrom(0x22, 0x2c, 0x5b, 0x5d, 0x7b, 0x7d, 0x30, 0x39, 0x2d, 0x5c)),
  });
  fc.assert(
    fc.property(fc.array(mutation, { minLength: 1, maxLength: 6 }), (mutations) => {
      let mutated = [...bytes];
      for (const { kind, at, value } of mutations) {
        const i = at % Math.max(1, mutated.length);
        if (kind === "set") mutated[i] = value;
        else if (kind === "flip") mutated[i] ^= 1 << (value & 7);
        else if (kind === "cut") mutated = [...mutated.slice(0, i), ...mutated.slice(i + (value & 15))];
        else if (kind === "insert") mutated.splice(i, 0, value);
        else [mutated[i], mutated[value % mutated.length]] = [mutated[value % mutated.length], mutated[i]];
      }
      try {
        readSafetensors(Uint8Array.from(mutated));
      } catch (error) {
        if (!(error instanceof CheckpointError)) throw error;
      }
    }),
    { numRuns: 3000, seed: 2 },
  );
});

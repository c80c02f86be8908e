/**
 * The safetensors format: 8 bytes of header length (little-endian), a JSON header, then the tensors' bytes without
 * gap or overlap. A file is hostile until proven otherwise: whatever is wrong with it throws a CheckpointError before
 * anything of the size it claims is allocated.
 *
 * Source: https://github.com/huggingface/safetensors#format and its Rust validation (tensor.rs).
 */

import { CheckpointError } from "../tensor/errors.ts";
import { pow2 } from "../tensor/mathBits.ts";
import { show } from "../tensor/validate.ts";
import { type JsonValue, parseStrictJson } from "./strictJson.ts";

/** I64 is read only: integers beyond 2^53 would lose their value elsewhere. */
export type SafetensorsDType = "F64" | "F32" | "F16" | "BF16" | "I64" | "I32" | "U32" | "U8" | "BOOL";

/** F16 and BF16 stay as their 16 bits; `toFloat32` converts. */
export type SafetensorsData =
  | Float64Array
  | Float32Array
  | Uint16Array
  | BigInt64Array
  | Int32Array
  | Uint32Array
  | Uint8Array;

export interface SafetensorsEntry {
  dtype: SafetensorsDType;
  shape: number[];
  data: SafetensorsData;
}

/** What is written of a tensor: its values, whole or in pieces that follow one another. */
export interface WrittenEntry extends Omit<SafetensorsEntry, "data"> {
  data: SafetensorsData | readonly SafetensorsData[];
}

export interface SafetensorsFile {
  tensors: Map<string, SafetensorsEntry>;
  /** The `__metadata__` of the header: text to text. */
  metadata: Map<string, string>;
}

const BYTES: Record<SafetensorsDType, number> = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  U32: 4,
  U8: 1,
  BOOL: 1,
};

const MAX_HEADER = 100_000_000;
const MAX_RANK = 16;

function refuse(what: string, remedy = "The file is damaged or no safetensors file: get it again."): never {
  throw new CheckpointError(`safetensors: ${what}. ${remedy}`);
}

/** A name as messages show it. */
function quote(name: string): string {
  return JSON.stringify(name.length > 80 ? `${name.slice(0, 77)}...` : name);
}

/** The elements of a shape, or undefined for one that is no shape or whose bytes pass 2^53. */
function elements(shape: readonly JsonValue[]): number | undefined {
  if (shape.length > MAX_RANK) return undefined;
  let count = 1;
  for (const size of shape) {
    if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0) return undefined;
    count *= size;
  }
  // checked after the product: a later 0 makes any product harmless, an overflow makes it inexact or infinite
  return count * 8 <= Number.MAX_SAFE_INTEGER ? count : undefined;
}

/** The typed array of a dtype over bytes [begin, end) of the file; a copy, as the file's bytes may be unaligned. */
function typed(dtype: SafetensorsDType, file: Uint8Array, begin: number, end: number): SafetensorsData {
  const bytes = new Uint8Array(end - begin); // not slice(): a Node Buffer's is a view, unaligned at that
  bytes.set(file.subarray(begin, end));
  switch (dtype) {
    case "F64":
      return new Float64Array(bytes.buffer);
    case "F32":
      return new Float32Array(bytes.buffer);
    case "F16":
    case "BF16":
      return new Uint16Array(bytes.buffer);
    case "I64":
      return new BigInt64Array(bytes.buffer);
    case "I32":
      return new Int32Array(bytes.buffer);
    case "U32":
      return new Uint32Array(bytes.buffer);
    default:
      return bytes;
  }
}

interface Span {
  name: string;
  dtype: SafetensorsDType;
  shape: number[];
  begin: number;
  end: number;
}

function readEntry(name: string, value: JsonValue): Span {
  const where = `tensor ${quote(name)}`;
  if (!(value instanceof Map))
    refuse(`${where}: an object expected in the header, got ${JSON.stringify(value)?.slice(0, 60)}`);
  for (const key of value.keys()) {
    if (key !== "dtype" && key !== "shape" && key !== "data_offsets") {
      refuse(`${where}: dtype, shape and data_offsets expected, got ${quote(key)}`);
    }
  }
  const dtype = value.get("dtype");
  if (typeof dtype !== "string" || !Object.hasOwn(BYTES, dtype)) {
    refuse(
      `${where}: dtype ${Object.keys(BYTES).join(", ")} expected, got ${quote(String(dtype))}`,
      "Convert the checkpoint to one of these.",
    );
  }
  const shape = value.get("shape");
  const count = Array.isArray(shape) ? elements(shape) : undefined;
  if (count === undefined) {
    refuse(
      `${where}: at most ${MAX_RANK} sizes >= 0 with a product below 2^50 expected, got a shape beyond that`,
    );
  }
  const offsets = value.get("data_offsets");
  if (
    !Array.isArray(offsets) ||
    offsets.length !== 2 ||
    !offsets.every((x) => Number.isSafeInteger(x) && (x as number) >= 0)
  ) {
    refuse(`${where}: data_offsets [begin, end] of integers >= 0 expected, got something else`);
  }
  const [begin, end] = offsets as number[];
  const bytes = count * BYTES[dtype as SafetensorsDType];
  if (end - begin !== bytes) {
    refuse(`${where}: ${bytes} bytes expected for ${dtype} [${shape}], got offsets ${begin} to ${end}`);
  }
  return { name, dtype: dtype as SafetensorsDType, shape: shape as number[], begin, end };
}

/** Reads a whole file; throws a CheckpointError on anything that the format does not allow. */
export function readSafetensors(file: Uint8Array): SafetensorsFile {
  if (!ArrayBuffer.isView(file)) {
    refuse(`a Uint8Array expected, got ${show(file)}`, "Wrap an ArrayBuffer: new Uint8Array(buffer).");
  }
  if (file.length < 8) refuse(`at least 8 bytes expected, got ${file.length}`);
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const headerLength = view.getUint32(0, true) + view.getUint32(4, true) * 4294967296;
  if (headerLength > MAX_HEADER)
    refuse(`a header of at most ${MAX_HEADER} bytes expected, got ${headerLength}`);
  if (headerLength > file.length - 8) {
    refuse(`a header of ${headerLength} bytes expected, got a file of ${file.length}`);
  }
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(
      file.subarray(8, 8 + headerLength),
    );
  } catch (cause) {
    throw new CheckpointError(
      "safetensors: a header in UTF-8 expected, got other bytes. Get the file again.",
      { cause },
    );
  }
  if (!text.startsWith("{")) refuse(`a header that begins with "{" expected, got ${quote(text.slice(0, 8))}`);
  const header = parseStrictJson(text, "safetensors");
  if (!(header instanceof Map)) refuse("an object as header expected, got another value");

  const metadata = new Map<string, string>();
  const spans: Span[] = [];
  for (const [name, value] of header) {
    if (name === "__metadata__") {
      if (!(value instanceof Map)) refuse("__metadata__ as an object expected, got another value");
      for (const [key, text] of value) {
        if (typeof text !== "string") refuse(`__metadata__ ${quote(key)}: text expected, got another value`);
        metadata.set(key, text);
      }
    } else if (name === "__proto__") {
      refuse('names other than "__proto__" expected, got it', "Rename the tensor.");
    } else {
      spans.push(readEntry(name, value));
    }
  }

  const dataStart = 8 + headerLength;
  let at = 0;
  const ordered = [...spans].sort((a, b) => a.begin - b.begin || a.end - b.end);
  for (const { name, begin, end } of ordered) {
    if (begin !== at) {
      refuse(`tensor ${quote(name)}: data from ${at} expected (no gap, no overlap), got ${begin}`);
    }
    at = end;
  }
  if (at !== file.length - dataStart) {
    refuse(
      `${at} bytes of data expected, got ${file.length - dataStart}`,
      "The file is truncated or has a tail: get it again.",
    );
  }
  const tensors = new Map<string, SafetensorsEntry>();
  for (const { name, dtype, shape, begin, end } of spans) {
    tensors.set(name, { dtype, shape, data: typed(dtype, file, dataStart + begin, dataStart + end) });
  }
  return { tensors, metadata };
}

const ARRAYS: Record<SafetensorsDType, { new (length: number): SafetensorsData }> = {
  F64: Float64Array,
  F32: Float32Array,
  F16: Uint16Array,
  BF16: Uint16Array,
  I64: BigInt64Array,
  I32: Int32Array,
  U32: Uint32Array,
  U8: Uint8Array,
  BOOL: Uint8Array,
};

export function piecesOf(data: WrittenEntry["data"]): readonly SafetensorsData[] {
  return ArrayBuffer.isView(data) ? [data] : data;
}

/**
 * The bytes of a file with these tensors, in the order given; the same input gives the same bytes. Data begins at a
 * multiple of 8. Throws a CheckpointError where shape and data disagree, and for names the reader would refuse.
 */
export function writeSafetensors(
  tensors: ReadonlyMap<string, WrittenEntry>,
  metadata: ReadonlyMap<string, string> = new Map(),
): Uint8Array<ArrayBuffer> {
  const parts: string[] = [];
  if (metadata.size > 0) {
    const pairs = [...metadata].map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`);
    parts.push(`"__metadata__":{${pairs.join(",")}}`);
  }
  let at = 0;
  for (const [name, { dtype, shape, data }] of tensors) {
    const pieces = piecesOf(data);
    const length = pieces.reduce((n, piece) => n + piece.length, 0);
    if (name === "__metadata__" || name === "__proto__")
      refuse(`a tensor's name expected, got ${quote(name)}`, "Rename it.");
    const count = elements(shape);
    const stray = pieces.find((piece) => !(piece instanceof ARRAYS[dtype]));
    if (count !== length || stray) {
      const got = (stray ?? pieces[0] ?? data).constructor.name;
      refuse(
        `tensor ${quote(name)}: ${ARRAYS[dtype]?.name} of [${shape}] expected for ${dtype}, got ${got} of ${length}`,
        "Convert the data or mend the shape.",
      );
    }
    const end = at + length * BYTES[dtype];
    parts.push(
      `${JSON.stringify(name)}:{"dtype":"${dtype}","shape":[${shape.join(",")}],"data_offsets":[${at},${end}]}`,
    );
    at = end;
  }
  const header = new TextEncoder().encode(`{${parts.join(",")}}`);
  const padded = Math.ceil(header.length / 8) * 8;
  const file = new Uint8Array(8 + padded + at);
  new DataView(file.buffer).setUint32(0, padded, true);
  file.set(header, 8);
  file.fill(0x20, 8 + header.length, 8 + padded);
  let offset = 8 + padded;
  for (const { data } of tensors.values()) {
    for (const piece of piecesOf(data)) {
      file.set(new Uint8Array(piece.buffer, piece.byteOffset, piece.byteLength), offset);
      offset += piece.byteLength;
    }
  }
  return file;
}

/** One half-precision number (its 16 bits) as a float32. */
function halfToFloat(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const mantissa = bits & 1023;
  if (exponent === 31) return mantissa ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  if (exponent === 0) return sign * mantissa * 5.9604644775390625e-8; // 2^-24
  return sign * (1024 + mantissa) * pow2(exponent - 25);
}

/** The values of a floating entry as float32 (F64 is rounded); throws a CheckpointError for integers and BOOL. */
export function toFloat32({ dtype, data }: SafetensorsEntry): Float32Array {
  if (data instanceof Float32Array) return data;
  if (data instanceof Float64Array) return Float32Array.from(data);
  if (dtype === "F16") return Float32Array.from(data as Uint16Array, halfToFloat);
  if (dtype === "BF16") {
    const bits = Uint32Array.from(data as Uint16Array, (half) => half << 16);
    return new Float32Array(bits.buffer);
  }
  return refuse(`a floating dtype expected, got ${dtype}`, "Read its data as it is.");
}

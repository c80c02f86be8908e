/** Making tensors from host data, and flat segments that hold many tensors in one range of memory. */
import { type Backend, backend } from "./backend.ts";
import { type DType, dtypeOf, requireAllHeld } from "./dtype.ts";
import { DTypeError, ShapeError, TensorError } from "./errors.ts";
import { blockName, CHUNK_ROWS } from "./ops/rowBlocks.ts";
import { checkShape, numel, type Shape, show } from "./shape.ts";
import { requireKnown } from "./suggest.ts";
import { Tensor } from "./tensor.ts";

const DTYPES: readonly DType[] = ["f32", "i32", "u32", "bool"];

type Nested = number | boolean | readonly Nested[];

/** Sizes down the first element of each level. */
function shapeOf(data: readonly Nested[]): number[] {
  const shape: number[] = [];
  for (let x: Nested = data; Array.isArray(x); x = x[0]) {
    shape.push(x.length);
    if (x.length === 0) break;
  }
  return shape;
}

/** Appends the numbers of a nest. Throws `ShapeError` where a level is not of `shape`, `TensorError` for what is no number. */
function flatten(x: Nested, shape: Shape, path: number[], into: number[]): void {
  if (path.length === shape.length) {
    if (typeof x === "number" || typeof x === "boolean") into.push(Number(x));
    else throw notANumber(x, shape, path);
    return;
  }
  const size = shape[path.length];
  if (!Array.isArray(x) || x.length !== size) {
    const got = Array.isArray(x) ? `${x.length} elements` : "none";
    throw new ShapeError(
      `tensor: ${size} elements were expected at ${show(path)} of a nest ${show(shape)}, got ${got}. Pad the shorter, or pass flat data and a shape.`,
    );
  }
  for (let i = 0; i < size; i++) {
    path.push(i);
    flatten(x[i], shape, path, into);
    path.pop();
  }
}

function notANumber(x: unknown, shape: Shape, path: readonly number[]): Error {
  if (Array.isArray(x)) {
    return new ShapeError(
      `tensor: a number was expected at ${show(path)} of a nest ${show(shape)}, got ${x.length} elements. Nest all to the same depth.`,
    );
  }
  const kind = x === null ? "null" : typeof x === "object" ? "an object" : `a value of type ${typeof x}`;
  return new TensorError(
    `tensor: a number or boolean was expected at ${show(path)}, got ${kind}. Convert it first.`,
  );
}

function requireDtype(op: string, dtype: DType): void {
  if (DTYPES.includes(dtype)) return;
  const all = DTYPES.join(", ");
  throw new DTypeError(
    `${op}: dtype: one of ${all} was expected, got ${dtype}. Write "f32" for floats, "i32" or "u32" for integers.`,
  );
}

/**
 * A tensor from nested arrays, or from flat data and a shape. Without `dtype` a `Uint32Array` gives u32, an `Int32Array` i32,
 * and all else f32: lists, and arrays of other sizes, which no dtype has. Throws `ShapeError` where sizes disagree at any level,
 * `DTypeError` for an unknown dtype and for elements that it cannot hold (as bool, everything but 0 is true), `ConfigError` for
 * an unknown option.
 */
export function tensor(
  data: Nested | ArrayLike<number>,
  options: { shape?: Shape; dtype?: DType } = {},
): Tensor {
  requireKnown("tensor", options, ["shape", "dtype"]);
  const dtype = options.dtype ?? dtypeOf(data);
  requireDtype("tensor", dtype);
  let flat: ArrayLike<number>;
  let shape: Shape;
  if (typeof data === "object" && data !== null && "length" in data && !Array.isArray(data)) {
    flat = data as ArrayLike<number>;
    shape = options.shape ?? [flat.length];
  } else {
    const nest = Array.isArray(data) ? shapeOf(data) : [];
    const numbers: number[] = [];
    flatten(data as Nested, nest, [], numbers);
    flat = numbers;
    shape = options.shape ?? nest;
  }
  checkShape("tensor", shape);
  if (flat.length !== numel(shape)) {
    throw new ShapeError(
      `tensor: ${numel(shape)} elements for shape ${show(shape)} were expected, got ${flat.length}. Check the nesting.`,
    );
  }
  requireAllHeld("tensor", flat, dtype);
  const b = backend();
  const t = Tensor.concrete([...shape], dtype, b.allocate(dtype, flat.length));
  if (flat.length > 0) b.write(t.storage, dtype, flat);
  return t;
}

/** A tensor of zeros. */
export function zeros(shape: Shape, dtype: DType = "f32"): Tensor {
  checkShape("zeros", shape);
  requireDtype("zeros", dtype);
  const b = backend();
  const storage = b.allocate(dtype, numel(shape));
  b.clear(storage);
  return Tensor.concrete([...shape], dtype, storage);
}

/** Start of each part of a flat segment is a multiple of this many elements, so that it can be bound on its own. */
export const SEGMENT_ALIGN = 64;

/** Largest segment in elements: what every adapter can bind (128 MiB). */
export const SEGMENT_LIMIT = (128 << 20) / 4;

/** One piece of memory: a tensor, or a block of the rows of one that is cut. */
export interface FlatPart {
  /** That of the tensor, or `blockName` of it. */
  readonly name: string;
  readonly shape: Shape;
  readonly segment: number;
  readonly offset: number;
  /** The tensor that it is a block of. */
  readonly whole?: { readonly name: string; readonly shape: Shape };
}

export interface FlatLayout {
  /** Elements of each segment, padding included. */
  readonly segments: readonly number[];
  readonly parts: readonly FlatPart[];
}

/** A tensor of a layout under the name it was given, with its parts in order: one, unless it is cut. */
export interface FlatWhole {
  readonly name: string;
  readonly shape: Shape;
  readonly parts: readonly FlatPart[];
}

export interface FlatSpec {
  readonly name: string;
  readonly shape: Shape;
  /** What reads it takes blocks of rows as well: it may be cut. */
  readonly byRows?: boolean;
}

const paddedSize = (elements: number): number =>
  Math.ceil(Math.max(elements, 1) / SEGMENT_ALIGN) * SEGMENT_ALIGN;

/** Sizes of the blocks of rows that fit: whole chunks where they can be, so that sums by chunks are those of the uncut. */
function blockRows({ name, shape }: FlatSpec, limit: number): number[] {
  const [rows, ...rest] = shape;
  const most = Math.floor((Math.floor(limit / SEGMENT_ALIGN) * SEGMENT_ALIGN) / numel(rest));
  if (most < 1) {
    throw new ShapeError(
      `parameters: rows of at most ${limit} elements were expected, got ${name} ${show(shape)}. Lower hiddenSize.`,
    );
  }
  const size = most < CHUNK_ROWS ? most : most - (most % CHUNK_ROWS);
  return Array.from({ length: Math.ceil(rows / size) }, (_, i) => Math.min(size, rows - i * size));
}

/**
 * Places named tensors one after another in as few segments as the binding limit allows. A larger one is cut by rows where
 * its reader can do with that.
 */
export function flatLayout(specs: readonly FlatSpec[], limit = SEGMENT_LIMIT): FlatLayout {
  const segments = [0];
  const place = (part: Pick<FlatPart, "name" | "shape" | "whole">): FlatPart => {
    const size = paddedSize(numel(part.shape));
    if (segments[segments.length - 1] + size > limit) segments.push(0);
    const segment = segments.length - 1;
    const offset = segments[segment];
    segments[segment] += size;
    return { ...part, segment, offset };
  };
  const parts = specs.flatMap((spec) => {
    const { name, shape, byRows } = spec;
    if (paddedSize(numel(shape)) <= limit) return place({ name, shape });
    if (!byRows) {
      throw new ShapeError(
        `parameters: at most ${limit} elements a tensor were expected, got ${name} ${show(shape)}. Make it smaller, or say byRows where its reader takes blocks of rows.`,
      );
    }
    return blockRows(spec, limit).map((rows, i) =>
      place({ name: blockName(name, i), shape: [rows, ...shape.slice(1)], whole: { name, shape } }),
    );
  });
  return { segments, parts };
}

/** The tensors of a layout as they were named, whether cut or not. */
export function wholeTensors(layout: FlatLayout): FlatWhole[] {
  const wholes = new Map<string, { name: string; shape: Shape; parts: FlatPart[] }>();
  for (const part of layout.parts) {
    const { name, shape } = part.whole ?? part;
    const known = wholes.get(name);
    if (known) known.parts.push(part);
    else wholes.set(name, { name, shape, parts: [part] });
  }
  return [...wholes.values()];
}

/**
 * Named f32 tensors that live in a few flat segments: `flat` has the segments as vectors (padding stays 0),
 * `tensors` the parts. Both name the same memory; release with `dispose`.
 */
export class FlatTensors {
  readonly layout: FlatLayout;
  readonly flat: readonly Tensor[];
  readonly tensors: Readonly<Record<string, Tensor>>;
  private readonly wholes: readonly FlatWhole[];

  constructor(layout: FlatLayout, label: string, b: Backend = backend()) {
    this.layout = layout;
    this.wholes = wholeTensors(layout);
    const storages = layout.segments.map((count) => {
      const storage = b.allocate("f32", count);
      b.clear(storage);
      return storage;
    });
    this.flat = storages.map((s, i) => {
      const t = Tensor.concrete([layout.segments[i]], "f32", s);
      t.label = `${label}[${i}]`;
      return t;
    });
    const tensors: Record<string, Tensor> = Object.create(null);
    for (const p of layout.parts) {
      const t = Tensor.concrete(p.shape, "f32", b.view(storages[p.segment], p.offset, numel(p.shape)));
      t.label = `${label}.${p.name}`;
      tensors[p.name] = t;
    }
    this.tensors = tensors;
  }

  /** Throws `TensorError` for a name that is not there, and for that of a tensor which is cut. */
  get(name: string): Tensor {
    const t = this.tensors[name];
    if (!t) {
      if (this.tensors[blockName(name, 0)]) {
        throw new TensorError(
          `parameters: a tensor in one piece was expected, got ${name}, which is cut by rows. Use write() and readWeights(), or its blocks ${blockName(name, 0)}, ...`,
        );
      }
      throw new TensorError(
        `parameters: a known name was expected, got ${name}. Names: ${Object.keys(this.tensors).join(", ")}.`,
      );
    }
    return t;
  }

  /** Gives a tensor its values, whether it is cut or not; a block of one by its own name. */
  write(name: string, values: ArrayLike<number>): void {
    const whole = this.tensors[name] ? undefined : this.wholes.find((w) => w.name === name);
    if (!whole) {
      this.get(name).write(values);
      return;
    }
    if (values.length !== numel(whole.shape)) {
      throw new ShapeError(
        `parameters: ${numel(whole.shape)} values for ${name} ${show(whole.shape)} were expected, got ${values.length}. Check the shape.`,
      );
    }
    const flat = values instanceof Float32Array ? values : Float32Array.from(values);
    let from = 0;
    for (const part of whole.parts) {
      const to = from + numel(part.shape);
      this.get(part.name).write(flat.subarray(from, to));
      from = to;
    }
  }

  dispose(): void {
    for (const t of Object.values(this.tensors)) t.dispose();
    for (const t of this.flat) t.dispose();
  }
}

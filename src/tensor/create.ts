/** Making tensors from host data, and flat segments that hold many tensors in one range of memory. */
import { type Backend, backend } from "./backend.ts";
import { type DType, requireAllHeld } from "./dtype.ts";
import { DTypeError, ShapeError, TensorError } from "./errors.ts";
import { checkShape, numel, type Shape, show } from "./shape.ts";
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

/**
 * A tensor from nested arrays, or from flat data and a shape. Throws `ShapeError` where sizes disagree at any level,
 * `DTypeError` for an unknown dtype and for elements that it cannot hold (as bool, everything but 0 is true).
 */
export function tensor(
  data: Nested | ArrayLike<number>,
  options: { shape?: Shape; dtype?: DType } = {},
): Tensor {
  const dtype = options.dtype ?? "f32";
  if (!DTYPES.includes(dtype)) {
    const all = DTYPES.join(", ");
    throw new DTypeError(
      `tensor: dtype: one of ${all} was expected, got ${dtype}. Write "f32" for floats, "i32" or "u32" for integers.`,
    );
  }
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
  return tensor(new Float32Array(numel(shape)), { shape, dtype });
}

/** Start of each part of a flat segment is a multiple of this many elements, so that it can be bound on its own. */
const SEGMENT_ALIGN = 64;

/** Largest segment in elements: what every adapter can bind (128 MiB). */
export const SEGMENT_LIMIT = (128 << 20) / 4;

export interface FlatLayout {
  /** Elements of each segment, padding included. */
  readonly segments: readonly number[];
  readonly parts: readonly {
    readonly name: string;
    readonly shape: Shape;
    readonly segment: number;
    readonly offset: number;
  }[];
}

/** Places named tensors one after another in as few segments as the binding limit allows; none is cut. */
export function flatLayout(
  specs: readonly { name: string; shape: Shape }[],
  limit = SEGMENT_LIMIT,
): FlatLayout {
  const segments = [0];
  const parts = specs.map(({ name, shape }) => {
    const size = Math.ceil(Math.max(numel(shape), 1) / SEGMENT_ALIGN) * SEGMENT_ALIGN;
    if (size > limit) {
      throw new ShapeError(
        `parameters: at most ${limit} elements a tensor were expected, got ${name} ${show(shape)}. Split it by rows.`,
      );
    }
    if (segments[segments.length - 1] + size > limit) segments.push(0);
    const segment = segments.length - 1;
    const offset = segments[segment];
    segments[segment] += size;
    return { name, shape, segment, offset };
  });
  return { segments, parts };
}

/**
 * Named f32 tensors that live in a few flat segments: `flat` has the segments as vectors (padding stays 0),
 * `tensors` the parts. Both name the same memory; release with `dispose`.
 */
export class FlatTensors {
  readonly layout: FlatLayout;
  readonly flat: readonly Tensor[];
  readonly tensors: Readonly<Record<string, Tensor>>;

  constructor(layout: FlatLayout, label: string, b: Backend = backend()) {
    this.layout = layout;
    const storages = layout.segments.map((count) => {
      const storage = b.allocate("f32", count);
      b.write(storage, "f32", new Float32Array(count));
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

  get(name: string): Tensor {
    const t = this.tensors[name];
    if (!t) {
      throw new TensorError(
        `parameters: a known name was expected, got ${name}. Names: ${Object.keys(this.tensors).join(", ")}.`,
      );
    }
    return t;
  }

  dispose(): void {
    for (const t of Object.values(this.tensors)) t.dispose();
    for (const t of this.flat) t.dispose();
  }
}

/**
 * Tensor: the one type users hold. Concrete ones name storage on a backend and are released by `using`,
 * `scope()` or `dispose()`; traced ones name a value of an open trace and live as long as it does.
 */
/// <reference lib="esnext.disposable" preserve="true" />
import { type DType, type HostArray, requireAllHeld } from "./dtype.ts";
import { TensorError } from "./errors.ts";
import type { Value } from "./ir.ts";
import { numel, type Shape, show } from "./shape.ts";
import type { Trace } from "./trace.ts";

/** Memory of one or more tensors on a backend. */
export interface Storage {
  readonly backend: BackendLike;
  /** Bytes of this tensor's range. */
  readonly bytes: number;
  /** The memory it is a part of, and where it begins in it: equal roots may overlap. */
  readonly root: object;
  readonly offset: number;
  retain(): void;
  release(): void;
}

/** What a tensor asks of its backend. */
export interface BackendLike {
  readonly kind: "webgpu" | "reference";
  read(storage: Storage, dtype: DType, count: number): Promise<HostArray | Float64Array>;
  write(storage: Storage, dtype: DType, data: ArrayLike<number>): void;
  /** Makes all of it 0, without zeros on the host. */
  clear(storage: Storage): void;
}

const scopes: Set<Tensor>[] = [];

export class Tensor {
  readonly shape: Shape;
  readonly dtype: DType;
  label = "";
  /** Input value this tensor was declared as state under, in a trace. */
  stateOrigin: Value | null = null;
  private inner: { trace: Trace; value: Value } | { storage: Storage } | null;

  private constructor(
    shape: Shape,
    dtype: DType,
    inner: { trace: Trace; value: Value } | { storage: Storage },
  ) {
    this.shape = shape;
    this.dtype = dtype;
    this.inner = inner;
  }

  static traced(trace: Trace, value: Value): Tensor {
    return new Tensor(value.shape, value.dtype, { trace, value });
  }

  /** Takes over one reference of `storage`. */
  static concrete(shape: Shape, dtype: DType, storage: Storage): Tensor {
    const t = new Tensor(shape, dtype, { storage });
    scopes.at(-1)?.add(t);
    return t;
  }

  get isTraced(): boolean {
    return this.inner !== null && "trace" in this.inner;
  }

  get disposed(): boolean {
    return this.inner === null;
  }

  get size(): number {
    return numel(this.shape);
  }

  get trace(): Trace | null {
    return this.inner && "trace" in this.inner ? this.inner.trace : null;
  }

  get value(): Value {
    if (!this.inner || !("trace" in this.inner)) throw this.wrongKind("a traced tensor");
    return this.inner.value;
  }

  get storage(): Storage {
    if (!this.inner || !("storage" in this.inner)) throw this.wrongKind("a concrete, live tensor");
    return this.inner.storage;
  }

  /** The handle of a state names its new value (only `assign` calls this). */
  rename(value: Value): void {
    if (this.inner && "trace" in this.inner) this.inner = { trace: this.inner.trace, value };
  }

  requireLive(op: string): void {
    if (this.inner === null) {
      throw new TensorError(
        `${op}: a live tensor was expected, got a disposed one ${this}. Keep it alive with scope's keep() or dispose it later.`,
      );
    }
  }

  /** A second handle on the same memory: disposing of either leaves the other alive. */
  share(): Tensor {
    const { storage } = this;
    storage.retain();
    return Tensor.concrete(this.shape, this.dtype, storage);
  }

  private wrongKind(expected: string): TensorError {
    const got =
      this.inner === null ? "a disposed one" : "trace" in this.inner ? "a traced one" : "a concrete one";
    return new TensorError(
      `tensor: ${expected} was expected, got ${got} ${this}. Values can be read only outside compile.`,
    );
  }

  /** Throws in the tensor's open trace, so that the trace ends there; a promise that nobody awaits would be lost. */
  private requireOutside(op: string, remedy: string): void {
    if (!this.trace?.open) return;
    throw new TensorError(
      `${op}: a tensor with elements was expected, got ${this} inside compile or grad, which trace the function before anything is computed. ${remedy}`,
    );
  }

  /** Copies the elements to the host, row-major. On the reference backend f32 arrives as float64. */
  data(): Promise<HostArray | Float64Array> {
    this.requireOutside("data", "Return it, and read the result outside.");
    return this.read("data");
  }

  /** The only element of a one-element tensor. */
  item(): Promise<number> {
    this.requireOutside("item", "Return it and read the result outside; inside, compute with ops.");
    return this.only();
  }

  private async only(): Promise<number> {
    if (this.size !== 1) {
      throw new TensorError(
        `item: one element was expected, got shape ${show(this.shape)}. Use data() or reduce first.`,
      );
    }
    return (await this.read("item"))[0];
  }

  private async read(op: string): Promise<HostArray | Float64Array> {
    this.requireLive(op);
    if (this.isTraced) {
      throw new TensorError(
        `${op}: a concrete tensor was expected, got ${this} that escaped from its trace. Return it from the compiled function instead of keeping it.`,
      );
    }
    const storage = this.storage;
    storage.retain();
    try {
      return await storage.backend.read(storage, this.dtype, this.size);
    } finally {
      storage.release();
    }
  }

  /** Overwrites the elements from the host. Throws where the length differs, the tensor is released, or its dtype cannot hold one. */
  write(data: ArrayLike<number>): void {
    this.requireOutside("write", "Use assign() on an argument named in compile's `state` option.");
    this.requireLive("write");
    if (data.length !== this.size) {
      throw new TensorError(
        `write: ${this.size} elements of shape ${show(this.shape)} were expected, got ${data.length}. Check the length.`,
      );
    }
    requireAllHeld("write", data, this.dtype);
    this.storage.backend.write(this.storage, this.dtype, data);
  }

  dispose(): void {
    if (this.inner && "storage" in this.inner) {
      this.inner.storage.release();
      this.inner = null;
    }
    for (const s of scopes) s.delete(this);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** Text in template strings; arithmetic and comparison of JavaScript would give NaN and false, so they throw. */
  [Symbol.toPrimitive](hint: string): string {
    if (hint === "string") return this.toString();
    throw new TensorError(
      this.isTraced
        ? `compile: a number was expected by an operator of JavaScript, got the tensor ${this}. Numbers among the arguments of a compiled function are data: name the argument in compile's \`static\` option, or use ops.`
        : `tensor: a number was expected by an operator of JavaScript, got the tensor ${this}. Use await t.item(), or ops.`,
    );
  }

  toString(): string {
    return `${this.label ? `${this.label}: ` : ""}${this.dtype}${show(this.shape)}`;
  }
}

/** Takes a tensor out of every scope that is open: somebody else releases it. */
export function takeOver(t: Tensor): Tensor {
  for (const s of scopes) s.delete(t);
  return t;
}

/** Runs `f`, and tells `takes` of every tensor made inside it and still alive; what that does not take over is as it was. */
export function collect<T>(f: () => T, takes: (t: Tensor) => boolean): T {
  const mine = new Set<Tensor>();
  scopes.push(mine);
  try {
    return f();
  } finally {
    scopes.splice(scopes.lastIndexOf(mine), 1);
    for (const t of mine) if (!takes(t)) scopes.at(-1)?.add(t);
  }
}

export function isTensor(x: unknown): x is Tensor {
  return x instanceof Tensor;
}

/** Visits every tensor in nested arrays and plain objects. */
export function forEachTensor(tree: unknown, visit: (t: Tensor) => void): void {
  if (isTensor(tree)) visit(tree);
  else if (Array.isArray(tree)) for (const x of tree) forEachTensor(x, visit);
  else if (tree !== null && typeof tree === "object" && !ArrayBuffer.isView(tree)) {
    for (const x of Object.values(tree)) forEachTensor(x, visit);
  }
}

/**
 * Runs `f` and releases every tensor made inside it but those it returns (in arrays and objects too) and those
 * passed to `keep`. Synchronous: await outside. Returns what `f` returns.
 */
export function scope<T>(f: (keep: <K>(x: K) => K) => T): T {
  const mine = new Set<Tensor>();
  scopes.push(mine);
  const kept = new Set<Tensor>();
  let ok = false;
  let result: T | undefined;
  try {
    result = f((x) => {
      forEachTensor(x, (t) => kept.add(t));
      return x;
    });
    if (result instanceof Promise) {
      result.catch(() => {});
      throw new TensorError(
        "scope: a synchronous function was expected, got a promise. Await outside the scope.",
      );
    }
    forEachTensor(result, (t) => kept.add(t));
    ok = true;
    return result;
  } finally {
    scopes.splice(scopes.lastIndexOf(mine), 1);
    for (const t of mine) {
      if (ok && kept.has(t)) scopes.at(-1)?.add(t);
      else t.dispose();
    }
  }
}

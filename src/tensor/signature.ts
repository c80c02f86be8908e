/**
 * What of a call's arguments decides its program, as text, and what of them is data. The text differs wherever the
 * traced function could tell two calls apart: each piece begins with a mark of its kind, names and text with their length.
 */
import { backend } from "./backend.ts";
import { type DType, requireHeld } from "./dtype.ts";
import { TensorError } from "./errors.ts";
import { isTensor, type Tensor } from "./tensor.ts";
import { isPlain } from "./tree.ts";

/** A host number with a dtype of its own; plain numbers are f32. */
export interface HostScalar {
  readonly scalar: number;
  readonly dtype: DType;
}

export function isHostScalar(x: unknown): x is HostScalar {
  return x !== null && typeof x === "object" && "scalar" in x && "dtype" in x;
}

/** Which arguments are part of the signature, and which name states, by position. */
export interface Positions {
  state?: readonly number[];
  static?: readonly number[];
}

export interface Leaves {
  signature: string;
  tensors: { tensor: Tensor; state: boolean }[];
  /** Tensors and numbers in the order of the graph's inputs. */
  data: (Tensor | number)[];
}

/** Throws where a tensor is released, belongs to a trace that is over, or to another device. */
export function requireHere(label: string, t: Tensor): void {
  t.requireLive(label);
  if (t.isTraced) {
    throw new TensorError(
      `${label}: a concrete tensor was expected, got ${t} that escaped from a trace. Return it from the compiled function instead of keeping it.`,
    );
  }
  if (t.storage.backend !== backend()) {
    throw new TensorError(
      `${label}: a tensor of the current device was expected, got ${t} of another. Create tensors after init().`,
    );
  }
}

/** Deeper trees are circular, or no options. */
const DEEPEST = 64;

function kindOf(x: unknown): string {
  if (isTensor(x)) return `the tensor ${x}`;
  if (typeof x === "object" && x !== null) return `a ${x.constructor?.name || "object of a class"}`;
  return `a ${typeof x}`;
}

class Reader {
  readonly tensors: Leaves["tensors"] = [];
  readonly data: Leaves["data"] = [];
  text = "";
  private readonly label: string;
  private readonly path: (string | number)[] = [];
  private position = 0;
  private isStatic = false;
  private isState = false;

  constructor(label: string) {
    this.label = label;
  }

  argument(x: unknown, position: number, { state, static: fixed }: Positions): void {
    this.position = position;
    this.isStatic = fixed?.includes(position) ?? false;
    this.isState = state?.includes(position) ?? false;
    this.read(x);
  }

  private read(x: unknown): void {
    if (Array.isArray(x)) this.branch(x.length, () => this.elements(x));
    else if (isTensor(x) && !this.isStatic) this.tensor(x);
    else if (typeof x === "number") this.number(x);
    else if (!this.isStatic && isHostScalar(x)) this.scalar(x);
    else if (isPlain(x)) this.branch(-1, () => this.entries(x));
    else this.option(x);
  }

  private branch(length: number, inside: () => void): void {
    if (this.path.length >= DEEPEST) {
      throw new TensorError(
        `${this.label}: arguments at most ${DEEPEST} levels deep were expected, got deeper ones at ${this.where()}. Leave out what refers back to itself.`,
      );
    }
    this.text += length < 0 ? "{" : `[${length}:`;
    inside();
    this.text += "}";
  }

  private elements(list: readonly unknown[]): void {
    for (let i = 0; i < list.length; i++) {
      this.path.push(i);
      if (i in list) this.read(list[i]);
      else this.text += "h";
      this.path.pop();
    }
  }

  private entries(x: Record<string, unknown>): void {
    for (const key of Object.keys(x)) {
      this.text += `${key.length}:${key}`;
      this.path.push(key);
      this.read(x[key]);
      this.path.pop();
    }
  }

  private tensor(t: Tensor): void {
    requireHere(this.label, t);
    this.tensors.push({ tensor: t, state: this.isState });
    this.data.push(t);
    this.text += `${this.isState ? "!" : "t"}${t.dtype}[${t.shape}]`;
  }

  private number(x: number): void {
    if (this.isStatic) this.text += `n${Object.is(x, -0) ? "-0" : x};`;
    else this.scalar({ scalar: x, dtype: "f32" });
  }

  private scalar({ scalar, dtype }: HostScalar): void {
    if (Number.isNaN(scalar)) {
      throw new TensorError(
        `${this.label}: a number was expected for ${this.where()}, got NaN. Check the value (a learning rate, a weight).`,
      );
    }
    requireHeld(this.label, scalar, dtype);
    this.data.push(scalar);
    this.text += `#${dtype}`;
  }

  /** What is neither tensor nor number nor holds any. */
  private option(x: unknown): void {
    if (x === undefined) this.text += "u";
    else if (x === null) this.text += "z";
    else if (typeof x === "boolean") this.text += x ? "T" : "F";
    else if (typeof x === "string") this.text += `s${x.length}:${x}`;
    else if (typeof x === "bigint" && this.isStatic) this.text += `b${x};`;
    else throw new TensorError(this.refusal(x));
  }

  private refusal(x: unknown): string {
    const wanted = this.isStatic
      ? "plain data was expected as a static option"
      : "tensors, numbers or static options were expected";
    let remedy = "Give numbers, text, arrays or plain objects instead.";
    if (typeof x === "function" || typeof x === "symbol") remedy = "Close over it instead.";
    else if (isTensor(x)) remedy = "Take its argument out of compile's `static` option.";
    else if (typeof x === "bigint") remedy = "List it in compile's `static` option.";
    else if (ArrayBuffer.isView(x) && !this.isStatic) remedy = "Make a tensor of it with tensor().";
    return `${this.label}: ${wanted}, got ${kindOf(x)} at ${this.where()}. ${remedy}`;
  }

  private where(): string {
    let path = "";
    for (const key of this.path.slice(0, 8)) {
      path += typeof key === "number" ? `[${key}]` : path ? `.${key}` : key;
    }
    return `argument ${this.position}${path && ` (${path})`}`;
  }
}

/** Reads the arguments of a call. Throws `TensorError` for what can be neither data nor part of a signature. */
export function readArguments(label: string, args: readonly unknown[], positions: Positions): Leaves {
  const reader = new Reader(label);
  for (let i = 0; i < args.length; i++) reader.argument(args[i], i, positions);
  return { signature: reader.text, tensors: reader.tensors, data: reader.data };
}

/**
 * Tracing: while a trace is open, every op call appends a node; when none is, an op call on concrete tensors is
 * a program of one op, run at once. This file holds the open trace and the single entry `apply` that ops call.
 */
import { type DType, requireHeld } from "./dtype.ts";
import { NaysayError, TensorError } from "./errors.ts";
import { type Attrs, type Graph, Node, type StateUpdate, type Value, type ValueType } from "./ir.ts";
import type { OpDef } from "./opdef.ts";
import { isTensor, Tensor } from "./tensor.ts";

export type TensorLike = Tensor | number | boolean;

export class Trace {
  /** Whether ops add to it now. */
  open = false;
  readonly inputs: Value[] = [];
  /** Concrete tensors that stand behind inputs: captured from the closure, fixed for the program's life. */
  readonly captures = new Map<Tensor, Value>();
  readonly captureOrder: Tensor[] = [];
  private readonly states = new Map<Value, { input: Value; current: Value }>();

  input(type: ValueType): Value {
    const value = new Node("input", [], {}, [type]).results[0];
    this.inputs.push(value);
    return value;
  }

  /** An input that each run fills with a number of its own. */
  scalarInput(dtype: DType): Value {
    const value = new Node("input", [], { scalar: true }, [{ shape: [], dtype }]).results[0];
    this.inputs.push(value);
    return value;
  }

  /** Declares an input as state: `assign` may give it a new value. */
  declareState(input: Value): void {
    this.states.set(input, { input, current: input });
  }

  assign(target: Tensor, value: Value): void {
    const origin = target.stateOrigin;
    const state = origin && this.states.get(origin);
    if (!state) {
      throw new TensorError(
        "assign: a tensor declared as state was expected, got another value. Name its argument in compile's `state` option.",
      );
    }
    state.current = value;
    target.rename(value);
  }

  capture(tensor: Tensor): Value {
    let value = this.captures.get(tensor);
    if (!value) {
      value = this.input({ shape: tensor.shape, dtype: tensor.dtype });
      this.captures.set(tensor, value);
      this.captureOrder.push(tensor);
    }
    return value;
  }

  updates(): StateUpdate[] {
    const list: StateUpdate[] = [];
    for (const s of this.states.values()) {
      if (s.current !== s.input) list.push({ input: s.input, value: s.current });
    }
    return list;
  }

  /** The value a tensor names in this trace. */
  valueOf(x: Tensor): Value {
    if (x.isTraced) {
      if (x.trace !== this) {
        throw new TensorError(
          "trace: a tensor of this trace was expected, got one that escaped from another. Return it from the compiled function instead of keeping it.",
        );
      }
      return x.value;
    }
    x.requireLive("trace");
    return this.capture(x);
  }
}

let current: Trace | null = null;

export function currentTrace(): Trace | null {
  return current;
}

/** Runs `f` with `trace` open; traces nest, and the outer one comes back whatever happens. */
export function withTrace<T>(trace: Trace, f: () => T): T {
  const outer = current;
  const wasOpen = trace.open;
  current = trace;
  trace.open = true;
  try {
    const result = f();
    if (result instanceof Promise) {
      // What it does after its first await fails outside the trace: this error says why.
      result.catch(() => {});
      throw new NaysayError(
        "trace: a synchronous function was expected, got a promise. Await outside compile.",
      );
    }
    return result;
  } finally {
    current = outer;
    trace.open = wasOpen;
  }
}

/** Runs a graph at once on concrete tensors; `compile.ts` puts itself here (it sits above this file). */
export interface EagerRunner {
  run(graph: Graph, args: readonly (Tensor | number)[]): Tensor[];
}
let eager: EagerRunner | null = null;
export function setEagerRunner(runner: EagerRunner): void {
  eager = runner;
}

function constNode(value: number, dtype: DType): Value {
  return new Node("const", [], { value: Object.is(value, -0) ? "-0" : String(value), dtype }, [
    { shape: [], dtype },
  ]).results[0];
}

/** A scalar constant in the open trace. */
export function constant(trace: Trace, value: number, dtype: DType): Tensor {
  return Tensor.traced(trace, constNode(value, dtype));
}

function kindOf(x: unknown): string {
  if (Array.isArray(x)) return `an array of ${x.length}`;
  if (ArrayBuffer.isView(x)) return `a ${x.constructor.name}`;
  return x === null || x === undefined ? String(x) : `a value of type ${typeof x}`;
}

/** Throws `TensorError` where an operand is anything but a tensor. */
export function requireTensor(op: string, ...operands: unknown[]): void {
  for (const x of operands) {
    if (!isTensor(x)) {
      throw new TensorError(`${op}: a tensor was expected, got ${kindOf(x)}. Make one with tensor().`);
    }
  }
}

/**
 * What an op gives where it changes nothing: a second handle, on the value as it is now (`assign` gives the first
 * another) or on the memory, so that the result is the caller's to dispose of like any other.
 */
export function unchanged(op: string, x: Tensor): Tensor {
  if (current) return Tensor.traced(current, current.valueOf(x));
  x.requireLive(op);
  return x.share();
}

/**
 * Turns numbers into constants of the dtype that the tensors beside them have. Throws `DTypeError` where that dtype
 * cannot hold one: 0.5 beside integers would be 0 on one backend and 0.5 on another.
 */
export function lift(args: readonly TensorLike[], op = "op"): (Tensor | { scalar: number; dtype: DType })[] {
  const partner = args.find((a) => isTensor(a) && a.dtype !== "bool") as Tensor | undefined;
  return args.map((a) => {
    if (isTensor(a)) return a;
    if (typeof a === "boolean") return { scalar: a ? 1 : 0, dtype: "bool" as const };
    if (typeof a !== "number") {
      throw new TensorError(
        `${op}: a tensor or number was expected, got ${kindOf(a)}. Make a tensor with tensor().`,
      );
    }
    const dtype = partner?.dtype ?? "f32";
    requireHeld(op, a, dtype);
    return { scalar: a, dtype };
  });
}

/** The one way in: checks the types, then records (open trace) or runs (none). */
export function apply(op: OpDef, args: readonly TensorLike[], attrs: Attrs = {}, meta?: unknown): Tensor[] {
  const lifted = lift(args, op.name);
  for (const [name, value] of Object.entries(attrs)) {
    if (isTensor(value)) {
      throw new TensorError(
        `${op.name}: ${name}: a plain value was expected, got the tensor ${value}. Name the argument in compile's \`static\` option.`,
      );
    }
  }
  if (current) {
    const trace = current;
    const values = lifted.map((a) => (isTensor(a) ? trace.valueOf(a) : constNode(a.scalar, a.dtype)));
    const node = new Node(op.name, values, attrs, op.infer(values, attrs), meta);
    return node.results.map((v) => Tensor.traced(trace, v));
  }
  return runEagerly((xs) => apply(op, xs, attrs, meta), lifted);
}

/**
 * Traces `f` on the concrete tensors among `args` and runs the result at once: how an op, or a chain of ops with
 * their own inner calls (broadcasts, casts), works outside `compile`. Numbers are inputs, as in `compile`: another
 * value builds nothing. Booleans are constants: there are two of them.
 */
export function runEagerly(
  f: (args: TensorLike[]) => Tensor[],
  args: readonly (Tensor | { scalar: number; dtype: DType })[],
): Tensor[] {
  if (!eager) throw new NaysayError("op: a backend was expected, got none. Call `await init()` first.");
  const trace = new Trace();
  const numbers: number[] = [];
  const outs = withTrace(trace, () => {
    // Numbers before tensors, whose inputs come in the order of capture: `f` may capture more.
    const scalars = args.map((a) => {
      if (isTensor(a)) return null;
      if (a.dtype === "bool") return constant(trace, a.scalar, "bool");
      numbers.push(a.scalar);
      return Tensor.traced(trace, trace.scalarInput(a.dtype));
    });
    const inner = args.map((a, i) => scalars[i] ?? Tensor.traced(trace, trace.valueOf(a as Tensor)));
    return f(inner).map((t) => trace.valueOf(t));
  });
  return eager.run({ inputs: trace.inputs, outputs: outs, updates: [] }, [...numbers, ...trace.captureOrder]);
}

/** Makes a composite function (several primitives) one program when called outside a trace. */
export function composite<A extends readonly TensorLike[]>(
  f: (...args: A) => Tensor,
  name?: string,
): (...args: A) => Tensor {
  return (...args: A) => {
    if (current) return f(...args);
    return runEagerly((xs) => [f(...(xs as unknown as A))], lift(args, name))[0];
  };
}

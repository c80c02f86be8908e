/**
 * Trace once, replay for ever: `compile(fn)` traces `fn` for each new signature (shapes, dtypes, static options)
 * and keeps the program. Numbers among the arguments are data: another value never builds anything.
 */
import { type Backend, backend, type Executable } from "./backend.ts";
import { DTypeError, NaysayError, ShapeError, TensorError } from "./errors.ts";
import { checkPasses } from "./flags.ts";
import { type Graph, graphKey, type Value } from "./ir.ts";
import { sameShape, show } from "./shape.ts";
import { type HostScalar, isHostScalar, type Leaves, readArguments, requireHere } from "./signature.ts";
import { span } from "./spans.ts";
import { requireKnown } from "./suggest.ts";
import { collect, isTensor, type Storage, Tensor } from "./tensor.ts";
import { constant, currentTrace, type EagerRunner, Trace, withTrace } from "./trace.ts";
import { mapTree } from "./tree.ts";

export type { HostScalar } from "./signature.ts";

/** A u32 argument (a position, a seed word). */
export function u32(value: number): HostScalar {
  if (!Number.isInteger(value) || value < 0 || value > 0xffffffff) {
    throw new TensorError(
      `u32: an integer in [0, 2^32) was expected, got ${value}. Split 64-bit numbers in two words.`,
    );
  }
  return { scalar: value, dtype: "u32" };
}

/** An i32 argument. */
export function i32(value: number): HostScalar {
  if ((value | 0) !== value)
    throw new TensorError(`i32: a 32-bit integer was expected, got ${value}. Use a float.`);
  return { scalar: value, dtype: "i32" };
}

export interface CompileOptions {
  /** Positions of arguments whose tensors may be given new values with `assign`, in place. */
  state?: readonly number[];
  /** Positions of arguments that are part of the signature: plain data that shapes the graph. */
  static?: readonly number[];
  /** Name in errors, profiles and plans. */
  label?: string;
  /** Passes to leave out. */
  passesOff?: readonly string[];
}

const OPTIONS: Readonly<Record<keyof CompileOptions, true>> = {
  state: true,
  static: true,
  label: true,
  passesOff: true,
};

interface Program {
  executable: Executable;
  captures: readonly Tensor[];
  /** Captures that are released with the program. */
  owned: readonly Tensor[];
  /** The result with its tensors replaced by their position among the outputs. */
  result: unknown;
  outputs: readonly Value[];
}

class OutputSlot {
  readonly index: number;
  constructor(index: number) {
    this.index = index;
  }
}

export interface CompiledInfo {
  /** Programs built so far. */
  readonly programs: number;
  /** Largest planned bytes of temporaries among them. */
  readonly plannedBytes: number;
  describe(): string;
  /** Resolves when every pipeline of every program exists. */
  ready(): Promise<void>;
  /** Releases the programs. */
  dispose(): void;
}

/** What else a compiled function does. */
export interface CompiledRuns<A extends readonly unknown[]> {
  /**
   * Calls the function `times` times on the same arguments, in one submission where the work is not too much for one: for
   * functions that give states new values and return no tensors. Throws `TensorError` for others.
   */
  repeat(times: number, ...args: A): void;
}

export type Compiled<A extends readonly unknown[], R> = ((...args: A) => R) & CompiledRuns<A> & CompiledInfo;

/** Traces `fn` for one signature. */
export function traceCall(
  fn: (...args: never[]) => unknown,
  args: readonly unknown[],
  options: CompileOptions,
): { graph: Graph; captures: Tensor[]; owned: Tensor[]; result: unknown } {
  const trace = new Trace();
  const traced = (): { graph: Graph; result: unknown } => {
    const symbolic = args.map((arg, position) => {
      if (options.static?.includes(position)) return arg;
      const state = options.state?.includes(position) ?? false;
      return mapTree(arg, (leaf, path) => {
        if (isTensor(leaf)) {
          const value = trace.input({ shape: leaf.shape, dtype: leaf.dtype });
          const t = Tensor.traced(trace, value);
          t.label = leaf.label;
          if (state) {
            trace.declareState(value);
            t.stateOrigin = value;
          }
          return t;
        }
        if (typeof leaf === "number" || isHostScalar(leaf)) {
          const dtype = typeof leaf === "number" ? "f32" : leaf.dtype;
          const t = Tensor.traced(trace, trace.scalarInput(dtype));
          t.label = `argument ${position}${path && ` (${path})`}`;
          return t;
        }
        return leaf;
      });
    });
    const raw = fn(...(symbolic as never[]));
    if (raw instanceof Promise) {
      // What it does after its first await fails outside the trace: this error says why.
      raw.catch(() => {});
      throw new NaysayError("compile: a synchronous function was expected, got a promise. Await outside.");
    }
    const outputs: Value[] = [];
    const result = mapTree(raw, (leaf) => {
      if (!isTensor(leaf)) return leaf;
      outputs.push(trace.valueOf(leaf));
      return new OutputSlot(outputs.length - 1);
    });
    return {
      graph: { inputs: trace.inputs, outputs, updates: trace.updates() },
      result,
    };
  };
  // What is made as it is traced, and read by it, goes with the program, whatever scope is open then.
  const owned: Tensor[] = [];
  try {
    const { graph, result } = collect(
      () => withTrace(trace, traced),
      (t) => trace.captures.has(t) && owned.push(t) > 0,
    );
    return { graph, result, captures: trace.captureOrder, owned };
  } catch (error) {
    for (const t of owned) t.dispose();
    throw error;
  }
}

function release({ executable, owned }: Pick<Program, "executable" | "owned">): void {
  executable.dispose();
  for (const t of owned) t.dispose();
}

/** Storages and numbers in the order of the graph's inputs: arguments as they came, then captures. */
function runArgs(label: string, { data }: Leaves, captures: readonly Tensor[]): (Storage | number)[] {
  const list = data.map((x) => (typeof x === "number" ? x : x.storage));
  for (const t of captures) {
    requireHere(label, t);
    list.push(t.storage);
  }
  return list;
}

function unpack(program: Program, storages: readonly Storage[]): unknown {
  const tensors = storages.map((s, i) =>
    Tensor.concrete(program.outputs[i].shape, program.outputs[i].dtype, s),
  );
  return mapTree(program.result, (leaf) => (leaf instanceof OutputSlot ? tensors[leaf.index] : leaf));
}

/** Arguments of a call inside another trace: numbers with a dtype become constants of it. */
function inlined<A extends readonly unknown[]>(trace: Trace, args: A, options: CompileOptions): A {
  return args.map((arg, position) =>
    options.static?.includes(position)
      ? arg
      : mapTree(arg, (leaf) => (isHostScalar(leaf) ? constant(trace, leaf.scalar, leaf.dtype) : leaf)),
  ) as unknown as A;
}

/** A state is written in place: nothing else among the arguments may name a part of its memory. */
function checkStates(label: string, leaves: Leaves, captures: readonly Tensor[]): void {
  if (!leaves.tensors.some((t) => t.state)) return;
  const parts = new Map<object, { from: number; to: number; state: boolean }[]>();
  const closedOver = captures.filter((t) => !t.disposed).map((tensor) => ({ tensor, state: false }));
  for (const { tensor, state } of [...leaves.tensors, ...closedOver]) {
    const { root, offset, bytes } = tensor.storage;
    const part = { from: offset, to: offset + bytes, state };
    const list = parts.get(root);
    if (list) list.push(part);
    else parts.set(root, [part]);
  }
  for (const list of parts.values()) {
    list.sort((a, b) => a.from - b.from);
    let reach = { to: -1, state: false };
    for (const part of list) {
      if (part.from < reach.to && (part.state || reach.state)) {
        throw new TensorError(
          `${label}: a state was expected once among the arguments, got its memory twice. Pass it once, or a copy.`,
        );
      }
      if (part.to > reach.to) reach = part;
    }
  }
}

/**
 * Compiles `fn`. Tensors and numbers among its arguments are data, arguments named in `static` are part of the signature,
 * tensors of arguments named in `state` may be updated in place with `assign`. Called inside another compiled function it is
 * inlined. Throws `ConfigError` for an option that it does not know.
 *
 * Inside `fn` a number is a scalar tensor, whatever its type says: compute with `ops`. An operator of JavaScript on it
 * (`n > 3`, `n * 2`, `Math.sqrt(n)`) throws `TensorError`; `n ? a : b`, `n === 3` and `typeof n` cannot be caught and see
 * an object. What decides the graph (a count, a shape, an axis) belongs in `static`. Numbers and tensors that `fn` closes
 * over are fixed when it is traced: a number is baked in, a tensor is read anew at each call.
 */
export function compile<A extends readonly unknown[], R>(
  fn: (...args: A) => R,
  options: CompileOptions = {},
): Compiled<A, R> {
  requireKnown("compile", options, Object.keys(OPTIONS));
  for (const key of ["state", "static"] as const) {
    const given: unknown = options[key];
    if (given === undefined || (Array.isArray(given) && given.every((i) => Number.isInteger(i) && i >= 0)))
      continue;
    throw new TensorError(
      `compile: ${key}: a list of positions of arguments was expected, got ${String(given)}. Write [0] for the first.`,
    );
  }
  if (options.passesOff !== undefined) checkPasses("compile: passesOff", options.passesOff);
  const label = options.label ?? (fn.name || "program");
  const programs = new Map<string, Program>();
  let owner: Backend | null = null;
  /** The program for these arguments, and its inputs. */
  const prepare = (args: A): { program: Program; inputs: (Storage | number)[] } => {
    const b = backend();
    if (owner !== b) {
      for (const p of programs.values()) release(p);
      programs.clear();
      owner = b;
    }
    const leaves = readArguments(label, args, options);
    let program = programs.get(leaves.signature);
    if (!program) {
      const { graph, captures, owned, result } = span("trace", label, () =>
        traceCall(fn as (...a: never[]) => unknown, args, options),
      );
      let executable: Executable;
      try {
        executable = b.build(graph, { label, passesOff: options.passesOff });
      } catch (error) {
        for (const t of owned) t.dispose();
        throw error;
      }
      program = { executable, captures, owned, result, outputs: graph.outputs };
      programs.set(leaves.signature, program);
    }
    checkStates(label, leaves, program.captures);
    return { program, inputs: runArgs(label, leaves, program.captures) };
  };
  const call = (...args: A): R => {
    const outer = currentTrace();
    if (outer) return fn(...inlined(outer, args, options));
    const { program, inputs } = prepare(args);
    return unpack(program, program.executable.run(inputs)) as R;
  };
  const returns = (count: number): TensorError =>
    new TensorError(
      `${label}: repeat: a function that returns no tensors was expected, got one that returns ${count}. Assign them to states.`,
    );
  const repeat = (times: number, ...args: A): void => {
    if (!Number.isInteger(times) || times < 0) {
      throw new TensorError(
        `${label}: repeat: a number of times was expected, got ${times}. Pass a whole number.`,
      );
    }
    const outer = currentTrace();
    if (outer) {
      for (let i = 0; i < times; i++) {
        mapTree(fn(...inlined(outer, args, options)), (leaf) => {
          if (isTensor(leaf)) throw returns(1);
        });
      }
      return;
    }
    if (times === 0) return;
    const { program, inputs } = prepare(args);
    if (program.outputs.length > 0) throw returns(program.outputs.length);
    program.executable.run(inputs, times);
  };
  const info: CompiledRuns<A> & CompiledInfo = {
    repeat,
    get programs() {
      return programs.size;
    },
    get plannedBytes() {
      return Math.max(0, ...[...programs.values()].map((p) => p.executable.plannedBytes));
    },
    describe: () => [...programs.values()].map((p) => p.executable.describe()).join("\n\n"),
    ready: async () => {
      await Promise.all([...programs.values()].map((p) => p.executable.ready()));
    },
    dispose: () => {
      for (const p of programs.values()) release(p);
      programs.clear();
    },
  };
  return Object.defineProperties(call, Object.getOwnPropertyDescriptors(info)) as Compiled<A, R>;
}

/** Programs of calls outside `compile`, by graph: an op called alone is a program of one op. */
const eagerPrograms = new WeakMap<Backend, Map<string, Executable>>();
/** Enough for every op and shape of an interactive session; the oldest leaves first. */
const EAGER_LIMIT = 4096;

function eagerProgram(graph: Graph, label: string): Executable {
  const b = backend();
  let cache = eagerPrograms.get(b);
  if (!cache) {
    cache = new Map();
    eagerPrograms.set(b, cache);
  }
  const key = graphKey(graph);
  let exe = cache.get(key);
  if (!exe) {
    exe = b.build(graph, { label });
    cache.set(key, exe);
    if (cache.size > EAGER_LIMIT) {
      const [oldest] = cache.keys();
      cache.get(oldest)?.dispose();
      cache.delete(oldest);
    }
  }
  return exe;
}

/** Runs what ops called outside `compile` trace; `init` puts it in place. */
export const eagerRunner: EagerRunner = {
  run(graph, args) {
    const label = graph.outputs[0]?.node.op ?? "op";
    for (const t of args) if (isTensor(t)) requireHere(label, t);
    const storages = eagerProgram(graph, label).run(args.map((t) => (isTensor(t) ? t.storage : t)));
    return storages.map((s, i) => Tensor.concrete(graph.outputs[i].shape, graph.outputs[i].dtype, s));
  },
};

/** Traces and runs a function once on concrete arguments, through the same cache as single ops. */
export function callOnce(fn: (...args: never[]) => unknown, args: readonly unknown[]): unknown {
  const label = fn.name || "call";
  const leaves = readArguments(label, args, {});
  const { graph, captures, owned, result } = traceCall(fn, args, {});
  try {
    const executable = eagerProgram(graph, label);
    const storages = executable.run(runArgs(label, leaves, captures));
    return unpack({ executable, captures, owned, result, outputs: graph.outputs }, storages);
  } finally {
    for (const t of owned) t.dispose();
  }
}

/** Gives a state (an argument named in compile's `state` option) a new value; its handle names it from here on. */
export function assign(state: Tensor, value: Tensor): void {
  const trace = currentTrace();
  if (!trace)
    throw new TensorError(
      "assign: an open trace was expected, got a call outside compile. Use tensor.write() there.",
    );
  const v = trace.valueOf(value);
  const message = `assign: ${state} was expected, got ${v.dtype}${show(v.shape)}.`;
  if (!sameShape(v.shape, state.shape)) throw new ShapeError(`${message} Reshape the value.`);
  if (v.dtype !== state.dtype) throw new DTypeError(`${message} Use ops.cast first.`);
  trace.assign(state, v);
}

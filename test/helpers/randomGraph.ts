/**
 * Random well-typed graphs from a seed. Every value is computed in float64 as it is made, so that the generator
 * knows what it may do next: values stay bounded, and no comparison, floor or maximum is ever decided by rounding.
 */

import type { DType } from "../../src/tensor/dtype.ts";
import type { Graph, Value } from "../../src/tensor/ir.ts";
import { type NDArray, ndarray } from "../../src/tensor/ndarray.ts";
import { opByName } from "../../src/tensor/ops/table.ts";
import { Rng, Stream } from "../../src/tensor/random.ts";
import { sameShape } from "../../src/tensor/shape.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { Trace, withTrace } from "../../src/tensor/trace.ts";
import { type Dish, MENU, updateState } from "./randomGraphMenu.ts";

export interface RandomGraph {
  readonly seed: number;
  readonly graph: Graph;
  readonly inputs: readonly NDArray[];
  /** Float64 values of the outputs, then of the updated states, from the trace as it was written. */
  readonly want: readonly NDArray[];
}

export interface GraphOptions {
  /** Sizes of axes to choose among. */
  sizes: readonly number[];
  /** Most elements of any value. */
  elements: number;
  /** Most calls. */
  calls: number;
}

/** Largest f32 magnitude and integer that a value may have. */
const BOUND = 200;
const INTEGER_BOUND = 1 << 22;

export class Gen {
  readonly rng: Rng;
  readonly trace: Trace;
  readonly options: GraphOptions;
  readonly pool: Tensor[] = [];
  readonly states: Tensor[] = [];
  readonly data = new Map<Value, NDArray>();
  /** Sizes that this graph prefers: shapes then meet. */
  readonly sizes: readonly number[];
  /** Whether axes of size 0 occur: in some graphs only, for they spread. */
  private readonly mayBeEmpty: boolean;

  constructor(rng: Rng, trace: Trace, options: GraphOptions) {
    this.rng = rng;
    this.trace = trace;
    this.options = options;
    this.sizes = Array.from({ length: 3 }, () => options.sizes[rng.int(options.sizes.length)]);
    this.mayBeEmpty = rng.int(12) === 0;
  }

  chance(percent: number): boolean {
    return this.rng.int(100) < percent;
  }

  oneOf<T>(list: readonly T[]): T {
    return list[this.rng.int(list.length)];
  }

  between(low: number, high: number): number {
    return low + (high - low) * this.rng.uniform();
  }

  // ------------------------------------------------------------ values

  /** Float64 value of a tensor of the trace. */
  valueOf(t: Tensor): NDArray {
    return this.evaluate(this.trace.valueOf(t));
  }

  private evaluate(v: Value): NDArray {
    const known = this.data.get(v);
    if (known) return known;
    const stack = [v.node];
    while (stack.length > 0) {
      const node = stack[stack.length - 1];
      const missing = node.inputs.filter((x) => !this.data.has(x));
      if (missing.length > 0) {
        for (const x of missing) stack.push(x.node);
        continue;
      }
      stack.pop();
      if (this.data.has(node.results[0])) continue;
      const inputs = node.inputs.map((x) => this.data.get(x) as NDArray);
      const results = opByName(node.op).reference(inputs, node.attrs, node.results);
      node.results.forEach((r, i) => {
        this.data.set(r, results[i]);
      });
    }
    return this.data.get(v) as NDArray;
  }

  /** Whether every element satisfies the condition. */
  every(t: Tensor, condition: (x: number) => boolean): boolean {
    return this.valueOf(t).data.every(condition);
  }

  /** Takes a result in, unless it is too large to be compared later. */
  add(t: Tensor): boolean {
    if (t.size > this.options.elements) return false;
    const bound = t.dtype === "f32" ? BOUND : INTEGER_BOUND;
    if (!this.every(t, (x) => Math.abs(x) <= bound)) return false;
    this.pool.push(t);
    return true;
  }

  /** One of the values that fit, later ones more often. */
  find(fits: (t: Tensor) => boolean): Tensor | null {
    const list = this.pool.filter(fits);
    if (list.length === 0) return null;
    const from = this.chance(50) ? Math.max(0, list.length - 4) : 0;
    return list[from + this.rng.int(list.length - from)];
  }

  of(dtype: DType): Tensor | null {
    return this.find((t) => t.dtype === dtype);
  }

  // ------------------------------------------------------------ inputs

  shape(maxRank = 4): number[] {
    for (;;) {
      const rank = this.oneOf([0, 1, 1, 2, 2, 2, 3, 3, 4].filter((r) => r <= maxRank));
      const shape = Array.from({ length: rank }, () =>
        this.mayBeEmpty && this.chance(15) ? 0 : this.chance(12) ? 1 : this.oneOf(this.sizes),
      );
      // Not numel, which throws beyond 2^32.
      if (shape.reduce((a, b) => a * b, 1) <= this.options.elements) return shape;
    }
  }

  draw(shape: readonly number[], dtype: DType, range?: readonly [number, number]): NDArray {
    const out = ndarray(shape, dtype);
    const [low, high] =
      range ?? (dtype === "f32" ? [-2, 2] : dtype === "bool" ? [0, 1] : dtype === "u32" ? [0, 9] : [-9, 9]);
    for (let i = 0; i < out.data.length; i++) {
      out.data[i] =
        dtype === "f32" ? Math.fround(this.between(low, high)) : low + this.rng.int(high - low + 1);
    }
    return out;
  }

  input(shape: readonly number[], dtype: DType, range?: readonly [number, number]): Tensor {
    const value = this.trace.input({ shape, dtype });
    this.data.set(value, this.draw(shape, dtype, range));
    const t = Tensor.traced(this.trace, value);
    this.pool.push(t);
    return t;
  }

  /** u32 numbers below about `size`, a few beyond it. */
  indices(shape: readonly number[], size: number): Tensor {
    const known = this.chance(30) && this.find((t) => t.dtype === "u32" && sameShape(t.shape, shape));
    return known || this.input(shape, "u32", [0, size]);
  }
}

function pick(gen: Gen): Dish {
  const total = MENU.reduce((n, d) => n + d.weight, 0);
  let left = gen.rng.int(total);
  for (const d of MENU) {
    left -= d.weight;
    if (left < 0) return d;
  }
  return MENU[0];
}

/** Mostly what nothing else reads, so that little of the graph is dead; also inputs, views, and the same one twice. */
function chooseOutputs(gen: Gen): Value[] {
  const values = gen.pool.map((t) => gen.trace.valueOf(t));
  const read = new Set<Value>();
  const seen = new Set<Value>();
  const stack = [...values];
  while (stack.length > 0) {
    const v = stack.pop() as Value;
    if (seen.has(v)) continue;
    seen.add(v);
    for (const x of v.node.inputs) {
      read.add(x);
      stack.push(x);
    }
  }
  const sinks = gen.rng.shuffle(values.filter((v) => !read.has(v) && v.node.op !== "input"));
  const outputs = sinks.slice(0, 1 + gen.rng.int(4));
  if (outputs.length === 0 || gen.chance(30)) outputs.push(gen.oneOf(values));
  if (gen.chance(10)) outputs.push(outputs[0]);
  return outputs;
}

/** The graph of a seed: the same on every machine. */
export function randomGraph(seed: number, options: GraphOptions): RandomGraph {
  const rng = new Rng(seed, Stream.test, 1);
  const trace = new Trace();
  return withTrace(trace, () => {
    const gen = new Gen(rng, trace, options);
    for (let i = 1 + rng.int(3); i > 0; i--) {
      gen.input(gen.shape(), gen.chance(75) ? "f32" : gen.oneOf(["i32", "u32", "bool"] as const));
    }
    if (gen.chance(40)) {
      for (let i = 1 + rng.int(2); i > 0; i--) {
        const s = gen.input(gen.shape(), gen.chance(85) ? "f32" : "u32");
        const value = trace.valueOf(s);
        trace.declareState(value);
        s.stateOrigin = value;
        gen.states.push(s);
        // The handle follows assignments; this one names the old value for ever, read before or after.
        gen.pool.push(Tensor.traced(trace, value));
      }
    }
    for (let calls = 3 + rng.int(options.calls - 2); calls > 0; calls--) {
      const made = pick(gen).make(gen);
      for (const t of made ?? []) gen.add(t);
    }
    if (gen.states.length > 0) for (let i = rng.int(4); i > 0; i--) updateState(gen);
    const outputs = chooseOutputs(gen);
    const graph: Graph = { inputs: trace.inputs, outputs, updates: trace.updates() };
    const all = [...outputs, ...graph.updates.map((u) => u.value)];
    return {
      seed,
      graph,
      inputs: graph.inputs.map((v) => gen.data.get(v) as NDArray),
      want: all.map((v) => gen.valueOf(Tensor.traced(trace, v))),
    };
  });
}

/** Test cases of the op table, made concrete: inputs drawn from a seed, graphs traced, results measured. */

import { backward } from "../../src/tensor/autodiff.ts";
import type { DType } from "../../src/tensor/dtype.ts";
import type { Graph, ValueType } from "../../src/tensor/ir.ts";
import { type NDArray, ndarray } from "../../src/tensor/ndarray.ts";
import type { CaseInput, OpCase, OpDef, Tolerance } from "../../src/tensor/opdef.ts";
import { allOps } from "../../src/tensor/ops/table.ts";
import { Rng, Stream } from "../../src/tensor/random.ts";
import { numel } from "../../src/tensor/shape.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { apply, Trace, withTrace } from "../../src/tensor/trace.ts";
import { seed, variable } from "./seed.ts";

export interface NamedCase {
  op: OpDef;
  test: OpCase;
  /** Position among all cases: the substream its inputs come from. */
  index: number;
  /** The call as text, for messages. */
  name: string;
}

export function typeOf(input: CaseInput): ValueType {
  return { shape: input.shape, dtype: input.dtype ?? "f32" };
}

export function callText(op: string, inputs: readonly CaseInput[], attrs: unknown = {}): string {
  const list = inputs.map((x) => `${x.dtype ?? "f32"}[${x.shape}]`).join(", ");
  return `${op}(${list})${JSON.stringify(attrs)}`;
}

/** Every case of every op, or of the ops that `NAYSAY_OPS` names. */
export function allCases(): NamedCase[] {
  const list: NamedCase[] = [];
  const only = variable("NAYSAY_OPS")?.split(",");
  for (const op of allOps()) {
    if (only && !only.includes(op.name)) continue;
    for (const test of op.cases) {
      list.push({ op, test, index: list.length, name: callText(op.name, test.inputs, test.attrs) });
    }
  }
  return list;
}

// ---------------------------------------------------------------- inputs

const DEFAULT_RANGE: Record<DType, readonly [number, number]> = {
  f32: [-2, 2],
  i32: [-2, 2],
  u32: [0, 4],
  bool: [0, 1],
};

/** Range of an input; one meant for floats is cut down to what the dtype holds. */
function rangeOf(x: CaseInput): readonly [number, number] {
  const { dtype } = typeOf(x);
  const [low, high] = x.range ?? DEFAULT_RANGE[dtype];
  if (dtype === "f32") return [low, high];
  if (dtype === "bool") return DEFAULT_RANGE.bool;
  if (dtype === "u32" && low < 0) return DEFAULT_RANGE.u32;
  return [Math.ceil(low), Math.floor(high)];
}

function drawOne(rng: Rng, dtype: DType, [low, high]: readonly [number, number], away: number): number {
  for (;;) {
    const x =
      dtype === "f32"
        ? Math.fround(low + (high - low) * rng.uniform())
        : low + Math.floor((rng.next() / 4294967296) * (high - low + 1));
    if (away === 0 || Math.abs(x) >= away) return x;
  }
}

/** Values on a shuffled grid over the range, off its points by at most a fifth of a step. */
function drawDistinct(rng: Rng, count: number, [low, high]: readonly [number, number]): number[] {
  const levels = rng.shuffle(Array.from({ length: count }, (_, i) => i));
  return levels.map((l) =>
    Math.fround(low + ((high - low) * (l + 0.5 + 0.4 * (rng.uniform() - 0.5))) / count),
  );
}

/** Inputs of a call. Values of inputs that are to be distinct are distinct across them too. */
export function drawInputs(inputs: readonly CaseInput[], rng: Rng): NDArray[] {
  const pooled = inputs.filter((x) => x.distinct && typeOf(x).dtype === "f32");
  const total = pooled.reduce((n, x) => n + numel(x.shape), 0);
  const pool = drawDistinct(rng, total, pooled[0]?.range ?? DEFAULT_RANGE.f32);
  return inputs.map((x) => {
    const { shape, dtype } = typeOf(x);
    const out = ndarray(shape, dtype);
    if (pooled.includes(x)) out.data.set(pool.splice(0, out.data.length));
    else {
      const range = rangeOf(x);
      for (let i = 0; i < out.data.length; i++) out.data[i] = drawOne(rng, dtype, range, x.awayFromZero ?? 0);
    }
    return out;
  });
}

/** A generator of its own for each case: one case's draws never move another's. */
export function rngOf(index: number): Rng {
  return new Rng(seed, Stream.test, index);
}

// ---------------------------------------------------------------- graphs

/** The call as a graph whose inputs are the case's. */
export function forwardGraph({ op, test }: Pick<NamedCase, "op" | "test">): Graph {
  const trace = new Trace();
  const outputs = withTrace(trace, () => {
    const xs = test.inputs.map((x) => Tensor.traced(trace, trace.input(typeOf(x))));
    return apply(op, xs, test.attrs).map((t) => trace.valueOf(t));
  });
  return { inputs: trace.inputs, outputs, updates: [] };
}

/** Which inputs' gradients are checked: none where no result is a float. */
export function gradInputs({ op, test }: Pick<NamedCase, "op" | "test">): number[] {
  if (!op.vjp || op.infer(test.inputs.map(typeOf), test.attrs ?? {}).every((t) => t.dtype !== "f32"))
    return [];
  const floats = test.inputs.flatMap((x, i) => (typeOf(x).dtype === "f32" ? [i] : []));
  return [...(test.gradInputs ?? floats)];
}

export interface GradGraph {
  graph: Graph;
  /** Types of the cotangents, which follow the case's own inputs: one for each f32 result. */
  cotangents: readonly ValueType[];
  /** Position among the outputs of each checked input's gradient; -1 where nothing flows. */
  outputs: number[];
}

/** Gradients of sum(results * cotangents). */
export function gradGraph(c: Pick<NamedCase, "op" | "test">): GradGraph {
  const trace = new Trace();
  return withTrace(trace, () => {
    const xs = c.test.inputs.map((x) => trace.input(typeOf(x)));
    const tensors = xs.map((v) => Tensor.traced(trace, v));
    const results = apply(c.op, tensors, c.test.attrs).map((t) => trace.valueOf(t));
    const floats = results.filter((r) => r.dtype === "f32");
    const seeds = floats.map((value) => ({ value, g: Tensor.traced(trace, trace.input(value)) }));
    const wanted = gradInputs(c).map((i) => xs[i]);
    const grads = backward(trace, seeds, wanted);
    const flowing = grads.filter((g) => g !== null);
    return {
      graph: { inputs: trace.inputs, outputs: flowing.map((g) => trace.valueOf(g)), updates: [] },
      cotangents: floats,
      outputs: grads.map((g) => (g ? flowing.indexOf(g) : -1)),
    };
  });
}

// ---------------------------------------------------------------- measures

/** Largest |x|; 0 for nothing. */
export function largest(data: Float64Array): number {
  let m = 0;
  for (const x of data) m = Math.max(m, Math.abs(x));
  return m;
}

export interface Difference {
  /** Largest error over what is accepted: above 1 is a failure. */
  worst: number;
  at: number;
  got: number;
  want: number;
}

/**
 * Compares with `relative * (floor * scale + |basis|) + absolute`, where the scale is the largest |basis|;
 * integers and bools have to be equal.
 */
export function compare(
  got: ArrayLike<number>,
  want: NDArray,
  accept: { relative: number; absolute?: number; floor?: number; basis?: NDArray },
  skip?: (at: number) => boolean,
): Difference {
  const basis = accept.basis?.data ?? want.data;
  const scale = (accept.floor ?? 1e-6) * largest(basis);
  const result: Difference = { worst: 0, at: -1, got: 0, want: 0 };
  if (got.length !== want.data.length)
    return { worst: Infinity, at: -1, got: got.length, want: want.data.length };
  for (let i = 0; i < want.data.length; i++) {
    if (skip?.(i) || got[i] === want.data[i]) continue;
    const limit =
      want.dtype === "f32" ? accept.relative * (scale + Math.abs(basis[i])) + (accept.absolute ?? 0) : 0;
    const error = Math.abs(got[i] - want.data[i]);
    const worst = Number.isNaN(error) ? Infinity : error / (limit + Number.MIN_VALUE);
    if (worst > result.worst) Object.assign(result, { worst, at: i, got: got[i], want: want.data[i] });
  }
  return result;
}

/** Error accepted of a forward result in f32. */
export function forwardAccept(op: OpDef, inputs: readonly NDArray[], attrs: OpCase["attrs"], result: number) {
  const t: Tolerance = op.tolerance ?? {};
  let basis: NDArray | undefined;
  if (t.ofMagnitudes) {
    const sizes = inputs.map((x) =>
      x.dtype === "f32" ? ndarray(x.shape, x.dtype, x.data.map(Math.abs)) : x,
    );
    const types = op.infer(inputs, attrs ?? {});
    basis = op.reference(sizes, attrs ?? {}, types)[result];
  }
  return { relative: t.forward ?? 2e-6, absolute: t.absolute, basis };
}

export function describeDifference(name: string, d: Difference): string {
  return `${name}: element ${d.at} is ${d.got}, wanted ${d.want} (${d.worst.toPrecision(3)} times what is accepted)`;
}

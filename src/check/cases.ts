/**
 * Cases of the op table, made concrete: inputs drawn from a seed, forward and gradient graphs traced. What the tests
 * and `naysay check` run.
 */

import { backward } from "../tensor/autodiff.ts";
import type { DType } from "../tensor/dtype.ts";
import type { Graph, ValueType } from "../tensor/ir.ts";
import { type NDArray, ndarray } from "../tensor/ndarray.ts";
import type { CaseInput, OpCase, OpDef } from "../tensor/opdef.ts";
import { allOps } from "../tensor/ops/table.ts";
import { Rng, Stream } from "../tensor/random.ts";
import { numel } from "../tensor/shape.ts";
import { Tensor } from "../tensor/tensor.ts";
import { apply, Trace, withTrace } from "../tensor/trace.ts";

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

/**
 * Every case of every op, or of the ops that `only` names. A case keeps its index whatever is left out, so that a
 * seed repeats a failure of a whole run with one op alone.
 */
export function allCases(only?: readonly string[]): NamedCase[] {
  const list = allOps().flatMap((op) => op.cases.map((test) => ({ op, test })));
  return list
    .map(({ op, test }, index) => ({ op, test, index, name: callText(op.name, test.inputs, test.attrs) }))
    .filter(({ op }) => only?.includes(op.name) ?? true);
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
    if (x.values) out.data.set(x.values);
    else if (pooled.includes(x)) out.data.set(pool.splice(0, out.data.length));
    else {
      const range = rangeOf(x);
      for (let i = 0; i < out.data.length; i++) out.data[i] = drawOne(rng, dtype, range, x.awayFromZero ?? 0);
    }
    return out;
  });
}

/** A generator of its own for each case: one case's draws never move another's. */
export function rngOf(seed: number, index: number): Rng {
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

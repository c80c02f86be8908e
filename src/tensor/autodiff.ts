/**
 * Reverse-mode differentiation as a transformation of the graph: a walk back from the result, in which each
 * primitive's rule is written in terms of other primitives. Works inside `compile`, and outside it as one program.
 */

import { callOnce } from "./compile.ts";
import { NaysayError, ShapeError } from "./errors.ts";
import { Node, type Value } from "./ir.ts";
import type { LandRows } from "./opdef.ts";
import { alias, barrier, customVjpBoundary } from "./ops/control.ts";
import { full } from "./ops/define.ts";
import { add } from "./ops/elementwise.ts";
import { opByName } from "./ops/table.ts";
import { show } from "./shape.ts";
import { isTensor, Tensor } from "./tensor.ts";
import { currentTrace, type Trace } from "./trace.ts";
import { tensorsOf, withTensors } from "./tree.ts";

/** Nodes that lie between `from` and `to`: they depend on a value of `from` and a value of `to` needs them. */
function activeNodes(from: readonly Value[], to: readonly Value[]): Node[] {
  const sources = new Set(from);
  const lowest = Math.min(...from.map((v) => v.node.id));
  const memo = new Map<Node, boolean>();
  const active: Node[] = [];
  const order: Node[] = [];
  const stack = to.map((v) => v.node);
  const seen = new Set<Node>();
  while (stack.length > 0) {
    const n = stack.pop() as Node;
    if (seen.has(n) || n.id < lowest) continue;
    seen.add(n);
    order.push(n);
    for (const v of n.inputs) stack.push(v.node);
  }
  order.sort((a, b) => a.id - b.id);
  for (const n of order) {
    const on = n.inputs.some((v) => sources.has(v) || memo.get(v.node) === true);
    memo.set(n, on);
    if (on) active.push(n);
  }
  return active;
}

/**
 * Cotangents of `wrt` given those of `outputs`; `null` where nothing flows, or where all that flows has landed: `land`
 * says where a rule may add parts of the gradient of a value of `wrt`.
 */
export function backward(
  trace: Trace,
  outputs: readonly { value: Value; g: Tensor }[],
  wrt: readonly Value[],
  land?: (of: Value) => LandRows | null,
): (Tensor | null)[] {
  const cts = new Map<Value, Tensor>();
  const accumulate = (v: Value, g: Tensor): void => {
    const old = cts.get(v);
    cts.set(v, old ? add(old, g) : g);
  };
  for (const o of outputs) accumulate(o.value, o.g);
  const active = activeNodes(
    wrt,
    outputs.map((o) => o.value),
  );
  const flows = new Set<Value>(wrt);
  for (const n of active) for (const r of n.results) flows.add(r);
  for (const node of active.reverse()) {
    const g = node.results.map((r) => cts.get(r) ?? null);
    if (g.every((x) => x === null)) continue;
    const op = opByName(node.op);
    if (!op.vjp) {
      if (node.results.some((r) => r.dtype === "f32")) {
        throw new NaysayError(
          `grad: ${op.name} has no derivative (${op.noGradient ?? "none defined"}). Use ops.stopGradient on its result.`,
        );
      }
      continue;
    }
    const wrap = (v: Value): Tensor => Tensor.traced(trace, v);
    const grads = op.vjp({
      g,
      inputs: node.inputs.map(wrap),
      outputs: node.results.map(wrap),
      attrs: node.attrs,
      meta: node.meta,
      land: land && ((i) => land(node.inputs[i])),
    });
    node.inputs.forEach((v, i) => {
      const d = grads[i];
      if (d && flows.has(v)) accumulate(v, d);
    });
  }
  return wrt.map((v) => cts.get(v) ?? null);
}

export interface GradResult<P, X> {
  /** The scalar that was differentiated. */
  value: Tensor;
  /** Gradient with the structure of the first argument (zeros where nothing flows). */
  grad: P;
  /** Whatever the function returned beside the scalar. */
  aux: X;
}

/**
 * Value and gradient of `fn` with respect to its first argument (a tensor, or a tree of them).
 * `fn` returns a scalar f32 tensor, or `[scalar, aux]`. Throws `ShapeError` unless the value is a scalar.
 */
export function valueAndGrad<P, A extends readonly unknown[], X = undefined>(
  fn: (params: P, ...rest: A) => Tensor | readonly [Tensor, X],
): (params: P, ...rest: A) => GradResult<P, X> {
  return (params: P, ...rest: A): GradResult<P, X> => {
    const trace = currentTrace();
    if (!trace)
      return callOnce(valueAndGrad(fn) as (...a: never[]) => unknown, [params, ...rest]) as GradResult<P, X>;
    const given = tensorsOf(params);
    const { value, grads, aux } = differentiate(trace, fn, params, rest);
    const filled = grads.map((g, i) => g ?? full(given[i].shape, 0));
    return { value, grad: withTensors(params, filled), aux };
  };
}

/**
 * Value and gradients of the tensors in `params`, in their order, `null` where nothing flows. `landing` gives, for the
 * position of one, where parts of its gradient may land as soon as they are known.
 */
export function differentiate<P, A extends readonly unknown[], X = undefined>(
  trace: Trace,
  fn: (params: P, ...rest: A) => Tensor | readonly [Tensor, X],
  params: P,
  rest: A,
  landing?: (position: number) => LandRows | null,
): { value: Tensor; grads: (Tensor | null)[]; aux: X } {
  const named = tensorsOf(params).map((t) => alias(t));
  const result = fn(withTensors(params, named), ...rest);
  const [loss, aux] = isTensor(result) ? [result, undefined as X] : result;
  if (!isTensor(loss) || loss.shape.length !== 0 || loss.dtype !== "f32") {
    throw new ShapeError(
      `grad: a scalar f32 result was expected, got ${isTensor(loss) ? `${loss.dtype}${show(loss.shape)}` : typeof loss}. Take ops.sum or ops.mean of it.`,
    );
  }
  const wrt = named.map((t) => trace.valueOf(t));
  const land = landing && ((of: Value) => (wrt.includes(of) ? landing(wrt.indexOf(of)) : null));
  return {
    value: loss,
    grads: backward(trace, [{ value: trace.valueOf(loss), g: full([], 1) }], wrt, land),
    aux,
  };
}

/** Gradient of a scalar function with respect to its first argument. */
export function grad<P, A extends readonly unknown[]>(
  fn: (params: P, ...rest: A) => Tensor,
): (params: P, ...rest: A) => P {
  return (params, ...rest) => {
    if (!currentTrace()) return callOnce(grad(fn) as (...a: never[]) => unknown, [params, ...rest]) as P;
    return valueAndGrad<P, A>(fn)(params, ...rest).grad;
  };
}

/**
 * A function whose gradient you write: `backward` gets the cotangents of the outputs, the inputs and the outputs,
 * and returns one cotangent an input (`null`: none). Gradients flow through the arguments only, not the closure.
 */
export function customVjp<A extends readonly Tensor[]>(
  fn: (...args: A) => Tensor,
  backwardFn: (ctx: { g: Tensor; inputs: A; output: Tensor }) => (Tensor | null)[],
): (...args: A) => Tensor {
  return (...args: A): Tensor => {
    if (!currentTrace())
      return callOnce(customVjp(fn, backwardFn) as (...a: never[]) => unknown, args) as Tensor;
    const out = fn(...args);
    return customVjpBoundary([out], args, {
      outputs: 1,
      backward: ({ g, inputs, outputs }) =>
        g[0]
          ? backwardFn({ g: g[0], inputs: inputs as unknown as A, output: outputs[0] })
          : inputs.map(() => null),
    })[0];
  };
}

/** Copies the nodes that `outputs` need beyond `externals`, reading those through `replace`. */
function cloneRegion(
  outputs: readonly Value[],
  region: ReadonlySet<Node>,
  replace: Map<Value, Value>,
): Value[] {
  const copies = new Map<Value, Value>(replace);
  const nodes = [...region].sort((a, b) => a.id - b.id);
  for (const n of nodes) {
    const copy = new Node(
      n.op,
      n.inputs.map((v) => copies.get(v) ?? v),
      n.attrs,
      n.results,
      n.meta,
    );
    n.results.forEach((r, i) => {
      copies.set(r, copy.results[i]);
    });
  }
  return outputs.map((v) => copies.get(v) ?? v);
}

/**
 * Recomputes the inside of `fn` during the backward pass instead of keeping it: less memory for more arithmetic,
 * with the same bits. The function may use tensors of its closure; gradients reach them too.
 */
export function checkpoint<A extends readonly unknown[], R extends Tensor | readonly Tensor[]>(
  fn: (...args: A) => R,
): (...args: A) => R {
  return (...args: A): R => {
    const trace = currentTrace();
    if (!trace) return fn(...args);
    const start = new Node("mark", [], {}, []).id;
    const result = fn(...args);
    const outs = (isTensor(result) ? [result] : [...(result as readonly Tensor[])]).map((t) =>
      trace.valueOf(t),
    );
    const region = new Set<Node>();
    const externals = new Set<Value>();
    const stack = outs.map((v) => v.node);
    for (const v of outs) if (v.node.id < start) externals.add(v);
    while (stack.length > 0) {
      const n = stack.pop() as Node;
      if (n.id < start || n.op === "input" || region.has(n)) continue;
      region.add(n);
      for (const v of n.inputs) {
        if (v.node.id < start || v.node.op === "input") externals.add(v);
        else stack.push(v.node);
      }
    }
    const ext = [...externals].sort((a, b) => a.node.id - b.node.id || a.index - b.index);
    const wrap = (v: Value): Tensor => Tensor.traced(trace, v);
    const ends = customVjpBoundary(outs.map(wrap), ext.map(wrap), {
      outputs: outs.length,
      // Of `inputs` and not of `ext`: where an outer checkpoint has copied this one, they are the copies' inputs, and the
      // values of the first time through need not be kept.
      backward: ({ g, inputs }) => {
        const first = g.find((x) => x !== null) as Tensor;
        const entries = inputs.map((x) => trace.valueOf(barrier(x, first)));
        const again = cloneRegion(outs, region, new Map(ext.map((v, i) => [v, entries[i]])));
        const seeds = again.flatMap((v, i) => (g[i] ? [{ value: v, g: g[i] as Tensor }] : []));
        return backward(trace, seeds, entries);
      },
    });
    return (isTensor(result) ? ends[0] : ends) as R;
  };
}

/** What a node reads, and at which index: movement between it and the computed values it needs is followed. */
import { type Affine, delinearize, linearize, variable } from "../affine.ts";
import type { Node, Value } from "../ir.ts";
import { opByName } from "../ops/table.ts";
import { numel } from "../shape.ts";

/** Whether a value is computed by a kernel of its own accord (not movement, a constant or an input). */
export function isComputed({ node }: Value): boolean {
  if (node.op === "input") return false;
  const { kind } = opByName(node.op).lowering;
  return kind !== "view" && kind !== "source" && kind !== "none";
}

export interface Access {
  /** A computed value, a graph input, or a source (constant, index numbers). */
  readonly value: Value;
  /** Index read, or null where it is computed at run time or ranges over many elements. */
  readonly index: readonly Affine[] | null;
  /** Behind a barrier: may not be computed in the same kernel. */
  readonly blocked: boolean;
}

/** Iteration space of a reduction: `rows` results of `length` elements each. */
export interface RowSpace {
  readonly rows: number;
  readonly length: number;
  /** The reduced axes are the last ones, so that a row is contiguous. */
  readonly trailing: boolean;
}

/** Longest reduction that one thread does alone. */
export const SINGLE_THREAD_LENGTH = 128;

/** Threads that share a row. */
export function lanesOf({ length }: RowSpace): 1 | 64 {
  return length > SINGLE_THREAD_LENGTH ? 64 : 1;
}

export function rowSpaceOf(reduce: Node): RowSpace {
  const { shape } = reduce.inputs[0];
  const axes = reduce.attrs.axes as number[];
  const trailing = axes.every((a, i) => a === shape.length - axes.length + i);
  return { rows: numel(reduce.results[0].shape), length: axes.reduce((p, a) => p * shape[a], 1), trailing };
}

/** Index into a reduction's input, given that of its result and the position within the reduced axes. */
export function reduceIndex(reduce: Node, outer: readonly Affine[], inner: Affine): Affine[] {
  const { shape } = reduce.inputs[0];
  const axes = reduce.attrs.axes as number[];
  const parts = delinearize(
    inner,
    axes.map((a) => shape[a]),
  );
  let o = 0;
  return shape.map((_, d) => (axes.includes(d) ? parts[axes.indexOf(d)] : outer[o++]));
}

/** Follows movement from a value at an index down to what is computed. */
export function follow(value: Value, index: readonly Affine[] | null, blocked = false): Access {
  let v = value;
  let at = index;
  let stop = blocked;
  for (;;) {
    if (v.node.op === "input") break;
    if (v.node.op === "barrier") {
      stop = true;
      v = v.node.inputs[0];
      continue;
    }
    const { lowering } = opByName(v.node.op);
    if (lowering.kind !== "view") break;
    at = at && lowering.source(at, v.node.inputs[0], v.node.attrs);
    v = v.node.inputs[0];
  }
  return { value: v, index: at, blocked: stop };
}

/**
 * What `node` reads to produce its result at `index`. `inner` is the position along the reduced axes where the node
 * is a reduction.
 */
export function accesses(node: Node, index: readonly Affine[], inner: Affine): Access[] {
  const { lowering } = opByName(node.op);
  switch (lowering.kind) {
    case "map":
      return node.inputs.map((v) => follow(v, index));
    case "reduce":
      return [follow(node.inputs[0], reduceIndex(node, index, inner))];
    case "indexed":
      return node.inputs.map((v, i) => {
        // Indices of a lookup are read where the result is written, as far as they reach.
        const own = (node.op === "take" || node.op === "takeAlong") && i === 1;
        return follow(v, own ? index.slice(0, v.shape.length) : null);
      });
    default:
      return node.inputs.map((v) => follow(v, null));
  }
}

/** A value read where it lies in the memory of another. */
export interface Strided {
  /** What is in memory. */
  readonly value: Value;
  /** Position of the first element. */
  readonly offset: number;
  /** Elements from one to the next along each axis; 0 where there is no next. */
  readonly strides: readonly number[];
}

/** How `v` lies in the memory of what it is a view of; null where no strides say it, or nothing holds it. */
export function stridedOf(v: Value): Strided | null {
  const axes = v.shape.map((n, d) => variable(`d${d}`, n));
  const { value, index } = follow(v, axes);
  if (!index || !(isComputed(value) || (value.node.op === "input" && !value.node.attrs.scalar))) return null;
  const at = linearize(index, value.shape);
  if (at.terms.some((t) => t.atom.kind !== "var")) return null;
  const strides = v.shape.map((_, d) => at.terms.find((t) => t.atom.key === `d${d}`)?.coef ?? 0);
  return { value, offset: at.constant, strides };
}

/** Whether elements along the axes from `from` on lie one behind the other. */
export function isContiguous({ strides }: Strided, shape: readonly number[], from: number): boolean {
  let step = 1;
  for (let d = shape.length - 1; d >= from; d--) {
    if (shape[d] > 1 && strides[d] !== step) return false;
    step *= shape[d];
  }
  return true;
}

/** Flat position of an element in a wide or narrow member of a group with this space. */
export function linearOf(space: RowSpace | null, elements: number, narrow: boolean): Affine {
  if (!space) return variable("i", elements);
  const r = variable("r", space.rows);
  if (narrow) return r;
  return linearize([r, variable("c", space.length)], [space.rows, space.length]);
}

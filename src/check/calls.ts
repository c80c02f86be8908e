/**
 * A call to check on a device: a graph, its inputs, and how far each result may be from what is right. Cases of the op
 * table give two each, forward and backward.
 */

import { interpret } from "../tensor/interpreter.ts";
import type { Graph } from "../tensor/ir.ts";
import type { NDArray } from "../tensor/ndarray.ts";
import { drawInputs, forwardGraph, gradGraph, type NamedCase, rngOf } from "./cases.ts";
import {
  type Accept,
  compare,
  describeDifference,
  forwardAccept,
  gradientAccept,
  roundedAccept,
} from "./compare.ts";

/** What one result has to be, and how nearly. */
export interface Wanted {
  value: NDArray;
  accept: Accept;
  /** Elements that rounding may decide. */
  skip?(at: number): boolean;
}

export interface Verdict {
  /** Largest error over what is accepted: above 1 is a failure. */
  worst: number;
  /** What is wrong, with the call's name; null where nothing is. */
  complaint: string | null;
}

/** Results of a run: the graph's outputs, then the new values of its states. */
export type Results = readonly ArrayLike<number>[];

export class Call {
  readonly name: string;
  readonly graph: Graph;
  readonly inputs: readonly NDArray[];
  private readonly reference: () => Wanted[];
  private wanted: Wanted[] | null = null;

  /** `reference` is asked once, when the first result is judged. */
  constructor(name: string, graph: Graph, inputs: readonly NDArray[], reference: () => Wanted[]) {
    this.name = name;
    this.graph = graph;
    this.inputs = inputs;
    this.reference = reference;
  }

  private right(): readonly Wanted[] {
    this.wanted ??= this.reference();
    return this.wanted;
  }

  /** Compares results with the reference; `rounded` where a product's operands were rounded to f16. */
  judge(got: Results, rounded = false): Verdict {
    return this.measure(
      got,
      this.right().map((w) => w.value),
      rounded,
    );
  }

  /** Compares results with those of another device, as nearly as with the reference. */
  judgeBeside(got: Results, other: Results, rounded = false): Verdict {
    return this.measure(
      got,
      this.right().map(({ value }, r) => ({ ...value, data: Float64Array.from(other[r]) })),
      rounded,
    );
  }

  private measure(got: Results, values: readonly NDArray[], rounded: boolean): Verdict {
    let verdict: Verdict = { worst: 0, complaint: null };
    this.right().forEach(({ accept, skip }, r) => {
      const d = compare(got[r], values[r], rounded ? roundedAccept(accept) : accept, skip);
      if (d.worst <= verdict.worst) return;
      const where = values.length > 1 ? `${this.name}, result ${r}` : this.name;
      verdict = { worst: d.worst, complaint: d.worst <= 1 ? null : describeDifference(where, d) };
    });
    return verdict;
  }
}

/** A case's call beside the float64 reference of its op. */
export function forwardCall(c: NamedCase, seed: number): Call {
  const { op, test } = c;
  const attrs = test.attrs ?? {};
  const graph = forwardGraph(c);
  const inputs = drawInputs(test.inputs, rngOf(seed, c.index));
  return new Call(c.name, graph, inputs, () => {
    const unstable = op.unstable?.(inputs, attrs);
    return op.reference(inputs, attrs, graph.outputs).map((value, r) => ({
      value,
      accept: forwardAccept(op, inputs, attrs, r),
      skip: unstable && ((at) => unstable(r, at)),
    }));
  });
}

/** The gradients of a case, with cotangents drawn after its inputs, beside the float64 interpreter. */
export function gradientCall(c: NamedCase, seed: number): Call {
  const rng = rngOf(seed, c.index);
  const inputs = drawInputs(c.test.inputs, rng);
  const { graph, cotangents: types } = gradGraph(c);
  const cotangents = types.flatMap((t) => drawInputs([t], rng));
  const all = [...inputs, ...cotangents];
  return new Call(`vjp of ${c.name}`, graph, all, () => {
    const accept = gradientAccept(c.op, cotangents);
    return interpret(graph, all, graph.outputs).map((value) => ({ value, accept }));
  });
}

/** Running op functions on values of a graph, outside any user's trace: how a pass writes new nodes. */
import type { Value } from "../ir.ts";
import { Tensor } from "../tensor.ts";
import { Trace, withTrace } from "../trace.ts";

/** Builds values with op functions; constants and inner ops become nodes of the same graph. */
export function build(inputs: readonly Value[], f: (tensors: Tensor[]) => readonly Tensor[]): Value[] {
  const trace = new Trace();
  return withTrace(trace, () => f(inputs.map((v) => Tensor.traced(trace, v))).map((t) => trace.valueOf(t)));
}

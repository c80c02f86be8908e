/** Replaces ops that are defined in terms of others by those others, and marks out what must be stored as it is. */
import { type Graph, Node, rewrite, roots, topoOrder, type Value } from "../ir.ts";
import { opByName } from "../ops/table.ts";
import { build } from "./rewriting.ts";

/** Ops with an `expand` lowering become what they stand for. */
export function expand(graph: Graph): Graph {
  return rewrite(graph, (node, inputs) => {
    const { lowering } = opByName(node.op);
    if (lowering.kind !== "expand") return null;
    return build(inputs, (tensors) => lowering.expand(tensors, node.attrs));
  });
}

/** Whether a value is computed by a kernel of its own accord (not movement, a constant or an input). */
export function isComputed(v: Value): boolean {
  const { kind } = node(v).lowering;
  return kind !== "view" && kind !== "source" && kind !== "none";
}

function node(v: Value): { lowering: { kind: string } } {
  return v.node.op === "input" ? { lowering: { kind: "none" } } : opByName(v.node.op);
}

function copyOf(v: Value): Value {
  return new Node("copy", [v], {}, [v]).results[0];
}

/**
 * Puts a `copy` wherever a value has to exist in memory of its own but is movement, a constant, an input, or
 * asked for twice: results, new values of states, operands of hand-built kernels.
 */
export function materialize(graph: Graph): Graph {
  const taken = new Set<Value>();
  const own = (v: Value): Value => {
    if (isComputed(v) && !taken.has(v)) {
      taken.add(v);
      return v;
    }
    return copyOf(v);
  };
  const inner = rewrite(graph, (n, inputs) => {
    if (opByName(n.op).lowering.kind !== "template") return null;
    const solid = inputs.map((v) =>
      isComputed(v) || (v.node.op === "input" && !v.node.attrs.scalar) ? v : copyOf(v),
    );
    return new Node(n.op, solid, n.attrs, n.results, n.meta).results;
  });
  return {
    inputs: inner.inputs,
    // States first: they may be updated in place, and a result that is the same value gets a copy.
    updates: inner.updates.map((u) => ({ input: u.input, value: own(u.value) })),
    outputs: inner.outputs.map(own),
  };
}

/** Values that must be stored whatever fusion does. */
export function mustStore(graph: Graph): Set<Value> {
  const set = new Set(roots(graph));
  for (const n of topoOrder(graph)) {
    if (n.op === "input") continue;
    if (opByName(n.op).lowering.kind === "template") {
      for (const v of n.inputs) set.add(v);
      for (const r of n.results) set.add(r);
    }
  }
  return set;
}

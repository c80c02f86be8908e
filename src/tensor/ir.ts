/**
 * The intermediate representation: nodes with one or more typed results, and graphs over them.
 * Nodes are immutable; a pass makes a new graph (`rewrite`) and leaves the old one as it was.
 */
import type { DType } from "./dtype.ts";
import { type Shape, show } from "./shape.ts";

export interface ValueType {
  readonly shape: Shape;
  readonly dtype: DType;
}

/** Static attributes of a node: plain data, so that they can be compared and printed. */
export type Attr = number | string | boolean | null | readonly Attr[] | { readonly [key: string]: Attr };
export type Attrs = Readonly<Record<string, Attr>>;

let nextId = 1;

export class Node {
  readonly id = nextId++;
  readonly op: string;
  readonly inputs: readonly Value[];
  readonly attrs: Attrs;
  readonly results: readonly Value[];
  /** Side information that no pass compares: a custom backward function, a label. */
  readonly meta: unknown;

  constructor(
    op: string,
    inputs: readonly Value[],
    attrs: Attrs,
    types: readonly ValueType[],
    meta?: unknown,
  ) {
    this.op = op;
    this.inputs = inputs;
    this.attrs = attrs;
    this.meta = meta;
    this.results = types.map((t, i) => new Value(this, i, t.shape, t.dtype));
  }
}

/** One result of a node. */
export class Value {
  readonly node: Node;
  readonly index: number;
  readonly shape: Shape;
  readonly dtype: DType;

  constructor(node: Node, index: number, shape: Shape, dtype: DType) {
    this.node = node;
    this.index = index;
    this.shape = shape;
    this.dtype = dtype;
  }

  toString(): string {
    const suffix = this.node.results.length > 1 ? `.${this.index}` : "";
    return `%${this.node.id}${suffix}:${this.dtype}${show(this.shape)}`;
  }
}

/** Where the new value of a `state` input is to be found after a run. */
export interface StateUpdate {
  readonly input: Value;
  readonly value: Value;
}

export interface Graph {
  /** Results of `input` nodes, in the order in which a run supplies them. */
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
  readonly updates: readonly StateUpdate[];
}

/** All values a graph must produce: its outputs, then the new values of its states. */
export function roots(graph: Graph): Value[] {
  return [...graph.outputs, ...graph.updates.map((u) => u.value)];
}

/** Nodes that the roots need, each after its inputs; ties in order of creation, so the order never wavers. */
export function topoOrder(graph: Graph): Node[] {
  const seen = new Set<Node>();
  const stack: Node[] = [];
  for (const v of [...graph.inputs, ...roots(graph)]) stack.push(v.node);
  while (stack.length > 0) {
    const node = stack.pop() as Node;
    if (seen.has(node)) continue;
    seen.add(node);
    for (const v of node.inputs) stack.push(v.node);
  }
  // A node is created after its inputs, so ids are a topological order.
  return [...seen].sort((a, b) => a.id - b.id);
}

/**
 * Rebuilds a graph. `visit(node, inputs)` gets each node with its inputs already replaced and returns its new
 * results, or `null` to keep the node.
 */
export function rewrite(
  graph: Graph,
  visit: (node: Node, inputs: Value[]) => readonly Value[] | null,
): Graph {
  const map = new Map<Value, Value>();
  const get = (v: Value): Value => map.get(v) ?? v;
  for (const node of topoOrder(graph)) {
    const inputs = node.inputs.map(get);
    let results = node.op === "input" ? null : visit(node, inputs);
    if (results === null) {
      // Kept nodes are rebuilt too: ids then keep the order of the old graph, which is the order of execution.
      const kept =
        node.op === "input" ? node : new Node(node.op, inputs, node.attrs, node.results, node.meta);
      results = kept.results;
    }
    for (let i = 0; i < results.length; i++) {
      if (results[i] !== node.results[i]) map.set(node.results[i], results[i]);
    }
  }
  return {
    inputs: graph.inputs,
    outputs: graph.outputs.map(get),
    updates: graph.updates.map((u) => ({ input: u.input, value: get(u.value) })),
  };
}

/** The graph as text, a line a node (DEBUG=4). */
export function printGraph(graph: Graph): string {
  const lines = topoOrder(graph).map((n) => {
    const attrs = Object.keys(n.attrs).length > 0 ? ` ${JSON.stringify(n.attrs)}` : "";
    return `  ${n.results.map(String).join(", ")} = ${n.op}(${n.inputs.map((v) => `%${v.node.id}${v.node.results.length > 1 ? `.${v.index}` : ""}`).join(", ")})${attrs}`;
  });
  const updates = graph.updates.map((u) => `  ${u.input} <- ${u.value}`);
  return [...lines, ...updates, `  return ${graph.outputs.map(String).join(", ")}`].join("\n");
}

/**
 * A key equal for two graphs exactly when they are the same but for node ids: what the program cache asks.
 * `meta` has no part in it: what it says (a backward function) has been traced by then.
 */
export function graphKey(graph: Graph): string {
  const names = new Map<Value, string>();
  let count = 0;
  const parts: string[] = [];
  const inputIndex = new Map(graph.inputs.map((v, i) => [v, i]));
  for (const node of topoOrder(graph)) {
    for (const r of node.results) names.set(r, `${count}.${r.index}`);
    count++;
    const types = node.results.map((r) => `${r.dtype}${show(r.shape)}`).join(";");
    const which = node.op === "input" ? `#${inputIndex.get(node.results[0])}` : "";
    parts.push(
      `${node.op}${which}(${node.inputs.map((v) => names.get(v)).join(",")})${JSON.stringify(node.attrs)}:${types}`,
    );
  }
  parts.push(`out:${graph.outputs.map((v) => names.get(v)).join(",")}`);
  parts.push(`upd:${graph.updates.map((u) => `${names.get(u.input)}<${names.get(u.value)}`).join(",")}`);
  return parts.join("|");
}

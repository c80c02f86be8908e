/** Replaces ops that are defined in terms of others by those others, and marks out what must be stored as it is. */
import { type Graph, Node, rewrite, roots, type StateUpdate, topoOrder, type Value } from "../ir.ts";
import { opByName } from "../ops/table.ts";
import { follow, isComputed, isContiguous, stridedOf } from "./access.ts";
import { build } from "./rewriting.ts";

/** Ops with an `expand` lowering become what they stand for. */
export function expand(graph: Graph): Graph {
  return rewrite(graph, (node, inputs) => {
    const { lowering } = opByName(node.op);
    if (lowering.kind !== "expand") return null;
    return build(inputs, (tensors) => lowering.expand(tensors, node.attrs));
  });
}

function copyOf(v: Value): Value {
  return new Node("copy", [v], {}, [v]).results[0];
}

/** Whether a node gives its first operand with a part of it replaced. */
const patches = ({ op, attrs }: Node): boolean =>
  op === "updateRows" || (op === "updateAt" && attrs.zero !== true);

/** Patches that write a state in place, from the state outwards; empty where the new value is no such chain. */
export function patchChain(u: StateUpdate): Node[] {
  const chain: Node[] = [];
  let v = u.value;
  while (patches(v.node)) {
    chain.unshift(v.node);
    v = v.node.inputs[0];
  }
  return v === u.input ? chain : [];
}

function patchesOf(graph: Graph): Set<Node> {
  return new Set(graph.updates.flatMap(patchChain));
}

/** Every value that lives, at some time, in the memory of a state that is patched in place. */
export function patchedValues(u: StateUpdate, chain: readonly Node[]): Set<Value> {
  return new Set([u.input, ...chain.flatMap((n) => n.results)]);
}

/** A patch that is a window of the memory it is written to has to be read before: it gets memory of its own. */
function separatePatches(graph: Graph): Graph {
  const aliased = new Map<Node, Set<Value>>();
  for (const u of graph.updates) {
    const chain = patchChain(u);
    for (const n of chain) aliased.set(n, patchedValues(u, chain));
  }
  return rewrite(graph, (n, inputs) => {
    const memory = aliased.get(n);
    if (!memory) return null;
    const apart = n.inputs.map((v, i) =>
      i > 0 && memory.has(follow(v, null).value) ? copyOf(inputs[i]) : inputs[i],
    );
    return new Node(n.op, apart, n.attrs, n.results, n.meta).results;
  });
}

/** Whether a hand-built kernel can read a view where it lies: by strides, or because it is all of the memory in order. */
function isReadable(v: Value, byStrides: boolean): boolean {
  const at = stridedOf(v);
  if (!at || at.value.dtype !== v.dtype) return false;
  return byStrides
    ? isContiguous(at, v.shape, v.shape.length - 1)
    : at.offset === 0 && isContiguous(at, v.shape, 0);
}

/**
 * Lets the patches of these updates (by place in the graph's list) begin from a copy of the state, which is replaced at
 * the end: the old value is still needed after the new one.
 */
export function patchApart(graph: Graph, updates: ReadonlySet<number>): Graph {
  const firsts = new Set(graph.updates.flatMap((u, i) => (updates.has(i) ? patchChain(u).slice(0, 1) : [])));
  return rewrite(graph, (n, inputs) =>
    firsts.has(n)
      ? new Node(n.op, [copyOf(inputs[0]), ...inputs.slice(1)], n.attrs, n.results, n.meta).results
      : null,
  );
}

/** A value that is the new one of several states belongs to one of them, that whose patches it ends if there is one. */
function unshare(graph: Graph): Graph {
  const owner = new Map<Value, StateUpdate>();
  for (const u of graph.updates) {
    const other = owner.get(u.value);
    if (!other || (patchChain(other).length === 0 && patchChain(u).length > 0)) owner.set(u.value, u);
  }
  const updates = graph.updates.map((u) =>
    owner.get(u.value) === u ? u : { input: u.input, value: copyOf(u.value) },
  );
  return { ...graph, updates };
}

/**
 * Puts a `copy` wherever a value has to exist in memory of its own but is movement, a constant, an input, or
 * asked for twice: results, new values of states, operands of hand-built kernels.
 */
export function materialize(whole: Graph): Graph {
  const taken = new Set<Value>();
  const own = (v: Value): Value => {
    if (isComputed(v) && !taken.has(v)) {
      taken.add(v);
      return v;
    }
    return copyOf(v);
  };
  // Hand-built kernels that read the same share a copy of it: attention and its gradients the same queries and keys.
  const copies = new Map<Value, Value>();
  const graph = unshare(whole);
  const patched = new Set(graph.updates.flatMap((u) => [...patchedValues(u, patchChain(u))]));
  const solidOf = (v: Value, strided: boolean): Value => {
    if (isComputed(v) || (v.node.op === "input" && !v.node.attrs.scalar)) return v;
    if (isReadable(v, strided) && !patched.has(follow(v, null).value)) return v;
    const copy = copies.get(v) ?? copyOf(v);
    copies.set(v, copy);
    return copy;
  };
  const apart = separatePatches(graph);
  const inPlace = patchesOf(apart);
  const inner = rewrite(apart, (n, inputs) => {
    const { lowering } = opByName(n.op);
    if (lowering.kind !== "template" || inPlace.has(n)) return null;
    const solid = inputs.map((v, i) => solidOf(v, lowering.strided?.[i] !== undefined));
    return new Node(n.op, solid, n.attrs, n.results, n.meta).results;
  });
  // What a chain of patches overwrites on its way cannot be a result as well.
  for (const u of inner.updates) for (const n of patchChain(u).slice(0, -1)) taken.add(n.results[0]);
  return {
    inputs: inner.inputs,
    // States first: they may be updated in place, and a result that is the same value gets a copy.
    updates: inner.updates.map((u) => ({ input: u.input, value: own(u.value) })),
    outputs: inner.outputs.map(own),
  };
}

/**
 * Values that must be stored whatever fusion does. With `nan` also those in which a NaN would be seen for the last time:
 * NAN=1 looks at what is stored.
 */
export function mustStore(graph: Graph, nan = false): Set<Value> {
  const set = new Set(roots(graph));
  const inPlace = patchesOf(graph);
  for (const n of topoOrder(graph)) {
    if (n.op === "input") continue;
    if (nan && opByName(n.op).hidesNan) {
      for (const v of n.inputs) {
        const { value } = follow(v, null);
        if (value.dtype === "f32" && isComputed(value)) set.add(value);
      }
    }
    if (opByName(n.op).lowering.kind === "template" && !inPlace.has(n)) {
      for (const v of n.inputs) set.add(follow(v, null).value);
      for (const r of n.results) set.add(r);
    }
  }
  return set;
}

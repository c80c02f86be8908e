/** Common subexpressions: two nodes with the same op, inputs and attributes are one. Barriers differ by number. */
import { type Graph, Node, rewrite, type Value } from "../ir.ts";

export function cse(graph: Graph): Graph {
  const seen = new Map<string, readonly Value[]>();
  const name = (v: Value): string => `${v.node.id}.${v.index}`;
  return rewrite(graph, (node, inputs) => {
    if (node.meta !== undefined) return null;
    const types = node.results.map((r) => `${r.dtype}[${r.shape}]`).join(";");
    const key = `${node.op}(${inputs.map(name).join(",")})${JSON.stringify(node.attrs)}:${types}`;
    const hit = seen.get(key);
    if (hit) return hit;
    const made = new Node(node.op, inputs, node.attrs, node.results).results;
    seen.set(key, made);
    return made;
  });
}

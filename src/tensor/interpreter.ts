/**
 * Runs any graph on the float64 references of the op table: the oracle of the tests, and the whole of
 * `device: "reference"`. In `f32` precision every f32 result is rounded with `Math.fround`.
 */
import { type Graph, topoOrder, type Value } from "./ir.ts";
import { type NDArray, ndarray } from "./ndarray.ts";
import { opByName } from "./ops/table.ts";

export type Precision = "f64" | "f32";

function round(a: NDArray, precision: Precision): NDArray {
  if (precision === "f32" && a.dtype === "f32")
    for (let i = 0; i < a.data.length; i++) a.data[i] = Math.fround(a.data[i]);
  return a;
}

/** Values of `wanted` for the given inputs (one array per graph input, in order). */
export function interpret(
  graph: Graph,
  inputs: readonly NDArray[],
  wanted: readonly Value[],
  precision: Precision = "f64",
): NDArray[] {
  const env = new Map<Value, NDArray>();
  graph.inputs.forEach((v, i) => {
    env.set(v, inputs[i]);
  });
  const get = (v: Value): NDArray => env.get(v) as NDArray;
  for (const node of topoOrder({ inputs: graph.inputs, outputs: wanted, updates: [] })) {
    if (node.op === "input") continue;
    const results = opByName(node.op).reference(node.inputs.map(get), node.attrs, node.results);
    node.results.forEach((r, i) => {
      env.set(r, round(results[i], precision));
    });
  }
  return wanted.map((v) => ndarray(v.shape, v.dtype, get(v).data));
}

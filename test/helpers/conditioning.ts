/**
 * How far rounding may carry a graph's results: float64 runs in which every op is off by about what f32 is allowed,
 * compared with the exact one. What an ill-conditioned graph amplifies, the tolerance then knows.
 */

import type { Graph, Value } from "../../src/tensor/ir.ts";
import { topoOrder } from "../../src/tensor/ir.ts";
import { type NDArray, ndarray } from "../../src/tensor/ndarray.ts";
import type { OpDef } from "../../src/tensor/opdef.ts";
import { opByName } from "../../src/tensor/ops/table.ts";
import type { Rng } from "../../src/tensor/random.ts";

/** Relative error of an op that is rounded once, with room for a contracted product before it. */
const ROUNDING = 4e-7;

/** Only arithmetic rounds: movement, choices and maxima hand numbers on as they are. */
function rounds(op: OpDef): boolean {
  if (op.lowering.kind === "map")
    return !["where", "copy", "neg", "abs", "maximum", "minimum", "sign", "floor"].includes(op.name);
  return (
    !["view", "source", "none", "indexed"].includes(op.lowering.kind) &&
    op.name !== "max" &&
    op.name !== "min"
  );
}

function shaken(x: NDArray, rng: Rng, relative: number, absolute: number): NDArray {
  const out = ndarray(x.shape, x.dtype, x.data);
  for (let i = 0; i < out.data.length; i++) {
    const u = 2 * rng.uniform() - 1;
    out.data[i] += u * (relative * Math.abs(out.data[i]) + absolute);
  }
  return out;
}

/** The wanted values, each op's f32 results shaken by its tolerance. */
export function noisy(
  graph: Graph,
  inputs: readonly NDArray[],
  wanted: readonly Value[],
  rng: Rng,
): NDArray[] {
  const env = new Map<Value, NDArray>(graph.inputs.map((v, i) => [v, inputs[i]]));
  const get = (v: Value): NDArray => env.get(v) as NDArray;
  for (const node of topoOrder({ inputs: graph.inputs, outputs: wanted, updates: [] })) {
    if (node.op === "input") continue;
    const op = opByName(node.op);
    const t = op.tolerance ?? {};
    const sums = t.ofMagnitudes === true;
    const args = node.inputs.map((v) =>
      sums && v.dtype === "f32" ? shaken(get(v), rng, 2 * ROUNDING, 0) : get(v),
    );
    const results = op.reference(args, node.attrs, node.results);
    const shake = rounds(op) && !sums;
    node.results.forEach((r, i) => {
      const relative = Math.max(ROUNDING, t.forward ?? 0);
      env.set(
        r,
        shake && r.dtype === "f32" ? shaken(results[i], rng, relative, t.absolute ?? 0) : results[i],
      );
    });
  }
  return wanted.map(get);
}

/** Largest difference an element of each wanted value may have, by a few shaken runs; null: not even an integer is sure. */
export function allowances(
  graph: Graph,
  inputs: readonly NDArray[],
  wanted: readonly Value[],
  want: readonly NDArray[],
  rng: Rng,
): (number | null)[] {
  const worst = want.map((): number | null => 0);
  for (let run = 0; run < 3; run++) {
    noisy(graph, inputs, wanted, rng).forEach((a, r) => {
      a.data.forEach((x, i) => {
        const d = Math.abs(x - want[r].data[i]);
        if (a.dtype !== "f32" && d > 0) worst[r] = null;
        const known = worst[r];
        if (known !== null) worst[r] = Math.max(known, d);
      });
    });
  }
  return worst;
}

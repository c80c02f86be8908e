/** Random graphs after every pass of the compiler, on the float64 interpreter: what a pass returns means the same. */

import { expect, test } from "vitest";
import { interpret } from "../../src/tensor/interpreter.ts";
import { type Graph, printGraph, roots } from "../../src/tensor/ir.ts";
import { cse } from "../../src/tensor/passes/cse.ts";
import { expand, materialize } from "../../src/tensor/passes/expand.ts";
import { simplify } from "../../src/tensor/passes/simplify.ts";
import { type GraphOptions, type RandomGraph, randomGraph } from "../helpers/randomGraph.ts";
import { seed, variable } from "../helpers/seed.ts";

const TINY: GraphOptions = { sizes: [1, 2, 2, 3, 3, 4, 4, 5], elements: 64, calls: 20 };

/** The pipeline's order, so that each pass meets what the one before it leaves. */
const PASSES: readonly (readonly [string, (g: Graph) => Graph])[] = [
  ["simplify", simplify],
  ["cse", cse],
  ["simplify again", simplify],
  ["expand", expand],
  ["cse again", cse],
  ["materialize", materialize],
];

function differing(r: RandomGraph, graph: Graph): number {
  const got = interpret(graph, r.inputs, roots(graph));
  return got.findIndex(
    (a, i) =>
      a.data.length !== r.want[i].data.length ||
      a.data.some((x, j) => x !== r.want[i].data[j] && !(Number.isNaN(x) && Number.isNaN(r.want[i].data[j]))),
  );
}

function check(graphSeed: number): void {
  const r = randomGraph(graphSeed, TINY);
  let graph = r.graph;
  for (const [name, pass] of PASSES) {
    const before = graph;
    graph = pass(before);
    const at = differing(r, graph);
    if (at >= 0) {
      throw new Error(
        `graph ${graphSeed}: root ${at} changed in ${name}\nbefore:\n${printGraph(before)}\nafter:\n${printGraph(graph)}`,
      );
    }
  }
}

const COUNT = Math.max(10_000, Number(variable("NAYSAY_GRAPHS") ?? 0));

test(`${COUNT} graphs are the same after every pass`, () => {
  const only = variable("NAYSAY_GRAPH");
  if (only) return check(Number(only));
  for (let i = 0; i < COUNT; i++) check((seed + i) >>> 0);
  expect(COUNT).toBeGreaterThan(0);
});

/**
 * Random graphs on the device against float64: with every pass, with each left out in turn, twice over with equal
 * bits. `NAYSAY_GRAPHS=5000` runs more (`npm run test:graphs`), `NAYSAY_GRAPH=<seed>` one.
 */

import { afterAll, beforeAll, expect, test } from "vitest";
import { Bench, type Prepared } from "../../src/check/bench.ts";
import { OPTIONAL_PASSES } from "../../src/tensor/flags.ts";
import { init } from "../../src/tensor/init.ts";
import { printGraph, roots } from "../../src/tensor/ir.ts";
import { Rng, Stream } from "../../src/tensor/random.ts";
import { allowances } from "../helpers/conditioning.ts";
import { type GraphOptions, type RandomGraph, randomGraph } from "../helpers/randomGraph.ts";
import { seed, variable } from "../helpers/seed.ts";

const SMALL: GraphOptions = { sizes: [1, 2, 3, 4, 5, 6, 7, 8, 9], elements: 2048, calls: 25 };
/** Rows that 64 lanes share, and sizes that are whole workgroups. */
const LONG: GraphOptions = { sizes: [2, 3, 4, 64, 128, 130, 257], elements: 4096, calls: 16 };

const COUNT = Number(variable("NAYSAY_GRAPHS") ?? 200);
const BATCH = 20;

let bench: Bench;
beforeAll(async () => {
  bench = new Bench(await init({ guardWords: true }));
});
afterAll(() => bench?.backend.destroy());

const make = (graphSeed: number): RandomGraph => randomGraph(graphSeed, graphSeed % 4 === 3 ? LONG : SMALL);

interface Case {
  r: RandomGraph;
  p: Prepared;
}

function prepare(graphSeed: number, passesOff: readonly string[]): Case {
  const r = make(graphSeed);
  try {
    return { r, p: bench.prepare(`graph ${graphSeed}`, r.graph, r.inputs, passesOff) };
  } catch (error) {
    throw new Error(`graph ${graphSeed}: ${(error as Error).message}\n${printGraph(r.graph)}`, {
      cause: error,
    });
  }
}

/** An error that says which graph, how to repeat it, and what it is. */
function failure({ r, p }: Case, off: readonly string[], what: string, cause?: unknown): Error {
  const command = `NAYSAY_GRAPH=${r.seed} npx vitest run test/tensor/randomGraphs.test.ts`;
  const head = `graph ${r.seed}, passes off: ${off.join() || "none"}: ${what}; ${command} repeats it`;
  return new Error(`${head}\n${printGraph(r.graph)}\n${p.executable.describe()}`, { cause });
}

/** Runs twice from the same inputs: outputs, then states. */
async function resultsOf(c: Case, off: readonly string[]): Promise<ArrayLike<number>[][]> {
  const runs: ArrayLike<number>[][] = [];
  try {
    for (let i = 0; i < 2; i++) {
      bench.release(c.p);
      bench.run(c.p);
      const [outputs, states] = await Promise.all([bench.read(c.p), bench.readStates(c.p)]);
      runs.push([...outputs, ...states]);
    }
  } catch (error) {
    throw failure(c, off, (error as Error).message, error);
  }
  return runs;
}

function check(c: Case, [got, again]: readonly ArrayLike<number>[][], off: readonly string[]): void {
  const { r } = c;
  const fail = (what: string): never => {
    throw failure(c, off, what);
  };
  const values = roots(r.graph);
  const allowed = allowances(r.graph, r.inputs, values, r.want, new Rng(r.seed, Stream.test, 2));
  r.want.forEach((want, k) => {
    const slack = allowed[k];
    for (let i = 0; i < want.data.length; i++) {
      if (!Object.is(got[k][i], again[k][i]))
        fail(`root ${k}[${i}] is ${got[k][i]}, then ${again[k][i]}: a race`);
      if (slack === null) continue;
      const limit = want.dtype === "f32" ? 8 * slack + 2e-6 * Math.abs(want.data[i]) + 1e-30 : 0;
      if (!(Math.abs(got[k][i] - want.data[i]) <= limit))
        fail(`root ${k}[${i}] is ${got[k][i]}, wanted ${want.data[i]} within ${limit}`);
    }
  });
}

/** Runs graphs in batches, whose pipelines are created side by side. */
async function runAll(seeds: readonly number[], off: readonly string[]): Promise<void> {
  for (let from = 0; from < seeds.length; from += BATCH) {
    const cases = seeds.slice(from, from + BATCH).map((s) => prepare(s, off));
    await bench.ready();
    for (const c of cases) check(c, await resultsOf(c, off), off);
    expect(
      await bench.backend.checkGuards(),
      `words outside a tensor, graphs from ${seeds[from]} on`,
    ).toEqual([]);
    for (const c of cases) bench.dispose(c.p);
  }
}

const only = variable("NAYSAY_GRAPH");
const seedsOf = (count: number): number[] =>
  only ? [Number(only)] : Array.from({ length: count }, (_, i) => (seed + i) >>> 0);

test(`${COUNT} random graphs`, { timeout: 3_600_000 }, () => runAll(seedsOf(COUNT), []));

test.each(OPTIONAL_PASSES)("random graphs without %s", { timeout: 3_600_000 }, async (pass) => {
  await runAll(seedsOf(Math.ceil(COUNT / (COUNT > 200 ? 5 : 20))), [pass]);
});

/**
 * Ops that may give a number where the reference gives none: what the op table says of them holds on the adapter at hand,
 * and NAN=1 finds what they hide.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { Bench, type Prepared } from "../../src/check/bench.ts";
import { drawInputs, forwardGraph, type NamedCase, rngOf, typeOf } from "../../src/check/cases.ts";
import { compile } from "../../src/tensor/compile.ts";
import { tensor } from "../../src/tensor/create.ts";
import { setFlags } from "../../src/tensor/flags.ts";
import { init } from "../../src/tensor/init.ts";
import type { NDArray } from "../../src/tensor/ndarray.ts";
import type { OpDef } from "../../src/tensor/opdef.ts";
import { ops } from "../../src/tensor/ops/index.ts";
import { allOps } from "../../src/tensor/ops/table.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { apply } from "../../src/tensor/trace.ts";
import type { WebGpuBackend } from "../../src/tensor/webgpu.ts";
import { casesOfRun } from "../helpers/casesOfRun.ts";
import { repeat, seed } from "../helpers/seed.ts";

let backend: WebGpuBackend;
beforeAll(async () => {
  backend = await init();
});
afterEach(() => setFlags({ nan: false, passesOff: [] }));
afterAll(() => backend?.destroy());

const NONE = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
/** Zeros, both signs, what overflows in products and sums. */
const NUMBERS = [0, -0, -1, 100, -100, 3e38, -3e38];
const CASES_PER_OP = 3;

const named = (list: readonly OpDef[]): string[] => list.map((op) => op.name);
const hiding = allOps().filter((op) => op.hidesNan);
const watched = allOps().filter(({ lowering }) => lowering.kind === "map" && lowering.watched);

/** Calls with f32 operands of ops that may share a kernel with others: what a hand-built one reads is always stored. */
function calls(): NamedCase[] {
  const taken = new Map<string, number>();
  return casesOfRun().filter(({ op, test }) => {
    const types = test.inputs.map(typeOf);
    const some = types.some((t) => t.dtype === "f32") && types.every((t) => !t.shape.includes(0));
    const n = taken.get(op.name) ?? 0;
    if (!some || op.lowering.kind === "template" || n === CASES_PER_OP) return false;
    taken.set(op.name, n + 1);
    return true;
  });
}

/** A call with one operand's elements, all or the middle one, replaced. */
function spoilt(c: NamedCase, which: number, value: number, all: boolean): NDArray[] {
  const inputs = drawInputs(c.test.inputs, rngOf(seed, c.index));
  const { data } = inputs[which];
  if (all) data.fill(value);
  else data[data.length >> 1] = value;
  return inputs;
}

/** Ops with a finite result where the reference's, in f32, is not, for one of these values in an operand. */
async function hiders(values: readonly number[]): Promise<string[]> {
  const bench = new Bench(backend);
  const found = new Set<string>();
  const runs: { c: NamedCase; p: Prepared; inputs: NDArray[] }[] = [];
  for (const c of calls()) {
    const graph = forwardGraph(c);
    const floats = c.test.inputs.flatMap((x, i) => (typeOf(x).dtype === "f32" ? [i] : []));
    for (const i of floats)
      for (const value of values)
        for (const all of [true, false]) {
          const inputs = spoilt(c, i, value, all);
          runs.push({ c, inputs, p: bench.prepare(c.name, graph, inputs) });
        }
  }
  await bench.ready();
  for (const { c, p, inputs } of runs) {
    bench.run(p);
    const got = await bench.read(p);
    const want = c.op.reference(inputs, c.test.attrs ?? {}, p.graph.outputs);
    const hides = want.some(
      ({ data, dtype }, r) =>
        dtype === "f32" &&
        data.some((w, i) => !Number.isFinite(Math.fround(w)) && Number.isFinite(got[r][i])),
    );
    if (hides) found.add(c.op.name);
    bench.dispose(p);
  }
  return [...found].sort();
}

describe("what the op table says", () => {
  test("an op that makes a number of NaN or an infinity has hidesNan", async () => {
    const found = await hiders(NONE);
    expect(named(hiding), `give the op that is missing hidesNan: true; ${repeat}`).toEqual(
      expect.arrayContaining(found),
    );
    // These do on both software adapters: the search finds what there is.
    if (backend.device.info.software)
      expect(found).toEqual(expect.arrayContaining(["max", "maximum", "min", "minimum", "tanh"]));
  });

  test("an op that makes a number of numbers where there is none has an expression for NAN=1", async () => {
    expect(named(watched), `give the op that is missing an expression watched; ${repeat}`).toEqual(
      expect.arrayContaining(await hiders(NUMBERS)),
    );
  });
});

describe("NAN=1", () => {
  /** The op of x alone, or of x and 0; a reduction is over all. */
  const hide = (op: OpDef, x: Tensor): Tensor =>
    apply(op, op.cases[0].inputs.length === 2 ? [x, ops.mul(x, 0)] : [x], { axes: [0] })[0];

  test.each(hiding.map((op) => [op.name, op] as const))(
    "finds the NaN that %s, in one kernel with what made it, would hide",
    async (_, op) => {
      setFlags({ nan: true });
      const f = compile((x: Tensor) => ops.add(hide(op, ops.sqrt(ops.sub(x, 1))), 1), { label: "hidden" });
      await expect(f(tensor([4, 2, 0, 5])).data()).rejects.toMatchObject({
        name: "NonFiniteError",
        message: expect.stringMatching(/got NaN at element 2 of f32\[4\] \(kernel 1 of .*ops .*sqrt/),
      });
      await f(tensor([4, 2, 2, 5])).data();
    },
  );

  test.each([
    ["0", 0, "-?Infinity"],
    ["a negative number", -2, "NaN"],
  ])("finds the log of %s, whose result passes on", async (_, x, what) => {
    setFlags({ nan: true });
    const f = compile((x: Tensor) => ops.mean(ops.log(x)), { label: "logs" });
    await expect(f(tensor([4, x, 1])).data()).rejects.toMatchObject({
      name: "NonFiniteError",
      message: expect.stringMatching(
        new RegExp(`^logs/.*: finite results .* got ${what} at .* ops log, sum`),
      ),
    });
    expect(await f(tensor([1, 1, 1e-40])).item()).toBeLessThan(-25);
  });

  test("passes over the log of 0 that is not chosen, and changes no bit of the others", async () => {
    const safe = () =>
      compile((x: Tensor) => ops.where(ops.gt(x, 0), ops.log(x), -1), { label: `safe.${Math.random()}` });
    const x = Float32Array.from({ length: 64 }, (_, i) => Math.fround(i * i * 0.37));
    const plain = await safe()(tensor(x)).data();
    setFlags({ nan: true });
    expect(await safe()(tensor(x)).data()).toEqual(plain);
  });

  test.each<[string, (x: Tensor) => Tensor]>([
    ["square(sqrt(x))", (x) => ops.square(ops.sqrt(x))],
    ["s - s", (x) => ops.sub(ops.sqrt(x), ops.sqrt(x))],
    ["sqrt(x) * 0", (x) => ops.mul(ops.sqrt(x), 0)],
  ])("a kernel an op, finds what a driver's algebra removes: %s", async (_, of) => {
    setFlags({ nan: true, passesOff: ["fuse"] });
    const f = compile(of, { label: "apart" });
    await expect(f(tensor([4, -1])).data()).rejects.toMatchObject({ name: "NonFiniteError" });
    expect(Array.from(await f(tensor([4, 1])).data()).every(Number.isFinite)).toBe(true);
  });
});

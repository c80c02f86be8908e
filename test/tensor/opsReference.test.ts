/** The op table by itself: what each op must state, and its derivative against central differences, in float64. */

import { expect, test } from "vitest";
import { drawInputs, gradGraph, gradInputs, type NamedCase, rngOf } from "../../src/check/cases.ts";
import { compare, describeDifference } from "../../src/check/compare.ts";
import { interpret } from "../../src/tensor/interpreter.ts";
import { type NDArray, ndarray } from "../../src/tensor/ndarray.ts";
import type { OpDef } from "../../src/tensor/opdef.ts";
import { opGaps } from "../../src/tensor/ops/coverage.ts";
import { ops } from "../../src/tensor/ops/index.ts";
import { allOps } from "../../src/tensor/ops/table.ts";
import { sameShape } from "../../src/tensor/shape.ts";
import { casesOfRun } from "../helpers/casesOfRun.ts";
import { repeat, seed } from "../helpers/seed.ts";

test("every op states what it must, and its cases leave no gap", () => {
  expect(allOps().flatMap((op) => opGaps(op))).toEqual([]);
});

test("every op that users call is in the table", () => {
  const known = new Set<OpDef>(allOps());
  for (const [name, f] of Object.entries(ops)) {
    const { op } = f as { op?: OpDef };
    if (op) expect(known.has(op), name).toBe(true);
  }
});

test("what stands in the table is small: every start loads it", () => {
  for (const op of allOps()) {
    const calls = [...op.cases, ...(op.perf ?? []), ...(op.bad ?? [])];
    const written = calls.flatMap((c) => c.inputs.map((x) => x.values?.length ?? 0));
    expect(Math.max(0, ...written), op.name).toBeLessThanOrEqual(4096);
  }
});

/** Elements whose partial derivative is measured, of each input. */
const PROBES = 24;
const STEP = 1e-5;

/** Central differences of sum(results * cotangents) with respect to some elements of an input. */
function differences(
  c: NamedCase,
  inputs: readonly NDArray[],
  cotangents: readonly NDArray[],
  which: number,
  at: readonly number[],
): number[] {
  const attrs = c.test.attrs ?? {};
  const types = c.op.infer(inputs, attrs);
  const run = (x: number, i: number): NDArray[] => {
    const moved = ndarray(inputs[which].shape, "f32", inputs[which].data);
    moved.data[i] = x;
    const results = c.op.reference(
      inputs.map((v, j) => (j === which ? moved : v)),
      attrs,
      types,
    );
    return results.filter((_, r) => types[r].dtype === "f32");
  };
  return at.map((i) => {
    const x = inputs[which].data[i];
    const up = run(x + STEP, i);
    const down = run(x - STEP, i);
    let sum = 0;
    cotangents.forEach((w, r) => {
      w.data.forEach((wi, j) => {
        sum += wi * (up[r].data[j] - down[r].data[j]);
      });
    });
    return sum / (2 * STEP);
  });
}

const differentiable = allOps().filter((op) => op.cases.some((test) => gradInputs({ op, test }).length > 0));

/** Compares the gradients of a case with central differences: what is wrong with each checked input, or null. */
function vjpComplaints(c: NamedCase): (string | null)[] {
  const rng = rngOf(seed, c.index);
  const inputs = drawInputs(c.test.inputs, rng);
  const built = gradGraph(c);
  const cotangents = built.cotangents.flatMap((t) => drawInputs([t], rng));
  const grads = interpret(built.graph, [...inputs, ...cotangents], built.graph.outputs);
  return gradInputs(c).map((which, k) => {
    const grad = built.outputs[k] < 0 ? ndarray(inputs[which].shape, "f32") : grads[built.outputs[k]];
    if (!sameShape(grad.shape, inputs[which].shape)) return `${c.name}: shape ${grad.shape}`;
    const size = grad.data.length;
    const all = Array.from({ length: size }, (_, i) => i);
    const at = size <= PROBES ? all : Array.from({ length: PROBES }, () => rng.int(size));
    const want = ndarray([at.length], "f32", differences(c, inputs, cotangents, which, at));
    const got = at.map((i) => grad.data[i]);
    const d = compare(got, want, { relative: 1e-6, floor: 1e-2, absolute: 1e-9 });
    return d.worst <= 1 ? null : `${describeDifference(`${c.name}, input ${which}`, d)}; ${repeat}`;
  });
}

const casesOf = (op: OpDef): NamedCase[] => casesOfRun().filter((c) => c.op === op);

test.each(differentiable.map((op) => [op.name, op] as const))(
  "vjp of %s against central differences",
  (_name, op) => {
    for (const c of casesOf(op)) for (const complaint of vjpComplaints(c)) expect(complaint).toBeNull();
  },
);

test("nothing flows to an input that a case leaves out of its gradients", () => {
  let left = 0;
  for (const c of casesOfRun()) {
    const checked = gradInputs(c);
    const every = { ...c.test, gradInputs: undefined };
    if (!c.test.gradInputs) continue;
    const built = gradGraph({ op: c.op, test: every });
    gradInputs({ op: c.op, test: every }).forEach((which, k) => {
      if (checked.includes(which)) return;
      left++;
      expect(built.outputs[k], `${c.name}, input ${which}`).toBe(-1);
    });
  }
  expect(left).toBeGreaterThan(0);
});

/** Ops whose derivative is 0 everywhere: scaling it changes nothing. */
const FLAT = ["sign"];

test.each(differentiable.map((op) => [op.name, op] as const))(
  "a vjp of %s that is 1 % too large is found",
  (name, op) => {
    const own = op.vjp;
    const scaled: OpDef["vjp"] = (ctx) => (own?.(ctx) ?? []).map((d) => d && ops.mul(d, 1.01));
    try {
      Object.assign(op, { vjp: scaled });
      const found = casesOf(op).some((c) => vjpComplaints(c).some((complaint) => complaint !== null));
      expect(found).toBe(!FLAT.includes(name));
    } finally {
      Object.assign(op, { vjp: own });
    }
  },
);

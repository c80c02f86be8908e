/** The memory plan on made-up programs: live values never share bytes, and no arena is read and written in one step. */

import { expect, test } from "vitest";
import { MemoryBudgetError } from "../../src/tensor/errors.ts";
import { Node, type Value } from "../../src/tensor/ir.ts";
import { ALIGN, type MemoryPlan, planMemory, type Step } from "../../src/tensor/passes/memory.ts";
import { lowerGraph } from "../../src/tensor/passes/pipeline.ts";
import { Rng, Stream } from "../../src/tensor/random.ts";
import { numel } from "../../src/tensor/shape.ts";
import { randomGraph } from "../helpers/randomGraph.ts";
import { repeat, seed } from "../helpers/seed.ts";

const LIMIT = 128 << 20;

function value(elements: number): Value {
  return new Node("input", [], {}, [{ shape: [elements], dtype: "f32" }]).results[0];
}

/** Every rule of a plan; throws with the step at fault. */
function verify(steps: readonly Step[], plan: MemoryPlan): void {
  const from = new Map<Value, number>();
  const until = new Map<Value, number>();
  steps.forEach((s, i) => {
    for (const v of s.writes) from.set(v, i);
    for (const v of [...s.writes, ...s.reads]) until.set(v, i);
  });
  const all = [...from.keys()];
  for (const v of all) {
    const p = plan.places.get(v);
    if (!p) throw new Error("a value has no place");
    if (p.offset % ALIGN !== 0) throw new Error(`offset ${p.offset} is not aligned`);
    if (p.offset + p.bytes > plan.arenas[p.arena]) throw new Error("a value sticks out of its arena");
    if (p.bytes < 4 * numel(v.shape)) throw new Error("a value has too few bytes");
  }
  for (let i = 0; i < all.length; i++) {
    for (let j = i + 1; j < all.length; j++) {
      const [a, b] = [all[i], all[j]];
      const [p, q] = [plan.places.get(a), plan.places.get(b)];
      if (!p || !q || p.arena !== q.arena) continue;
      const apart = p.offset + p.bytes <= q.offset || q.offset + q.bytes <= p.offset;
      const together =
        (from.get(a) as number) <= (until.get(b) as number) &&
        (from.get(b) as number) <= (until.get(a) as number);
      if (together && !apart) throw new Error(`two values alive at once share bytes of arena ${p.arena}`);
    }
  }
  steps.forEach((s, i) => {
    const read = new Set(s.reads.map((v) => plan.places.get(v)?.arena));
    for (const v of s.writes) {
      if (read.has(plan.places.get(v)?.arena)) throw new Error(`step ${i} reads and writes one arena`);
    }
  });
  if (plan.totalBytes !== plan.arenas.reduce((a, b) => a + b, 0)) throw new Error("a wrong total");
}

test("random programs", () => {
  const rng = new Rng(seed, Stream.test, 4);
  for (let round = 0; round < 300; round++) {
    const made: Value[] = [];
    const steps: Step[] = Array.from({ length: 1 + rng.int(40) }, (_, i) => {
      const reads = new Set<Value>();
      for (let r = rng.int(4); r > 0 && made.length > 0; r--) {
        // Mostly what was made lately, sometimes anything: long lives among short ones.
        const back = rng.int(4) === 0 ? made.length : Math.min(made.length, 4);
        reads.add(made[made.length - 1 - rng.int(back)]);
      }
      const writes = Array.from({ length: 1 + rng.int(3) }, () => value(1 + rng.int(5000)));
      made.push(...writes);
      return { label: `step ${i}`, reads: [...reads], writes };
    });
    const plan = planMemory(steps, LIMIT, 2 ** 40);
    try {
      verify(steps, plan);
    } catch (error) {
      throw new Error(`round ${round}: ${(error as Error).message}; ${repeat}`);
    }
    expect(plan.totalBytes).toBeGreaterThanOrEqual(plan.lowerBound);
  }
});

/** A network's forward and backward pass: each layer keeps two activations that its backward step reads. */
function training(layers: number, width: number): Step[] {
  const steps: Step[] = [];
  const kept: Value[][] = [];
  let x = value(width);
  steps.push({ label: "embed", reads: [], writes: [x] });
  for (let i = 0; i < layers; i++) {
    const wide = value(4 * width);
    const next = value(width);
    steps.push({ label: `up${i}`, reads: [x], writes: [wide] });
    steps.push({ label: `down${i}`, reads: [wide, x], writes: [next] });
    kept.push([x, wide]);
    x = next;
  }
  let g = value(width);
  steps.push({ label: "loss", reads: [x], writes: [g] });
  for (let i = layers - 1; i >= 0; i--) {
    const [input, wide] = kept[i];
    const gw = value(4 * width);
    const gx = value(width);
    steps.push({ label: `gw${i}`, reads: [g, wide], writes: [gw] });
    steps.push({ label: `dw${i}`, reads: [gw, input], writes: [value(width / 2)] });
    steps.push({ label: `gx${i}`, reads: [gw, g], writes: [gx] });
    g = gx;
  }
  return steps;
}

test("training steps stay within a quarter of the least possible", () => {
  for (const [layers, width] of [
    [2, 4096],
    [6, 65536],
    [12, 1024],
  ]) {
    const steps = training(layers, width);
    const plan = planMemory(steps, LIMIT, 2 ** 40);
    verify(steps, plan);
    expect(plan.totalBytes / plan.lowerBound, `${layers} layers of ${width}`).toBeLessThanOrEqual(1.25);
  }
});

test("a chain needs two arenas of one value each", () => {
  const values = Array.from({ length: 20 }, () => value(1000));
  const steps = values.map((v, i) => ({ label: `${i}`, reads: i > 0 ? [values[i - 1]] : [], writes: [v] }));
  const plan = planMemory(steps, LIMIT, 2 ** 40);
  verify(steps, plan);
  expect(plan.arenas).toEqual([4096, 4096]);
});

test("beyond the budget, or one buffer's limit, the error lists the largest values", () => {
  const steps = [{ label: "big", reads: [], writes: [value(1 << 20)] }];
  expect(() => planMemory(steps, LIMIT, 1 << 20)).toThrow(MemoryBudgetError);
  expect(() => planMemory(steps, 1 << 20, 2 ** 40)).toThrow(/one buffer.*4\.0 MiB big/s);
});

test("plans of lowered random graphs hold for what their kernels bind", () => {
  const options = { label: "plan", passesOff: [], bindingLimit: LIMIT, budget: 2 ** 40, maxGroups: 65535 };
  let copied = 0;
  for (let i = 0; i < 600; i++) {
    const r = randomGraph((seed + i) >>> 0, { sizes: [2, 3, 4, 8, 30], elements: 4096, calls: 25 });
    const { kernels, memory, copies } = lowerGraph(r.graph, { ...options, tier: "T0" });
    const planned = (v: Value): boolean => memory.places.has(v);
    const steps = kernels.map((k) => ({
      label: k.label,
      reads: k.bindings.filter((b) => !b.write && planned(b.value)).map((b) => b.value),
      writes: k.bindings.filter((b) => b.write && planned(b.value)).map((b) => b.value),
    }));
    // States are copied over after the last kernel.
    const last = { label: "copies", reads: copies.map((c) => c.value).filter(planned), writes: [] };
    copied += last.reads.length;
    try {
      verify([...steps, last], memory);
    } catch (error) {
      throw new Error(`graph ${r.seed}: ${(error as Error).message}`);
    }
  }
  expect(copied).toBeGreaterThan(10);
});

/** What a check runs: cases keep their inputs whatever is left out, and whole programs do what they are there for. */

import { expect, test } from "vitest";
import { forwardCall } from "../../src/check/calls.ts";
import { allCases } from "../../src/check/cases.ts";
import { compare } from "../../src/check/compare.ts";
import { WHOLE_PROGRAMS } from "../../src/check/programs.ts";
import { interpret } from "../../src/tensor/interpreter.ts";
import { roots } from "../../src/tensor/ir.ts";
import { ndarray } from "../../src/tensor/ndarray.ts";
import { allOps } from "../../src/tensor/ops/table.ts";
import { lowerGraph } from "../../src/tensor/passes/pipeline.ts";

const program = (name: string) => WHOLE_PROGRAMS.find((p) => p.name === name)!.call(3);

test("a case has the same inputs alone as among all", () => {
  const alone = allCases(["sum"]);
  const among = allCases().filter((c) => c.op.name === "sum");
  expect(alone.length).toBeGreaterThan(5);
  expect(alone.map((c) => forwardCall(c, 7).inputs)).toEqual(among.map((c) => forwardCall(c, 7).inputs));
  expect(forwardCall(alone[0], 8).inputs).not.toEqual(forwardCall(alone[0], 7).inputs);
});

test("no whole program has the name of an op", () => {
  const names = [...allOps().map(({ name }) => name), ...WHOLE_PROGRAMS.map(({ name }) => name)];
  expect(new Set(names).size).toBe(names.length);
});

test("the large grid does not fit on one axis", async () => {
  const { graph } = await program("large-grid");
  const options = { passesOff: [], bindingLimit: 2 ** 27, budget: 2 ** 31, maxGroups: 65535 };
  const { kernels } = lowerGraph(graph, { ...options, label: "grid", tier: "T0" });
  expect(kernels.map((k) => k.grid[1] > 1)).toEqual([true]);
});

test.each(["gpt2-step", "qwen3-step"])(
  "%s moves every parameter, and its tolerance is narrower than the move",
  async (name) => {
    const call = await program(name);
    const { graph, inputs } = call;
    const want = interpret(graph, inputs, roots(graph));
    expect(call.judge(want.map((x) => x.data))).toEqual({ worst: 0, complaint: null });
    const unmoved = graph.updates.filter(({ input }, i) => {
      const before = inputs[graph.inputs.indexOf(input)];
      const after = want[graph.outputs.length + i];
      return compare(before.data, after, { relative: 1e-4, floor: 0.1 }).worst <= 10;
    });
    expect(unmoved.map(({ input }) => graph.inputs.indexOf(input))).toEqual([]);
    // One element of one gradient that is 1 % off, as it reaches the first moment.
    const off = want.map((x) => x.data.slice());
    const at = off.length - 3 * 7;
    off[at] = off[at].map((x) => x * 1.01 + 1e-3);
    expect(call.judge(off).worst).toBeGreaterThan(1);
  },
);

test("judged beside other results, a call is as strict", () => {
  const call = forwardCall(allCases(["exp"]).find((c) => c.test.inputs[0].shape.length > 0)!, 1);
  const [right] = interpret(call.graph, call.inputs, call.graph.outputs);
  const near = ndarray(
    right.shape,
    "f32",
    right.data.map((x) => x * (1 + 1e-3)),
  );
  expect(call.judgeBeside([right.data], [right.data]).worst).toBe(0);
  expect(call.judgeBeside([right.data], [near.data]).complaint).toMatch(/^exp\(/);
});

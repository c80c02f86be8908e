import { expect, test } from "vitest";
import { compile } from "../../src/tensor/compile.ts";
import { init } from "../../src/tensor/init.ts";
import { didYouMean, editDistance, nearest } from "../../src/tensor/suggest.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";

test("edit distance counts insertions, deletions, replacements and swaps", () => {
  const cases: [string, string, number][] = [
    ["", "", 0],
    ["", "abc", 3],
    ["kitten", "sitting", 3],
    ["nsr", "nrs", 1],
    ["abc", "abc", 0],
    ["flaw", "lawn", 2],
  ];
  for (const [a, b, distance] of cases) {
    expect(editDistance(a, b)).toBe(distance);
    expect(editDistance(b, a)).toBe(distance);
  }
});

test("suggests only what is near, without regard to case and dashes", () => {
  expect(nearest("hidden_size", ["headDim", "hiddenSize"])).toBe("hiddenSize");
  expect(nearest("tempreature", ["temperature", "topK"])).toBe("temperature");
  expect(nearest("xyz", ["temperature"])).toBeUndefined();
  expect(nearest("k", ["n"])).toBe("n");
});

test("lists the known names otherwise, and long names cost no time", () => {
  expect(didYouMean("zzzz", ["aa", "bb"])).toBe("Known: aa, bb.");
  expect(
    didYouMean(
      "zzzzzz",
      Array.from({ length: 15 }, (_, i) => `name${i}`),
    ),
  ).toMatch(/and 3 more\.$/);
  expect(didYouMean("a", [])).toBe("None is known.");
  const start = performance.now();
  didYouMean("a".repeat(1e6), ["b".repeat(1e6)]);
  expect(performance.now() - start).toBeLessThan(500);
});

test("options that are not known are refused with what is near, before anything is made", async () => {
  const id = (t: Tensor) => t;
  const told = (message: string) => expect.objectContaining({ name: "ConfigError", message });
  const unknown = (op: string, key: string, near: string) =>
    told(`${op}: ${key}: a known option expected, got an unknown one. Did you mean "${near}"?`);
  expect(() => compile(id, { labels: "x" } as object)).toThrow(unknown("compile", "labels", "label"));
  expect(() => compile(id, { State: [0] } as object)).toThrow(unknown("compile", "State", "state"));
  expect(() => compile(id, "x" as unknown as object)).toThrow(
    told("compile: an object of options expected, got a string. Write { state: ... }."),
  );
  await expect(init({ teir: "T0" } as object)).rejects.toEqual(unknown("init", "teir", "tier"));
  await expect(init({ memory_budget: 1 } as object)).rejects.toEqual(
    unknown("init", "memory_budget", "memoryBudget"),
  );
  await expect(init({ device: "refrence" as "reference" })).rejects.toEqual(
    told('init: device: "webgpu" or "reference" expected, got "refrence". Leave it out for a GPU.'),
  );
  await expect(init({ tuning: "of" as "off" })).rejects.toEqual(
    told('init: tuning: "auto", "off" or a table expected, got "of". Did you mean "off"?'),
  );
});

test("passes to leave out are refused by name where there is no such pass", async () => {
  const told = (message: string) => expect.objectContaining({ name: "ConfigError", message });
  const some = "some of simplify, cse, fuse, inplace, reuse expected";
  const off = (passesOff: unknown) => compile((t: Tensor) => t, { passesOff } as { passesOff: string[] });
  expect(() => off(["cse", "fuze"])).toThrow(
    told(`compile: passesOff: ${some}, got "fuze". Did you mean "fuse"?`),
  );
  expect(() => off(["stack"])).toThrow(
    told(`compile: passesOff: ${some}, got "stack". Other passes always run.`),
  );
  expect(() => off("fuse")).toThrow(
    told(`compile: passesOff: ${some}, got "fuse". Write them as a list: ["simplify"].`),
  );
  expect(() => off([0])).toThrow(told(`compile: passesOff: ${some}, got 0. Other passes always run.`));
  await expect(init({ passesOff: ["expand"] })).rejects.toEqual(
    told(`init: passesOff: ${some}, got "expand". Other passes always run.`),
  );
  expect(off(["simplify", "cse", "fuse", "inplace", "reuse"]).programs).toBe(0);
});

/** The benchmark's arithmetic on timings made by hand: medians, rates, comparison, what the words choose, turns. */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { chainResult } from "../../src/bench/ceilings.ts";
import { type Comparable, compareResults, comparisonLines } from "../../src/bench/compare.ts";
import { checkComparable } from "../../src/bench/compareFile.ts";
import { bytes, detailLines, line, number, percent, wobble } from "../../src/bench/format.ts";
import { shares } from "../../src/bench/nsrStep.ts";
import { timeOf, withRates } from "../../src/bench/rates.ts";
import type { Detail, TimedRow } from "../../src/bench/result.ts";
import { choose } from "../../src/bench/selection.ts";
import { samplingFlops, trainingFlops } from "../../src/bench/smallModel.ts";
import { spread, summarize, type Timing } from "../../src/bench/stats.ts";
import { ConfigError } from "../../src/tensor/errors.ts";

// @ts-expect-error a script without types
const { readResult } = await import("../../bench/readResult.mjs");
// @ts-expect-error a script without types
const { interleave, ratioOf, runsPerSample } = await import("../../bench/peers/interleave.mjs");
// @ts-expect-error a script without types
const { agreement, distance, workloads } = await import("../../bench/peers/workloads.mjs");
// @ts-expect-error a script without types
const { compareOn } = await import("../../bench/peers/contest.mjs");

const timing = (ms: number, low = ms, high = ms) => ({ ms, low, high, samples: 5 });

describe("timings", () => {
  test("median and quartiles lie between the samples, in whatever order they come", () => {
    expect(summarize([4, 1, 3, 2])).toEqual({ ms: 2.5, low: 1.75, high: 3.25, samples: 4 });
    expect(summarize([9, 1, 5, 3, 7])).toEqual({ ms: 5, low: 3, high: 7, samples: 5 });
    expect(summarize([6])).toEqual({ ms: 6, low: 6, high: 6, samples: 1 });
    expect(() => summarize([])).toThrow("at least one timing expected");
  });

  test("numbers sort as numbers", () => {
    expect(summarize([100, 9, 20]).ms).toBe(20);
  });

  test("the spread is the distance of the quartiles, ± half of it over the median", () => {
    expect(spread(timing(10, 9, 12))).toBe(3);
    expect(wobble(timing(10, 9, 12))).toBe(0.15);
    expect(wobble(null)).toBe(null);
  });
});

describe("rates", () => {
  const ceilings = { copy: { gbs: 10 }, fma: { gflops: 100 } };
  const row = { name: "x", time: "gpu" as const, wall: timing(8), gpu: timing(4), flops: 2e8, bytes: 8e6 };

  test("come from the GPU's time where there is one: 2e8 flops in 4 ms are 50 GFLOP/s, 8e6 bytes 2 GB/s", () => {
    expect(withRates(row, ceilings)).toMatchObject({
      gflops: 50,
      gbs: 2,
      ofFma: 0.5,
      ofCopy: 0.2,
      ofLimit: 0.5,
      limit: "fma",
    });
  });

  test("come from the wall's time where there is none, and where the row says so", () => {
    // Matrices that are faster than single numbers.
    const faster = { ...ceilings, matrix: { gflops: 1000 } };
    expect(withRates(row, faster).ofFma).toBeCloseTo((withRates(row, ceilings).ofFma as number) / 10, 12);
    expect(withRates(row, { ...ceilings, matrix: { gflops: 1 } })).toEqual(withRates(row, ceilings));
    expect(withRates({ ...row, gpu: null }, ceilings)).toMatchObject({ gflops: 25, gbs: 1 });
    expect(withRates({ ...row, time: "wall" }, ceilings)).toMatchObject({ gflops: 25, gbs: 1 });
    expect(timeOf({ ...row, time: "wall" }).ms).toBe(8);
  });

  test("the nearer ceiling is the limit", () => {
    expect(withRates({ ...row, bytes: 3.6e7 }, ceilings)).toMatchObject({
      gbs: 9,
      ofLimit: 0.9,
      limit: "copy",
    });
  });

  test("what is not known stays unknown", () => {
    const none = { gflops: null, gbs: null, ofFma: null, ofCopy: null, ofLimit: null, limit: null };
    expect(withRates({ ...row, flops: null, bytes: null }, ceilings)).toMatchObject(none);
    expect(withRates({ ...row, gpu: timing(0) }, ceilings)).toMatchObject(none);
    expect(withRates({ ...row, flops: null }, ceilings)).toMatchObject({ gflops: null, ofLimit: 0.2 });
  });

  test("multiply-adds of a chain: the closed form is what the loop gives", () => {
    const [m, c, steps, chains] = [0.75, 0.5, 7, 2];
    let sum = 0;
    for (const first of [3, 4, 5, 6, 4, 5, 6, 7]) {
      let x = first;
      for (let i = 0; i < steps; i++) x = x * m + c;
      sum += x;
    }
    expect(chainResult(7, chains, m, c, steps)).toBeCloseTo(sum, 12);
  });

  test("operations of a training step and of sampling, counted by hand for one layer of width 2", () => {
    const sizes = { vocabSize: 3, hiddenSize: 2, numLayers: 1, maxPositions: 5, batch: 1 };
    // weights: 4 c c + 8 c c = 48, head 3 x 2 = 6; attention of a token: scores and mixing of 1 to 5 keys, 2 x 2 each
    expect(trainingFlops(sizes)).toBe(3 * 2 * (5 * (48 + 6) + 4 * (1 + 2 + 3 + 4 + 5)));
    // prompt of 3 tokens (attention of 1 to 3 keys), one more token run against 4 columns, two tokens drawn
    expect(samplingFlops(sizes, { rows: 1, prompt: 3, length: 2, span: 4 })).toBe(
      2 * (3 * 48 + 4 * (1 + 2 + 3) + (48 + 16) + 2 * 6),
    );
  });

  test("shares are those of all steps together, and the host's is the rest", () => {
    const steps = [
      { rollout: 5, scoring: 1, update: 3, total: 10 },
      { rollout: 15, scoring: 3, update: 7, total: 30 },
    ];
    expect(shares(steps)).toEqual({ rollout: 0.5, scoring: 0.1, update: 0.25, host: 0.15 });
  });
});

describe("text", () => {
  test("numbers keep about three digits that mean something", () => {
    expect([1234.5, 56.78, 5.678, 0.5678, 0.00567, 0, null].map((x) => number(x).trim())).toEqual([
      "1235",
      "56.8",
      "5.68",
      "0.568",
      "0.0057",
      "0",
      "-",
    ]);
    expect([512, 2048, 3 << 20, 5 * 2 ** 29].map(bytes)).toEqual(["512 B", "2.0 KiB", "3.0 MiB", "2.50 GiB"]);
    expect([percent(0.256), percent(null)]).toEqual([" 26%", "   -"]);
  });

  test("a row is one line, with what it has beside the time under it", () => {
    const row = withRates(
      {
        name: "add [4]",
        time: "gpu" as const,
        wall: timing(8, 7, 9),
        gpu: timing(4),
        flops: 2e8,
        bytes: null,
      },
      { copy: { gbs: 10 }, fma: { gflops: 100 } },
    );
    expect(line(row)).toBe("     8.00  13%      4.00   0%      50.0         -  50% fma    add [4]");
    const details: Detail[] = [
      { name: "planned", value: 2048, unit: "bytes" },
      { name: "host", value: 0.125, unit: "share" },
      { name: "first step", value: 12.34, unit: "ms" },
      { name: "dispatches", value: 139 },
    ];
    expect(detailLines({ details }).map((l: string) => l.trim())).toEqual([
      "planned: 2.0 KiB",
      "host: 13%",
      "first step: 12.3 ms",
      "dispatches: 139",
    ]);
  });
});

describe("comparison", () => {
  const row = (name: string, wall: Timing, gpu: Timing | null = null, time: "gpu" | "wall" = "gpu") => ({
    name,
    time,
    wall,
    gpu,
  });
  const result = (rows: TimedRow[], changes: object = {}): Comparable & { format: string } => ({
    format: "naysay-bench-1",
    adapter: { description: "one", driver: "", tier: "T0" },
    machine: { processors: 2, model: "m" },
    node: "v20",
    quick: false,
    rows,
    ...changes,
  });

  test("a row is marked where the medians differ by more than both spreads", () => {
    const a = result([
      row("same", timing(10, 9, 12)),
      row("slower", timing(10, 9, 12)),
      row("wide", timing(10)),
    ]);
    const b = result([
      row("same", timing(13, 12.5, 13.5)),
      row("slower", timing(14, 13, 14)),
      row("wide", timing(14, 11, 16)),
    ]);
    expect(compareResults(a, b).rows).toEqual([
      { name: "same", a: 10, b: 13, ratio: 1.3, differs: false },
      { name: "slower", a: 10, b: 14, ratio: 1.4, differs: true },
      { name: "wide", a: 10, b: 14, ratio: 1.4, differs: false },
    ]);
  });

  test("the GPU's times are compared only where both files have them", () => {
    const [timed, untimed] = [row("x", timing(20), timing(5)), row("x", timing(10))];
    expect(compareResults(result([timed]), result([untimed])).rows[0]).toMatchObject({ a: 20, b: 10 });
    expect(compareResults(result([timed]), result([timed])).rows[0]).toMatchObject({ a: 5, b: 5 });
  });

  test("a kernel shorter than the timestamps' tick has no ratio to give: the wall's times are compared", () => {
    const [timed, tick] = [row("x", timing(20), timing(5)), row("x", timing(10), timing(0))];
    expect(compareResults(result([timed]), result([tick])).rows[0]).toMatchObject({ a: 20, b: 10 });
    expect(compareResults(result([tick]), result([tick])).rows[0].ratio).toBe(1);
  });

  test("text: ratio and mark, rows of one file, and what is not alike", () => {
    const a = result([row("x", timing(10)), row("gone", timing(1))]);
    const b = result([row("x", timing(5)), row("new", timing(1))], { quick: true });
    expect(comparisonLines(a, b)).toEqual([
      "not alike: sizes: full | quick",
      "     a ms      b ms     b / a     row",
      "     10.0      5.00     0.500 <   x",
      "only in a: gone",
      "only in b: new",
      "1 of 1 rows differ by more than both spreads (< faster, > slower).",
    ]);
  });

  test("a file that is no result is refused by name, in one line", () => {
    const folder = mkdtempSync(join(tmpdir(), "naysay-bench-"));
    try {
      const path = join(folder, "a.json");
      const refused = (text: string) => {
        writeFileSync(path, text);
        try {
          readResult(path);
        } catch (error) {
          expect((error as Error).name).toBe("ConfigError");
          return (error as Error).message;
        }
        throw new Error("a refusal expected, got none");
      };
      expect(refused("{}")).toBe(
        `bench: compare: ${path}: format: "naysay-bench-1" expected, got none. Write the file again with --json.`,
      );
      expect(refused("[]")).toContain(": the file: an object expected, got an array of 0.");
      expect(refused("null")).toContain(": the file: an object expected, got null.");
      for (const text of ["", "a\nb", JSON.stringify(result([])).slice(0, -20)]) {
        expect(refused(text)).toMatch(
          /^bench: compare: a result file expected at .*, got ".*"\. Write one with --json\.$/,
        );
      }
      expect(() => readResult(join(folder, "none.json"))).toThrow("a result file expected at");
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test.each<[string, (file: ReturnType<typeof JSON.parse>) => unknown, string]>([
    ["has no rows", (f) => delete f.rows, "rows: a list expected, got none."],
    ["has rows by name", (f) => (f.rows = {}), "rows: a list expected, got an object."],
    ["has a row that is null", (f) => (f.rows[1] = null), "rows[1]: an object expected, got null."],
    ["has a row that is text", (f) => (f.rows[1] = "x"), 'rows[1]: an object expected, got "x".'],
    ["has a nameless row", (f) => delete f.rows[0].name, "rows[0].name: a text expected, got none."],
    [
      "has a row without a clock",
      (f) => (f.rows[0].time = "cpu"),
      'rows[0].time: "gpu" or "wall" expected, got "cpu".',
    ],
    ["has a row without times", (f) => delete f.rows[0].wall, "rows[0].wall: an object expected, got none."],
    [
      "has a number as text",
      (f) => (f.rows[0].wall.ms = "1"),
      'rows[0].wall.ms: a number of ms above 0 expected, got "1".',
    ],
    [
      "has NaN, which is null",
      (f) => (f.rows[0].gpu.low = Number.NaN),
      "rows[0].gpu.low: a number of ms, 0 or more, expected, got null.",
    ],
    [
      "took no time",
      (f) => (f.rows[0].wall.ms = 0),
      "rows[0].wall.ms: a number of ms above 0 expected, got 0.",
    ],
    [
      "took less than none",
      (f) => (f.rows[0].gpu.ms = -1),
      "rows[0].gpu.ms: a number of ms, 0 or more, expected, got -1.",
    ],
    ["has no word on the GPU", (f) => delete f.rows[1].gpu, "rows[1].gpu: an object expected, got none."],
    [
      "has quartiles that do not lie around",
      (f) => (f.rows[0].wall.high = 0.5),
      "rows[0].wall.high: at least the median 1 expected, got 0.5.",
    ],
    [
      "has quartiles the wrong way round",
      (f) => (f.rows[0].wall.low = 2),
      "rows[0].wall.low: at most the median 1 expected, got 2.",
    ],
    ["has no adapter", (f) => delete f.adapter, "adapter: an object expected, got none."],
    [
      "has a driver that is a number",
      (f) => (f.adapter.driver = 3),
      "adapter.driver: a text expected, got 3.",
    ],
    ["has no machine", (f) => (f.machine = null), "machine: an object expected, got null."],
    ["does not say which sizes", (f) => delete f.quick, "quick: true or false expected, got none."],
  ])("a file that %s is refused by its place", (_, damage, told) => {
    const file = JSON.parse(JSON.stringify(result([row("x", timing(1), timing(1)), row("y", timing(1))])));
    expect(checkComparable(file, "a.json")).toBe(file);
    damage(file);
    expect(() => checkComparable(JSON.parse(JSON.stringify(file)), "a.json")).toThrow(
      new ConfigError(`bench: compare: a.json: ${told} Write the file again with --json.`),
    );
  });

  test("two rows of one name are refused, whatever the name holds", () => {
    const file = result([row("x\ny", timing(1)), row("z", timing(1)), row("x\ny", timing(2))]);
    expect(() => checkComparable(file, "a.json")).toThrow(
      new ConfigError(
        'bench: compare: a.json: rows[2].name: a row of its own expected, got "x\\ny". rows[0] has it too: leave one of them.',
      ),
    );
  });
});

describe("words", () => {
  const pick = (...words: string[]) =>
    choose(words, ["w1", "w2"], ["add", "matmul", "reshape"], ["add", "matmul"]);

  test("none choose everything, some choose in the table's order and once", () => {
    expect(pick()).toEqual({ workloads: ["w1", "w2"], ops: ["add", "matmul"] });
    expect(pick("matmul", "W2", "add", "matmul")).toEqual({ workloads: ["w2"], ops: ["add", "matmul"] });
    expect(pick("ops")).toEqual({ workloads: [], ops: ["add", "matmul"] });
    expect(pick("ceilings")).toEqual({ workloads: [], ops: [] });
  });

  test("an unknown word gets the nearest one, an op without sizes is told apart", () => {
    expect(() => pick("matmull")).toThrow('got "matmull". Did you mean "matmul"?');
    expect(() => pick("reshape")).toThrow("an op with perf sizes expected, got reshape");
    expect(() => pick("zzzzzzzz")).toThrow("Known: ceilings, ops, w1, w2, add, matmul.");
  });

  test("what is made of other ops, or nearly its name, is told apart", () => {
    const made = "softmax is made of other ops: name those.";
    expect(() => pick("softMax")).toThrow(`expected, got "softMax". ${made}`);
    expect(() => pick("sofmax")).toThrow(`expected, got "sofmax". ${made}`);
  });
});

describe("peers", () => {
  test("contestants take turns, and short work is repeated within a sample", async () => {
    let now = 0;
    const order: string[] = [];
    const contestant = (name: string, ms: number) => ({
      async run() {
        order.push(name);
        now += ms;
      },
    });
    const times = await interleave([contestant("a", 20), contestant("b", 5)], 2, () => now);
    expect(order.join("")).toBe(`ab${"abb".repeat(2)}`);
    expect(times).toEqual([
      [20, 20],
      [5, 5],
    ]);
    expect([50, 10, 3, 0].map(runsPerSample)).toEqual([1, 1, 4, 1000]);
  });

  test("the ratio is that of the rounds, whatever the machine did between them", () => {
    expect(ratioOf([2, 20, 8], [1, 10, 2])).toEqual({ median: 2, low: 2, high: 3 });
  });

  test("results are held to naysay's", () => {
    expect(distance([1, 2, 4.5], [1, 2, 5])).toBe(0.1);
    expect(distance([1, Number.NaN], [1, 2])).toBe(Number.POSITIVE_INFINITY);
    expect(distance([1], [1, 2])).toBe(Number.POSITIVE_INFINITY);
    expect(agreement([1, 2, 3, 4], [1, 2, 3, 5])).toBe(0.75);
    expect(agreement([1], [1, 2])).toBe(0);
  });

  test("the losses of each step are held to naysay's within 1e-3", () => {
    const { check } = workloads(true).find((w: { group: string }) => w.group === "w2");
    expect(check([4.2, 4.1], [4.2009, 4.1])).toEqual({ good: true, text: "losses 4.20090, 4.10000" });
    expect(check([4.2, 4.1], [4.2, 4.102])).toEqual({
      good: false,
      text: "losses 4.20000, 4.10200 where naysay has 4.20000, 4.10000",
    });
    expect(check([4.2], [Number.NaN]).good).toBe(false);
  });

  test("a peer that fails, does other work or is refused by WebGPU gets a row that says why, and no time", async () => {
    const workload = {
      group: "w1",
      kind: "sum",
      name: "sum",
      given: () => [1, 2],
      signature: (work: { result: number }) => work.result,
      check: (own: number, other: number) => ({ good: own === other, text: `sum ${other}` }),
    };
    const disposed: string[] = [];
    const library = (name: string, result: number, errors: string[] = []) => ({
      name,
      errors,
      library: { sum: async () => ({ result, run: async () => {}, dispose: () => disposed.push(name) }) },
    });
    const rows = await compareOn(
      workload,
      [
        library("naysay", 3),
        { name: "absent", why: "not installed" },
        library("wrong", 4),
        library("refused", 3, ["validation: no\nsecond line"]),
        { name: "broken", library: { sum: () => Promise.reject(new Error("no sum")) } },
        library("right", 3),
      ],
      3,
    );
    expect(rows.map((r: { peer: string; why?: string }) => [r.peer, r.why])).toEqual([
      ["absent", "not installed"],
      ["wrong", "other work: sum 4"],
      ["refused", "WebGPU refused it: validation: no"],
      ["broken", "no sum"],
      ["naysay", undefined],
      ["right", undefined],
    ]);
    expect(rows.at(-1)).toMatchObject({ checked: "sum 3", wall: { samples: 3 } });
    expect(disposed).toEqual(["wrong", "refused", "naysay", "right"]);
  });
});

/**
 * The level `fast`: it is asked for by name, its tables reach no other level, and a way that sums in another order is entered
 * only where its numbers are right.
 */
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import type { BuildOptions, Executable } from "../../src/tensor/backend.ts";
import { backend as currentBackend } from "../../src/tensor/backend.ts";
import { lanesFor } from "../../src/tensor/codegen/lanes.ts";
import { isSplitVariant, matmulVariants } from "../../src/tensor/codegen/matmulTiles.ts";
import { tensor } from "../../src/tensor/create.ts";
import type { Device } from "../../src/tensor/device.ts";
import { ConfigError } from "../../src/tensor/errors.ts";
import { init } from "../../src/tensor/init.ts";
import { type Graph, Node, type Value } from "../../src/tensor/ir.ts";
import { ops } from "../../src/tensor/ops/index.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { tune } from "../../src/tensor/tune.ts";
import { loadTuning, parseTuning, Tuning, type TuningTable, tuningKey } from "../../src/tensor/tuning.ts";
import type { WebGpuBackend } from "../../src/tensor/webgpu.ts";

let fast: WebGpuBackend;

beforeAll(async () => {
  fast = await init({ determinism: "fast", tuning: "off" });
});

afterEach(() => vi.restoreAllMocks());
afterAll(() => fast.destroy());

/** The same device, as if it had been opened at the default level. */
const repeatable = (): Device => {
  const { info } = fast.device;
  return { info: { ...info, determinism: "repeatable" } } as Device;
};

const random = (shape: number[]): Tensor => {
  const values = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => Math.random() - 0.5);
  return tensor(values, { shape });
};

test("a level is asked for by name; strict says that it is not built", async () => {
  expect(fast.device.info.determinism).toBe("fast");
  expect(fast.device.describe()).toMatch(/, fast$/);
  expect(currentBackend()).toBe(fast);
  for (const device of ["webgpu", "reference"] as const) {
    const asked = (determinism: unknown) => init({ device, determinism } as never);
    await expect(asked("strict")).rejects.toThrow(
      /got strict, the same bits on every adapter, which is not built/,
    );
    await expect(asked("fas")).rejects.toThrow(/repeatable or fast expected, got "fas". Did you mean "fast"/);
    await expect(asked(1)).rejects.toThrow(ConfigError);
  }
});

test("a table of fast reaches no other level: by key, by name, entry for entry", async () => {
  const keys = [tuningKey(fast.device), tuningKey(repeatable())];
  expect(keys[0]).toBe(`fast · ${keys[1]}`);
  const tuning = new Tuning(keys[0], "fast");
  tuning.set("a", "split4x4p16");
  tuning.set("b", "direct4x4");
  const table = tuning.table();
  expect(table).toEqual({
    adapter: keys[0],
    determinism: "fast",
    choices: { a: "split4x4p16", b: "direct4x4" },
  });
  expect(parseTuning(JSON.stringify(table), "file")).toEqual(table);
  expect(() => parseTuning(JSON.stringify({ ...table, determinism: "strict" }), "file")).toThrow(
    /not built yet/,
  );

  expect((await loadTuning(fast.device, table)).size).toBe(2);
  const shipped = (t: TuningTable) => loadTuning(repeatable(), t);
  await expect(shipped(table)).rejects.toThrow(
    /a table of determinism repeatable expected, got one of fast for fast · /,
  );
  // Of whatever adapter, and where somebody has changed what it says of itself.
  await expect(shipped({ ...table, adapter: "another" })).rejects.toThrow(ConfigError);
  const { determinism: _, ...unsaid } = table;
  expect((await shipped(unsaid)).size).toBe(0);
  await expect(shipped({ ...unsaid, adapter: keys[1] })).rejects.toThrow(
    /a way with the default's bits expected at determinism repeatable, got split4x4p16 for a/,
  );
  expect(() => new Tuning("test").set("a", "split4x4p16")).toThrow(ConfigError);
  // A table of the default says nothing of fast, as one of another adapter.
  expect((await loadTuning(fast.device, { adapter: keys[1], choices: { a: "direct4x4" } })).size).toBe(0);
});

test("only fast tries ways that sum in another order, where they may help", () => {
  const lanes = lanesFor(fast.device.tier);
  const sizes = { batch: [], batches: 1, m: 128, n: 512, k: 1024, transposeA: true, transposeB: false };
  const split = (product: typeof sizes, level?: "fast") =>
    matmulVariants(product, lanes, level).filter(isSplitVariant);
  expect(split(sizes)).toEqual([]);
  expect(split(sizes, "fast")).toEqual([
    "split4x4p4",
    "split8x4p4",
    "split4x4p16",
    "split8x4p16",
    "split4x4p64",
  ]);
  expect(split({ ...sizes, k: 60 }, "fast")).toEqual(["split4x4p4", "split8x4p4"]);
  expect(split({ ...sizes, m: 1 }, "fast")).toEqual(["split4x4p4", "split4x4p16", "split4x4p64"]);
  expect(split({ ...sizes, m: 1024, n: 4096 }, "fast")).toEqual(["split8x4p4", "split8x4p16"]);
});

/** A program of a product of operands that have lost half of their digits: integers up to 8 are as they were. */
function roughly({ inputs, outputs }: Graph): Graph {
  const { attrs, results } = outputs[0].node;
  const halves = (v: Value): Value => {
    const shape = [...v.shape.slice(0, -1), (v.shape.at(-1) as number) / 2];
    const [packed] = new Node("packHalf", [v], { format: "bf16" }, [{ shape, dtype: "u32" }]).results;
    return new Node("unpackHalf", [packed], { format: "bf16" }, [v]).results[0];
  };
  return { inputs, outputs: new Node("matmul", inputs.map(halves), attrs, results).results, updates: [] };
}

test("a split way is entered where its numbers are right, and refused where they are not", async () => {
  fast.tuning = new Tuning("test", "fast");
  ops.matmul(random([32, 512]), random([512, 32])).dispose();
  const [shapeClass] = fast.tuning.missing.keys();
  const build = fast.build.bind(fast);
  vi.spyOn(fast, "build").mockImplementation((graph: Graph, options: BuildOptions) => {
    const program = build(graph, options);
    const run = program.run.bind(program);
    const other = (made: Graph): Executable["run"] => {
      const wrong = build(made, { ...options, label: "wrong" });
      const dispose = program.dispose.bind(program);
      program.dispose = () => {
        wrong.dispose();
        dispose();
      };
      return wrong.run.bind(wrong);
    };
    if (options.label === "tune.split8x4p4") {
      const [a, b] = graph.inputs;
      const { attrs, results } = graph.outputs[0].node;
      // Both operands have 16,384 elements: the product of others than those that were meant.
      const swapped = new Node("matmul", [b, a], { ...attrs, transposeA: true, transposeB: true }, results);
      program.run = other({ inputs: [a, b], outputs: swapped.results, updates: [] });
    }
    if (options.label === "tune.split4x4p16") program.run = other(roughly(graph));
    if (options.label === "tune.split4x4p64") {
      const rough = other(roughly(graph));
      let runs = 0;
      program.run = (args) => (++runs === 3 ? rough(args) : run(args));
    }
    return program;
  });
  const [tuned] = await tune(fast, { time: 1 });
  expect(tuned.refused).toEqual({
    split8x4p4: "other numbers than the default on exact sums",
    split4x4p16: expect.stringMatching(/ at \d+: further than rounding goes$/),
    split4x4p64: "other bits at the second run",
  });
  expect(Object.keys(tuned.ms)).toEqual(expect.arrayContaining(["default", "split4x4p4", "split8x4p16"]));
  for (const name of Object.keys(tuned.refused)) expect(tuned.ms).not.toHaveProperty(name);
  expect(Object.keys(fast.tuning.table().choices)).toEqual([shapeClass]);
});

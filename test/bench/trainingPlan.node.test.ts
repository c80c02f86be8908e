/**
 * The plan of a training step: what it says of memory is what a device allocates, plans are tight, and what does not fit says
 * what to reduce.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { planTraining, type TrainingPlan } from "../../src/bench/plan.ts";
import { SMALL, smallModel, TINY } from "../../src/bench/smallModel.ts";
import { GPT2, trainingSetup } from "../../src/bench/trainingStep.ts";
import { MODELS } from "../../src/cli/plan.ts";
import { parameterSpecs } from "../../src/model/parameters.ts";
import type { BuildOptions, Executable } from "../../src/tensor/backend.ts";
import { ConfigError, MemoryBudgetError, ShapeError } from "../../src/tensor/errors.ts";
import { init } from "../../src/tensor/init.ts";
import type { Graph } from "../../src/tensor/ir.ts";
import { numel } from "../../src/tensor/shape.ts";
import { naysay } from "../helpers/command.ts";

const folder = mkdtempSync(join(tmpdir(), "naysay-plan-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const SMALL_STEP = { batch: SMALL.batch, context: SMALL.maxPositions };
const ratio = ({ plannedBytes, lowerBound }: TrainingPlan): number => plannedBytes / lowerBound;

test("a plan's bytes are those that a device holds and allocates", async () => {
  const backend = await init({ tuning: "off" });
  try {
    const built: Executable[] = [];
    const build = backend.build.bind(backend);
    backend.build = (graph: Graph, options: BuildOptions) => {
      built.push(build(graph, options));
      return built[built.length - 1];
    };
    const before = backend.memory().liveBytes;
    const setup = trainingSetup(TINY);
    setup.step().dispose();
    await backend.sync();
    const held = backend.memory().liveBytes - before;
    const { batch, maxPositions: context } = TINY;
    const plan = planTraining(smallModel(TINY), { batch, context, tier: backend.device.tier });
    const { parameterBytes, gradientBytes, momentBytes, otherBytes } = plan;
    expect(plan.programs.map((p) => p.plannedBytes)).toEqual(built.map((p) => p.plannedBytes));
    expect(plan.programs.map((p) => p.label)).toEqual(["train", "adamw"]);
    expect(parameterBytes + gradientBytes + momentBytes + otherBytes).toBe(held);
    expect([gradientBytes, momentBytes]).toEqual([parameterBytes, 2 * parameterBytes]);
    await backend.sync();
    const { dispatches } = backend.counters();
    setup.step().dispose();
    await backend.sync();
    expect(plan.programs.reduce((n, p) => n + p.kernels, 0)).toBe(backend.counters().dispatches - dispatches);
    setup.dispose();
  } finally {
    backend.destroy();
  }
});

test("plans are tight: the benchmark's model, and GPT-2 124M", () => {
  const small = planTraining(smallModel(SMALL), SMALL_STEP);
  expect(ratio(small)).toBeLessThanOrEqual(1.04);
  expect(ratio(small)).toBeGreaterThanOrEqual(1);
  const model = smallModel({ ...GPT2, batch: 1, maxPositions: 512 });
  const large = planTraining(model, { batch: 1, context: 512 });
  expect(ratio(large)).toBeLessThanOrEqual(1.02);
  // 124 million parameters of 4 bytes, and the largest values are the MLP's, kept for each layer.
  expect(large.parameterBytes / 4 / 1e6).toBeCloseTo(124.05, 1);
  expect(large.programs[0].largest[0]).toMatch(/^\d+ of 6\.0 MiB train\/matmul:.* \[1,512,3072\]$/);
  const again = planTraining(model, { batch: 1, context: 512, recompute: true });
  // One layer's activations and the inputs of the twelve.
  expect(again.totalBytes - large.totalBytes + large.plannedBytes).toBeLessThan(0.2 * large.plannedBytes);
});

test("what does not fit says what to reduce; wrong sizes are refused", () => {
  const config = smallModel(SMALL);
  const { totalBytes, plannedBytes } = planTraining(config, SMALL_STEP);
  const refusal = (limit: number): string | null => planTraining(config, { ...SMALL_STEP, limit }).refusal;
  expect(refusal(totalBytes)).toBeNull();
  expect(refusal(totalBytes - 1)).toMatch(
    /^plan: at most [\d.]+ MiB expected, got [\d.]+ MiB: [\d.]+ MiB of parameters and moments and [\d.]+ MiB of temporaries\. Reduce the batch or the context, or recompute activations \(--recompute\)\. Largest at the fullest moment: \d+ of 2\.0 MiB train/,
  );
  expect(refusal(totalBytes - plannedBytes - 1)).toMatch(/Take a smaller model/);
  // More than init() allows a program without being told, and more than one buffer can hold.
  expect(planTraining(config, { batch: 512, context: 128 }).refusal).toMatch(
    /at most 2048\.0 MiB of temporaries expected for train, got \d+.*larger memoryBudget/,
  );
  const none = planTraining(config, { batch: 1024, context: 128 });
  expect(none.refusal).toMatch(
    /at most 128\.0 MiB for one buffer were expected, got 256\.0 MiB\. Reduce the batch or the length\. Largest: \d+ of 256\.0 MiB train/,
  );
  expect(none.unplanned).toEqual(["train"]);
  const again = planTraining(config, { ...SMALL_STEP, limit: totalBytes - plannedBytes, recompute: true });
  expect(again.refusal).toMatch(/Reduce the batch or the context\. Largest/);
  for (const batch of [0, 1.5, Number.NaN])
    expect(() => planTraining(config, { batch, context: 128 })).toThrow(ConfigError);
  expect(() => planTraining(config, { batch: 1, context: 129 })).toThrow(ShapeError);
  for (const batch of [1e9, 1e15, Number.MAX_SAFE_INTEGER])
    expect(() => planTraining(config, { batch, context: 128 })).toThrow(MemoryBudgetError);
  // Four buffers of hidden states: half a minute of tracing would say no more.
  const qwen = MODELS["qwen3-0.6b"].config(512);
  expect(() => planTraining(qwen, { batch: 250, context: 512 })).toThrow(/hidden states \[B=250/);
});

test("naysay plan: a model by name or file, exit code 1 where it does not fit", async () => {
  const small = await naysay(["plan", "small", "--json"]);
  expect(small.code, small.stderr).toBe(0);
  const plan = planTraining(smallModel(SMALL), SMALL_STEP);
  expect(JSON.parse(small.stdout)).toEqual({
    model: "small",
    ...SMALL_STEP,
    recompute: false,
    tier: "T2",
    ...plan,
  });
  const much = await naysay(["plan", "small", "--context", "50000"]);
  expect(much.code).toBe(1);
  expect(much.stdout).toMatch(/\nother constants.*\n\nplan: at most 128\.0 MiB for one buffer /);
  const absurd = await naysay(["plan", "--batch", "1e9"]);
  expect([absurd.code, absurd.stdout]).toEqual([1, ""]);
  expect(absurd.stderr).toBe(
    "MemoryBudgetError: plan: hidden states [B=1000000000, T=512, C=768] of at most 128 MiB, one buffer, expected, got 1500000000 MiB. Reduce the batch or the context, to at most 43690 tokens in all.\n",
  );
  const path = join(folder, "config.json");
  const sizes = { vocab_size: 64, hidden_size: 32, intermediate_size: 64, num_hidden_layers: 1 };
  const rest = { num_attention_heads: 2, max_position_embeddings: 64, tie_word_embeddings: true };
  writeFileSync(path, JSON.stringify({ model_type: "llama", rms_norm_eps: 1e-6, ...sizes, ...rest }));
  const own = await naysay(["plan", path, "--batch", "2", "--limit", "0.5", "--recompute"]);
  expect(own.code).toBe(1);
  expect(own.stdout).toMatch(/a training step of 2 x 64 tokens, recomputed, tier T2\n/);
  expect(own.stdout).toMatch(/^temporaries +[\d.]+$/m);
  expect(own.stdout).toMatch(/\nplan: at most 0\.5 MiB expected, got /);
  const fits = await naysay(["plan", path, "--limit", "8"]);
  expect(fits.stdout).toMatch(/\nfits: \d of 8 MiB\n$/);
  for (const [word, why] of [
    [
      "gpt3",
      /gpt2, qwen3-0\.6b, small or a path of a config\.json expected, got "gpt3"\. Did you mean "gpt2"/,
    ],
    [join(folder, "none.json"), /a config\.json expected at /],
  ] as const) {
    const refused = await naysay(["plan", word]);
    expect(refused.code).toBe(2);
    expect(refused.stderr).toMatch(why);
  }
});

test("models by name have the parameters of those that they are named after", () => {
  const millions = (name: string): number =>
    parameterSpecs(MODELS[name].config(512)).reduce((n, { shape }) => n + numel(shape), 0) / 1e6;
  // GPT-2's 124.44 with half of its positions; Qwen3-0.6B's embedding is tied.
  expect(millions("gpt2")).toBeCloseTo(124.44 - 0.512 * 0.768, 2);
  expect(millions("qwen3-0.6b")).toBeCloseTo(596.05, 2);
});

/** The trainer on a task of five tokens: metrics, skipped steps, warnings, abort, and going on from a checkpoint. */

import { beforeAll, describe, expect, test } from "vitest";
import { type DecodedCheckpoint, decodeCheckpoint } from "../../src/model/checkpoint.ts";
import { initializeParameters } from "../../src/model/parameters.ts";
import { Tokenizer } from "../../src/model/tokenizer.ts";
import type { Algorithm } from "../../src/rl/algorithm.ts";
import { nsr, psr, wReinforce } from "../../src/rl/algorithms.ts";
import { taskModel } from "../../src/rl/makeBase.ts";
import { collapseWarning, type StepMetrics } from "../../src/rl/stepMetrics.ts";
import { type TrainConfig, trainConfig } from "../../src/rl/trainConfig.ts";
import { type SharedPrograms, sharedPrograms, Trainer, trainerFrom } from "../../src/rl/trainer.ts";
import { CheckpointError, ConfigError } from "../../src/tensor/errors.ts";
import type { WebGpuBackend } from "../../src/tensor/webgpu.ts";
import { useBackend } from "../helpers/backend.ts";
import { LetterTask } from "../helpers/letterTask.ts";

const task = new LetterTask();
const config = taskModel(task, { hiddenSize: 8, numLayers: 1, numHeads: 2 });
let shared: SharedPrograms;
let backend: WebGpuBackend;
beforeAll(async () => {
  ({ backend } = await useBackend());
  shared = sharedPrograms(config, { rows: 8, scoreRows: 8 });
});

const train: Partial<TrainConfig> = {
  steps: 3,
  promptsPerStep: 2,
  numGenerations: 4,
  learningRate: 1e-2,
  microBatchRows: 4,
};

function make(algorithm: Algorithm | string, changes: Partial<TrainConfig> = {}, seed = 1, on = task) {
  return new Trainer({
    task: on,
    algorithm,
    config: { ...train, ...changes },
    seed,
    params: initializeParameters(config, 3, { std: 0.3 }),
    shared,
    now: () => 0,
  });
}

async function collect(trainer: Trainer): Promise<StepMetrics[]> {
  const rows: StepMetrics[] = [];
  for await (const row of trainer.steps()) rows.push(row);
  return rows;
}

describe("steps", () => {
  test("metrics are consistent with each other, and the ratio is 1 before the only update", async () => {
    const trainer = make(nsr);
    const rows = await collect(trainer);
    expect(rows.map((row) => row.step)).toEqual([1, 2, 3]);
    for (const row of rows) {
      const total = Object.values(row.reasons).reduce((a, b) => a + b);
      expect(total).toBe(8);
      expect(row.reward).toBe((row.reasons.right ?? 0) / 8);
      expect(row.kept_rows).toBe(8 - (row.reasons.right ?? 0));
      expect(row.trained_rows).toBe(row.kept_rows);
      expect(row.clip_ratio).toBe(0);
      expect(row.loss).toBeCloseTo(1, 4); // -A rho, A = -1, token mean
      expect(row.grad_norm).toBeGreaterThan(0);
      expect(row.entropy).toBeGreaterThan(0);
      expect(row.entropy).toBeLessThan(Math.log(config.vocabSize) + 1e-6);
      expect(row["completions/mean_length"]).toBeLessThanOrEqual(task.maxCompletionLength);
    }
    expect(rows[2].num_tokens).toBeGreaterThan(rows[0].num_tokens);
    expect(trainer.state).toMatchObject({ step: 3, updates: 3, skipped: 0 });
    trainer.dispose();
  });

  test("a rollout with nothing to learn from takes no step, and says so", async () => {
    const never = new LetterTask("never");
    const trainer = make(psr, {}, 1, never);
    const hash = await trainer.weightsSha256();
    const rows = await collect(trainer);
    expect(trainer.state).toMatchObject({ step: 3, updates: 0, skipped: 3 });
    expect(await trainer.weightsSha256()).toBe(hash);
    expect(rows[0]).toMatchObject({ loss: null, grad_norm: null, kept_rows: 0, reward: 0 });
    expect(rows[0].warnings.join()).toMatch(/every reward is 0.*nothing for PSR to learn from/s);
    trainer.dispose();
  });

  test("a policy that falls to one answer is told of once, whatever stops in between", async () => {
    const harsh = { steps: 42, learningRate: 0.1 };
    const trainer = make(wReinforce(0.1), harsh);
    const rows = await collect(trainer);
    const told = (row: StepMetrics): string[] => row.warnings.filter((w) => w.startsWith("entropy fell"));
    const [at, ...more] = rows.filter((row) => told(row).length > 0);
    expect(more).toEqual([]);
    expect(at.entropy).toBeLessThan(0.05);
    expect(rows.find((row) => row.entropy < 0.05)).toBe(at);
    expect(told(at)[0]).toContain(
      `entropy fell to ${at.entropy.toFixed(3)} nats from ${rows[0].entropy.toFixed(3)}: the policy gives nearly one answer; lower learningRate`,
    );
    const saved = decodeCheckpoint(await trainer.checkpoint());
    trainer.dispose();
    const later = make(wReinforce(0.1), { ...harsh, steps: 44 });
    later.restore(saved);
    const rest = await collect(later);
    expect(rest.map((row) => [row.entropy < 0.05, told(row).length])).toEqual([
      [true, 0],
      [true, 0],
    ]);
    later.dispose();
    expect(collapseWarning(0.19, 0.01)).toBeNull();
    expect(collapseWarning(1, 0.06)).toBeNull();
  });

  test("after a fall to one answer it is not the task that is too hard", async () => {
    const never = new LetterTask("never");
    const first = make(nsr, { steps: 1 }, 1, never);
    expect((await first.step()).warnings.join()).toContain("the task is too hard");
    const saved = decodeCheckpoint(await first.checkpoint());
    first.dispose();
    const { metadata } = saved;
    const state = JSON.parse(metadata.get("naysay.trainer") as string);
    const fallen = new Map(metadata).set("naysay.trainer", JSON.stringify({ ...state, firstEntropy: 0 }));
    const later = make(nsr, { steps: 2 }, 1, never);
    later.restore({ ...saved, metadata: fallen });
    expect((await later.step()).warnings).toEqual([]);
    later.dispose();
  });

  test("several mini-batches: several updates of one rollout", async () => {
    const trainer = make(nsr, { steps: 1, miniBatches: { kind: "count", count: 2 } });
    await collect(trainer);
    expect(trainer.state.updates).toBe(2);
    trainer.dispose();
  });

  test("an abort ends the run with its reason", async () => {
    const trainer = make(nsr);
    const controller = new AbortController();
    controller.abort(new Error("enough"));
    await expect(trainer.step(controller.signal)).rejects.toThrow("enough");
    expect(trainer.state.step).toBe(0);
    trainer.dispose();
  });
});

describe("the same run again", () => {
  test("same seed, same weights and metrics; going on from a checkpoint ends in the same bits; another seed differs", async () => {
    const first = make(nsr);
    const rows = await collect(first);
    const hash = await first.weightsSha256();
    first.dispose();

    const second = make(nsr);
    await second.step();
    const bytes = await second.checkpoint({ note: "half way" });
    second.dispose();
    const third = make(nsr, {}, 1);
    const saved = decodeCheckpoint(bytes);
    expect(saved.metadata.get("note")).toBe("half way");
    third.restore(saved);
    expect(third.state).toMatchObject({ step: 1, updates: 1 });
    const rest = await collect(third);
    expect(rest).toEqual(rows.slice(1));
    expect(await third.weightsSha256()).toBe(hash);
    third.dispose();

    const other = make(nsr, {}, 2);
    await collect(other);
    expect(await other.weightsSha256()).not.toBe(hash);
    other.dispose();
  });

  test("a checkpoint of weights alone is refused", async () => {
    const trainer = make(nsr);
    const bytes = await trainer.checkpoint();
    const { optimizer: _, ...bare } = decodeCheckpoint(bytes);
    const weights = { ...bare, optimizer: null, metadata: new Map<string, string>() };
    expect(() => trainer.restore(weights)).toThrow(/got one without a step count and optimizer moments\./);
    trainer.dispose();
  });

  test("another algorithm's or task's checkpoint is refused by the first difference, and nothing is written", async () => {
    const first = make(psr);
    await first.step();
    const saved = decodeCheckpoint(await first.checkpoint());
    first.dispose();
    const other = new LetterTask();
    Object.assign(other, { name: "other" });
    for (const [trainer, wanted, why] of [
      [make(nsr), "NSR on letter", "algorithm.advantage.right: 1 there, 0 here"],
      [make({ ...psr, optimizer: "sgd" }), "PSR on letter", 'algorithm.optimizer: nothing there, "sgd" here'],
      [make(psr, {}, 1, other), "PSR on other", 'task: "letter" there, "other" here'],
    ] as const) {
      const before = await trainer.weightsSha256();
      expect(() => trainer.restore(saved)).toThrow(CheckpointError);
      expect(() => trainer.restore(saved)).toThrow(
        `trainer: a checkpoint of a run with ${wanted} expected, got one of another (${why}). Start a new run from its weights by trainerFrom instead.`,
      );
      expect(await trainer.weightsSha256()).toBe(before);
      expect(trainer.state.step).toBe(0);
      trainer.dispose();
    }
  });

  test("a checkpoint of before names were kept is refused only for what it lacks", async () => {
    const first = make(nsr);
    await first.step();
    const saved = decodeCheckpoint(await first.checkpoint());
    first.dispose();
    const { algorithm, task: on, ...state } = JSON.parse(saved.metadata.get("naysay.trainer") as string);
    expect([algorithm, on]).toEqual([JSON.parse(JSON.stringify(nsr)), "letter"]);
    const older = { ...saved, metadata: new Map([["naysay.trainer", JSON.stringify(state)]]) };
    for (const [name, lacks] of [
      ["grpo-kl", "the reference policy"],
      ["ppo", "the value head and the reference policy"],
    ]) {
      const trainer = make(name);
      expect(() => trainer.restore(older)).toThrow(new RegExp(`expected, got one without ${lacks}\\. Start`));
      trainer.dispose();
    }
    const trainer = make(psr);
    trainer.restore(older);
    expect(trainer.state).toEqual(state);
    trainer.dispose();
  });

  test("the tokenizer is in the file", async () => {
    const trainer = make(nsr);
    const kept = async (metadata?: Record<string, string>) =>
      decodeCheckpoint(await trainer.checkpoint(metadata)).metadata.get("tokenizer");
    expect(Tokenizer.fromJSON(JSON.parse((await kept()) as string)).vocab).toEqual(task.tokenizer.vocab);
    expect(await kept({ tokenizer: "mine" })).toBe("mine");
    trainer.dispose();
  });
});

describe("configuration", () => {
  test("an algorithm is a record or a name", () => {
    const named = make("w-reinforce:0.2");
    expect(named.algorithm).toEqual(wReinforce(0.2));
    named.dispose();
    for (const [bad, message] of [
      ["nrs", /Did you mean "nsr"/],
      [wReinforce, /^trainer: an algorithm record or name expected, got a function. Call it/],
      [undefined, /^trainer: an algorithm record or name expected, got undefined/],
      [
        { ...nsr, keep: "wrongs" },
        /^trainer: algorithm\.keep: .* expected, got "wrongs"\. Did you mean "wrong"/,
      ],
    ] as const) {
      expect(() => make(bad as never)).toThrow(message);
      expect(() => make(bad as never)).toThrow(ConfigError);
    }
  });

  test.each([
    [{ learningRate: Number.NaN }, /train: learningRate: a number in \[0, 10\] expected, got NaN/],
    [{ promptsPerStep: 0 }, /promptsPerStep/],
    [{ temprature: 1 }, /Did you mean "temperature"/],
    [{ miniBatches: { kind: "rows" } }, /miniBatches.rows: a number expected, got none/],
    [{ maxGradNorm: 0 }, /maxGradNorm/],
  ])("refuses %j", (bad, message) => expect(() => trainConfig(bad as never)).toThrow(message));

  test("programs of another model than the checkpoint's are refused by the first difference", async () => {
    const trainer = make(nsr);
    const saved = decodeCheckpoint(await trainer.checkpoint());
    trainer.dispose();
    const from = (base: DecodedCheckpoint): void =>
      trainerFrom(base, { task, algorithm: nsr, config: train, seed: 1, shared }).dispose();
    expect(() => from(saved)).not.toThrow();
    const heads = { ...saved, config: { ...saved.config, numHeads: 2 * saved.config.numHeads } };
    expect(() => from(heads)).toThrow(
      /^trainer: programs of the checkpoint's model expected, got numHeads 4 in the checkpoint and 2 here\. Make/,
    );
    expect(() => from(new Uint8Array(8) as never)).toThrow(/undefined in the checkpoint .*decodeCheckpoint/);
  });

  test("a checkpoint of another model is refused by the first difference, and nothing is written", async () => {
    const trainer = make(nsr);
    const own = decodeCheckpoint(await trainer.checkpoint());
    const before = await trainer.weightsSha256();
    for (const change of [{ numHeads: 4 }, { ropeTheta: 5 }, { numLayers: 2 }, { numLayers: 0 }]) {
      const weights = new Map([...own.weights].map(([name, w]) => [name, w.map((x) => x + 1)]));
      const other = { ...own, weights, config: { ...own.config, ...change } };
      const [[key, value]] = Object.entries(change);
      expect(() => trainer.restore(other)).toThrow(
        `trainer: a checkpoint of this trainer's model expected, got ${key} ${value} in the checkpoint and`,
      );
    }
    expect(await trainer.weightsSha256()).toBe(before);
    trainer.restore(own);
    trainer.dispose();
  });

  test("what is left out or misspelt is named, and nothing is made of it", async () => {
    const params = initializeParameters(config, 3);
    const trainer = new Trainer({ task, algorithm: nsr, config: train, seed: 1, params, shared });
    const base = decodeCheckpoint(await trainer.checkpoint());
    trainer.dispose();
    const live = backend.memory().liveBytes;
    const given = { task, algorithm: "nsr", config: train, seed: 1, shared };
    for (const [change, message] of [
      [{ task: undefined }, /^trainer: task: an object expected, got undefined\. Take one of makeTask/],
      [
        { shared: undefined },
        /^trainer: shared: an object expected, got undefined\. Make it by sharedPrograms/,
      ],
      [{ obsever: {} }, /^trainer: obsever: a known option expected, .*"observer"/],
      [{ seed: undefined }, /^seed: an integer in .* expected, got undefined/],
    ] as const) {
      const options = { ...given, ...change } as never;
      expect(() => trainerFrom(base, options)).toThrow(message);
      expect(backend.memory().liveBytes).toBe(live);
    }
    expect(() => new Trainer(given as never)).toThrow(
      /^trainer: params: an object expected, got undefined\. Make/,
    );
  });

  test("options of shared programs are checked by name", () => {
    const refused = (options: unknown, message: RegExp): void => {
      expect(() => sharedPrograms(config, options as never)).toThrow(message);
      expect(() => sharedPrograms(config, options as never)).toThrow(ConfigError);
    };
    refused({ row: 64, scoreRows: 64 }, /^sharedPrograms: row: a known key expected, .*Did you mean "rows"/);
    refused({ rows: 64 }, /^sharedPrograms: scoreRows: an integer >= 1 expected, got undefined/);
    refused(undefined, /^sharedPrograms: an object expected, got undefined/);
  });

  test("a model with fewer tokens than the task is refused", () => {
    const small = {
      ...shared,
      model: { ...shared.model, config: { ...config, vocabSize: 3 } },
    } as SharedPrograms;
    expect(
      () =>
        new Trainer({
          task,
          algorithm: nsr,
          config: train,
          seed: 1,
          params: initializeParameters(config, 3),
          shared: small,
        }),
    ).toThrow(/at least the tokenizer's/);
  });
});

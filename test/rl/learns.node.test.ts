/**
 * It learns: from "no" alone the shipped base gets better at its training problems, and with the advantage's sign turned
 * it gets worse. The reward is measured on the same problems with the same random numbers before and after, and the
 * differences of three seeds are paired problem by problem.
 */

import { beforeAll, describe, expect, test } from "vitest";
import { bootstrapMean } from "../../src/eval/bootstrap.ts";
import { mean } from "../../src/eval/estimators.ts";
import { evaluate } from "../../src/eval/harness.ts";
import { passRows } from "../../src/eval/measurement.ts";
import { type DecodedCheckpoint, decodeCheckpoint, parametersFrom } from "../../src/model/checkpoint.ts";
import type { Algorithm } from "../../src/rl/algorithm.ts";
import { flipped, nsr } from "../../src/rl/algorithms.ts";
import { measurePolicy } from "../../src/rl/measure.ts";
import { experimentConfig } from "../../src/rl/presets.ts";
import type { Problem, Task } from "../../src/rl/task.ts";
import { makeTask } from "../../src/rl/taskTable.ts";
import { type SharedPrograms, sharedPrograms, trainerFrom } from "../../src/rl/trainer.ts";
import type { FlatTensors } from "../../src/tensor/create.ts";
import { Rng, Stream, seedWords } from "../../src/tensor/random.ts";
import { useBackend } from "../helpers/backend.ts";
import { quickBase } from "../helpers/quickBase.ts";

const SEEDS = [1, 2, 3];
const config = experimentConfig("quick");
let task: Task;
let base: DecodedCheckpoint;
let shared: SharedPrograms;

beforeAll(async () => {
  await useBackend();
  task = makeTask(config.task);
  base = decodeCheckpoint(await quickBase());
  shared = sharedPrograms(base.config, { rows: config.rows, scoreRows: config.scoreRows });
});

/** Right answers of each problem out of `samples`. */
async function rewards(params: FlatTensors, problems: Problem[], samples: number, seed: number) {
  const { tallies } = await evaluate(
    shared.generator,
    params.tensors,
    problems.map(({ prompt }) => prompt),
    {
      samples,
      samplesPerCall: config.train.numGenerations,
      promptsPerCall: config.train.promptsPerStep,
      seed,
      maxCompletionLength: task.maxCompletionLength,
      promptLength: task.promptLength,
      eosTokenId: task.tokenizer.eos,
      padTokenId: task.tokenizer.pad,
      isRight: (i, completion) => task.verify(problems[i].prompt, Array.from(completion)).reward === 1,
    },
  );
  return tallies;
}

/** What the base does on a seed's problems: the same before every algorithm. */
const untrained = new Map<number, Awaited<ReturnType<typeof rewards>>>();

/** Change of the mean training reward of each problem through `steps` updates. */
async function change(algorithm: Algorithm, seed: number, steps: number): Promise<number[]> {
  const problems = task.distinct(new Rng(seed, Stream.test), "train", 48);
  const trainer = trainerFrom(base, {
    task,
    algorithm,
    config: { ...config.train, steps },
    seed,
    shared,
  });
  try {
    const before = untrained.get(seed) ?? (await rewards(trainer.params, problems, 8, seed));
    untrained.set(seed, before);
    for await (const _ of trainer.steps());
    const after = await rewards(trainer.params, problems, 8, seed);
    return after.map((tally, i) => (tally.c - before[i].c) / tally.n);
  } finally {
    trainer.dispose();
  }
}

describe("the shipped base", () => {
  test("is between knowing and not knowing", async () => {
    const { prompts } = config.evaluation;
    const problems = task.distinct(new Rng(1, Stream.data), "heldOut", prompts);
    const params = parametersFrom(base);
    // From the probabilities of all right answers: what more and more samples would go to.
    const evaluation = { ...config.evaluation, exact: true };
    const options = {
      task,
      problems,
      shared,
      seed: seedWords(1),
      evaluation,
      samplesPerCall: 8,
      promptsPerCall: 16,
    };
    const { measurement } = await measurePolicy(params, options);
    params.dispose();
    const [one, all] = [1, 256].map((k) => mean(passRows(measurement, [k]).map(([pass]) => pass)));
    expect(one).toBeGreaterThan(0.3);
    expect(one).toBeLessThan(0.6);
    expect(all).toBeGreaterThanOrEqual(0.95);
  });
});

describe("training", () => {
  test("NSR raises the reward: paired 95 % interval above zero over three seeds", async () => {
    const differences = [];
    for (const seed of SEEDS) differences.push(...(await change(nsr, seed, 8)));
    const { mean, low, high } = bootstrapMean(differences, { seed: 1 });
    console.log(`NSR: ${mean.toFixed(3)} [${low.toFixed(3)}, ${high.toFixed(3)}]`);
    expect(low).toBeGreaterThan(0);
  }, 400_000);

  test("with the sign turned it falls: the interval of the same seeds lies below zero", async () => {
    const differences = [];
    // Half the updates are enough: unlearning is faster than learning.
    for (const seed of SEEDS) differences.push(...(await change(flipped(nsr), seed, 4)));
    const { mean, low, high } = bootstrapMean(differences, { seed: 1 });
    console.log(`NSR flipped: ${mean.toFixed(3)} [${low.toFixed(3)}, ${high.toFixed(3)}]`);
    expect(high).toBeLessThan(0);
  }, 400_000);
});

/**
 * On every task that lists its answers, exact Pass@k is what sampling goes to: the right samples of a policy that has
 * learnt a little are as many as a binomial with the exact probability gives, by problem and in all.
 */
import { beforeAll, expect, test } from "vitest";
import { passOfProbability } from "../../src/eval/estimators.ts";
import { type Measurement, passRows } from "../../src/eval/measurement.ts";
import { decodeCheckpoint, parametersFrom } from "../../src/model/checkpoint.ts";
import { evaluationRules } from "../../src/rl/evaluationConfig.ts";
import { makeBase } from "../../src/rl/makeBase.ts";
import { measurePolicy } from "../../src/rl/measure.ts";
import type { Problem, Task } from "../../src/rl/task.ts";
import { makeTask, taskNames } from "../../src/rl/taskTable.ts";
import { sharedPrograms } from "../../src/rl/trainer.ts";
import { Rng, Stream, seedWords } from "../../src/tensor/random.ts";
import { validate } from "../../src/tensor/validate.ts";
import { useBackend } from "../helpers/backend.ts";
import { repeat, seed } from "../helpers/seed.ts";

beforeAll(async () => {
  await useBackend();
});

/** Small problems, so that a policy of a few hundred weights gets some right in seconds. */
const SMALL: Record<string, Record<string, unknown>> = {
  countdown: { numbers: [1, 3], targets: [1, 6] },
  maze: { size: 5, pool: 2 },
  "graph-path": { nodes: 5, edges: 6, paths: 2, pool: 2 },
  "modular-sum": { modulus: 5, size: 4, pick: 2 },
  sudoku4: { clues: 12, solutions: [1, 4], pool: 2 },
  addition: { digits: 1 },
};
const SAMPLES = 256;
const PROBLEMS = 1;

/**
 * The task with one problem in every split: it is learnt by heart, which is all that is wanted here. Half of the traces
 * are right answers, whatever share of its own the task gives wrong.
 */
function withProblems(task: Task, problems: readonly Problem[]): Task {
  return {
    name: task.name,
    tokenizer: task.tokenizer,
    promptLength: task.promptLength,
    maxCompletionLength: task.maxCompletionLength,
    sample: (rng) => problems[rng.int(problems.length)],
    distinct: (_rng, _split, count) => problems.slice(0, count),
    trace(rng, problem) {
      if (rng.int(2) === 0) return task.trace(rng, problem);
      const answers = [...(task.answers?.(problem) ?? [])].slice(0, 4);
      return { completion: answers[rng.int(answers.length)], correct: true, mode: problem.modes[0] };
    },
    verify: (prompt, completion) => task.verify(prompt, completion),
    answers: (problem) => task.answers?.(problem) ?? [],
    modeOf: (problem, completion) => task.modeOf?.(problem, completion) ?? null,
  };
}

/** Whether the policy is right often enough to show anything. */
const enough = ({ rightMass = [] }: Measurement) => Math.max(...rightMass) > 0.02;

test("every task lists its answers", () => {
  expect(Object.keys(SMALL).sort()).toEqual([...taskNames].sort());
});

test.each(Object.keys(SMALL))("%s", async (name) => {
  const whole = makeTask({ name, config: SMALL[name] });
  const problems = whole.distinct(new Rng(seed, Stream.data), "train", PROBLEMS);
  const task = withProblems(whole, problems);
  // How long it takes to learn one problem by heart depends on the problem and the seed.
  const learn = async (steps: number) => {
    const { bytes } = await makeBase({
      task,
      model: { hiddenSize: 16, numLayers: 1, numHeads: 2 },
      pretrain: { steps, batchRows: 16, microBatchRows: 16, learningRate: 1e-2, warmupSteps: 5 },
      seed,
    });
    return decodeCheckpoint(bytes);
  };
  let base = await learn(100);
  let params = parametersFrom(base);
  const shared = sharedPrograms(base.config, { rows: 64, scoreRows: 64 });
  const options = { task, problems, shared, seed: seedWords(seed), samplesPerCall: 64, promptsPerCall: 1 };
  const config = (exact: boolean) =>
    validate("test", evaluationRules, { prompts: PROBLEMS, samples: SAMPLES, exact, entropySamples: 1 });
  const measureExact = () => measurePolicy(params, { ...options, evaluation: config(true) });
  let exact = await measureExact();
  for (let steps = 200; steps <= 1600 && !enough(exact.measurement); steps *= 2) {
    params.dispose();
    base = await learn(steps);
    params = parametersFrom(base);
    exact = await measureExact();
  }
  const sampled = await measurePolicy(params, { ...options, evaluation: config(false) });
  const mass = exact.measurement.rightMass as number[];
  // A policy that never is right would show nothing.
  expect(enough(exact.measurement), repeat).toBe(true);
  let [expected, spread, counted] = [0, 0, 0];
  (sampled.measurement.tallies ?? []).forEach(({ c }, i) => {
    const variance = SAMPLES * mass[i] * (1 - mass[i]);
    expect(Math.abs(c - SAMPLES * mass[i]), repeat).toBeLessThan(5 * Math.sqrt(variance) + 1e-3 * SAMPLES);
    expected += SAMPLES * mass[i];
    spread += variance;
    counted += c;
  });
  expect(Math.abs(counted - expected), repeat).toBeLessThan(4.5 * Math.sqrt(spread) + 1);
  // Modes share out the same probability, and the same samples.
  exact.measurement.modes?.forEach((modes, i) => {
    const sum = modes.reduce((a, b) => a + b, 0);
    expect(sum).toBeLessThanOrEqual(mass[i] + 1e-9);
    modes.forEach((q, m) => {
      const drawn = sampled.measurement.modes?.[i][m] ?? Number.NaN;
      expect(Math.abs(drawn - SAMPLES * q)).toBeLessThan(5 * Math.sqrt(SAMPLES * q * (1 - q)) + 1);
    });
  });
  // Pass@4 of the samples and of the probability, which Pass@k is a smooth function of.
  const [found] = [passRows(sampled.measurement, [4])];
  found.forEach(([value], i) => {
    const p = mass[i];
    const slope = 4 * (1 - p) ** 3;
    const error = 5 * slope * Math.sqrt((p * (1 - p)) / SAMPLES) + 0.01;
    expect(Math.abs(value - passOfProbability(p, 4))).toBeLessThan(error);
  });
  params.dispose();
  shared.dispose();
});

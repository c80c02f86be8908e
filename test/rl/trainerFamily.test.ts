/** The trainer with every kind of algorithm: one program each, bits that a checkpoint carries, verifiers that misbehave. */
import { beforeAll, describe, expect, test } from "vitest";
import { decodeCheckpoint } from "../../src/model/checkpoint.ts";
import { initializeParameters } from "../../src/model/parameters.ts";
import type { Algorithm } from "../../src/rl/algorithm.ts";
import { ALGORITHMS, algorithmByName, grpo, nsr, ppo, reinforce } from "../../src/rl/algorithms.ts";
import { FAILED, INVALID, TIMED_OUT } from "../../src/rl/judge.ts";
import { taskModel } from "../../src/rl/makeBase.ts";
import type { StepMetrics } from "../../src/rl/stepMetrics.ts";
import type { AnyTask, Verdict } from "../../src/rl/task.ts";
import type { TrainConfig } from "../../src/rl/trainConfig.ts";
import { type SharedPrograms, sharedPrograms, Trainer } from "../../src/rl/trainer.ts";
import type { WebGpuBackend } from "../../src/tensor/webgpu.ts";
import { useBackend } from "../helpers/backend.ts";
import { LetterTask } from "../helpers/letterTask.ts";

const task = new LetterTask();
const config = taskModel(task, { hiddenSize: 8, numLayers: 1, numHeads: 2 });
let backend: WebGpuBackend;
let shared: SharedPrograms;
beforeAll(async () => {
  ({ backend } = await useBackend());
  shared = sharedPrograms(config, { rows: 8, scoreRows: 8 });
});

function make(
  algorithm: Algorithm,
  changes: Partial<TrainConfig> = {},
  on: AnyTask = task,
  initial = 3,
): Trainer {
  return new Trainer({
    task: on,
    algorithm,
    config: {
      steps: 4,
      promptsPerStep: 2,
      numGenerations: 4,
      learningRate: 1e-2,
      microBatchRows: 4,
      ...changes,
    },
    seed: 1,
    params: initializeParameters(config, initial, { std: 0.3 }),
    shared,
    now: () => 0,
  });
}

async function collect(trainer: Trainer): Promise<StepMetrics[]> {
  const rows: StepMetrics[] = [];
  for await (const row of trainer.steps()) rows.push(row);
  return rows;
}

describe("every preset", () => {
  // k = numGenerations would make every group's Pass@k 0 or 1, and its deviation 0.
  const names = Object.keys(ALGORITHMS).map((name) => (/^(pass-k|pkpo)$/.test(name) ? `${name}:2` : name));
  test.each(names)("%s trains, and compiles nothing after its first update", async (name) => {
    // Two mini-batches and two epochs: several updates of one rollout, with a ratio that leaves 1.
    const miniBatches = { kind: "count", count: 2 } as const;
    const trainer = make(algorithmByName(name), { steps: 3, miniBatches, epochs: 2 });
    const start = await trainer.weightsSha256();
    let programs = 0;
    for await (const row of trainer.steps()) {
      for (const x of [row.loss, row.grad_norm]) expect(x === null || Number.isFinite(x)).toBe(true);
      if (row.updates > 0 && programs === 0) programs = backend.counters().programs;
      else if (programs > 0) expect(backend.counters().programs).toBe(programs);
    }
    expect(programs).toBeGreaterThan(0);
    expect(trainer.state.updates).toBeGreaterThan(4);
    expect(await trainer.weightsSha256()).not.toBe(start);
    trainer.dispose();
  });
});

const FULL: Algorithm = { ...ppo, entropy: { coefficient: 0.01, target: 1.2, rate: 0.002 }, epochs: 2 };

describe("what a checkpoint carries", () => {
  test.each([
    ["a value head, a reference and an entropy weight", FULL],
    ["gradient descent without moments", { ...nsr, optimizer: "sgd" } as Algorithm],
    ["a value head of gradient descent", { ...ppo, optimizer: "sgd" } as Algorithm],
    [
      "KL to the start in the loss",
      { ...grpo, kl: { estimator: "k2", where: "loss", coefficient: 0.1 } } as Algorithm,
    ],
    [
      "KL in the reward",
      { ...reinforce, kl: { estimator: "k1", where: "reward", coefficient: 0.1 } } as Algorithm,
    ],
    ["a schedule", algorithmByName("nsr-to-w:0.5")],
  ])("%s: the same bits after a stop", async (_name, algorithm) => {
    const whole = make(algorithm);
    const rows = await collect(whole);
    const want = await whole.weightsSha256();
    whole.dispose();

    const first = make(algorithm);
    for (let i = 0; i < 2; i++) await first.step();
    const bytes = await first.checkpoint();
    first.dispose();
    // From other weights: all that the run began with is in the checkpoint.
    const second = make(algorithm, {}, task, 4);
    second.restore(decodeCheckpoint(bytes));
    expect(await collect(second)).toEqual(rows.slice(2));
    expect(await second.weightsSha256()).toBe(want);
    second.dispose();
  });

  test("gradient descent moves the value head by its gradient, whatever Adam would", async () => {
    const trainer = make({ ...ppo, optimizer: "sgd" }, { steps: 1, learningRate: 1e-6 });
    await trainer.step();
    const { extras } = decodeCheckpoint(await trainer.checkpoint());
    trainer.dispose();
    expect([...extras.keys()].sort()).toEqual(["head", "reference"]);
    const moved = [...extras.get("head")!.values()].flatMap((values) => [...values]);
    expect(Math.max(...moved.map(Math.abs))).toBeGreaterThan(0);
    // A step of Adam's would be 1e-5 in every weight; maxGradNorm is 1.
    expect(Math.max(...moved.map(Math.abs))).toBeLessThanOrEqual(1e-6);
  });

  test("a checkpoint without the value head is refused by name", async () => {
    const plain = make({ ...nsr, name: FULL.name });
    await plain.step();
    const saved = decodeCheckpoint(await plain.checkpoint());
    plain.dispose();
    const other = make(FULL);
    // As of before the algorithm was kept.
    const { algorithm: _, ...rest } = JSON.parse(saved.metadata.get("naysay.trainer") as string);
    const older = { ...saved, metadata: new Map([["naysay.trainer", JSON.stringify(rest)]]) };
    expect(() => other.restore(older)).toThrow(
      /^trainer: a checkpoint of a run with .* got one without the value head/,
    );
    other.dispose();
  });
});

describe("terms", () => {
  test("KL starts at 0 and grows; an entropy weight moves towards its target", async () => {
    const trainer = make(FULL, { steps: 3 });
    const rows = await collect(trainer);
    expect(rows[0].kl).toBe(0);
    expect(rows[2].kl).not.toBe(0);
    expect(rows[0].entropy_coefficient).toBe(0.01);
    for (let i = 1; i < rows.length; i++) {
      const change = (rows[i].entropy_coefficient as number) - (rows[i - 1].entropy_coefficient as number);
      expect(change).toBeCloseTo(rows[i - 1].entropy < 1.2 ? 0.002 : -0.002, 12);
    }
    trainer.dispose();
    const without = make(nsr, { steps: 1 });
    expect((await collect(without))[0]).not.toHaveProperty("kl");
    without.dispose();
  });

  test("KL in the reward needs a rule that compares rewards", () => {
    const kl = { estimator: "k1", where: "reward", coefficient: 0.1 } as const;
    expect(() => make({ ...nsr, kl })).toThrow(/Use where: "loss"/);
  });

  test("an abort between updates lets the step finish: a checkpoint holds whole steps only", async () => {
    const changes = { steps: 2, epochs: 3 };
    const whole = make(grpo, changes);
    await collect(whole);
    const torn = make(grpo, changes);
    const abort = new AbortController();
    const first = torn.step(abort.signal);
    // By the time that the step updates, the abort has come.
    const watch = setInterval(() => {
      if (torn.updatesMade > 0) abort.abort(new Error("late"));
    }, 0);
    await first.finally(() => clearInterval(watch));
    expect(torn.state).toMatchObject({ step: 1, updates: 3 });
    const bytes = await torn.checkpoint();
    const again = make(grpo, changes);
    again.restore(decodeCheckpoint(bytes));
    await collect(again);
    expect(await again.weightsSha256()).toBe(await whole.weightsSha256());
    for (const t of [whole, torn, again]) t.dispose();
  });

  test("KL in the loss survives padding that is all but impossible", async () => {
    // At this temperature the pad token's log-probability is far below what exp() of its negative can hold.
    const kl = { estimator: "k3", where: "loss", coefficient: 0.04 } as const;
    const trainer = make({ ...grpo, kl }, { steps: 2, temperature: 0.004 });
    for (const row of await collect(trainer)) {
      if (row.grad_norm !== null) expect(Number.isFinite(row.grad_norm)).toBe(true);
    }
    expect((await trainer.params.flat[0].data()).every((x) => Number.isFinite(x))).toBe(true);
    trainer.dispose();
  });

  test("epochs go over a rollout again", async () => {
    const trainer = make({ ...grpo, epochs: 3 }, { steps: 1 });
    await trainer.step();
    expect(trainer.state.updates).toBe(3);
    trainer.dispose();
  });

  // Source: the code of arXiv 2506.01347 cuts the batch to the kept rows before it is split in mini-batches of fixed size.
  test("at 76 % accuracy, mini-batches of 256 of 1,024: NSR takes one update where the others take four", async () => {
    const { planUpdates } = await import("../../src/rl/advantages.ts");
    const count = 1024;
    const rewards = Array.from({ length: count }, (_, i) => (i % 100 < 76 ? 1 : 0));
    const updates = (algorithm: Algorithm, cutFirst: boolean): number =>
      planUpdates(rewards, Array(count).fill(5), {
        algorithm,
        numGenerations: 8,
        maxCompletionLength: 8,
        miniBatches: { kind: "rows", rows: 256 },
        cutFirst,
      }).length;
    expect(rewards.filter((r) => r === 0).length).toBeLessThanOrEqual(256);
    expect(updates(nsr, true)).toBe(1);
    expect(updates(algorithmByName("w-reinforce"), true)).toBe(4);
    expect(updates(algorithmByName("psr"), true)).toBe(4);
    expect(updates(nsr, false)).toBe(4);
  });
});

describe("verifiers", () => {
  /** The letter task under another verifier. */
  const under = (verify: (i: number) => Verdict | Promise<Verdict>): AnyTask => {
    let calls = 0;
    const own = new LetterTask();
    return Object.assign(Object.create(own) as AnyTask, { verify: () => verify(calls++) });
  };
  const right: Verdict = { reward: 1, valid: true, reason: "right" };

  test("one that answers later gives the run of one that answers at once", async () => {
    const verdicts = (i: number): Verdict => ({ ...right, reward: i % 3 === 0 ? 1 : 0 });
    const at = make(nsr, { steps: 1 }, under(verdicts));
    const later = make(
      nsr,
      { steps: 1 },
      under(async (i) => {
        // The first asked answers last.
        await new Promise((resolve) => setTimeout(resolve, 20 - 2 * i));
        return verdicts(i);
      }),
    );
    expect(await later.step()).toEqual(await at.step());
    expect(await later.weightsSha256()).toBe(await at.weightsSha256());
    for (const t of [at, later]) t.dispose();
  });

  test("one that throws, rejects, lies or never answers is counted, said aloud, and the run goes on", async () => {
    const trainer = make(
      nsr,
      { steps: 1, verifierTimeout: 30 },
      under((i) => {
        if (i === 0) throw new Error("no network");
        if (i === 1) return Promise.reject(new Error("refused"));
        if (i === 2) return new Promise<Verdict>(() => {});
        if (i === 3) return { ...right, reward: Number.NaN };
        return right;
      }),
    );
    const row = await trainer.step();
    expect(row.reasons).toEqual({ [FAILED]: 2, [TIMED_OUT]: 1, [INVALID]: 1, right: 4 });
    expect(row.verifier_failures).toBe(4);
    expect(row.reward).toBe(0.5);
    expect(row.warnings.join()).toMatch(/the verifier failed on 4 of 8 completions.*no network/);
    // A failure is no word on an answer: NSR has nothing to push down here.
    expect(row.kept_rows).toBe(0);
    expect(trainer.state.updates).toBe(0);
    trainer.dispose();
  });

  test.each([undefined, null, true, 1, "right", {}])(
    "a verdict that is none (%j), at once or later",
    async (none) => {
      for (const verdict of [none, Promise.resolve(none)]) {
        const trainer = make(
          nsr,
          { steps: 1 },
          under(() => verdict as unknown as Verdict),
        );
        const row = await trainer.step();
        expect(row.reasons).toEqual({ [INVALID]: 8 });
        expect(row.warnings.join()).toMatch(/a verdict with a reward in \[0, 1\] was expected/);
        expect(row.warnings.join()).not.toContain("the task is too");
        trainer.dispose();
      }
    },
  );

  test("an abort does not wait for a verifier", async () => {
    const trainer = make(
      nsr,
      { steps: 1, verifierTimeout: 60_000 },
      under(() => new Promise<Verdict>(() => {})),
    );
    const abort = new AbortController();
    const step = trainer.step(abort.signal);
    setTimeout(() => abort.abort(new Error("enough")), 300);
    await expect(step).rejects.toThrow("enough");
    trainer.dispose();
  });

  test.each([
    [nsr, true],
    [grpo, false],
  ])("graded rewards: whether $name takes them for right is said once a run", async (algorithm, said) => {
    const heard = ({ warnings }: StepMetrics): boolean =>
      /takes every reward above 0 for right/.test(warnings.join());
    for (const least of [0, 1 / 4]) {
      const graded = (): AnyTask => under((i) => ({ ...right, reward: i % 2 === 0 ? 1 : least }));
      const trainer = make(algorithm, { steps: 2 }, graded());
      expect((await collect(trainer)).map(heard)).toEqual([said && least > 0, false]);
      const bytes = await trainer.checkpoint();
      trainer.dispose();
      const later = make(algorithm, { steps: 3 }, graded());
      later.restore(decodeCheckpoint(bytes));
      expect((await collect(later)).map(heard)).toEqual([false]);
      later.dispose();
    }
  });

  test("graded rewards reach the rules that compare", async () => {
    const trainer = make(
      grpo,
      { steps: 1 },
      under((i) => ({ ...right, reward: (i % 4) / 4 })),
    );
    const row = await trainer.step();
    expect(row.reward).toBeCloseTo((0 + 0.25 + 0.5 + 0.75) / 4, 12);
    expect(row.grad_norm).toBeGreaterThan(0);
    trainer.dispose();
  });
});

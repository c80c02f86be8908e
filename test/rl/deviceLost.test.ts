/** A device lost in the middle of a step: the promise rejects by name, and a fresh device ends with the same bits. */
import { expect, test } from "vitest";
import { decodeCheckpoint } from "../../src/model/checkpoint.ts";
import { modelConfig } from "../../src/model/config.ts";
import { initializeParameters } from "../../src/model/parameters.ts";
import { nsr } from "../../src/rl/algorithms.ts";
import { Countdown } from "../../src/rl/tasks/countdown.ts";
import { sharedPrograms, Trainer } from "../../src/rl/trainer.ts";
import { DeviceLostError } from "../../src/tensor/errors.ts";
import { useBackend } from "../helpers/backend.ts";

const task = new Countdown({ numbers: [1, 4], targets: [1, 9] });
const config = modelConfig({
  vocabSize: task.tokenizer.vocabSize,
  hiddenSize: 16,
  numLayers: 1,
  numHeads: 2,
  maxPositions: 16,
});

function makeTrainer(): Trainer {
  return new Trainer({
    task,
    algorithm: nsr,
    config: { steps: 4, promptsPerStep: 4, numGenerations: 4, learningRate: 1e-3, microBatchRows: 16 },
    seed: 5,
    params: initializeParameters(config, 3),
    shared: sharedPrograms(config, { rows: 16, scoreRows: 16 }),
  });
}

test("a run goes on from its last checkpoint on a fresh device, bit for bit", async () => {
  await useBackend();
  const whole = makeTrainer();
  for await (const _ of whole.steps()) {
    // Four steps without a disturbance.
  }
  const want = await whole.weightsSha256();

  const { backend } = await useBackend();
  const first = makeTrainer();
  await first.step();
  await first.step();
  const saved = await first.checkpoint();
  const third = first.step();
  backend.device.gpu.destroy();
  await expect(third).rejects.toBeInstanceOf(DeviceLostError);
  await expect(first.step()).rejects.toBeInstanceOf(DeviceLostError);

  await useBackend();
  const second = makeTrainer();
  second.restore(decodeCheckpoint(saved));
  expect(second.state.step).toBe(2);
  for await (const _ of second.steps()) {
    // The two steps that are left.
  }
  expect(await second.weightsSha256()).toBe(want);
}, 120_000);

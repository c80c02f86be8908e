/** `naysay/worker/entry` in a thread of Node's: the built package's own script, found by its name. */
import { Worker } from "node:worker_threads";
import { beforeAll, expect, test } from "vitest";
import { encodeCheckpoint } from "../../src/model/checkpoint.ts";
import { modelConfig } from "../../src/model/config.ts";
import { initializeParameters } from "../../src/model/parameters.ts";
import { connect, type NaysayWorker } from "../../src/worker/index.ts";
import { useReference } from "../helpers/backend.ts";
import { runCommand } from "../helpers/command.ts";

let worker: NaysayWorker;
/** The thread's exit code. */
let ended: Promise<number>;
beforeAll(async () => {
  // By the package's own conditions, as a program that depends on it finds it.
  const script = 'console.log(import.meta.resolve("naysay/worker/entry"))';
  const { stdout } = await runCommand(process.execPath, ["--input-type=module", "-e", script]);
  const thread = new Worker(new URL(stdout.trim()));
  ended = new Promise((resolve) => thread.once("exit", resolve));
  worker = await connect(thread);
});

async function checkpoint(hiddenSize: number): Promise<Uint8Array> {
  await useReference(); // The device is the thread's.
  const config = modelConfig({ vocabSize: 8, hiddenSize, numLayers: 1, numHeads: 2, maxPositions: 8 });
  return encodeCheckpoint({ config, params: initializeParameters(config, 1, { std: 0.2 }) });
}

test("it serves: a policy is opened, samples and learns", async () => {
  expect(worker.info).toMatchObject({ storage: "persistent", adapter: { backend: "vulkan" } });
  const policy = await worker.policy({ checkpoint: await checkpoint(16) });
  const before = await policy.distribution({ context: [1] });
  const [likeliest] = [...before.keys()].sort((a, b) => before[b] - before[a]);
  const examples = [{ prompt: [1], completion: [likeliest], reward: 0 }];
  expect(await policy.learn({ examples, learningRate: 1e-2 })).toMatchObject({ updates: 1, learned: true });
  const after = await policy.distribution({ context: [1] });
  expect(after[likeliest]).toBeLessThan(before[likeliest]);
});

test("an error comes back by its name; closed with work under way, the thread ends and the process goes on", async () => {
  await expect(worker.experiment({ preset: "quik", seed: 1 }).result).rejects.toThrow(/^preset: one of/);
  // Programs of another shape, whose pipelines are being made when it is told to end.
  const policy = await worker.policy({ checkpoint: await checkpoint(32) });
  const learning = policy.learn({
    examples: [{ prompt: [1, 2], completion: [3, 4], reward: 0 }],
    learningRate: 1e-2,
  });
  await new Promise((resolve) => setTimeout(resolve, 100));
  worker.close();
  await expect(learning).rejects.toThrow(/an open worker was expected, got a closed one/);
  expect(await ended).toBe(0);
});

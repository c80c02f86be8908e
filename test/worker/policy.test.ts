/** A policy in a worker: sampled with streamed tokens, and taught by rejections alone. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { encodeCheckpoint } from "../../src/model/checkpoint.ts";
import { modelConfig } from "../../src/model/config.ts";
import type { Files } from "../../src/model/files.ts";
import { initializeParameters } from "../../src/model/parameters.ts";
import { Tokenizer } from "../../src/model/tokenizer.ts";
import { nsr } from "../../src/rl/algorithms.ts";
import { Addition } from "../../src/rl/tasks/addition.ts";
import { backend } from "../../src/tensor/backend.ts";
import { CheckpointError, ConfigError } from "../../src/tensor/errors.ts";
import { log } from "../../src/tensor/math.ts";
import type { WebGpuBackend } from "../../src/tensor/webgpu.ts";
import {
  connect,
  type LearnRequest,
  type NaysayWorker,
  type TokensEvent,
  type WorkerPolicy,
} from "../../src/worker/index.ts";
import { serve } from "../../src/worker/serve.ts";
import { useBackend } from "../helpers/backend.ts";
import { memoryFiles } from "../helpers/memoryFiles.ts";

const tokenizer = new Tokenizer("symbol", ["red", "green", "blue", "pink", "?"]);
let checkpoint: Uint8Array;
/** Weights of the same shapes, which another model makes something else of. */
let foreign: Uint8Array;

beforeAll(async () => {
  const { backend: own } = await useBackend();
  const config = modelConfig({
    vocabSize: tokenizer.vocab.length,
    hiddenSize: 16,
    numLayers: 1,
    numHeads: 2,
    maxPositions: 16,
  });
  const params = initializeParameters(config, 11, { std: 0.2 });
  const metadata = { tokenizer: JSON.stringify(tokenizer.toJSON()) };
  checkpoint = await encodeCheckpoint({ config, params, metadata });
  foreign = await encodeCheckpoint({ config: { ...config, ropeTheta: 5000 }, params });
  own.destroy();
});

const memory = memoryFiles();
/** Files of an application: `readFile` gives the very bytes that it keeps. */
const lendingFiles: Files = {
  ...memory,
  readFile: async (path) => memory.content.get(path) as Uint8Array<ArrayBuffer>,
};

let side: { worker: NaysayWorker; close(): void } | null = null;
afterAll(() => side?.close());

/** One worker for all tests: a fresh device would make every kernel anew. */
async function open(): Promise<NaysayWorker> {
  if (side) return side.worker;
  const { port1, port2 } = new MessageChannel();
  const stop = serve(port2, { files: lendingFiles });
  const worker = await connect(port1);
  side = {
    worker,
    close() {
      worker.close();
      stop();
      port2.close();
    },
  };
  return worker;
}

const ASK = { prompts: ["?", "red ?"], numGenerations: 3, maxCompletionLength: 12, seed: 5, temperature: 3 };
const REJECTED = [
  { prompt: "?", completion: "red", reward: 0 },
  { prompt: "?", completion: "blue green", reward: 0 },
];

const probability = async (policy: WorkerPolicy, context: string, word: string): Promise<number> =>
  (await policy.distribution({ context }))[tokenizer.id(word)];

test("tokens come as they are drawn and are those of the completions", async () => {
  const worker = await open();
  expect(worker.info.storage, "the files are the caller's").toBe("custom");
  const policy = await worker.policy({ checkpoint });
  expect(policy.info).toMatchObject({ updates: 0, vocab: tokenizer.vocab });
  const whole = await policy.generate({ ...ASK, streamEvery: 12 }).result;
  expect(whole.map((c) => c.prompt)).toEqual([0, 0, 0, 1, 1, 1]);
  expect(new Set(whole.map((c) => c.tokens.length)).size, "lengths that differ").toBeGreaterThan(1);
  for (const streamEvery of [1, 2]) {
    const streamed: number[][] = whole.map(() => []);
    const texts = whole.map(() => "");
    const events: TokensEvent[] = [];
    const run = policy.generate({ ...ASK, streamEvery });
    for await (const event of run) {
      events.push(event);
      expect(event.from).toBe(streamed[event.row].length);
      streamed[event.row].push(...event.tokens);
      texts[event.row] += event.text;
    }
    expect(await run.result).toEqual(whole);
    expect(streamed).toEqual(whole.map((c) => c.tokens));
    expect(texts).toEqual(whole.map((c) => c.text));
    expect(events.length).toBeGreaterThan(whole.length);
  }
});

test("log-probabilities are those of the distribution", async () => {
  const policy = await (await open()).policy({ checkpoint });
  const [first] = await policy.generate({ ...ASK, prompts: ["?"] }).result;
  const p = await policy.distribution({ context: "?", temperature: 3 });
  expect(first.logProbs[0]).toBeCloseTo(log(p[first.tokens[0]]), 5);
  expect(Array.from(p).reduce((a, b) => a + b, 0)).toBeCloseTo(1, 5);
});

test("a given completion scores as when it was drawn, whatever stands beside it", async () => {
  const policy = await (await open()).policy({ checkpoint, microBatchRows: 4 });
  const drawn = await policy.generate(ASK).result;
  const examples = drawn.map((c) => ({ prompt: ASK.prompts[c.prompt], completion: c.tokens }));
  const scored = await policy.score({ examples, temperature: ASK.temperature });
  expect(scored.map((row) => row.length)).toEqual(drawn.map((c) => c.tokens.length));
  scored.flat().forEach((value, i) => {
    expect(value).toBeCloseTo(drawn.flatMap((c) => c.logProbs)[i], 4);
  });
  const [text] = await policy.score({ examples: [{ prompt: "?", completion: "red" }] });
  const [ids] = await policy.score({
    examples: [{ prompt: "?", completion: [tokenizer.id("red"), tokenizer.eos] }],
  });
  expect(text).toEqual(ids);
  expect(text[0]).toBeCloseTo(log(await probability(policy, "?", "red")), 5);
  expect(await policy.score({ examples: [] })).toEqual([]);
});

test("rejections alone teach: what was rejected becomes less likely, the rest more", async () => {
  const policy = await (await open()).policy({ checkpoint });
  const before = await policy.distribution({ context: "?" });
  for (let i = 1; i <= 5; i++) {
    const done = await policy.learn({ examples: [REJECTED[0]], learningRate: 1e-2 });
    expect(done).toMatchObject({ updates: i, learned: true });
    expect(done.gradNorm).toBeGreaterThan(0);
  }
  const after = await policy.distribution({ context: "?" });
  const red = tokenizer.id("red");
  expect(after[red]).toBeLessThan(0.5 * before[red]);
  expect(1 - after[red]).toBeGreaterThan(1 - before[red]);
  expect((await policy.current()).updates).toBe(5);
});

test("an algorithm's choices reach the update; what needs more than judged completions is refused", async () => {
  const worker = await open();
  const examples = [REJECTED[0], { ...REJECTED[1], reward: 1 }];
  const after = async (algorithm: string, changes: object = {}): Promise<string> => {
    const policy = await worker.policy({ checkpoint });
    for (let i = 0; i < 2; i++) {
      await policy.learn({ examples, algorithm, changes, learningRate: 1e-2, numGenerations: 2 });
    }
    return (await policy.checkpoint()).join();
  };
  const all = await Promise.all([
    after("grpo"),
    after("grpo", { entropy: { coefficient: 0.5 } }),
    after("grpo", { optimizer: "sgd" }),
    after("grpo", { form: "pi" }),
    after("unlikeliness"),
    after("nsr-to-w:0.9"),
    after("w-reinforce:0"),
  ]);
  expect(new Set(all).size).toBe(all.length);
  for (const name of ["grpo-kl", "ppo"]) {
    await expect(after(name)).rejects.toThrow(/^policy.learn: an algorithm over judged completions expected/);
  }
  await expect(after("pass-k:5")).rejects.toThrow(/numGenerations=2/);
  const policy = await worker.policy({ checkpoint });
  const apart = [examples[0], { ...examples[1], prompt: "red ?" }];
  const learn = (algorithm: string, numGenerations: number) =>
    policy.learn({ examples: apart, algorithm, learningRate: 1e-2, numGenerations });
  for (const name of ["grpo", "dapo", "pkpo:2", "unlikeliness"]) {
    await expect(learn(name, 2)).rejects.toThrow(
      /^policy.learn: groups of numGenerations=2 examples with one prompt expected by .*examples\[1\] than in examples\[0\]/,
    );
  }
  // What compares nothing may learn from any mixture.
  expect(await learn("w-reinforce", 2)).toMatchObject({ updates: 1, learned: true });
});

test("nothing rejected, no step", async () => {
  const policy = await (await open()).policy({ checkpoint });
  const praised = { ...REJECTED[0], reward: 1 };
  expect(await policy.learn({ examples: [praised], learningRate: 1e-2 })).toMatchObject({
    updates: 0,
    learned: false,
  });
  expect(await policy.learn({ examples: [], learningRate: 1e-2 })).toMatchObject({ learned: false });
  expect(await probability(policy, "?", "red")).toBe(
    await probability(await (await open()).policy({ checkpoint }), "?", "red"),
  );
});

test("saved and opened again, or robbed of its device in between, it learns the same bits", async () => {
  const step = (policy: WorkerPolicy, i: number) =>
    policy.learn({ examples: [REJECTED[i % 2]], learningRate: 1e-2 });
  const worker = await open();
  const whole = await worker.policy({ checkpoint });
  for (let i = 0; i < 4; i++) await step(whole, i);
  const want = await whole.checkpoint();

  const first = await worker.policy({ checkpoint });
  for (let i = 0; i < 2; i++) await step(first, i);
  const second = await worker.policy({ checkpoint: await first.checkpoint() });
  expect(second.info.updates).toBe(2);
  for (let i = 2; i < 4; i++) await step(second, i);
  expect(await second.checkpoint()).toEqual(want);

  const robbed = await worker.policy({ checkpoint });
  for (let i = 0; i < 2; i++) await step(robbed, i);
  await worker.loseDevice();
  for (let i = 2; i < 4; i++) await step(robbed, i);
  expect(await robbed.checkpoint()).toEqual(want);
  // The others of the same worker are moved to the fresh device as well.
  expect(await first.checkpoint()).not.toEqual(want);
  for (let i = 2; i < 4; i++) await step(first, i);
  expect(await first.checkpoint()).toEqual(want);
});

test("restored, it has the bits of the checkpoint, and learns the same again", async () => {
  const worker = await open();
  const policy = await worker.policy({ checkpoint });
  for (const optimizer of ["adamw", "sgd"]) {
    const learn = () =>
      policy.learn({
        examples: REJECTED,
        changes: { optimizer },
        learningRate: 1e-2,
        algorithm: "nsr",
      } as LearnRequest);
    await policy.restore(checkpoint.slice());
    const before = await policy.distribution({ context: "?" });
    await learn();
    await learn();
    const once = await policy.checkpoint();
    const moved = await policy.distribution({ context: "?" });
    expect(moved).not.toEqual(before);
    expect(await policy.restore(checkpoint.slice())).toMatchObject({ updates: 0 });
    expect(await policy.checkpoint()).toEqual(checkpoint);
    expect(await policy.distribution({ context: "?" })).toEqual(before);
    await learn();
    await learn();
    expect(await policy.checkpoint()).toEqual(once);
    // Forward again, with moments where there are some.
    await policy.restore(checkpoint.slice());
    await policy.restore(once.slice());
    expect(await policy.distribution({ context: "?" })).toEqual(moved);
    expect((await policy.current()).updates).toBe(2);
  }
  await expect(policy.restore(foreign)).rejects.toThrow(/^policy\.restore: a checkpoint of the same model/);
});

test("a task poses problems and judges answers", async () => {
  const worker = await open();
  const task = { name: "addition", config: { digits: 1 } };
  const asked = await worker.problems({ task, seed: 4, split: "train", count: 3 });
  expect(asked).toEqual(await worker.problems({ task, seed: 4, split: "train", count: 3 }));
  expect(asked.map(({ text }) => text)).toEqual(Array(3).fill(expect.stringMatching(/^\d \+ \d = :$/)));
  const [a, b] = asked[0].text.split(" + ").map((x) => Number(x[0]));
  const { vocab, eos } = new Addition(task.config).tokenizer;
  const digits = (n: number): number[] => [
    vocab.indexOf(String(n % 10)),
    vocab.indexOf(String(Math.floor(n / 10))),
  ];
  const answers = [a + b, (a + b + 1) % 20].map((n) => ({
    prompt: asked[0].prompt,
    completion: [...digits(n), eos],
  }));
  const found = await worker.judge({ task, answers });
  expect(found.map(({ reward, reason }) => [reward, reason])).toEqual([
    [1, "right"],
    [0, "wrongSum"],
  ]);
  await expect(worker.judge({ task: { name: "chess" }, answers })).rejects.toThrow(/^task: one of/);
});

test("a device lost while tokens stream: every token comes once", async () => {
  const worker = await open();
  const policy = await worker.policy({ checkpoint });
  const whole = await policy.generate(ASK).result;
  const streamed: number[][] = whole.map(() => []);
  let lost = false;
  const run = policy.generate({ ...ASK, streamEvery: 1 });
  for await (const event of run) {
    streamed[event.row].push(...event.tokens);
    if (!lost) {
      lost = true;
      await worker.loseDevice();
    }
  }
  expect(await run.result).toEqual(whole);
  expect(streamed).toEqual(whole.map((c) => c.tokens));
});

test("an error of the device that is no loss does not stay for ever", async () => {
  const worker = await open();
  const policy = await worker.policy({ checkpoint });
  const whole = await policy.generate(ASK).result;
  // The worker's backend is this realm's current one.
  const broken = backend();
  (broken as WebGpuBackend).device.gpu.createBuffer({ size: 16, usage: 0xffff });
  // The error comes when it comes: a call that meets it may reject, and the next opens another device.
  for (let i = 0; i < 20 && backend() === broken; i++) await policy.generate(ASK).result.catch(() => {});
  expect(backend()).not.toBe(broken);
  expect(await policy.generate(ASK).result).toEqual(whole);
});

test("one abort ends one call", async () => {
  const policy = await (await open()).policy({ checkpoint });
  const abort = new AbortController();
  const run = policy.generate(ASK, { signal: abort.signal });
  const reason = new Error("enough");
  await expect(
    (async () => {
      for await (const _ of run) abort.abort(reason);
    })(),
  ).rejects.toBe(reason);
  expect(await policy.generate(ASK).result).toHaveLength(6);
});

test("refused by name", async () => {
  const worker = await open();
  await expect(worker.policy({ checkpoint: checkpoint.slice(0, 100) })).rejects.toBeInstanceOf(
    CheckpointError,
  );
  const policy = await worker.policy({ checkpoint });
  const learn = (example: object, more: object = {}) =>
    policy.learn({ examples: [{ ...REJECTED[0], ...example }], learningRate: 1e-2, ...more });
  await expect(learn({ reward: Number.NaN })).rejects.toThrow(
    /reward: a number in \[0, 1\] expected, got NaN/,
  );
  await expect(learn({ reward: false })).rejects.toThrow(/reward: a number in \[0, 1\] expected, got false/);
  await expect(worker.policy({ checkpoint: "x" as never })).rejects.toThrow(/a Uint8Array expected, got "x"/);
  await expect(learn({ completion: "yellow" })).rejects.toThrow(/yellow/);
  await expect(learn({}, { algorithm: "nrs" })).rejects.toThrow(/Did you mean .?nsr/);
  await expect(learn({}, { algorithm: nsr })).rejects.toThrow(/got an object\. Give the name, and/);
  for (const algorithm of ["grpo", "rloo", "dapo"]) {
    await expect(learn({}, { algorithm })).rejects.toThrow(
      /numGenerations of at least 2 expected for .*, got 1\. Give more samples/,
    );
  }
  for (const learningRate of [undefined, Number.NaN, "0.1"]) {
    await expect(learn({}, { learningRate })).rejects.toBeInstanceOf(ConfigError);
    await expect(learn({}, { learningRate })).rejects.toThrow(
      /^policy\.learn: learningRate: a number >= 0 expected, got/,
    );
  }
  await expect(policy.generate({ ...ASK, prompts: [] }).result).rejects.toThrow(/at least one prompt/);
  await expect(policy.generate({ ...ASK, maxCompletionLength: 99 }).result).rejects.toThrow(
    /maxPositions=16/,
  );
  await expect(learn({ completion: [99, 2] })).rejects.toThrow(/token ids in \[0, 8\) expected, got 99/);
  await expect(policy.distribution({ context: [-1] })).rejects.toThrow(/got -1/);
  await expect(policy.distribution({ context: Array(40).fill(3) })).rejects.toThrow(
    /1 to 15 tokens expected, got 40/,
  );
  await expect(policy.distribution({ context: "?", temperature: 0 })).rejects.toThrow(/temperature above 0/);
  const queued = [policy.generate(ASK).result, policy.close(), policy.generate(ASK).result] as const;
  expect(await queued[0]).toHaveLength(6);
  await queued[1];
  await expect(queued[2]).rejects.toThrow(/open policy expected/);
  await expect(policy.current()).rejects.toThrow(/open policy expected/);
});

test("the adapter is checked in the worker, with progress, while a policy waits", async () => {
  const worker = await open();
  const policy = await worker.policy({ checkpoint });
  const seen: string[] = [];
  const { report, text } = await worker.check(
    { tier: "T0", ops: ["add", "exp"], seed: 2 },
    { onEvent: ({ name }) => seen.push(name) },
  );
  expect(report.failures).toBe(0);
  expect(seen).toEqual(["add", "exp"]);
  expect(text).toMatch(/^## naysay check\n/);
  expect(await policy.generate(ASK).result).toHaveLength(6);
});

test("a file is read again and again, whatever files the worker was handed", async () => {
  const worker = await open();
  await worker.writeFile("kept.bin", Uint8Array.of(1, 2, 3));
  for (const _ of [1, 2]) expect(await worker.readFile("kept.bin")).toEqual(Uint8Array.of(1, 2, 3));
  expect(memory.content.get("kept.bin")).toEqual(Uint8Array.of(1, 2, 3));
});

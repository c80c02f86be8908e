import { beforeAll, describe, expect, test, vi } from "vitest";
import { type ModelConfig, modelConfig } from "../../src/model/config.ts";
import { type Generated, type GenerateOptions, Generator } from "../../src/model/generate.ts";
import { initializeParameters } from "../../src/model/parameters.ts";
import { Scorer } from "../../src/model/scoring.ts";
import { packRows } from "../../src/model/sequences.ts";
import { Transformer } from "../../src/model/transformer.ts";
import { backend, setBackend } from "../../src/tensor/backend.ts";
import { init } from "../../src/tensor/init.ts";
import type { WebGpuBackend } from "../../src/tensor/webgpu.ts";
import { type TestBackend, useBackend } from "../helpers/backend.ts";

let on: TestBackend;
beforeAll(async () => {
  on = await useBackend();
});

const small = { vocabSize: 11, hiddenSize: 16, numLayers: 2, numHeads: 4, maxPositions: 40 } as const;
const rope = modelConfig({ ...small, numKeyValueHeads: 2, qkNorm: true });
const learned = modelConfig({
  ...small,
  norm: "layer",
  positions: "learned",
  gatedMlp: false,
  hiddenAct: "gelu_new",
  qkvBias: true,
});
const prompts = [[3, 4, 5], [6], [7, 8, 9, 10, 3, 4, 5, 6, 7, 3], [4, 4]];
const base: GenerateOptions = { maxCompletionLength: 6, seed: 42, eosTokenId: 2, padTokenId: 0 };

function setUp(config: ModelConfig, rows = 8) {
  const model = new Transformer(config);
  return {
    model,
    params: initializeParameters(config, 7, { std: 0.4 }).tensors,
    generator: new Generator(model, { rows }),
  };
}

const row = (g: Generated, r: number): number[] => {
  const from = r * g.maxCompletionLength;
  return Array.from(g.tokens.subarray(from, from + g.lengths[r]));
};
const rowsOf = (g: Generated): number[][] => Array.from({ length: g.rows }, (_, r) => row(g, r));

describe.each([
  ["rotary", rope],
  ["learned", learned],
] as const)("%s positions", (_name, config) => {
  test("log-probabilities of decoding are those of whole sequences", async () => {
    const { model, params, generator } = setUp(config);
    const g = await generator.generate(params, prompts, { ...base, numGenerations: 3 });
    const completions = rowsOf(g);
    const batch = packRows(
      prompts.flatMap((p) => [p, p, p]),
      completions,
      { completionLength: 6, promptLength: 10 },
    );
    const scores = await new Scorer(model, 5).score(params, batch);
    for (let i = 0; i < g.logProbs.length; i++) {
      if (batch.completionMask[i] === 1) {
        expect(Math.abs(g.logProbs[i] - scores.logProbs[i])).toBeLessThan(on.tolerance(1e-6, 1e-4));
        expect(scores.entropy[i]).toBeGreaterThan(0);
      } else expect(g.logProbs[i]).toBe(0);
    }
    expect(new Set(completions.map(String)).size).toBeGreaterThan(6);
  });

  test("a sample depends on its ids alone", async () => {
    const { params, generator } = setUp(config);
    const all = await generator.generate(params, prompts, { ...base, numGenerations: 4 });
    const turned = await generator.generate(params, [...prompts].reverse(), {
      ...base,
      numGenerations: 4,
      promptIds: [3, 2, 1, 0],
    });
    const later = await generator.generate(params, prompts, { ...base, numGenerations: 2, firstSample: 2 });
    const alone = await setUp(config, 3).generator.generate(params, [prompts[1]], {
      ...base,
      numGenerations: 4,
      promptIds: [1],
    });
    for (let p = 0; p < 4; p++) {
      for (let s = 0; s < 4; s++) {
        expect(row(turned, (3 - p) * 4 + s)).toEqual(row(all, p * 4 + s));
        if (s >= 2) expect(row(later, p * 2 + s - 2)).toEqual(row(all, p * 4 + s));
        if (p === 1) expect(row(alone, s)).toEqual(row(all, 4 + s));
      }
    }
    const other = await generator.generate(params, prompts, { ...base, numGenerations: 4, rollout: 1 });
    const seeded = await generator.generate(params, prompts, { ...base, numGenerations: 4, seed: 43 });
    expect(other.tokens).not.toEqual(all.tokens);
    expect(seeded.tokens).not.toEqual(all.tokens);
    expect((await generator.generate(params, prompts, { ...base, numGenerations: 4 })).tokens).toEqual(
      all.tokens,
    );
  });
});

test("what a rollout takes is given back; fewer rows take fewer", async () => {
  const { params, generator } = setUp(rope, 64);
  const run = (n: number): Promise<Generated> =>
    generator.generate(params, prompts, { ...base, numGenerations: n });
  await run(16);
  const { liveBytes } = backend().memory();
  await run(16);
  await run(13);
  expect(backend().memory().liveBytes).toBe(liveBytes);
  expect(generator.programs).toBe(3);
  expect(rowsOf(await run(3))).toEqual(rowsOf(await run(16)).filter((_, r) => r % 16 < 3));
  expect(generator.programs).toBe(6); // the three of 16 rows
});

test("rows end at EOS and stay padded", async () => {
  const { params, generator } = setUp(rope, 16);
  const g = await generator.generate(params, prompts, {
    ...base,
    maxCompletionLength: 12,
    numGenerations: 8,
    padTokenId: 1,
  });
  expect(g.finished.some((f) => f === 1) && g.finished.some((f) => f === 0)).toBe(true);
  for (let r = 0; r < g.rows; r++) {
    const tokens = Array.from(g.tokens.subarray(r * 12, r * 12 + 12));
    const end = tokens.indexOf(2);
    expect(g.lengths[r]).toBe(end < 0 ? 12 : end + 1);
    expect(tokens.slice(g.lengths[r]).every((t) => t === 1)).toBe(true);
  }
});

test("greedy, top-k and top-p; other numbers build no other program", async () => {
  const { model, params, generator } = setUp(rope);
  const greedy = await generator.generate(params, prompts, { ...base, temperature: 0, numGenerations: 2 });
  for (let p = 0; p < 4; p++) expect(row(greedy, 2 * p)).toEqual(row(greedy, 2 * p + 1));
  expect(generator.programs).toBe(3);
  const one = await generator.generate(params, prompts, { ...base, topK: 1, numGenerations: 2, seed: 5 });
  const tiny = await generator.generate(params, prompts, {
    ...base,
    topP: 1e-6,
    temperature: 2,
    numGenerations: 2,
    seed: 6,
  });
  expect(one.tokens).toEqual(greedy.tokens);
  expect(tiny.tokens).toEqual(greedy.tokens);
  expect(generator.programs).toBe(3);

  // The choice that scores best at every step, by whole sequences.
  const scorer = new Scorer(model, 11);
  const best = row(greedy, 0);
  for (let n = 0; n < best.length; n++) {
    const tries = Array.from({ length: 11 }, (_, v) => [...best.slice(0, n), v]);
    const { logProbs } = await scorer.score(
      params,
      packRows(
        tries.map(() => prompts[0]),
        tries,
        { completionLength: 6 },
      ),
    );
    const last = tries.map((_, v) => logProbs[v * 6 + n]);
    expect(last.indexOf(Math.max(...last))).toBe(best[n]);
  }
});

test("samples follow the distribution", async () => {
  const { model, params, generator } = setUp(rope, 500);
  const n = 2000;
  const g = await generator.generate(params, [prompts[0]], {
    ...base,
    maxCompletionLength: 1,
    numGenerations: n,
    temperature: 1.5,
  });
  const tries = Array.from({ length: 11 }, (_, v) => [v]);
  const { logProbs } = await new Scorer(model, 11).score(
    params,
    packRows(
      tries.map(() => prompts[0]),
      tries,
      { completionLength: 1 },
    ),
    1.5,
  );
  for (let v = 0; v < 11; v++) {
    const p = Math.exp(logProbs[v]);
    const seen = Array.from(g.tokens).filter((t) => t === v).length / n;
    expect(Math.abs(seen - p)).toBeLessThan(4.5 * Math.sqrt((p * (1 - p)) / n) + 1e-9);
  }
});

describe("refused before anything runs", () => {
  const cases: [string, number[][], Partial<GenerateOptions> & Record<string, unknown>, RegExp][] = [
    ["no prompt", [], {}, /at least one prompt/],
    ["an empty prompt", [[1], []], {}, /empty prompt at index 1.*BOS/],
    ["a token outside the vocabulary", [[1, 11]], {}, /vocabSize=11 expected, got 11 at position 1/],
    ["too long", [[1]], { maxCompletionLength: 40 }, /maxPositions=40/],
    ["NaN temperature", [[1]], { temperature: Number.NaN }, /temperature/],
    ["negative temperature", [[1]], { temperature: -1 }, /temperature/],
    ["topP 0", [[1]], { topP: 0 }, /topP/],
    ["topP above 1", [[1]], { topP: 1.1 }, /topP/],
    ["topK", [[1]], { topK: 1.5 }, /topK/],
    ["no length", [[1]], { maxCompletionLength: 0 }, /maxCompletionLength/],
    ["EOS outside the vocabulary", [[1]], { eosTokenId: 99 }, /eosTokenId/],
    ["ids", [[1]], { promptIds: [1, 2] }, /promptIds/],
    ["columns", [[1, 2, 3]], { promptLength: 2 }, /promptLength/],
    ["more columns than positions", [[1]], { promptLength: 4096 }, /promptLength: at most/],
    ["more tokens than arrays hold", [[1]], { numGenerations: 2 ** 31 }, /maxCompletionLength of at most/],
    ["a signal that is none", [[1]], { signal: {} as AbortSignal }, /signal: an AbortSignal/],
    ["onTokens that is no function", [[1]], { onTokens: 5 as never }, /onTokens: a function/],
    ["a temperature that is text", [[1]], { temperature: "1" as never }, /temperature: a number/],
    ["an unknown option", [[1]], { topk: 3 }, /topk.*topK/],
    ["more samples than have numbers", [[1]], { firstSample: 2 ** 32 - 1, numGenerations: 2 }, /firstSample/],
  ];
  test.each(cases)("%s", async (_name, given, options, message) => {
    const { params, generator } = setUp(rope);
    const call = generator.generate(params, given, { ...base, ...options });
    await expect(call).rejects.toThrow(message);
    await expect(call).rejects.toHaveProperty("name", "ConfigError");
    expect(generator.programs).toBe(0);
  });
});

test("parameters are their tensors, not the whole that holds them", async () => {
  const { generator } = setUp(rope);
  const whole = initializeParameters(rope, 1);
  await expect(generator.generate(whole as never, [[1]], base)).rejects.toMatchObject({
    name: "ConfigError",
    message: "generate: the tensors of parameters were expected, got a FlatTensors. Pass params.tensors.",
  });
  whole.dispose();
});

test("an aborted signal rejects with its reason, before and between steps", async () => {
  const { params, generator } = setUp(rope);
  const reason = new Error("enough");
  await expect(
    generator.generate(params, prompts, { ...base, signal: AbortSignal.abort(reason) }),
  ).rejects.toBe(reason);
  // Between chunks of rows, too, where each has one token.
  const soon = new AbortController();
  const many = generator.generate(params, prompts, {
    ...base,
    numGenerations: 200,
    maxCompletionLength: 1,
    signal: soon.signal,
  });
  await Promise.resolve();
  soon.abort(reason);
  await expect(many).rejects.toBe(reason);
  const controller = new AbortController();
  const call = generator.generate(params, prompts, {
    ...base,
    maxCompletionLength: 24,
    signal: controller.signal,
  });
  const second = generator.generate(params, prompts, base);
  controller.abort(reason);
  await Promise.all([
    expect(call).rejects.toBe(reason),
    expect(second).rejects.toThrow(/one call at a time/),
  ]);
  expect((await generator.generate(params, prompts, base)).rows).toBe(4);
});

test("what onTokens rejects with, generate rejects with, and nothing is sent on", async () => {
  const { params, generator } = setUp(rope);
  const failure = new Error("no room");
  let calls = 0;
  const onTokens = async (): Promise<void> => {
    calls++;
    await Promise.resolve();
    throw failure;
  };
  const options = { ...base, eosTokenId: undefined, streamEvery: 2 };
  await expect(generator.generate(params, prompts, { ...options, onTokens })).rejects.toBe(failure);
  expect(calls).toBe(1);
  // A slow one is waited for.
  const order: string[] = [];
  await generator.generate(params, prompts, {
    ...options,
    onTokens: async ({ from }) => {
      order.push(`begin ${from}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
      order.push(`end ${from}`);
    },
  });
  expect(order).toEqual([0, 2, 4].flatMap((from) => [`begin ${from}`, `end ${from}`]));
});

test("aborted from the last onTokens, it rejects all the same", async () => {
  const { params, generator } = setUp(rope);
  const reason = new Error("enough");
  const controller = new AbortController();
  const seen: number[] = [];
  const call = generator.generate(params, prompts, {
    ...base,
    eosTokenId: undefined,
    signal: controller.signal,
    onTokens: ({ to }) => {
      seen.push(to);
      if (to === base.maxCompletionLength) controller.abort(reason);
    },
  });
  await expect(call).rejects.toBe(reason);
  expect(seen).toEqual([base.maxCompletionLength]);
});

test("disposed while it runs, generate rejects, and all is given back; then it can be used again", async () => {
  const { params, generator } = setUp(rope);
  // The model's tables of positions stay with it.
  await generator.generate(params, prompts, base);
  generator.dispose();
  const before = backend().memory().liveBytes;
  const told = expect.objectContaining({
    name: "TensorError",
    message: expect.stringMatching(
      /^generate: a generator was expected till the end of the call, got dispose/,
    ),
  });
  const options = { ...base, eosTokenId: undefined, maxCompletionLength: 24 };
  // As soon as it was called, at a step in the middle, between chunks of rows, and at the last tokens.
  const early = generator.generate(params, prompts, options);
  generator.dispose();
  await expect(early).rejects.toEqual(told);
  for (const at of [8, 24]) {
    const onTokens = ({ to }: { to: number }): void => {
      if (to === at) generator.dispose();
    };
    for (const numGenerations of [1, 9])
      await expect(
        generator.generate(params, prompts, { ...options, numGenerations, onTokens }),
      ).rejects.toEqual(told);
    expect(generator.programs).toBe(0);
    expect(backend().memory().liveBytes).toBe(before);
  }
  expect((await generator.generate(params, prompts, base)).rows).toBe(4);
  generator.dispose();
  expect(backend().memory().liveBytes).toBe(before);
});

test("ended while its last numbers are read, it rejects", async () => {
  const { params, generator } = setUp(rope);
  const here = backend() as WebGpuBackend;
  const read = here.read.bind(here);
  let reads = 0;
  let meanwhile = (): void => {};
  let last = Number.POSITIVE_INFINITY;
  const spy = vi.spyOn(here, "read").mockImplementation((...args) => {
    if (++reads === last) meanwhile();
    return read(...args);
  });
  await generator.generate(params, prompts, base);
  last = reads;
  const controller = new AbortController();
  const reason = new Error("enough");
  const ways: [() => void, unknown][] = [
    [() => generator.dispose(), expect.objectContaining({ name: "TensorError" })],
    [() => controller.abort(reason), reason],
  ];
  for (const [way, told] of ways) {
    reads = 0;
    meanwhile = way;
    await expect(generator.generate(params, prompts, { ...base, signal: controller.signal })).rejects.toEqual(
      told,
    );
    expect(reads).toBe(last);
  }
  spy.mockRestore();
});

test("rows that are no count are refused where the generator is made", () => {
  const model = new Transformer(rope);
  for (const rows of [0, -1, 1.5, Number.NaN, "8", null])
    expect(() => new Generator(model, { rows: rows as number })).toThrow(
      expect.objectContaining({
        name: "ConfigError",
        message: expect.stringMatching(/^generator: rows: an integer in \[1, 2\^32\) expected, got /),
      }),
    );
  expect(new Generator(model).rows).toBe(256);
});

test("after another init() a generator works there, with weights that are there", async () => {
  const mine = backend();
  const { params, generator } = setUp(rope);
  const greedy = { ...base, temperature: 0 };
  const tokens = async (weights: typeof params): Promise<number[]> =>
    Array.from((await generator.generate(weights, prompts, greedy)).tokens);
  const first = await tokens(params);
  try {
    await init({ device: "reference" });
    await expect(tokens(params)).rejects.toThrow(/tensor of the current device .* Create tensors after init/);
    expect(await tokens(initializeParameters(rope, 7, { std: 0.4 }).tensors)).toEqual(first);
  } finally {
    setBackend(mine);
  }
  expect(await tokens(params)).toEqual(first);
});

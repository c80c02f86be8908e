/** The harness on a generator that is known; with a real one in exact.test.ts. */
import { expect, test } from "vitest";
import { EstimatorError } from "../../src/eval/estimators.ts";
import { type Evaluation, evaluate, type JudgeOptions } from "../../src/eval/harness.ts";
import type { Generated, GenerateOptions, Generator } from "../../src/model/generate.ts";

const WIDTH = 3;

/** Completion of (prompt id, sample): those two numbers, then 9 where the sample is even; else it is one shorter. */
function numbered(calls: GenerateOptions[] = []): Generator {
  const generate = async (
    _params: unknown,
    prompts: readonly ArrayLike<number>[],
    options: GenerateOptions,
  ): Promise<Generated> => {
    calls.push(options);
    const count = options.numGenerations!;
    const rows = prompts.length * count;
    const tokens = new Uint32Array(rows * WIDTH);
    const lengths = new Uint32Array(rows);
    for (let row = 0; row < rows; row++) {
      const sample = options.firstSample! + (row % count);
      tokens.set([options.promptIds![Math.floor(row / count)], sample, 9], row * WIDTH);
      lengths[row] = sample % 2 === 0 ? 3 : 2;
    }
    const rest = { logProbs: new Float32Array(rows * WIDTH), finished: new Uint8Array(rows) };
    return { rows, numGenerations: count, maxCompletionLength: WIDTH, tokens, lengths, ...rest };
  };
  return { rows: 4, generate } as unknown as Generator;
}

const prompts = [[1], [1], [1]];
const request = { samples: 5, maxCompletionLength: WIDTH, seed: 1 };

test("judgements come back by prompt and sample, whatever the calls and whichever promise is first", async () => {
  const judge: JudgeOptions["judge"] = async (prompt, completion, sample) => {
    expect(Array.from(completion)).toEqual(sample % 2 === 0 ? [prompt, sample, 9] : [prompt, sample]);
    for (let i = sample; i < 6; i++) await Promise.resolve(); // the first sample last
    return {
      reward: prompt + sample / 4,
      answer: sample === 3 ? null : `${prompt}:${sample}`,
      mode: sample < 2 ? "early" : undefined,
    };
  };
  const whole = await evaluate(numbered(), {}, prompts, { ...request, judge, samplesPerCall: 5 });
  expect(whole.judged[1]).toEqual({
    rewards: [1, 1.25, 1.5, 1.75, 2],
    answers: ["1:0", "1:1", "1:2", null, "1:4"],
    modes: ["early", "early", null, null, null],
  });
  expect(whole.judged.map(({ rewards }) => rewards[4])).toEqual([1, 2, 3]);
  // A reward of 1 or more is right.
  expect(whole.tallies).toEqual([
    { n: 5, c: 1 },
    { n: 5, c: 5 },
    { n: 5, c: 5 },
  ]);
  expect(whole.tokens).toBe(3 * (3 + 2 + 3 + 2 + 3));
  for (const [samplesPerCall, promptsPerCall] of [
    [2, 2],
    [1, 3],
    [4, undefined],
  ]) {
    const parts = await evaluate(numbered(), {}, prompts, {
      ...request,
      judge,
      samplesPerCall,
      promptsPerCall,
    });
    expect(parts).toEqual(whole);
  }
});

test("isRight gives tallies alone; both see gate, progress and the same calls", async () => {
  const calls: GenerateOptions[] = [];
  const done: number[] = [];
  let gates = 0;
  const options = {
    ...request,
    samplesPerCall: 2,
    promptsPerCall: 2,
    gate: () => void gates++,
    onProgress: (share: number) => void done.push(share),
  };
  const plain: Evaluation = await evaluate(numbered(calls), {}, prompts, {
    ...options,
    isRight: (prompt, _completion, sample) => sample >= prompt + 2,
  });
  expect(plain).toEqual({
    tallies: [
      { n: 5, c: 3 },
      { n: 5, c: 2 },
      { n: 5, c: 1 },
    ],
    tokens: 39,
  });
  expect(gates).toBe(6);
  expect(done.at(-1)).toBe(1);
  expect(done).toEqual([...done].sort((a, b) => a - b));
  const judgedCalls: GenerateOptions[] = [];
  await evaluate(numbered(judgedCalls), {}, prompts, { ...options, judge: () => ({ reward: 0 }) });
  expect(judgedCalls).toEqual(calls);
  expect(calls[1]).toMatchObject({ numGenerations: 2, firstSample: 2, promptIds: [0, 1] });
});

test("bad requests are refused by name", async () => {
  const run = (options: object, on = prompts) =>
    evaluate(numbered(), {}, on, { ...request, ...options } as JudgeOptions);
  const judge = () => ({ reward: 1 });
  await expect(run({})).rejects.toThrow("evaluate: one of isRight and judge expected, got neither");
  await expect(run({ judge, isRight: () => true })).rejects.toThrow(/got both/);
  await expect(run({ judge }, [])).rejects.toThrow(EstimatorError);
  await expect(run({ judge, samples: 0 })).rejects.toThrow(/at least one prompt and one sample/);
  await expect(run({ judge: (p: number) => ({ reward: p === 1 ? Number.NaN : 0 }) })).rejects.toThrow(
    "evaluate: a finite reward expected, got NaN for prompt 1. Check judge.",
  );
  await expect(run({ judge: () => Promise.reject(new Error("judge fell ill")) })).rejects.toThrow("fell ill");
  for (const [isRight, got] of [
    [async () => false, "a promise"],
    [() => ({ reward: 0 }), "an object"],
    [() => 1, "1"],
    [() => undefined, "undefined"],
  ] as const) {
    await expect(run({ isRight })).rejects.toThrow(
      `evaluate: isRight: true or false expected, got ${got} for prompt 0. Return a boolean, or give judge, which is awaited.`,
    );
    await expect(run({ isRight })).rejects.toThrow(EstimatorError);
  }
});

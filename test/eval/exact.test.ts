import { beforeAll, describe, expect, test } from "vitest";
import { bootstrapMeans } from "../../src/eval/bootstrap.ts";
import { exactPassAtK, passAtK, passOfProbability, passTable } from "../../src/eval/estimators.ts";
import { type CompletionScorer, rightMass } from "../../src/eval/exact.ts";
import { evaluate } from "../../src/eval/harness.ts";
import { modelConfig } from "../../src/model/config.ts";
import { Generator } from "../../src/model/generate.ts";
import { initializeParameters } from "../../src/model/parameters.ts";
import { Scorer } from "../../src/model/scoring.ts";
import type { TokenRows } from "../../src/model/sequences.ts";
import { Transformer } from "../../src/model/transformer.ts";
import { useBackend } from "../helpers/backend.ts";

const EOS = 2;
const VOCAB = 4;
const LENGTH = 3;
const request = { maxCompletionLength: LENGTH, eosTokenId: EOS };

/** Every completion there is: those that end with EOS, and those that are cut at LENGTH. */
function everyString(): number[][] {
  const found: number[][] = [];
  const grow = (head: number[]): void => {
    for (let token = 0; token < VOCAB; token++) {
      const next = [...head, token];
      if (token === EOS || next.length === LENGTH) found.push(next);
      else grow(next);
    }
  };
  grow([]);
  return found;
}

describe("on a scorer that is known", () => {
  /** Token v has probability 2^-(v+1); batches are kept. */
  function halves(): CompletionScorer & { batches: TokenRows[] } {
    const batches: TokenRows[] = [];
    return {
      batches,
      async score(_params, batch) {
        batches.push(batch);
        const width = batch.promptLength + batch.completionLength;
        const logProbs = Array.from({ length: batch.rows * batch.completionLength }, (_, i) => {
          const row = Math.floor(i / batch.completionLength);
          const token = batch.tokens[row * width + batch.promptLength + (i % batch.completionLength)];
          return -(token + 1) * Math.LN2; // also in the padding, which must not count
        });
        return { logProbs };
      },
    };
  }

  test("sums of products, in batches of one shape, over lazy lists", async () => {
    const scorer = halves();
    function* lazily() {
      yield [0, 0, EOS];
      yield [EOS];
      yield Uint32Array.of(1, EOS);
      yield [0, 0, 0, EOS]; // cannot be drawn
      yield [1, 1, 3]; // cut
    }
    const progress: number[] = [];
    let gates = 0;
    const found = await rightMass(
      scorer,
      {},
      [
        { prompt: [1, 3], answers: lazily() },
        { prompt: [1], answers: [] },
        { prompt: [1, 1, 1], answers: new Set([[0, EOS]]) },
      ],
      {
        ...request,
        rowsPerCall: 2,
        onProgress: (n) => progress.push(n),
        gate: () => {
          gates++;
        },
      },
    );
    expect(found[0].mass).toBeCloseTo(1 / 32 + 1 / 8 + 1 / 32 + 1 / 256, 14);
    expect(found[0]).toMatchObject({ answers: 5, tooLong: 1 });
    expect(found[1]).toEqual({ mass: 0, answers: 0, tooLong: 0 });
    expect(found[2].mass).toBeCloseTo(1 / 16, 14);
    expect(scorer.batches.map(({ rows }) => rows)).toEqual([2, 2, 1]);
    for (const batch of scorer.batches) {
      expect([batch.promptLength, batch.completionLength]).toEqual([3, LENGTH]);
    }
    expect(progress).toEqual([0, 0, 3]);
    expect(gates).toBe(3);
  });

  const one = (...answers: number[][]) => [{ prompt: [1], answers }];
  test.each([
    ["no EOS", one([0, 1]), /ends with its only EOS expected, got \[0, 1\] for prompt 0/],
    ["two EOS", one([EOS, EOS]), /only EOS/],
    ["nothing", one([]), /only EOS/],
    ["twice", one([0, EOS], [0, EOS]), /each answer once expected, got \[0,2\] twice for prompt 0/],
    ["cut too late", one([0, 0, 0, 0]), /only EOS/],
  ])("refuses an answer: %s", async (_name, prompts, message) => {
    const call = rightMass(halves(), {}, prompts, request);
    await expect(call).rejects.toThrow(message);
    await expect(call).rejects.toHaveProperty("name", "EstimatorError");
  });

  test("refuses probabilities above 1, and an aborted signal", async () => {
    const wrong: CompletionScorer = { score: async () => ({ logProbs: [0.1, 0.1, 0.1] }) };
    await expect(rightMass(wrong, {}, one([0, EOS]), request)).rejects.toThrow(/at most 1 expected, got 1.2/);
    const close: CompletionScorer = { score: async () => ({ logProbs: [1e-6, 0, 0] }) };
    expect((await rightMass(close, {}, one([EOS]), request))[0].mass).toBe(1);
    const signal = AbortSignal.abort(new Error("enough"));
    await expect(rightMass(halves(), {}, one([EOS]), { ...request, signal })).rejects.toThrow("enough");
    await expect(rightMass(halves(), {}, one([EOS]), { ...request, rowsPerCall: 0 })).rejects.toThrow(
      /rowsPerCall/,
    );
  });
});

describe("on a model", () => {
  beforeAll(async () => {
    await useBackend();
  });

  function setUp() {
    const config = modelConfig({
      vocabSize: VOCAB,
      hiddenSize: 8,
      numLayers: 1,
      numHeads: 2,
      maxPositions: 8,
    });
    const model = new Transformer(config);
    return { model, params: initializeParameters(config, 9, { std: 0.7 }).tensors };
  }
  // Every prompt of three tokens after BOS = 1.
  const prompts = Array.from({ length: 64 }, (_, i) => [1, i >> 4, (i >> 2) & 3, i & 3]);
  /** An arbitrary tenth or so of all strings, another for each prompt. */
  const isRight = (prompt: number, text: readonly number[]) =>
    (text.reduce((h, t) => (h * 7 + t + 1) % 101, prompt) * 13) % 9 === 0;

  /** The variance of Pass@k of n samples, each right with probability p: a sum over the binomial. */
  function estimatorVariance(n: number, p: number, k: number): number {
    const expected = passOfProbability(p, k);
    let weight = (1 - p) ** n;
    let sum = 0;
    for (let c = 0; c <= n && p < 1; c++) {
      sum += weight * (passAtK(n, c, k) - expected) ** 2;
      weight *= ((n - c) / (c + 1)) * (p / (1 - p));
    }
    return sum;
  }

  test("all strings together have probability 1, at any temperature, with one program", async () => {
    const { model, params } = setUp();
    const scorer = new Scorer(model, 16);
    const all = everyString();
    expect(all.length).toBe(1 + 3 + 9 + 27);
    for (const temperature of [1, 0.6, 3]) {
      const found = await rightMass(
        scorer,
        params,
        prompts.slice(0, 6).map((prompt) => ({ prompt, answers: all })),
        { ...request, temperature, rowsPerCall: 37 },
      );
      for (const { mass } of found) expect(Math.abs(mass - 1)).toBeLessThan(1e-5);
      const half = await rightMass(
        scorer,
        params,
        [
          { prompt: prompts[5], answers: all.filter((_, i) => i % 2 === 0) },
          { prompt: prompts[5], answers: all.filter((_, i) => i % 2 === 1) },
        ],
        { ...request, temperature },
      );
      expect(half[0].mass).toBeGreaterThan(0.01);
      expect(half[0].mass + half[1].mass).toBeCloseTo(1, 5);
    }
    expect(scorer.programs).toBe(1);
  });

  test.each([1, 0.7])("the exact Pass@k lies in the sampled one's interval at temperature %d", async (t) => {
    const { model, params } = setUp();
    const all = everyString();
    const samples = 96;
    const exact = await rightMass(
      new Scorer(model, 64),
      params,
      prompts.map((prompt, i) => ({ prompt, answers: all.filter((text) => isRight(i, text)) })),
      { ...request, temperature: t },
    );
    const p = exact.map(({ mass }) => mass);
    const { tallies, judged } = await evaluate(new Generator(model, { rows: 512 }), params, prompts, {
      ...request,
      samples,
      temperature: t,
      seed: 17,
      judge: async (prompt, completion) => ({
        reward: isRight(prompt, Array.from(completion)) ? 1 : 0,
        answer: completion.length > 1 ? completion.join() : null,
        mode: `ends after ${completion.length}`,
      }),
    });
    const ks = [1, 2, 4, 8, 16, 32];
    const table = passTable(tallies, ks);
    const intervals = bootstrapMeans(table, { seed: 3 });
    for (const [i, k] of ks.entries()) {
      const exactly = exactPassAtK(p, k);
      expect(exactly, `k ${k}`).toBeGreaterThanOrEqual(intervals[i].low);
      expect(exactly, `k ${k}`).toBeLessThanOrEqual(intervals[i].high);
      // That interval also allows for other prompts. For these very prompts counts are binomial, which is narrower.
      const spread =
        Math.sqrt(p.reduce((sum, one) => sum + estimatorVariance(samples, one, k), 0)) / p.length;
      expect(spread).toBeLessThan(0.03);
      expect(Math.abs(intervals[i].mean - exactly), `k ${k}`).toBeLessThan(3.5 * spread);
    }
    expect(exactPassAtK(p, 1)).toBeGreaterThan(0.02);
    expect(exactPassAtK(p, 32)).toBeGreaterThan(exactPassAtK(p, 1) + 0.1);
    // What the judge said comes back by prompt and sample.
    for (const [i, { rewards, answers, modes }] of judged.entries()) {
      expect([rewards.length, answers.length, modes.length]).toEqual([samples, samples, samples]);
      expect(rewards.filter((reward) => reward === 1).length).toBe(tallies[i].c);
      expect(answers.every((a, s) => (modes[s] === "ends after 1") === (a === null))).toBe(true);
    }
  });
});

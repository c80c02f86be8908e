/** Decoding by lanes: what ended rows cost, how often the device is spoken to, and that no bit of a row depends on either. */
import { beforeAll, describe, expect, test } from "vitest";
import { modelConfig } from "../../src/model/config.ts";
import { type Generated, type GenerateOptions, Generator } from "../../src/model/generate.ts";
import type { GeneratedChunk } from "../../src/model/generateOptions.ts";
import { laneCount } from "../../src/model/generateShapes.ts";
import { initializeParameters } from "../../src/model/parameters.ts";
import { type Parameters, Transformer } from "../../src/model/transformer.ts";
import { backend } from "../../src/tensor/backend.ts";
import { setFlags } from "../../src/tensor/flags.ts";
import { useBackend } from "../helpers/backend.ts";

const config = modelConfig({
  vocabSize: 9,
  hiddenSize: 16,
  numLayers: 2,
  numHeads: 4,
  numKeyValueHeads: 2,
  maxPositions: 96,
});
const WIDTH = 40;
/** All of them used, so that the last is a sample's; halves of it leave lanes over. */
const ROWS = 27;
const PROMPTS = [[3, 4, 5, 6, 7], [4], [8, 3, 3]];
const ask: GenerateOptions = { seed: 7, numGenerations: 9, maxCompletionLength: WIDTH, padTokenId: 1 };
let params: Parameters;
let generator: Generator;
/** Nothing ends a row. */
let whole: Generated;

beforeAll(async () => {
  await useBackend();
  params = initializeParameters(config, 3, { std: 0.5 }).tensors;
  generator = new Generator(new Transformer(config), { rows: ROWS });
  whole = await generator.generate(params, PROMPTS, ask);
});

async function counted<T>(
  run: () => Promise<T>,
): Promise<{ result: T; dispatches: number; submits: number }> {
  await backend().sync();
  const before = backend().counters();
  const result = await run();
  const after = backend().counters();
  return {
    result,
    dispatches: after.dispatches - before.dispatches,
    submits: after.submits - before.submits,
  };
}

/** What `whole` holds up to the first `eos` of each row, and padding beyond. */
function cutAt(eos: number): { tokens: number[]; logProbs: number[]; lengths: number[] } {
  const tokens = Array.from(whole.tokens);
  const logProbs = Array.from(whole.logProbs);
  const lengths = Array.from({ length: whole.rows }, (_, r) => {
    const end = tokens.slice(r * WIDTH, (r + 1) * WIDTH).indexOf(eos);
    const length = end < 0 ? WIDTH : end + 1;
    tokens.fill(1, r * WIDTH + length, (r + 1) * WIDTH);
    logProbs.fill(0, r * WIDTH + length, (r + 1) * WIDTH);
    return length;
  });
  return { tokens, logProbs, lengths };
}

describe("rows that end", () => {
  test.each([0, 1, 2, 3, 4, 5, 6, 7, 8])(
    "at token %i give up their lanes and change no bit of the others",
    async (eos) => {
      const wanted = cutAt(eos);
      const result = await generator.generate(params, PROMPTS, { ...ask, eosTokenId: eos });
      expect(Array.from(result.tokens)).toEqual(wanted.tokens);
      expect(Array.from(result.logProbs)).toEqual(wanted.logProbs);
      expect(Array.from(result.lengths)).toEqual(wanted.lengths);
    },
  );

  test("were enough for programs of 14 and 7 lanes", () => {
    expect(generator.programs).toBe(3 + 2);
  });

  test("early leave nothing to do: decoding stops", async () => {
    const options = { ...ask, temperature: 0, numGenerations: 2 };
    const full = await counted(() => generator.generate(params, [PROMPTS[1]], options));
    const [eos] = full.result.tokens;
    await generator.generate(params, [PROMPTS[1]], { ...options, eosTokenId: eos });
    const short = await counted(() =>
      generator.generate(params, [PROMPTS[1]], { ...options, eosTokenId: eos }),
    );
    expect(Array.from(short.result.lengths)).toEqual([1, 1]);
    expect(short.dispatches).toBeLessThan(full.dispatches / 3);
    let sent = 0;
    const onTokens = ({ to }: GeneratedChunk): void => {
      sent = to;
    };
    await generator.generate(params, [PROMPTS[1]], {
      ...options,
      eosTokenId: eos,
      streamEvery: 1000,
      onTokens,
    });
    expect(sent).toBeGreaterThan(0);
  });

  test.each([3, 12, 1000])(
    "are streamed %i tokens at a time, the last ones and padding included",
    async (streamEvery) => {
      const eos = 4;
      const streamed = new Uint32Array(whole.tokens.length).fill(1);
      let sent = 0;
      const { lengths } = await generator.generate(params, PROMPTS, {
        ...ask,
        numGenerations: 2,
        eosTokenId: eos,
        streamEvery,
        onTokens: ({ row, rows, from, to, tokens }: GeneratedChunk) => {
          expect(to - from).toBeLessThanOrEqual(streamEvery);
          sent = Math.max(sent, to);
          for (let r = 0; r < rows; r++) {
            streamed.set(tokens.subarray(r * (to - from), (r + 1) * (to - from)), (row + r) * WIDTH + from);
          }
        },
      });
      expect(sent).toBeGreaterThanOrEqual(Math.max(...lengths));
      const wanted = cutAt(eos).tokens;
      for (let r = 0; r < lengths.length; r++) {
        const same = Math.floor(r / 2) * 9 + (r % 2);
        expect(Array.from(streamed.subarray(r * WIDTH, (r + 1) * WIDTH))).toEqual(
          wanted.slice(same * WIDTH, (same + 1) * WIDTH),
        );
      }
    },
  );
});

test("weights that are no numbers are told of under NAN=1, in a rollout of one token too", async () => {
  const name = Object.keys(params)[0];
  const values = await params[name].data();
  setFlags({ nan: true });
  try {
    await generator.generate(params, PROMPTS, { ...ask, maxCompletionLength: 20 });
    params[name].write(new Float32Array(values.length).fill(Number.NaN));
    for (const maxCompletionLength of [1, 20]) {
      const streams = [{}, { streamEvery: 3, onTokens: () => {} }];
      for (const stream of streams) {
        const call = generator.generate(params, PROMPTS, { ...ask, ...stream, maxCompletionLength });
        await expect(call).rejects.toThrow(/^prefill/);
      }
    }
  } finally {
    setFlags({ nan: false });
    params[name].write(values as Float32Array<ArrayBuffer>);
  }
  const again = await generator.generate(params, PROMPTS, ask);
  expect(again.tokens).toEqual(whole.tokens);
});

test("more rows than decode together, and rows that end, leave each sample its bits", async () => {
  const eos = 5;
  const narrow = new Generator(new Transformer(config), { rows: 4 });
  const g = await narrow.generate(params, PROMPTS, { ...ask, eosTokenId: eos });
  expect(Array.from(g.tokens)).toEqual(cutAt(eos).tokens);
  expect(Array.from(g.logProbs)).toEqual(cutAt(eos).logProbs);
  narrow.dispose();
});

test("eight tokens go to the device at a time", async () => {
  const { submits } = await counted(() => generator.generate(params, PROMPTS, ask));
  // 39 steps in five, as many looks, the prompts' uploads and the results; a submission for each step would be 39.
  expect(submits).toBeLessThanOrEqual(16);
});

test("a step is few dispatches", async () => {
  const dispatches = async (maxCompletionLength: number): Promise<number> =>
    (await counted(() => generator.generate(params, PROMPTS, { ...ask, maxCompletionLength }))).dispatches;
  const perStep = ((await dispatches(40)) - (await dispatches(33))) / 7;
  // Integers and random numbers, angles, embedding; a layer's 12; logits, the draw, what is written.
  expect(perStep).toBe(3 + 12 * config.numLayers + 3);
});

test("lanes are halved where half of them do, down to a few", () => {
  expect([256, 129, 128, 65, 64, 33, 9, 1, 0].map((live) => laneCount(live, 256))).toEqual([
    256, 256, 128, 128, 64, 64, 16, 8, 8,
  ]);
  expect([27, 14, 13, 7, 1].map((live) => laneCount(live, 27))).toEqual([27, 27, 14, 7, 7]);
  expect([6, 1].map((live) => laneCount(live, 6))).toEqual([6, 6]);
});

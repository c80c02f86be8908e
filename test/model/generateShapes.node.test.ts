/** Shapes of generation: few for any lengths, bounded in what they keep, and without a trace in the bits of a sample. */
import { beforeAll, describe, expect, test } from "vitest";
import { modelConfig } from "../../src/model/config.ts";
import { type Generated, type GenerateOptions, Generator } from "../../src/model/generate.ts";
import type { GeneratedChunk } from "../../src/model/generateOptions.ts";
import {
  bucketCount,
  cacheColumns,
  cacheSize,
  fittingRows,
  layoutFor,
  promptGroups,
  Recent,
} from "../../src/model/generateShapes.ts";
import { initializeParameters } from "../../src/model/parameters.ts";
import type { Parameters } from "../../src/model/transformer.ts";
import { Transformer } from "../../src/model/transformer.ts";
import { backend } from "../../src/tensor/backend.ts";
import { WHOLE_LENGTH } from "../../src/tensor/ops/attentionShapes.ts";
import { useBackend } from "../helpers/backend.ts";

const config = modelConfig({ vocabSize: 11, hiddenSize: 16, numLayers: 2, numHeads: 4, maxPositions: 300 });
const ASK = { seed: 42, numGenerations: 2 } as const;
let params: Parameters;
let generator: Generator;

beforeAll(async () => {
  await useBackend();
  params = initializeParameters(config, 7, { std: 0.4 }).tensors;
  generator = new Generator(new Transformer(config), { rows: 8 });
});

/** A prompt of this length. */
const prompt = (length: number): number[] => Array.from({ length }, (_, i) => 3 + ((7 * i + length) % 8));

/** The first `width` tokens and log-probabilities of a row. */
function bits(g: Generated, row: number, width = g.maxCompletionLength): number[][] {
  const at = row * g.maxCompletionLength;
  return [g.tokens, g.logProbs].map((all) => Array.from(all.subarray(at, at + width)));
}

test("calls of many lengths and counts share a few programs, and what is common has the same bits", async () => {
  const before = generator.programs;
  const ask = (length: number, count = 1): Promise<Generated> =>
    generator.generate(params, [3, 5, 2].slice(0, count).map(prompt), {
      ...ASK,
      maxCompletionLength: length,
    });
  const shortest = await ask(9);
  const { liveBytes } = backend().memory();
  for (let length = 10; length <= 16; length++) {
    const g = await ask(length);
    for (const row of [0, 1]) expect(bits(g, row, 9)).toEqual(bits(shortest, row));
  }
  expect(generator.programs - before).toBeLessThanOrEqual(6); // two caches
  expect(backend().memory().liveBytes).toBeLessThan(4 * liveBytes);
  const three = await ask(16, 3);
  for (const row of [0, 1]) expect(bits(three, row, 9)).toEqual(bits(shortest, row));
});

test("what a generator keeps is bounded, and a shape that was given up comes back with the same bits", async () => {
  const lengths = [1, 9, 17, 25, 33, 49, 65, 97, 129];
  const own = new Generator(new Transformer(config), { rows: 8 });
  const sweep = async (): Promise<Generated[]> => {
    const all: Generated[] = [];
    for (const length of lengths) {
      const options = { ...ASK, maxCompletionLength: 2, promptLength: length };
      all.push(await own.generate(params, [prompt(1)], options));
    }
    return all;
  };
  const first = await sweep();
  const { liveBytes } = backend().memory();
  const { programs } = own;
  expect(programs).toBe(3 * 8);
  expect((await sweep()).map((g) => bits(g, 1))).toEqual(first.map((g) => bits(g, 1)));
  expect(backend().memory().liveBytes).toBe(liveBytes);
  expect(own.programs).toBe(programs);
  own.dispose();
});

test("weights that had gone bad leave nothing behind in the cache", async () => {
  const options = { ...ASK, maxCompletionLength: 6 };
  const good = await generator.generate(params, [prompt(2)], options);
  const name = Object.keys(params)[0];
  const values = await params[name].data();
  params[name].write(new Float32Array(values.length).fill(Number.NaN));
  await generator.generate(params, [prompt(2)], { ...options, maxCompletionLength: 8 });
  params[name].write(values as Float32Array<ArrayBuffer>);
  const again = await generator.generate(params, [prompt(2)], options);
  for (const row of [0, 1]) expect(bits(again, row)).toEqual(bits(good, row));
});

describe(`beyond ${WHOLE_LENGTH} columns`, () => {
  const width = 12;
  const options: GenerateOptions = { ...ASK, maxCompletionLength: width };

  test("a sample's bits do not depend on the prompts that come with it", async () => {
    const lengths = [150, 3, 240, 145];
    const chunks: GeneratedChunk[] = [];
    const together = await generator.generate(params, lengths.map(prompt), {
      ...options,
      streamEvery: 5,
      onTokens: (chunk) => void chunks.push(chunk),
    });
    for (const [i, length] of lengths.entries()) {
      const alone = await generator.generate(params, [prompt(length)], { ...options, promptIds: [i] });
      for (const s of [0, 1]) expect(bits(together, 2 * i + s)).toEqual(bits(alone, s));
    }
    // The stream names the rows as the result does.
    const streamed = new Uint32Array(together.tokens.length);
    for (const { row, rows, from, to, tokens } of chunks) {
      for (let r = 0; r < rows; r++) {
        streamed.set(tokens.subarray(r * (to - from), (r + 1) * (to - from)), (row + r) * width + from);
      }
    }
    expect(streamed).toEqual(together.tokens);
  });

  test("prompts are parted where their columns decide how attention sums, and only there", () => {
    // Alone: 8 and 96 + 30 columns stay below, 128, 192 and 256 + 30 do not.
    const lengths = [150, 3, 240, 90, 100, 145];
    const groups = (maxCompletionLength: number, promptLength?: number) =>
      promptGroups(lengths.map(prompt), { maxCompletionLength, promptLength });
    expect(groups(30)).toEqual([
      { promptLength: 256, members: [0, 2, 4, 5] },
      { promptLength: 96, members: [1, 3] },
    ]);
    expect(groups(30, 250)).toEqual([{ promptLength: 250, members: [0, 1, 2, 3, 4, 5] }]);
    expect(promptGroups([3, 20, 60].map(prompt), { maxCompletionLength: 65 })).toEqual([
      { promptLength: 64, members: [0, 1, 2] },
    ]);
  });

  test("no bucket carries a cache across", () => {
    for (let columns = 1; columns <= 600; columns++) {
      const cache = cacheColumns(columns, 1);
      expect(cache).toBeGreaterThanOrEqual(columns);
      expect(cache % 4).toBe(0);
      expect(cache <= WHOLE_LENGTH).toBe(columns <= WHOLE_LENGTH);
    }
  });
});

test("no more rows decode together than a layer's cache on a binding of 128 MiB has room for", () => {
  const wide = {
    config: modelConfig({ vocabSize: 9, hiddenSize: 192, numLayers: 1, numHeads: 3, maxPositions: 2048 }),
  };
  const rows = fittingRows(wide, 128, (n) => layoutFor(n, n, 1024 - 128, 129));
  const columns = rows * 1024;
  expect(rows).toBe(64);
  expect(4 * cacheSize(wide, layoutFor(rows, rows, 1024 - 128, 129))).toBe(4 * columns * 2 * 192);
  expect(4 * columns * 2 * 192).toBeLessThanOrEqual(128 << 20);
  expect(fittingRows(wide, 7, (n) => layoutFor(n, 1, 8, 8))).toBe(7);
});

test("counts are rounded up by less than half", () => {
  expect([1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33].map(bucketCount)).toEqual([
    1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48,
  ]);
});

test("the longest unused is given up first, by count and by bytes", () => {
  const given: string[] = [];
  const recent = new Recent({ count: 3, bytes: 100 });
  const get = (key: string, bytes: number): unknown =>
    recent.get(key, bytes, () => ({ bytes, programs: 1, dispose: () => given.push(key) }));
  const a = get("a", 10);
  get("b", 10);
  get("c", 10);
  expect(get("a", 10)).toBe(a);
  get("d", 10);
  expect(given).toEqual(["b"]);
  get("e", 80); // a and d may stay beside it
  expect(given).toEqual(["b", "c"]);
  get("f", 500);
  expect(given).toEqual(["b", "c", "a", "d", "e"]);
  expect(recent.programs).toBe(1);
  recent.dispose();
  expect(given.at(-1)).toBe("f");
  expect(recent.programs).toBe(0);
});

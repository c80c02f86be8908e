import { expect, test } from "vitest";
import { ConfigError } from "../../src/tensor/errors.ts";
import {
  philox,
  Rng,
  type Seed,
  Stream,
  seedWords,
  streamKey,
  uniform24,
  type Words4,
} from "../../src/tensor/random.ts";

// Random123 1.14, tests/kat_vectors, the lines "philox4x32 10".
const KNOWN: [Words4, Seed, Words4][] = [
  [
    [0, 0, 0, 0],
    [0, 0],
    [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
  ],
  [
    [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
    [0xffffffff, 0xffffffff],
    [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
  ],
  [
    [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
    [0xa4093822, 0x299f31d0],
    [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
  ],
];

/** Philox written with BigInt, from the paper's definition. */
function philoxBig(counter: Words4, key: Seed): number[] {
  let c = counter.map(BigInt);
  let k = key.map(BigInt);
  const mask = 0xffffffffn;
  for (let round = 0; round < 10; round++) {
    const a = 0xd2511f53n * c[0];
    const b = 0xcd9e8d57n * c[2];
    c = [(b >> 32n) ^ c[1] ^ k[0], b & mask, (a >> 32n) ^ c[3] ^ k[1], a & mask];
    k = [(k[0] + 0x9e3779b9n) & mask, (k[1] + 0xbb67ae85n) & mask];
  }
  return c.map(Number);
}

test("philox gives the known answers of Random123", () => {
  for (const [counter, key, answer] of KNOWN) expect(philox(counter, key)).toEqual([...answer]);
});

test("philox agrees with its definition in big integers", () => {
  const rng = new Rng(1, Stream.test);
  for (let i = 0; i < 500; i++) {
    const counter: Words4 = [rng.next(), rng.next(), rng.next(), rng.next()];
    const key: Seed = [rng.next(), rng.next()];
    expect(philox(counter, key)).toEqual(philoxBig(counter, key));
  }
});

test("a seed is 64 bits, from a number, a bigint, text or words", () => {
  expect(seedWords(7)).toEqual([7, 0]);
  expect(seedWords(2 ** 32 + 5)).toEqual([5, 1]);
  expect(seedWords(0xffffffff_00000001n)).toEqual([1, 0xffffffff]);
  expect(seedWords("0x100000002")).toEqual([2, 1]);
  expect(seedWords([3, 4])).toEqual([3, 4]);
  for (const bad of [-1, 1.5, Number.NaN, 2 ** 53, -1n, 1n << 64n, "", "12x", " 1"]) {
    expect(() => seedWords(bad)).toThrow(ConfigError);
  }
  for (const bad of [undefined, null, true]) {
    expect(() => seedWords(bad as never)).toThrow(`seed: an integer in [0, 2^53) expected, got ${bad}.`);
  }
  expect(() => seedWords([1, -1])).toThrow(/seed word/);
});

test("streams, substreams and both words of the seed give different numbers", () => {
  const first = new Set<string>();
  for (const seed of [
    [0, 0],
    [1, 0],
    [0, 1],
  ] as const) {
    for (let stream = 0; stream < 8; stream++) {
      for (const substream of [0, 1, 0xffffffff]) {
        const rng = new Rng(seed, stream, substream);
        first.add([rng.next(), rng.next()].join());
      }
    }
  }
  expect(first.size).toBe(72);
  expect(streamKey([1, 2], Stream.data)).not.toEqual(streamKey([1, 2], Stream.init));
});

test("a state taken anywhere continues with the same numbers", () => {
  const rng = new Rng("123456789012345678", Stream.rollout, 9);
  for (let i = 0; i < 11; i++) {
    const copy = Rng.from(JSON.parse(JSON.stringify(rng.state())));
    const twin = Rng.from(rng.state());
    expect([copy.next(), copy.next(), copy.normal()]).toEqual([twin.next(), twin.next(), twin.normal()]);
    rng.next();
  }
  const far = Rng.from({ seed: [1, 2], stream: 0, substream: 0, position: 2 ** 36 });
  expect(far.next()).toBe(philox([0, 4, 0, 0], streamKey([1, 2], 0))[0]);
  expect(() => Rng.from({ seed: [1, 2], stream: 0, substream: 0, position: -1 })).toThrow(ConfigError);
});

test("uniform has 24 bits, stays below 1 and is exact in f32", () => {
  expect(uniform24(0xffffffff)).toBe(1 - 2 ** -24);
  expect(uniform24(0xff)).toBe(0);
  const rng = new Rng(2, Stream.test);
  let sum = 0;
  for (let i = 0; i < 20_000; i++) {
    const u = rng.uniform();
    expect(Math.fround(u)).toBe(u);
    sum += u;
  }
  expect(Math.abs(sum / 20_000 - 0.5)).toBeLessThan(0.01); // 5 standard errors
});

test("int is uniform and refuses empty ranges", () => {
  const rng = new Rng(3, Stream.test);
  const counts = new Array<number>(7).fill(0);
  for (let i = 0; i < 70_000; i++) counts[rng.int(7)]++;
  for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(500);
  expect(rng.int(1)).toBe(0);
  expect(rng.int(2 ** 32)).toBeLessThan(2 ** 32);
  // 3 * 2^30 without rejection would give the first third twice as often
  let low = 0;
  for (let i = 0; i < 30_000; i++) if (rng.int(3 * 2 ** 30) < 2 ** 30) low++;
  expect(Math.abs(low - 10_000)).toBeLessThan(500);
  for (const bad of [0, -1, 1.5, Number.NaN, 2 ** 33]) expect(() => rng.int(bad)).toThrow(ConfigError);
});

test("normal samples have mean 0, variance 1 and kurtosis 3", () => {
  const out = new Rng(4, Stream.test).fillNormal(new Float64Array(40_001));
  let [m1, m2, m4] = [0, 0, 0];
  for (const z of out) {
    m1 += z / out.length;
    m2 += (z * z) / out.length;
    m4 += (z * z * z * z) / out.length;
  }
  expect(Math.abs(m1)).toBeLessThan(0.025);
  expect(Math.abs(m2 - 1)).toBeLessThan(0.035);
  expect(Math.abs(m4 - 3)).toBeLessThan(0.25);
  const scaled = new Rng(4, Stream.test).fillNormal(new Float32Array(3), 0.02, 1);
  expect(scaled[2]).toBe(Math.fround(1 + 0.02 * out[2]));
});

test("shuffle permutes uniformly", () => {
  const rng = new Rng(5, Stream.test);
  const seen = new Map<string, number>();
  for (let i = 0; i < 12_000; i++) {
    const key = rng.shuffle([0, 1, 2, 3]).join("");
    seen.set(key, (seen.get(key) ?? 0) + 1);
  }
  expect(seen.size).toBe(24);
  for (const count of seen.values()) expect(Math.abs(count - 500)).toBeLessThan(120);
});

test("pick follows the weights, skips zeros, refuses bad ones", () => {
  const rng = new Rng(6, Stream.test);
  const counts = [0, 0, 0, 0];
  for (let i = 0; i < 20_000; i++) counts[rng.pick([0, 1, 3, 0])]++;
  expect(counts[0] + counts[3]).toBe(0);
  expect(Math.abs(counts[2] - 15_000)).toBeLessThan(350);
  for (const bad of [[], [0], [-1, 2], [Number.NaN], [Number.POSITIVE_INFINITY]]) {
    expect(() => rng.pick(bad)).toThrow(ConfigError);
  }
});

/**
 * Counter-based random numbers: Philox 4x32-10 and streams on top of it. `src/shaders/philox.ts` is the same in WGSL.
 *
 * A number depends only on (seed, stream, counter), so a sample is the same whatever else is drawn around it.
 *
 * Source: Salmon, Moraes, Dror and Shaw 2011, Parallel Random Numbers: As Easy as 1, 2, 3, section 3.3 and table 2.
 */

import { ConfigError } from "./errors.ts";
import { boxMuller } from "./math.ts";

/** Four words of 32 bits. */
export type Words4 = readonly [number, number, number, number];
/** A seed or key of 64 bits: [low word, high word]. */
export type Seed = readonly [number, number];

/** Who draws: each stream has a key of its own, so one more draw in one never moves another. */
export const Stream = {
  init: 0,
  data: 1,
  rollout: 2,
  eval: 3,
  bootstrap: 4,
  shuffle: 5,
  pretrain: 6,
  test: 7,
} as const;
export type Stream = (typeof Stream)[keyof typeof Stream];

const M0 = 0xd2511f53;
const M1 = 0xcd9e8d57;
const W0 = 0x9e3779b9;
const W1 = 0xbb67ae85;

/** The upper 32 bits of a b, from 16-bit halves: every partial sum stays below 2^53. */
function mulHigh(a: number, b: number): number {
  const al = a & 0xffff;
  const ah = a >>> 16;
  const bl = b & 0xffff;
  const bh = b >>> 16;
  const mid = ah * bl + ((al * bl) >>> 16);
  const mid2 = al * bh + (mid & 0xffff);
  return (ah * bh + (mid >>> 16) + (mid2 >>> 16)) >>> 0;
}

/** Philox 4x32 with ten rounds: 128 random bits from a counter and a key. */
export function philox(counter: Words4, key: Seed): [number, number, number, number] {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < 10; round++) {
    const high0 = mulHigh(M0, c0);
    const high1 = mulHigh(M1, c2);
    const low0 = Math.imul(M0, c0);
    const low1 = Math.imul(M1, c2);
    c0 = (high1 ^ c1 ^ k0) >>> 0;
    c1 = low1 >>> 0;
    c2 = (high0 ^ c3 ^ k1) >>> 0;
    c3 = low0 >>> 0;
    k0 = (k0 + W0) >>> 0;
    k1 = (k1 + W1) >>> 0;
  }
  return [c0, c1, c2, c3];
}

/** The words of a seed given as an integer in [0, 2^64), as decimal or 0x text, or already as words. */
export function seedWords(seed: number | bigint | string | Seed): Seed {
  if (typeof seed === "object" && seed !== null) {
    const words: readonly number[] = seed;
    if (words.length !== 2) {
      throw new ConfigError(`seed: 2 words expected, got ${words.length}. Pass [low, high].`);
    }
    for (const word of words) checkWord(word, "seed word");
    return [seed[0], seed[1]];
  }
  const isNumber = Number.isSafeInteger(seed) && (seed as number) >= 0;
  if (!isNumber && typeof seed !== "string" && typeof seed !== "bigint") {
    throw new ConfigError(
      `seed: an integer in [0, 2^53) expected, got ${seed}. Pass a bigint for larger seeds.`,
    );
  }
  if (typeof seed === "string" && !/^(0x[0-9a-fA-F]+|[0-9]+)$/.test(seed)) {
    throw new ConfigError(
      `seed: decimal or 0x digits expected, got ${JSON.stringify(seed)}. Pass e.g. "42".`,
    );
  }
  const wide = BigInt(seed);
  if (wide < 0n || wide >= 1n << 64n) {
    throw new ConfigError(`seed: an integer in [0, 2^64) expected, got ${seed}. Drop the upper bits.`);
  }
  return [Number(wide & 0xffffffffn), Number(wide >> 32n)];
}

function checkWord(word: number, name: string): void {
  if (!(Number.isInteger(word) && word >= 0 && word <= 0xffffffff)) {
    throw new ConfigError(`random: ${name} in [0, 2^32) expected, got ${word}. Take it modulo 2^32 (>>> 0).`);
  }
}

const KEY_TAG = 0x6e617973; // "nays": keeps key derivation apart from every other use of the seed

/** The key of a stream: 64 bits of Philox of (stream, tag) under the seed. Kernels take this as their key. */
export function streamKey(seed: Seed, stream: number): Seed {
  checkWord(stream, "stream");
  const [k0, k1] = philox([stream, 0, 0, KEY_TAG], seed);
  return [k0, k1];
}

/** A word as a float in [0, 1) with 24 bits: exact in f32, and the same as the shader's. */
export function uniform24(word: number): number {
  return (word >>> 8) * 5.9604644775390625e-8;
}

/** Where an `Rng` stands: plain data, for checkpoints. */
export interface RngState {
  seed: Seed;
  stream: number;
  substream: number;
  /** Words drawn so far. */
  position: number;
}

/** A stream of random numbers with a position that can be saved and restored. */
export class Rng {
  readonly seed: Seed;
  readonly stream: number;
  readonly substream: number;
  #key: Seed;
  #position = 0;
  #block: readonly number[] = [];

  /** `substream` tells apart draws that must not depend on each other's number (one per prompt, per epoch). */
  constructor(seed: number | bigint | string | Seed, stream: number, substream = 0) {
    checkWord(substream, "substream");
    this.seed = seedWords(seed);
    this.stream = stream;
    this.substream = substream;
    this.#key = streamKey(this.seed, stream);
  }

  /** The generator that continues where `state` was taken. */
  static from(state: RngState): Rng {
    const rng = new Rng(state.seed, state.stream, state.substream);
    if (!(Number.isSafeInteger(state.position) && state.position >= 0)) {
      throw new ConfigError(
        `random: position in [0, 2^53) expected, got ${state.position}. Restore a state that state() gave.`,
      );
    }
    rng.#position = state.position;
    if (state.position % 4 !== 0) rng.#fill();
    return rng;
  }

  state(): RngState {
    return { seed: this.seed, stream: this.stream, substream: this.substream, position: this.#position };
  }

  #fill(): void {
    const block = Math.floor(this.#position / 4);
    this.#block = philox([block >>> 0, Math.floor(block / 4294967296), this.substream, 0], this.#key);
  }

  /** 32 random bits. */
  next(): number {
    const lane = this.#position % 4;
    if (lane === 0) this.#fill();
    this.#position++;
    return this.#block[lane];
  }

  /** A float in [0, 1), a multiple of 2^-24. */
  uniform(): number {
    return uniform24(this.next());
  }

  /** An integer in [0, n), each equally likely (values in the uneven tail are drawn again). */
  int(n: number): number {
    if (!(Number.isInteger(n) && n >= 1 && n <= 4294967296)) {
      throw new ConfigError(`random.int: n in [1, 2^32] expected, got ${n}. Choose from at least one value.`);
    }
    const limit = 4294967296 - (4294967296 % n);
    for (;;) {
      const word = this.next();
      if (word < limit) return word % n;
    }
  }

  /** A standard normal sample (two words each). */
  normal(): number {
    return boxMuller(this.next(), this.next())[0];
  }

  /** Fills `out` with normal samples of this mean and standard deviation, both of each Box-Muller pair used. */
  fillNormal<T extends Float32Array | Float64Array>(out: T, std = 1, mean = 0): T {
    for (let i = 0; i < out.length; i += 2) {
      const [a, b] = boxMuller(this.next(), this.next());
      out[i] = mean + std * a;
      if (i + 1 < out.length) out[i + 1] = mean + std * b;
    }
    return out;
  }

  /** Shuffles `items` in place (Fisher and Yates) and returns them. */
  shuffle<T>(items: T[]): T[] {
    for (let i = items.length - 1; i > 0; i--) {
      const j = this.int(i + 1);
      [items[i], items[j]] = [items[j], items[i]];
    }
    return items;
  }

  /** An index, with probability in proportion to its weight. */
  pick(weights: readonly number[]): number {
    let total = 0;
    for (const weight of weights) {
      if (!(weight >= 0 && weight < Number.POSITIVE_INFINITY)) {
        throw new ConfigError(`random.pick: finite weights >= 0 expected, got ${weight}. Clamp them first.`);
      }
      total += weight;
    }
    if (!(total > 0)) {
      throw new ConfigError(
        `random.pick: a positive sum of weights expected, got ${total}. Give one a weight.`,
      );
    }
    let left = (this.next() / 4294967296) * total;
    let last = 0;
    for (let i = 0; i < weights.length; i++) {
      if (weights[i] === 0) continue;
      last = i;
      left -= weights[i];
      if (left < 0) return i;
    }
    return last; // rounding left a sliver at the end
  }
}

/**
 * Measures the ways to compute products of the shape classes that programs have met, on the device at hand, and enters the
 * fastest in its tuning. A way whose bits differ from the default's on random operands is never entered, so results are
 * those of an untuned device. Ways that sum in another order, which the level `fast` admits, are held to the default's numbers
 * instead: to the bit on operands whose sums are exact, within a counted bound on others.
 */

import { preferredWay } from "./codegen/matmulPreferred.ts";
import {
  DEFAULT_VARIANT as DEFAULT,
  isSplitVariant,
  type MatmulProduct,
  matmulVariants,
} from "./codegen/matmulTiles.ts";
import { ConfigError } from "./errors.ts";
import { Node, type ValueType } from "./ir.ts";
import { philox } from "./random.ts";
import { numel } from "./shape.ts";
import type { Storage } from "./tensor.ts";
import type { WebGpuBackend } from "./webgpu.ts";

/** What was measured of one shape class. */
export interface TunedClass {
  shapeClass: string;
  /** The way that is taken without a table: the adapter's preferred one where it is known and fits, else `default`. */
  untuned: string;
  /** The fastest way; null where nothing was faster than `untuned` by more than the margin. */
  chosen: string | null;
  /** Median ms of a product, by way; `default` is what sizes and tier give. */
  ms: Record<string, number>;
  /** Ways that are not admitted, and why. */
  refused: Record<string, string>;
}

export interface TuneOptions {
  /** About how long a class is measured, ms, beside the compilation of its kernels. Default 500. */
  time?: number;
  signal?: AbortSignal;
  /** Awaited before the next class is measured: `backend.tuning.save()` here loses one class at most. */
  onClass?(tuned: TunedClass): void | Promise<void>;
}

/** A way has to be this much faster than what is taken without a table: less is noise. */
const MARGIN = 1.05;
const MOST_ROUNDS = 9;
/** A sample takes at least this many ms, or the wait for the device would be most of it. */
const SAMPLE_MS = 4;
/** Elements of an operand or result; larger products are measured with fewer rows or batches. */
const MOST_ELEMENTS = 1 << 24;

/**
 * Measures every class that is missing from `backend.tuning`, enters what is faster, and returns what was measured;
 * `backend.tuning.save()` keeps it for later starts. Throws `ConfigError` for another backend or time.
 */
export async function tune(backend: WebGpuBackend, options: TuneOptions = {}): Promise<TunedClass[]> {
  if (backend?.kind !== "webgpu") {
    throw new ConfigError(
      `tune: a WebGPU backend expected, got ${String((backend as { kind?: unknown } | undefined)?.kind)}. Pass what init() gives.`,
    );
  }
  const { time = 500 } = options;
  if (!(time > 0 && Number.isFinite(time))) {
    throw new ConfigError(`tune: time of ms above 0 expected, got ${time}. Leave it out.`);
  }
  const done: TunedClass[] = [];
  for (const [shapeClass, product] of [...backend.tuning.missing]) {
    options.signal?.throwIfAborted();
    const tuned = await tuneClass(backend, shapeClass, product, options);
    // What is taken anyway is entered too: the class is known then, and not measured again.
    backend.tuning.set(shapeClass, tuned.chosen ?? tuned.untuned);
    await options.onClass?.(tuned);
    done.push(tuned);
  }
  return done;
}

async function tuneClass(
  backend: WebGpuBackend,
  shapeClass: string,
  given: MatmulProduct,
  { time = 500, signal }: TuneOptions,
): Promise<TunedClass> {
  const product = affordable(given);
  const ms: Record<string, number> = {};
  const refused: Record<string, string> = {};
  const { m, n, k, batch, transposeA, transposeB } = product;
  const shapes = [
    [...batch, ...(transposeA ? [k, m] : [m, k])],
    [...batch, ...(transposeB ? [n, k] : [k, n])],
  ];
  const operands: Operands = [];
  const ways: Way[] = [];
  const splits: Way[] = [];
  try {
    drawOperands(backend, shapes, anyNumber, operands);
    const names = [DEFAULT, ...matmulVariants(product, backend.lanes, backend.tuning.determinism)];
    let fixed: Uint32Array | null = null;
    for (const name of names) {
      signal?.throwIfAborted();
      const way = new Way(backend, name, product, shapes, operands);
      ways.push(way);
      if (isSplitVariant(name)) {
        splits.push(way);
        continue;
      }
      try {
        const bits = await way.bits();
        fixed ??= bits;
        if (sameWords(bits, fixed)) continue;
        refused[name] = "other bits than the default";
      } catch (error) {
        if (backend.device.failure || ways.length === 1) throw error;
        refused[name] = (error as Error).message;
      }
      ways.pop()?.dispose();
    }
    for (const [way, why] of await refusedSplits(backend, ways[0], splits, shapes, k, signal)) {
      refused[way.name] = why;
      ways.splice(ways.indexOf(way), 1);
      way.dispose();
    }
    // One timed run each says how many fit in a sample, and how many rounds in the time.
    const once = await timeEach(ways, 1);
    const least = Math.min(...once);
    const repeats = Math.max(1, Math.min(64, Math.ceil(SAMPLE_MS / Math.max(least, 0.01))));
    const round = once.reduce((sum, t) => sum + t * repeats, 0);
    const rounds = Math.max(1, Math.min(MOST_ROUNDS, Math.floor(time / round)));
    const samples = ways.map((): number[] => []);
    for (let r = 0; r < rounds; r++) {
      signal?.throwIfAborted();
      const times = await timeEach(ways, repeats);
      for (const [i, t] of times.entries()) samples[i].push(t);
    }
    ways.forEach((way, i) => {
      ms[way.name] = median(samples[i]);
    });
    const best = ways.reduce((a, b) => (ms[b.name] < ms[a.name] ? b : a));
    const preferred = preferredWay(backend.device.info.architecture, given) ?? DEFAULT;
    const untuned = preferred in ms ? preferred : DEFAULT;
    const chosen = ms[untuned] > MARGIN * ms[best.name] ? best.name : null;
    return { shapeClass, untuned, chosen, ms, refused };
  } finally {
    for (const way of ways) way.dispose();
    for (const storage of operands) storage.release();
  }
}

/** Two matrices. */
type Operands = Storage[];

/** Largest relative error of one rounding. */
const UNIT = 2 ** -24;

/**
 * The ways that sum k in another order than the default and are not admitted, with the reason. What is asked of one:
 *
 * - Operands of small integers, whose sums f32 holds exactly in any order: the default's bits. A product that is left out, taken
 *   twice or taken from elsewhere shows, whatever k is.
 * - Random operands: the same bits twice, and no further from the default than two sums of k rounded products can be,
 *   2 k u sum |a| |b|, where u = 2^-24 and the default computes the sum of magnitudes too. Lost precision shows.
 */
async function refusedSplits(
  backend: WebGpuBackend,
  plain: Way,
  splits: readonly Way[],
  shapes: readonly (readonly number[])[],
  k: number,
  signal: AbortSignal | undefined,
): Promise<Map<Way, string>> {
  const refused = new Map<Way, string>();
  if (splits.length === 0) return refused;
  /** Looks at what every way gives that is not refused yet. */
  const each = async (look: (way: Way) => Promise<string | null>): Promise<void> => {
    for (const way of splits) {
      if (refused.has(way)) continue;
      signal?.throwIfAborted();
      const why = await look(way).catch((error) => {
        if (backend.device.failure) throw error;
        return (error as Error).message;
      });
      if (why !== null) refused.set(way, why);
    }
  };
  const withOperands = async (draw: Draw, f: (operands: Operands) => Promise<void>): Promise<void> => {
    const operands: Operands = [];
    try {
      drawOperands(backend, shapes, draw, operands);
      await f(operands);
    } finally {
      for (const storage of operands) storage.release();
    }
  };
  const most = Math.min(8, Math.floor(Math.sqrt(2 ** 24 / k)));
  await withOperands(integerUpTo(most), async (operands) => {
    const exact = await plain.bits(operands);
    await each(async (way) =>
      sameWords(await way.bits(operands), exact) ? null : "other numbers than the default on exact sums",
    );
  });
  const wanted = floats(await plain.bits());
  let magnitudes = new Float32Array();
  await withOperands(magnitudeOf, async (operands) => {
    magnitudes = floats(await plain.bits(operands));
  });
  await each(async (way) => {
    const bits = await way.bits();
    if (!sameWords(await way.bits(), bits)) return "other bits at the second run";
    const got = floats(bits);
    const far = got.findIndex((x, i) => !(Math.abs(x - wanted[i]) <= 2 * k * UNIT * magnitudes[i]));
    return far < 0 ? null : `${got[far]} for ${wanted[far]} at ${far}: further than rounding goes`;
  });
  return refused;
}

const floats = (words: Uint32Array): Float32Array<ArrayBuffer> => new Float32Array(words.slice().buffer);

/** The product with fewer batches, then rows, where its operands would take too much memory. */
function affordable(product: MatmulProduct): MatmulProduct {
  let { batches, m } = product;
  const { n, k } = product;
  const elements = (): number => batches * Math.max(m * k, k * n, m * n);
  while (elements() > MOST_ELEMENTS && batches > 1) batches = Math.ceil(batches / 2);
  while (elements() > MOST_ELEMENTS && k * n <= MOST_ELEMENTS && m % 128 === 0) m /= 2;
  return { ...product, batch: [batches], batches, m };
}

/** One way to compute the product, as a program of its own. */
class Way {
  readonly name: string;
  private readonly backend: WebGpuBackend;
  private readonly program: ReturnType<WebGpuBackend["build"]>;
  private readonly operands: readonly Storage[];
  private readonly elements: number;

  constructor(
    backend: WebGpuBackend,
    name: string,
    product: MatmulProduct,
    shapes: readonly (readonly number[])[],
    operands: readonly Storage[],
  ) {
    const { transposeA, transposeB, batch, m, n } = product;
    const f32 = (shape: readonly number[]): ValueType => ({ shape, dtype: "f32" });
    const inputs = shapes.map((shape) => new Node("input", [], {}, [f32(shape)]).results[0]);
    const type = f32([...batch, m, n]);
    const outputs = new Node("matmul", inputs, { transposeA, transposeB }, [type]).results;
    this.name = name;
    this.backend = backend;
    this.operands = operands;
    this.elements = numel(type.shape);
    this.program = backend.build(
      { inputs, outputs, updates: [] },
      { label: `tune.${name}`, tuning: () => (name === DEFAULT ? undefined : name) },
    );
  }

  run(): void {
    for (const storage of this.program.run(this.operands)) storage.release();
  }

  /** The words of the product, of other operands where they are given. */
  async bits(operands: readonly Storage[] = this.operands): Promise<Uint32Array> {
    const [result] = this.program.run(operands);
    try {
      return (await this.backend.read(result, "u32", this.elements)) as Uint32Array;
    } finally {
      result.release();
    }
  }

  /** ms of a run, `repeats` of them together. */
  async time(repeats: number): Promise<number> {
    const begun = performance.now();
    for (let i = 0; i < repeats; i++) this.run();
    await this.backend.sync();
    return (performance.now() - begun) / repeats;
  }

  dispose(): void {
    this.program.dispose();
  }
}

/** Ways take turns, so that what else the machine does meets all alike. */
async function timeEach(ways: readonly Way[], repeats: number): Promise<number[]> {
  const out: number[] = [];
  for (const way of ways) out.push(await way.time(repeats));
  return out;
}

/** A number of an operand from a random word. */
type Draw = (word: number) => number;

/** In [-1, 1). */
const anyNumber: Draw = (word) => word / 2 ** 31 - 1;
const magnitudeOf: Draw = (word) => Math.abs(anyNumber(word));
const integerUpTo =
  (most: number): Draw =>
  (word) =>
    (word % (2 * most + 1)) - most;

/** Fills `into` with operands of these shapes, from the same words whatever is drawn from them. */
function drawOperands(
  backend: WebGpuBackend,
  shapes: readonly (readonly number[])[],
  draw: Draw,
  into: Operands,
): void {
  for (const [operand, shape] of shapes.entries()) {
    const elements = numel(shape);
    const values = new Float32Array(elements);
    for (let i = 0; i < elements; i += 4) {
      const words = philox([i, operand, 0, 0], [0x74756e65, 0]);
      for (let l = 0; l < 4 && i + l < elements; l++) values[i + l] = draw(words[l]);
    }
    const storage = backend.allocate("f32", elements);
    into.push(storage);
    backend.write(storage, "f32", values);
  }
}

function sameWords(a: Uint32Array, b: Uint32Array): boolean {
  return a.every((word, i) => word === b[i]);
}

function median(list: readonly number[]): number {
  return [...list].sort((a, b) => a - b)[list.length >> 1];
}

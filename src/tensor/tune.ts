/**
 * Measures the ways to compute products of the shape classes that programs have met, on the device at hand, and enters the
 * fastest in its tuning. A way whose bits differ from the default's on random operands is never entered, so results are
 * those of an untuned device.
 */

import { DEFAULT_VARIANT as DEFAULT, type MatmulProduct, matmulVariants } from "./codegen/matmulTiles.ts";
import { ConfigError } from "./errors.ts";
import { Node, type ValueType } from "./ir.ts";
import { philox } from "./random.ts";
import { numel } from "./shape.ts";
import type { Storage } from "./tensor.ts";
import type { WebGpuBackend } from "./webgpu.ts";

/** What was measured of one shape class. */
export interface TunedClass {
  shapeClass: string;
  /** The fastest way; null where nothing was faster than the default by more than the margin. */
  chosen: string | null;
  /** Median ms of a product, by way; `default` is what is taken without tuning. */
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

/** A way has to be this much faster than the default to be entered: less is noise. */
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
    // The default is entered too: the class is known then, and not measured again.
    backend.tuning.set(shapeClass, tuned.chosen ?? DEFAULT);
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
  const operands: Storage[] = [];
  const ways: Way[] = [];
  try {
    for (const shape of shapes) operands.push(randomOperand(backend, numel(shape), operands.length));
    const names = [DEFAULT, ...matmulVariants(product, backend.lanes)];
    let fixed: Uint32Array | null = null;
    for (const name of names) {
      signal?.throwIfAborted();
      const way = new Way(backend, name, product, shapes, operands);
      ways.push(way);
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
    const chosen = ms[DEFAULT] > MARGIN * ms[best.name] ? best.name : null;
    return { shapeClass, chosen, ms, refused };
  } finally {
    for (const way of ways) way.dispose();
    for (const storage of operands) storage.release();
  }
}

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

  /** The words of the product. */
  async bits(): Promise<Uint32Array> {
    const [result] = this.program.run(this.operands);
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

function randomOperand(backend: WebGpuBackend, elements: number, operand: number): Storage {
  const storage = backend.allocate("f32", elements);
  const values = new Float32Array(elements);
  for (let i = 0; i < elements; i += 4) {
    const words = philox([i, operand, 0, 0], [0x74756e65, 0]);
    for (let l = 0; l < 4 && i + l < elements; l++) values[i + l] = words[l] / 2 ** 31 - 1;
  }
  backend.write(storage, "f32", values);
  return storage;
}

function sameWords(a: Uint32Array, b: Uint32Array): boolean {
  return a.every((word, i) => word === b[i]);
}

function median(list: readonly number[]): number {
  return [...list].sort((a, b) => a - b)[list.length >> 1];
}

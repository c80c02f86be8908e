/**
 * Timing of work on a backend. The wall's time is measured with the profiler off, because it gives each kernel a pass of
 * its own; the GPU's with it on, in runs of their own.
 */

import { Bench } from "tinybench";
import type { Profiler } from "../tensor/profiler.ts";
import type { WebGpuBackend } from "../tensor/webgpu.ts";
import { summarize, type Timing } from "./stats.ts";

/** Untimed runs before the timed ones: the first builds programs and pipelines. */
const WARMUP = 2;
/** Fewest timed runs. */
export const FEWEST = 5;
/** Runs of more ms than this are timed on the GPU three times only: the wall's clock has timed them already. */
const SLOW_MS = 1000;
/** Each sample of GPU time covers at least this many ms: Dawn rounds timestamps to 65.5 us, Chromium to 100. */
const GPU_SAMPLE_MS = 5;
/** Each sample of the wall's time covers at least so many ticks of the clock: in a page it ticks 5 or 100 us. */
const TICKS = 50;

export interface SampleOptions {
  /** ms for all samples. */
  time: number;
  fewest?: number;
  warmup?: number;
  /** Not timed; comes before every run. */
  before?(): Promise<void>;
  signal?: AbortSignal;
}

/** What one run's kernels do by their own account. */
export interface KernelWork {
  flops: number;
  bytes: number;
  count: number;
}

export interface Measured {
  wall: Timing;
  /** Null where the adapter has no timestamps. */
  gpu: Timing | null;
  kernels: KernelWork | null;
}

let tick: number | null = null;

/** The least time that passes on this clock, ms; measured once. */
function clockTick(): number {
  if (tick !== null) return tick;
  tick = Number.POSITIVE_INFINITY;
  for (let i = 0; i < 20; i++) {
    const begun = performance.now();
    let now = begun;
    while (now === begun) now = performance.now();
    tick = Math.min(tick, now - begun);
  }
  return tick;
}

/** Times of `run` by the wall, ms: at least `fewest` samples, and as many as `time` ms hold. */
export async function wallSamples(run: () => Promise<void>, options: SampleOptions): Promise<number[]> {
  const { time, fewest = FEWEST, warmup = WARMUP, before, signal } = options;
  let last = Number.POSITIVE_INFINITY;
  for (let i = 0; i < warmup; i++) {
    await before?.();
    const begun = performance.now();
    await run();
    last = performance.now() - begun;
  }
  // What comes before a run cannot stand between several.
  const least = TICKS * clockTick();
  const runs = before ? 1 : Math.max(1, Math.min(1000, Math.ceil(least / Math.max(last, clockTick()))));
  const bench = new Bench({
    time,
    iterations: fewest,
    warmup: false,
    throws: true,
    retainSamples: true,
    now: () => performance.now(),
  });
  const sample = async (): Promise<void> => {
    for (let r = 0; r < runs; r++) await run();
  };
  bench.add("run", sample, {
    async: true,
    beforeEach: async () => {
      signal?.throwIfAborted();
      await before?.();
    },
  });
  const [{ result }] = await bench.run();
  if (!("latency" in result) || !result.latency.samples) {
    throw new Error(`bench: samples expected, got a task that is ${result.state}.`);
  }
  const samples = result.latency.samples.map((ms) => ms / runs);
  return samples;
}

/** Does `work` with the profiler off: it gives each kernel a pass, and each run a submission, of its own. */
export async function unprofiled<T>(backend: WebGpuBackend, work: () => Promise<T>): Promise<T> {
  const { profiler } = backend;
  backend.profiler = null;
  try {
    return await work();
  } finally {
    backend.profiler = profiler;
  }
}

/**
 * Measures `run`, which ends when the device is done: timings by the wall and by the GPU, and what the kernels of one run move
 * and compute by their own account. `before` may write, and runs no kernel.
 */
export async function measure(
  backend: WebGpuBackend,
  run: () => Promise<void>,
  options: SampleOptions,
): Promise<Measured> {
  const wall = summarize(await unprofiled(backend, () => wallSamples(run, options)));
  const { profiler } = backend;
  if (!profiler) return { wall, gpu: null, kernels: null };
  const { samples, kernels } = await gpuSamples(profiler, run, wall.ms, options);
  return { wall, gpu: summarize(samples), kernels };
}

/** GPU time of a run, ms, in samples of one or more runs. */
async function gpuSamples(
  profiler: Profiler,
  run: () => Promise<void>,
  wallMs: number,
  { time, fewest = FEWEST, before, signal }: SampleOptions,
): Promise<{ samples: number[]; kernels: KernelWork }> {
  const runs = Math.max(1, Math.ceil(GPU_SAMPLE_MS / wallMs));
  const count = Math.max(wallMs > SLOW_MS ? 3 : fewest, Math.floor(time / 2 / (runs * wallMs)));
  const samples: number[] = [];
  let kernels: KernelWork = { flops: 0, bytes: 0, count: 0 };
  await profiler.finish();
  for (let i = 0; i < count; i++) {
    signal?.throwIfAborted();
    profiler.reset();
    for (let r = 0; r < runs; r++) {
      await before?.();
      await run();
    }
    await profiler.finish();
    const totals = [...profiler.totals.values()];
    const sum = (key: "ms" | "flops" | "bytes" | "count"): number =>
      totals.reduce((n, t) => n + t[key], 0) / runs;
    samples.push(sum("ms"));
    kernels = { flops: sum("flops"), bytes: sum("bytes"), count: sum("count") };
  }
  profiler.reset();
  return { samples, kernels };
}

/**
 * Timing of work on a backend. The wall's time is measured with the profiler off, because it gives each kernel a pass of
 * its own; the GPU's with it on, in runs of their own.
 */

import { Bench } from "tinybench";
import { summarize } from "./stats.mjs";

/** Untimed runs before the timed ones: the first builds programs and pipelines. */
const WARMUP = 2;
/** Fewest timed runs. */
export const FEWEST = 5;
/** Runs of more ms than this are timed on the GPU three times only: the wall's clock has timed them already. */
const SLOW_MS = 1000;
/** Each sample of GPU time covers at least this many ms: Dawn rounds timestamps to 65.5 us. */
const GPU_SAMPLE_MS = 5;

/** Times of `run` by the wall, ms: at least `fewest`, and as many as `time` ms hold. `before` is not timed. */
export async function wallSamples(run, { time, fewest = FEWEST, warmup = WARMUP, before }) {
  for (let i = 0; i < warmup; i++) {
    await before?.();
    await run();
  }
  const bench = new Bench({ time, iterations: fewest, warmup: false, throws: true, retainSamples: true });
  bench.add("run", run, { async: true, beforeEach: before });
  const [task] = await bench.run();
  return [...task.result.latency.samples];
}

/**
 * Measures `run`, which ends when the device is done. Gives timings by the wall and by the GPU (null where the adapter has no
 * timestamps), and what the kernels of one run move and compute by their own account. `before` may write, and runs no kernel.
 */
export async function measure(backend, run, options) {
  const { profiler } = backend;
  backend.profiler = null;
  try {
    const wall = summarize(await wallSamples(run, options));
    if (!profiler) return { wall, gpu: null, kernels: null };
    backend.profiler = profiler;
    const { samples, kernels } = await gpuSamples(profiler, run, wall.ms, options);
    return { wall, gpu: summarize(samples), kernels };
  } finally {
    backend.profiler = profiler;
  }
}

/** GPU time of a run, ms, in samples of one or more runs. */
async function gpuSamples(profiler, run, wallMs, { time, fewest = FEWEST, before }) {
  const runs = Math.max(1, Math.ceil(GPU_SAMPLE_MS / wallMs));
  const count = Math.max(wallMs > SLOW_MS ? 3 : fewest, Math.floor(time / 2 / (runs * wallMs)));
  const samples = [];
  let kernels = null;
  await profiler.finish();
  for (let i = 0; i < count; i++) {
    profiler.reset();
    for (let r = 0; r < runs; r++) {
      await before?.();
      await run();
    }
    await profiler.finish();
    const totals = [...profiler.totals.values()];
    const sum = (key) => totals.reduce((n, t) => n + t[key], 0) / runs;
    samples.push(sum("ms"));
    kernels = { flops: sum("flops"), bytes: sum("bytes"), count: sum("count") };
  }
  profiler.reset();
  return { samples, kernels };
}

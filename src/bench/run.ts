/** Runs what was chosen, row after row, and gathers it as one result. */

import { runtimeName } from "../check/runtime.ts";
import { NaysayError } from "../tensor/errors.ts";
import { allOps, opByName } from "../tensor/ops/table.ts";
import { VERSION } from "../tensor/version.ts";
import type { WebGpuBackend } from "../tensor/webgpu.ts";
import { type Ceilings, measureCeilings } from "./ceilings.ts";
import { FORMAT } from "./compareFile.ts";
import { type OpSize, opRow } from "./opRows.ts";
import { withRates } from "./rates.ts";
import type { BenchFailure, BenchResult, BenchRow, MeasureOptions } from "./result.ts";
import { type Chosen, choose } from "./selection.ts";
import { FOR_GPUS, WORKLOADS, type Work } from "./workloads.ts";

export interface BenchOptions extends MeasureOptions {
  /** Workloads (`w1` to `w5`), ops, `ops`, `ceilings`; none: all. */
  words?: readonly string[];
  /** Who computes, as far as the host knows. */
  machine?: BenchResult["machine"];
  onCeilings?(ceilings: Ceilings): void;
  onRow?(row: BenchRow): void;
  onFailure?(failure: BenchFailure): void;
  /** The result so far, after ceilings and each row. */
  onProgress?(result: BenchResult): void;
}

/** Names that words may choose: workloads, and ops with sizes for the benchmark. */
export function benchNames(): Chosen {
  return {
    workloads: Object.keys(WORKLOADS),
    ops: allOps()
      .filter((op) => (op.perf?.length ?? 0) > 0)
      .map(({ name }) => name),
  };
}

/** What words choose, before any device is asked for. Throws `ConfigError` for a word that names nothing. */
export function chosenBy(words: readonly string[]): Chosen {
  const { workloads, ops } = benchNames();
  const all = allOps().map(({ name }) => name);
  return choose(words, workloads, all, ops);
}

function opWork(name: string, quick: boolean): Work[] {
  const op = opByName(name);
  // Cases of the tests are tiny.
  const sizes: readonly OpSize[] = quick ? op.cases.slice(0, 1) : (op.perf ?? []);
  return sizes.map((size) => ({
    name,
    async *rows(backend, options) {
      yield await opRow(backend, op, size, options);
    },
  }));
}

/**
 * Measures ceilings and rows on `backend`, which must be current; with a profiler the GPU's times too. What fails is in the
 * result's `errors`, and the rest goes on, unless the device has failed. Rejects with the signal's reason where it is aborted.
 */
export async function runBench(backend: WebGpuBackend, options: BenchOptions): Promise<BenchResult> {
  const { words = [], quick, time, signal, machine = { processors: 0, model: "" } } = options;
  const chosen = chosenBy(words);
  const wanted = (name: string): boolean =>
    words.length > 0 || quick || !backend.device.info.software || !FOR_GPUS.includes(name);
  const work = [
    ...chosen.workloads.filter(wanted).flatMap((name) => WORKLOADS[name](options)),
    ...chosen.ops.flatMap((name) => opWork(name, quick)),
  ];
  const result: BenchResult = {
    format: FORMAT,
    naysay: VERSION,
    node: runtimeName(),
    adapter: backend.device.info,
    machine,
    quick,
    time,
    tuned: backend.tuning.size,
    ceilings: null,
    rows: [],
    errors: [],
    finished: false,
  };
  const ceilings = await measureCeilings(backend.device, options);
  result.ceilings = ceilings;
  options.onCeilings?.(ceilings);
  options.onProgress?.(result);
  for (const piece of work) {
    signal?.throwIfAborted();
    try {
      for await (const measured of piece.rows(backend, options)) {
        const row = withRates(measured, ceilings);
        result.rows.push(row);
        options.onRow?.(row);
        options.onProgress?.(result);
      }
    } catch (error) {
      if (signal?.aborted || backend.device.failure !== null || !(error instanceof NaysayError)) throw error;
      const failure = { name: piece.name, message: `${error.name}: ${error.message}` };
      result.errors.push(failure);
      options.onFailure?.(failure);
      options.onProgress?.(result);
    }
  }
  result.finished = true;
  return result;
}

/** What a benchmark gives: rows and whose they are, as plain data that `compare` reads. */

import type { AdapterInfo } from "../tensor/device.ts";
import type { Ceilings } from "./ceilings.ts";
import type { Timing } from "./stats.ts";

/** What a workload reports besides time. */
export interface Detail {
  name: string;
  value: number;
  unit?: "bytes" | "share" | "ms";
}

/** One piece of work, timed. */
export interface MeasuredRow {
  /** `w1` to `w5`, or `op`. */
  group: string;
  name: string;
  /** Which of the times rates and comparisons come from: the GPU's where it is known, or the wall's. */
  time: "gpu" | "wall";
  wall: Timing;
  /** Sum of the kernels' times by timestamps; null where the adapter has none. */
  gpu: Timing | null;
  /** Of one run; null where unknown. */
  flops: number | null;
  bytes: number | null;
  details?: Detail[];
}

/** What of a row two files are compared by. */
export type TimedRow = Pick<MeasuredRow, "name" | "time" | "wall" | "gpu">;

/** Rates beside the adapter's ceilings; null where there is none. */
export interface Rates {
  gflops: number | null;
  gbs: number | null;
  ofFma: number | null;
  ofCopy: number | null;
  ofLimit: number | null;
  limit: "fma" | "copy" | null;
}

export type BenchRow = MeasuredRow & Rates;

/** Work that could not be done here, and why. */
export interface BenchFailure {
  name: string;
  message: string;
}

export interface BenchResult {
  format: "naysay-bench-1";
  naysay: string;
  /** Version of Node, or the browser. */
  node: string;
  adapter: AdapterInfo;
  machine: { processors: number; model: string };
  quick: boolean;
  /** ms for each row. */
  time: number;
  /** Shape classes whose kernel was chosen by measurement (`naysay tune`). */
  tuned?: number;
  ceilings: Ceilings | null;
  rows: BenchRow[];
  errors: BenchFailure[];
  /** False in a file that was written on the way. */
  finished: boolean;
}

/** How the rows of a workload are measured. */
export interface MeasureOptions {
  /** Each row is measured for so many ms. */
  time: number;
  /** Tiny sizes: enough to see that everything works, not what it gives. */
  quick: boolean;
  signal?: AbortSignal;
  /** Bytes of a checkpoint that ships with the package, by its name. W4 starts from one. */
  loadBase?(name: string): Promise<Uint8Array>;
  /** The first step of W2 in a process of its own, where there are processes. */
  coldStart?(): Promise<{ firstStepMs: number; deviceMs: number; peakRssBytes: number }>;
}

/** The workloads by the word that chooses them: each gives rows without rates. */

import type { WebGpuBackend } from "../tensor/webgpu.ts";
import { endedRows } from "./endedRows.ts";
import { matmulRows } from "./matmuls.ts";
import { nsrRows } from "./nsrStep.ts";
import type { MeasuredRow, MeasureOptions } from "./result.ts";
import { samplingRows } from "./sampling.ts";
import { gpt2Rows, trainingRows } from "./trainingStep.ts";

/** A piece of work that gives rows; one that fails leaves the others alone. */
export interface Work {
  name: string;
  rows(backend: WebGpuBackend, options: MeasureOptions): AsyncGenerator<MeasuredRow>;
}

const one = (name: string, rows: Work["rows"]): (() => Work[]) => {
  return () => [{ name, rows }];
};

function largeSteps(options: MeasureOptions): Work[] {
  return gpt2Rows(options).map(({ name, measure }) => ({
    name,
    async *rows(backend, given) {
      yield await measure(backend, given);
    },
  }));
}

export const WORKLOADS: Readonly<Record<string, (options: MeasureOptions) => Work[]>> = {
  w1: one("w1", matmulRows),
  w2: one("w2", trainingRows),
  w3: () => [
    { name: "w3", rows: samplingRows },
    { name: "w3 ended rows", rows: endedRows },
  ],
  w4: one("w4", nsrRows),
  w5: largeSteps,
};

/** Minutes on a processor: chosen by name only where no GPU computes. */
export const FOR_GPUS: readonly string[] = ["w5"];

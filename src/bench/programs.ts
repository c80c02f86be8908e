/** What a piece of work is made of: the programs that it builds, and what one run of it hands to the device. */

import type { BuildOptions } from "../tensor/backend.ts";
import type { Graph } from "../tensor/ir.ts";
import type { Program } from "../tensor/program.ts";
import type { WebGpuBackend } from "../tensor/webgpu.ts";
import { unprofiled } from "./measure.ts";

/** Notes the programs that a backend builds until `stop()`. */
export function recordPrograms(backend: WebGpuBackend): { built: Program[]; stop(): void } {
  const built: Program[] = [];
  const { build } = backend;
  backend.build = (graph: Graph, options: BuildOptions) => {
    const program = build.call(backend, graph, options);
    built.push(program as Program);
    return program;
  };
  return {
    built,
    stop() {
      delete (backend as Partial<WebGpuBackend>).build;
    },
  };
}

/**
 * Programs that live side by side: `plannedBytes` of temporaries, `lowerBound` the sum of what each program has alive at
 * its fullest step (no plan can take less), and pipelines by the text of their kernels.
 */
export function programFacts(programs: readonly Program[]): {
  programs: number;
  pipelines: number;
  plannedBytes: number;
  lowerBound: number;
} {
  const kernels = programs.flatMap((p) => p.lowered.kernels);
  const sum = (of: (memory: Program["lowered"]["memory"]) => number): number =>
    programs.reduce((n, p) => n + of(p.lowered.memory), 0);
  return {
    programs: programs.length,
    pipelines: new Set(kernels.map((k) => k.wgsl)).size,
    plannedBytes: sum((memory) => memory.totalBytes),
    lowerBound: sum((memory) => memory.lowerBound),
  };
}

/** Dispatches and submissions of one run, unprofiled. */
export async function countWork(
  backend: WebGpuBackend,
  run: () => Promise<void>,
): Promise<{ dispatches: number; submits: number; compiled: number }> {
  const before = backend.counters();
  await unprofiled(backend, run);
  const after = backend.counters();
  return {
    dispatches: after.dispatches - before.dispatches,
    submits: after.submits - before.submits,
    compiled: after.pipelines - before.pipelines,
  };
}

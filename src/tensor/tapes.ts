/**
 * What a program's runs bind: its own memory and the storages that a run brings, as bind groups that are kept from run
 * to run, and as tapes, which hold all dispatches of a run.
 */
import type { GpuStorage } from "./buffers.ts";
import type { Kernel } from "./codegen/kernel.ts";
import type { Device } from "./device.ts";
import { TensorError } from "./errors.ts";
import type { Value } from "./ir.ts";
import { bytesFor } from "./passes/memory.ts";
import type { Lowered } from "./passes/pipeline.ts";
import type { Pipeline } from "./pipelines.ts";
import type { Storage } from "./tensor.ts";

/** Bind groups kept for one kernel; beyond that the oldest go. */
const BIND_GROUPS_KEPT = 64;
/** Runs whose bind groups are kept whole: results come from a pool, which mostly deals them out in few orders. */
const TAPES_KEPT = 4;

/** One kernel of a program. */
export interface Step {
  readonly kernel: Kernel;
  /** Bytes of the kernel's parameters in the program's parameter buffer. */
  readonly paramOffset: number;
  readonly paramBytes: number;
  /** Operations, at most. */
  readonly flops: number;
  pipeline: Pipeline | null;
}

/**
 * One dispatch as the encoder takes it. Flat, and all of one kind: reaching through steps and kernels for the same four
 * things took longer than the calls themselves (bench/NOTES.md).
 */
export interface Dispatch {
  readonly pipeline: GPUComputePipeline;
  /** Whether the dispatch before has the same pipeline. */
  readonly again: boolean;
  readonly group: GPUBindGroup;
  readonly x: number;
  readonly y: number;
  readonly flops: number;
}

/** The dispatches of a run in order, and their operations together. */
export interface Recorded {
  readonly dispatches: readonly Dispatch[];
  readonly flops: number;
}

interface Tape extends Recorded {
  /** Buffer and offset of each storage that it binds, results first: they change most. */
  readonly ids: readonly number[];
  /** `version` of its last run. */
  version: number;
}

/** The storages of one run: of its arguments (numbers among them) and of its results, in the graph's order. */
export interface RunStorages {
  readonly args: readonly (Storage | number)[];
  readonly results: readonly GpuStorage[];
  /** Equal only for runs with the same arguments; NaN: not known. */
  readonly version: number;
}

/** Where a binding that changes from run to run comes from. */
interface Outer {
  readonly from: "args" | "results";
  readonly index: number;
}

export class Tapes {
  private readonly device: Device;
  private readonly lowered: Lowered;
  private readonly steps: readonly Step[];
  private readonly arenas: readonly GPUBuffer[];
  private readonly params: GPUBuffer | null;
  private readonly outers = new Map<Value, Outer>();
  /** Of each step, what changes from run to run. */
  private readonly changing: readonly (readonly Outer[])[];
  private readonly groups: readonly Map<string, GPUBindGroup>[];
  private readonly tapes: Tape[] = [];

  constructor(
    device: Device,
    lowered: Lowered,
    steps: readonly Step[],
    arenas: readonly GPUBuffer[],
    params: GPUBuffer | null,
  ) {
    this.device = device;
    this.lowered = lowered;
    this.steps = steps;
    this.arenas = arenas;
    this.params = params;
    lowered.graph.inputs.forEach((v, index) => {
      this.outers.set(v, { from: "args", index });
    });
    lowered.graph.outputs.forEach((v, index) => {
      this.outers.set(v, { from: "results", index });
    });
    this.changing = steps.map(({ kernel }) =>
      kernel.bindings.filter((b) => !lowered.memory.places.has(b.value)).map((b) => this.outerOf(b.value)),
    );
    this.groups = steps.map(() => new Map());
  }

  private outerOf(v: Value): Outer {
    return this.outers.get(v) as Outer;
  }

  /** The range that holds a value in a run, as long as `size` bytes. */
  rangeOf(v: Value, size: number, run: RunStorages): GPUBufferBinding {
    const place = this.lowered.memory.places.get(v);
    if (place) return { buffer: this.arenas[place.arena], offset: place.offset, size };
    const s = storageOf(this.outerOf(v), run);
    return { buffer: s.buffer, offset: s.offset, size };
  }

  /** What a run gives the encoder. */
  record(run: RunStorages): Recorded {
    for (const tape of this.tapes) if (binds(tape, run)) return tape;
    const dispatches = this.steps.map(
      (step, i): Dispatch => ({
        pipeline: (step.pipeline as Pipeline).pipeline,
        again: i > 0 && step.pipeline === this.steps[i - 1].pipeline,
        group: this.bindGroup(i, run),
        x: step.kernel.grid[0],
        y: step.kernel.grid[1],
        flops: step.flops,
      }),
    );
    const flops = dispatches.reduce((sum, d) => sum + d.flops, 0);
    const tape = { ids: idsOf(run), version: run.version, dispatches, flops };
    if (this.tapes.length >= TAPES_KEPT) this.tapes.shift();
    this.tapes.push(tape);
    return tape;
  }

  private bindGroup(at: number, run: RunStorages): GPUBindGroup {
    let key = "";
    for (const outer of this.changing[at]) {
      const s = storageOf(outer, run);
      key += `${s.bufferId}@${s.offset},`;
    }
    const kept = this.groups[at];
    let group = kept.get(key);
    if (!group) {
      group = this.createBindGroup(this.steps[at], run);
      if (kept.size >= BIND_GROUPS_KEPT) kept.delete(kept.keys().next().value as string);
      kept.set(key, group);
    }
    return group;
  }

  private createBindGroup(step: Step, run: RunStorages): GPUBindGroup {
    const { kernel } = step;
    const entries: GPUBindGroupEntry[] = kernel.bindings.map((b, binding) => ({
      binding,
      resource: this.rangeOf(b.value, bytesFor(b.value), run),
    }));
    checkAliasing(kernel, entries);
    if (this.params) {
      entries.push({
        binding: entries.length,
        resource: { buffer: this.params, offset: step.paramOffset, size: step.paramBytes },
      });
    }
    const { layout } = step.pipeline as Pipeline;
    return this.device.gpu.createBindGroup({ label: kernel.label, layout, entries });
  }

  /** Forgets all bind groups. */
  clear(): void {
    for (const kept of this.groups) kept.clear();
    this.tapes.length = 0;
  }
}

function idsOf({ args, results }: RunStorages): number[] {
  const held = args.filter((a) => typeof a !== "number") as GpuStorage[];
  return [...results, ...held].flatMap((s) => [s.bufferId, s.offset]);
}

/** Whether a tape is that of a run: `idsOf(run)` compared, without making the list. */
function binds(tape: Tape, { args, results, version }: RunStorages): boolean {
  const { ids } = tape;
  let n = 0;
  for (let i = 0; i < results.length; i++) {
    const s = results[i];
    if (ids[n++] !== s.bufferId || ids[n++] !== s.offset) return false;
  }
  if (tape.version === version) return true;
  for (let i = 0; i < args.length; i++) {
    const s = args[i];
    if (typeof s === "number") continue;
    if (ids[n++] !== (s as GpuStorage).bufferId || ids[n++] !== (s as GpuStorage).offset) return false;
  }
  tape.version = version;
  return true;
}

function storageOf({ from, index }: Outer, { args, results }: RunStorages): GpuStorage {
  return from === "results" ? results[index] : (args[index] as GpuStorage);
}

/** WebGPU rejects a buffer that one dispatch both reads and writes; say it in words of the caller. */
function checkAliasing(kernel: Kernel, entries: readonly GPUBindGroupEntry[]): void {
  const written = new Set<GPUBuffer>();
  kernel.bindings.forEach((b, i) => {
    if (b.write) written.add((entries[i].resource as GPUBufferBinding).buffer);
  });
  kernel.bindings.forEach((b, i) => {
    if (!b.write && written.has((entries[i].resource as GPUBufferBinding).buffer)) {
      throw new TensorError(
        `${kernel.label}: a state and what is read with it were expected in buffers of their own, got one buffer for both. Copy one of them.`,
      );
    }
  });
}

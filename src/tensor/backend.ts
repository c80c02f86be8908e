/** What a backend offers the engine: memory, and programs built from graphs. One is current at a time. */
import type { Choose } from "./codegen/kernel.ts";
import type { DType } from "./dtype.ts";
import { DeviceError } from "./errors.ts";
import type { Graph } from "./ir.ts";
import type { BackendLike, Storage } from "./tensor.ts";

export interface MemoryUse {
  /** Bytes of tensors that are alive. */
  liveBytes: number;
  /** Bytes of buffers that exist: live tensors, pooled buffers, arenas and constants of programs. */
  allocatedBytes: number;
}

export interface BuildOptions {
  label: string;
  /** Passes to leave out, by name: for tests and for finding faults. */
  passesOff?: readonly string[];
  /** Ways to compute products, in place of the device's tuning. */
  tuning?: Choose;
}

/** A graph made ready to run again and again. */
export interface Executable {
  /**
   * Runs on one storage or host number per graph input. Updates of states happen in place; results are new
   * storages, each with one reference that the caller owns. `times` runs it again and again, for programs that give states
   * new values and no results. Enqueues only: failures reject the next await.
   */
  run(args: readonly (Storage | number)[], times?: number): Storage[];
  /** Resolves when pipelines exist. */
  ready(): Promise<void>;
  /** Bytes of temporaries that the plan takes; 0 where there is no plan. */
  readonly plannedBytes: number;
  /** Human-readable plan, a line a kernel. */
  describe(): string;
  dispose(): void;
}

export interface Backend extends BackendLike {
  allocate(dtype: DType, count: number): Storage;
  /** A part of a storage as one of its own, sharing the memory; in elements of 4 bytes, offset a multiple of 64. */
  view(storage: Storage, offset: number, count: number): Storage;
  build(graph: Graph, options: BuildOptions): Executable;
  /** Resolves when all enqueued work is done; rejects with the first failure since the last await. */
  sync(): Promise<void>;
  memory(): MemoryUse;
  /** How many programs were built and pipelines compiled so far. */
  counters(): { programs: number; pipelines: number; dispatches: number; submits: number };
  destroy(): void;
}

let current: Backend | null = null;

export function setBackend(backend: Backend | null): void {
  current = backend;
}

/** The current backend. Throws `DeviceError` before `init()`. */
export function backend(): Backend {
  if (!current) throw new DeviceError("naysay: a device was expected, got none. Call `await init()` first.");
  return current;
}

/** Runs `f` with another backend current, then brings back the one before. Synchronous: trace inside, await outside. */
export function withBackend<T>(b: Backend, f: () => T): T {
  const before = current;
  current = b;
  try {
    return f();
  } finally {
    current = before;
  }
}

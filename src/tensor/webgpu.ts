/**
 * The WebGPU backend: memory, programs, and one queue of work in the order in which it was asked for. Work whose
 * pipelines are still being created waits, and all that follows it waits behind it; a failure rejects the next await.
 */
import type { Backend, BuildOptions, Executable, MemoryUse } from "./backend.ts";
import { BufferPool, Faults, GpuStorage, GUARD_WORD } from "./buffers.ts";
import { type Lanes, lanesOn } from "./codegen/lanes.ts";
import { Commands } from "./commands.ts";
import type { Device } from "./device.ts";
import { type DType, type HostArray, hostArray } from "./dtype.ts";
import { DeviceError } from "./errors.ts";
import { flags } from "./flags.ts";
import { BufferUsage, MapMode } from "./gpuConstants.ts";
import type { Graph } from "./ir.ts";
import { storageBytes } from "./passes/memory.ts";
import { lowerGraph } from "./passes/pipeline.ts";
import { PipelineCache } from "./pipelines.ts";
import type { Profiler } from "./profiler.ts";
import { Program } from "./program.ts";
import { numel } from "./shape.ts";
import { span, spanUntil } from "./spans.ts";
import type { Storage } from "./tensor.ts";
import { Tuning, tuningKey } from "./tuning.ts";

/** Work in the queue. */
export interface Task {
  /** What to wait for, or null. */
  readonly ready: Promise<void> | null;
  /** Called where the task has to wait, and not where it goes at once: keeps what it will use. */
  wait?(): void;
  go(): void;
  /** Called where `go` threw, before the failure rejects the next await. */
  failed?(error: Error): void;
  done(): void;
}

export interface WebGpuOptions {
  /** Most bytes of temporaries of one program. Default: 2 GiB. */
  memoryBudget?: number;
  /** Most workgroups along one axis; tests lower it. */
  maxGroups?: number;
  /** Estimated operations after which a submission ends; tests lower it. */
  submitFlops?: number;
  /** Puts words around every tensor that `checkGuards` inspects; for tests. */
  guardWords?: boolean;
  /** Free bytes that the pool keeps at any rate; tests lower it. */
  spareBytes?: number;
  passesOff?: readonly string[];
  /** How lanes are joined above T0: a seam for tests, which put a broken one here. */
  lanes?: Lanes;
}

/** Largest binding that every adapter allows: plans do not depend on more. */
export const BINDING_LIMIT = 128 << 20;
export const DEFAULT_BUDGET = 2 ** 31;

export class WebGpuBackend implements Backend {
  readonly kind = "webgpu";
  readonly device: Device;
  readonly pool: BufferPool;
  readonly commands: Commands;
  readonly pipelines: PipelineCache;
  /** What was measured on this adapter: programs built from here on use it. */
  tuning: Tuning;
  profiler: Profiler | null = null;
  private programs = 0;
  private readonly options: WebGpuOptions;
  private readonly tasks: Task[] = [];
  private pumping: Promise<void> | null = null;
  private failure: Error | null = null;
  private readonly staging: GPUBuffer[] = [];
  private readonly checks: Promise<void>[] = [];

  constructor(device: Device, options: WebGpuOptions = {}) {
    this.device = device;
    this.options = options;
    this.commands = new Commands(device.gpu, options.submitFlops);
    this.pool = new BufferPool(device, options.guardWords ?? false, options.spareBytes, () =>
      this.commands.flush(),
    );
    this.pipelines = new PipelineCache(device, options.lanes);
    this.tuning = new Tuning(tuningKey(device), device.info.determinism);
  }

  // ------------------------------------------------------------ the queue

  enqueue(task: Task): void {
    if (this.tasks.length === 0 && !this.pumping && !task.ready) {
      this.perform(task);
      return;
    }
    task.wait?.();
    this.tasks.push(task);
    this.pumping ??= this.pump();
  }

  private perform(task: Task): void {
    try {
      task.go();
    } catch (error) {
      task.failed?.(error as Error);
      this.failure ??= error as Error;
    } finally {
      task.done();
    }
  }

  private async pump(): Promise<void> {
    while (this.tasks.length > 0) {
      const task = this.tasks[0];
      try {
        if (task.ready) await task.ready;
      } catch {
        // `go` reports it: the program knows why it failed.
      }
      this.tasks.shift();
      this.perform(task);
    }
    this.pumping = null;
  }

  /** A check on work of its own whose failure rejects the next await. */
  expect(check: Promise<void>): void {
    check.catch(() => {});
    this.checks.push(check);
  }

  /** Waits until everything asked for has been handed to the device. */
  private async drain(): Promise<void> {
    while (this.pumping) await this.pumping;
    for (const result of await Promise.allSettled(this.checks.splice(0))) {
      if (result.status === "rejected") this.failure ??= result.reason as Error;
    }
    const { failure } = this;
    if (failure) {
      this.failure = null;
      throw failure;
    }
  }

  // ------------------------------------------------------------ memory

  allocate(dtype: DType, count: number): Storage {
    this.pool.requireFits("tensor", count, dtype);
    return this.pool.take(this, storageBytes(count), "tensor");
  }

  view(storage: Storage, offset: number, count: number): Storage {
    const s = storage as GpuStorage;
    s.retain();
    const from = s.offset + offset * 4;
    return new GpuStorage(this, s.buffer, s.bufferId, from, storageBytes(count), s, s.faults);
  }

  write(storage: Storage, dtype: DType, data: ArrayLike<number>): void {
    const s = storage as GpuStorage;
    const host = hostArray(dtype, data.length);
    if (dtype === "bool") for (let i = 0; i < data.length; i++) host[i] = data[i] ? 1 : 0;
    else host.set(data);
    if (host.byteLength === 0) return;
    s.retain();
    this.enqueue({
      ready: null,
      go: () => {
        this.commands.flush();
        this.device.queue.writeBuffer(s.buffer, s.offset, host as HostArray & { buffer: ArrayBuffer });
        s.fault = null;
      },
      done: () => s.release(),
    });
  }

  clear(storage: Storage): void {
    const s = storage as GpuStorage;
    s.retain();
    this.enqueue({
      ready: null,
      go: () => {
        this.commands.clear(s.buffer, s.offset, s.bytes);
        s.fault = null;
      },
      done: () => s.release(),
    });
  }

  async read(storage: Storage, dtype: DType, count: number): Promise<HostArray> {
    const s = storage as GpuStorage;
    if (count === 0) {
      await this.device.guard(this.drain());
      return hostArray(dtype, 0);
    }
    const bytes = count * 4;
    let staging: GPUBuffer | null = null;
    s.retain();
    this.enqueue({
      ready: null,
      go: () => {
        if (s.fault) return;
        staging = this.stagingFor(bytes);
        this.commands.copy(s.buffer, s.offset, staging, 0, bytes);
        this.commands.flush();
      },
      done: () => s.release(),
    });
    const fetch = async (): Promise<HostArray> => {
      try {
        await this.drain();
        const buffer = staging as GPUBuffer | null;
        if (!buffer)
          throw (
            s.fault ?? new DeviceError("read: a staging buffer was expected, got none. The queue failed.")
          );
        await buffer.mapAsync(MapMode.READ, 0, bytes);
        const copy = buffer.getMappedRange(0, bytes).slice(0);
        buffer.unmap();
        this.staging.push(buffer);
        return hostArray(dtype, copy);
      } catch (error) {
        // Not kept: what a failed map left of it is unknown.
        if (staging) this.pool.destroy(staging);
        throw error;
      }
    };
    return this.device.guard(spanUntil("read", "read", fetch()));
  }

  private stagingFor(bytes: number): GPUBuffer {
    const at = this.staging.findIndex((b) => b.size >= bytes && b.size <= 4 * bytes + 4096);
    if (at >= 0) return this.staging.splice(at, 1)[0];
    if (this.staging.length > 8) this.pool.destroy(this.staging.shift() as GPUBuffer);
    return this.pool.create(
      Math.ceil(bytes / 256) * 256,
      "staging",
      BufferUsage.MAP_READ | BufferUsage.COPY_DST,
    );
  }

  // ------------------------------------------------------------ programs

  /** How threads share what they have on this device. */
  get lanes(): Lanes {
    return this.options.lanes ?? lanesOn(this.device);
  }

  build(graph: Graph, options: BuildOptions): Executable {
    for (const v of graph.outputs) {
      this.pool.requireFits(`${options.label}: a result of ${v.node.op}`, numel(v.shape), v.dtype, v.shape);
    }
    this.programs++;
    const begun = performance.now();
    const lowered = span("compile", options.label, () =>
      lowerGraph(graph, {
        label: options.label,
        passesOff: [...(options.passesOff ?? []), ...(this.options.passesOff ?? [])],
        bindingLimit: BINDING_LIMIT,
        budget: this.options.memoryBudget ?? DEFAULT_BUDGET,
        maxGroups: this.options.maxGroups ?? 65535,
        tier: this.device.tier,
        lanes: this.lanes,
        tuning: options.tuning ?? ((shapeClass, product) => this.tuning.choose(shapeClass, product)),
      }),
    );
    const program = new Program(this, graph, lowered, options.label);
    if (flags().debug >= 1) {
      console.error(`build: ${program.summary()}, ${(performance.now() - begun).toFixed(1)} ms to compile`);
    }
    return program;
  }

  async sync(): Promise<void> {
    await this.device.guard(
      (async () => {
        await this.drain();
        this.commands.flush();
        await this.device.queue.onSubmittedWorkDone();
      })(),
    );
  }

  memory(): MemoryUse {
    return { liveBytes: this.pool.liveBytes, allocatedBytes: this.pool.allocatedBytes };
  }

  counters(): { programs: number; pipelines: number; dispatches: number; submits: number } {
    return {
      programs: this.programs,
      pipelines: this.pipelines.compiled,
      dispatches: this.commands.dispatches,
      submits: this.commands.submits,
    };
  }

  /** Reads the words around every live tensor; returns the labels of those written over. Needs `guardWords`. */
  async checkGuards(): Promise<string[]> {
    const look = async (s: GpuStorage): Promise<string[]> => {
      const nobody = { takeBack: () => {} };
      const whole = new GpuStorage(this, s.buffer, s.bufferId, 0, s.buffer.size, nobody, new Faults());
      const words = (await this.read(whole, "u32", s.buffer.size / 4)) as Uint32Array;
      const first = s.offset / 4;
      const past = (s.offset + s.bytes) / 4;
      for (let i = 0; i < words.length; i++) {
        if ((i < first || i >= past) && words[i] !== GUARD_WORD)
          return [`${s.buffer.label} word ${i - first} (of ${s.bytes / 4})`];
      }
      return [];
    };
    // Side by side: some hosts look for finished maps only every 10 ms.
    return (await Promise.all([...this.pool.guarded].map(look))).flat();
  }

  destroy(): void {
    this.commands.flush();
    this.device.destroy();
  }
}

/**
 * A program: kernels in order with their memory planned, replayed with one encoder, cached bind groups and no
 * allocation but for its results.
 */
import type { Executable } from "./backend.ts";
import { GpuStorage } from "./buffers.ts";
import type { Kernel } from "./codegen/kernel.ts";
import { TensorError } from "./errors.ts";
import { BufferUsage } from "./gpuConstants.ts";
import type { Graph, Value } from "./ir.ts";
import { ALIGN, bytesFor } from "./passes/memory.ts";
import type { Lowered } from "./passes/pipeline.ts";
import type { Pipeline } from "./pipelines.ts";
import { numel } from "./shape.ts";
import type { Storage } from "./tensor.ts";
import type { WebGpuBackend } from "./webgpu.ts";

/** Estimated operations after which a submission ends, so that no driver's watchdog fires: 0.2 s at 100 GFLOP/s. */
const SUBMIT_FLOPS = 2e10;
/** Bind groups kept for one kernel; beyond that the oldest go. */
const BIND_GROUPS_KEPT = 64;

interface Step {
  readonly kernel: Kernel;
  /** Bytes of the kernel's parameters in the program's parameter buffer. */
  readonly paramOffset: number;
  readonly paramBytes: number;
  /** Bindings that change from run to run: arguments and results. */
  readonly outer: readonly number[];
  readonly groups: Map<string, GPUBindGroup>;
  pipeline: Pipeline | null;
}

interface ScalarSlot {
  readonly input: number;
  readonly word: number;
  readonly type: "f32" | "u32" | "i32";
}

const bits = new DataView(new ArrayBuffer(4));

function wordOf(value: number, type: "f32" | "u32" | "i32"): number {
  if (type === "f32") bits.setFloat32(0, value, true);
  else if (type === "u32") bits.setUint32(0, value, true);
  else bits.setInt32(0, value, true);
  return bits.getUint32(0, true);
}

export class Program implements Executable {
  readonly label: string;
  readonly lowered: Lowered;
  readonly plannedBytes: number;
  private readonly backend: WebGpuBackend;
  private readonly graph: Graph;
  private readonly steps: Step[] = [];
  private readonly arenas: GPUBuffer[];
  private readonly params: GPUBuffer | null;
  private readonly words: Uint32Array<ArrayBuffer>;
  private readonly slots: ScalarSlot[] = [];
  private readonly inputIndex: Map<Value, number>;
  private readonly outputIndex: Map<Value, number>;
  private readonly building: Promise<void>;
  private isReady = false;
  private failure: Error | null = null;
  private disposed = false;
  private dirty = true;

  constructor(backend: WebGpuBackend, traced: Graph, lowered: Lowered, label: string) {
    this.backend = backend;
    this.lowered = lowered;
    this.graph = traced;
    this.label = label;
    this.plannedBytes = lowered.memory.totalBytes;
    this.inputIndex = new Map(lowered.graph.inputs.map((v, i) => [v, i]));
    this.outputIndex = new Map(lowered.graph.outputs.map((v, i) => [v, i]));
    let offset = 0;
    for (const kernel of lowered.kernels) {
      const paramBytes = Math.ceil((kernel.fields.length * 4) / 16) * 16;
      const outer = kernel.bindings.flatMap((b, i) => (lowered.memory.places.has(b.value) ? [] : [i]));
      this.steps.push({ kernel, paramOffset: offset, paramBytes, outer, groups: new Map(), pipeline: null });
      offset += Math.ceil(paramBytes / ALIGN) * ALIGN;
    }
    this.words = new Uint32Array(offset / 4);
    this.packParams();
    this.arenas = lowered.memory.arenas.map((bytes, i) => backend.pool.create(bytes, `${label}.arena${i}`));
    this.params =
      offset > 0
        ? backend.pool.create(offset, `${label}.params`, BufferUsage.UNIFORM | BufferUsage.COPY_DST)
        : null;
    this.building = this.compile();
    this.building.catch(() => {});
  }

  private packParams(): void {
    for (const { kernel, paramOffset } of this.steps) {
      kernel.fields.forEach((f, i) => {
        const word = paramOffset / 4 + i;
        if (typeof f.value === "number") this.words[word] = wordOf(f.value, f.type);
        else this.slots.push({ input: this.inputIndex.get(f.value.scalar) as number, word, type: f.type });
      });
    }
  }

  private async compile(): Promise<void> {
    try {
      const pipelines = await Promise.all(this.steps.map((s) => this.backend.pipelines.get(s.kernel)));
      this.steps.forEach((s, i) => {
        s.pipeline = pipelines[i];
      });
      this.isReady = true;
    } catch (error) {
      this.failure = error as Error;
      throw error;
    }
  }

  ready(): Promise<void> {
    return this.backend.device.guard(this.building);
  }

  run(args: readonly (Storage | number)[]): Storage[] {
    if (this.disposed)
      throw new TensorError(
        `${this.label}: a live program was expected, got a disposed one. Compile it again.`,
      );
    const results = this.graph.outputs.map((v, i) =>
      this.backend.pool.take(
        this.backend,
        Math.max(16, Math.ceil((numel(v.shape) * 4) / 16) * 16),
        `${this.label}.out${i}`,
      ),
    );
    const held = args.filter((a): a is GpuStorage => a instanceof GpuStorage);
    for (const s of [...held, ...results]) s.retain();
    this.backend.enqueue({
      ready: this.isReady ? null : this.building,
      label: this.label,
      go: () => {
        if (this.failure) throw this.failure;
        this.encode(args, results);
      },
      done: () => {
        for (const s of [...held, ...results]) s.release();
      },
    });
    return results;
  }

  private storageOf(
    v: Value,
    args: readonly (Storage | number)[],
    results: readonly GpuStorage[],
  ): GpuStorage {
    const out = this.outputIndex.get(v);
    if (out !== undefined) return results[out];
    const a = args[this.inputIndex.get(v) as number];
    if (!(a instanceof GpuStorage)) {
      throw new TensorError(
        `${this.label}: a tensor of this device was expected, got another. Create it after init().`,
      );
    }
    return a;
  }

  private bindGroup(
    step: Step,
    args: readonly (Storage | number)[],
    results: readonly GpuStorage[],
  ): GPUBindGroup {
    const { kernel } = step;
    let key = "";
    for (const i of step.outer) {
      const s = this.storageOf(kernel.bindings[i].value, args, results);
      key += `${s.bufferId}@${s.offset},`;
    }
    let group = step.groups.get(key);
    if (group) return group;
    const entries: GPUBindGroupEntry[] = kernel.bindings.map((b, binding) => {
      const place = this.lowered.memory.places.get(b.value);
      if (place) {
        return {
          binding,
          resource: { buffer: this.arenas[place.arena], offset: place.offset, size: place.bytes },
        };
      }
      const s = this.storageOf(b.value, args, results);
      return { binding, resource: { buffer: s.buffer, offset: s.offset, size: bytesFor(b.value) } };
    });
    this.checkAliasing(kernel, entries);
    if (this.params) {
      entries.push({
        binding: entries.length,
        resource: { buffer: this.params, offset: step.paramOffset, size: step.paramBytes },
      });
    }
    const { layout } = step.pipeline as Pipeline;
    group = this.backend.device.gpu.createBindGroup({ label: kernel.label, layout, entries });
    if (step.groups.size >= BIND_GROUPS_KEPT) step.groups.delete(step.groups.keys().next().value as string);
    step.groups.set(key, group);
    return group;
  }

  /** WebGPU rejects a buffer that one dispatch both reads and writes; say it in words of the caller. */
  private checkAliasing(kernel: Kernel, entries: readonly GPUBindGroupEntry[]): void {
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

  private encode(args: readonly (Storage | number)[], results: readonly GpuStorage[]): void {
    const { device } = this.backend;
    for (const slot of this.slots) {
      const word = wordOf(args[slot.input] as number, slot.type);
      if (this.words[slot.word] !== word) {
        this.words[slot.word] = word;
        this.dirty = true;
      }
    }
    if (this.dirty && this.params) device.queue.writeBuffer(this.params, 0, this.words);
    this.dirty = false;
    const profiler = this.backend.profiler;
    let encoder = device.gpu.createCommandEncoder({ label: this.label });
    let pass: GPUComputePassEncoder | null = null;
    let flops = 0;
    for (const step of this.steps) {
      if (profiler) {
        pass?.end();
        pass = encoder.beginComputePass(profiler.pass(step.kernel));
      }
      pass ??= encoder.beginComputePass({ label: this.label });
      pass.setPipeline((step.pipeline as Pipeline).pipeline);
      pass.setBindGroup(0, this.bindGroup(step, args, results));
      pass.dispatchWorkgroups(step.kernel.grid[0], step.kernel.grid[1]);
      flops += step.kernel.flops;
      if (flops > SUBMIT_FLOPS) {
        pass.end();
        pass = null;
        device.queue.submit([encoder.finish()]);
        this.backend.submits++;
        encoder = device.gpu.createCommandEncoder({ label: this.label });
        flops = 0;
      }
    }
    pass?.end();
    for (const c of this.lowered.copies) {
      const to = this.storageOf(c.input, args, results);
      const place = this.lowered.memory.places.get(c.value);
      const bytes = numel(c.value.shape) * 4;
      if (bytes === 0) continue;
      if (place)
        encoder.copyBufferToBuffer(this.arenas[place.arena], place.offset, to.buffer, to.offset, bytes);
      else {
        const from = this.storageOf(c.value, args, results);
        encoder.copyBufferToBuffer(from.buffer, from.offset, to.buffer, to.offset, bytes);
      }
    }
    profiler?.resolve(encoder);
    device.queue.submit([encoder.finish()]);
    this.backend.submits++;
    this.backend.dispatches += this.steps.length;
  }

  describe(): string {
    const { memory, kernels, copies } = this.lowered;
    const head = `${this.label}: ${kernels.length} kernels, ${new Set(kernels.map((k) => k.wgsl)).size} distinct, ${memory.totalBytes} bytes in ${memory.arenas.length} arenas (at least ${memory.lowerBound}), ${copies.length} state copies`;
    return [
      head,
      ...kernels.map(
        (k) => `  ${k.label} grid ${k.grid[0]}x${k.grid[1]} bindings ${k.bindings.length} flops ${k.flops}`,
      ),
    ].join("\n");
  }

  dispose(): void {
    if (this.disposed) return;
    this.disposed = true;
    for (const b of this.arenas) this.backend.pool.destroy(b);
    if (this.params) this.backend.pool.destroy(this.params);
    for (const s of this.steps) s.groups.clear();
  }
}

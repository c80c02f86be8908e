/**
 * A program: kernels in order with their memory planned, replayed with one encoder, cached bind groups and no
 * allocation but for its results.
 */
import type { Executable } from "./backend.ts";
import { GpuStorage } from "./buffers.ts";
import type { Kernel } from "./codegen/kernel.ts";
import { TensorError } from "./errors.ts";
import { flags } from "./flags.ts";
import { BufferUsage } from "./gpuConstants.ts";
import type { Graph, Value } from "./ir.ts";
import { NanCheck } from "./nanCheck.ts";
import { ALIGN, bytesFor } from "./passes/memory.ts";
import type { Lowered } from "./passes/pipeline.ts";
import type { Pipeline } from "./pipelines.ts";
import { numel } from "./shape.ts";
import { span, spanUntil } from "./spans.ts";
import type { Storage } from "./tensor.ts";
import type { WebGpuBackend } from "./webgpu.ts";

/** Estimated operations after which a submission ends, so that no driver's watchdog fires: 0.2 s at 100 GFLOP/s. */
const SUBMIT_FLOPS = 2e10;
/** Bind groups kept for one kernel; beyond that the oldest go. */
const BIND_GROUPS_KEPT = 64;
/** Runs whose bind groups are kept whole: results come from a pool, which mostly deals them out in few orders. */
const TAPES_KEPT = 4;

/** Where a binding that changes from run to run comes from. */
interface Outer {
  readonly from: "args" | "results";
  readonly index: number;
}

interface Step {
  readonly kernel: Kernel;
  /** Bytes of the kernel's parameters in the program's parameter buffer. */
  readonly paramOffset: number;
  readonly paramBytes: number;
  readonly outer: readonly Outer[];
  readonly groups: Map<string, GPUBindGroup>;
  pipeline: Pipeline | null;
}

/** The bind groups of a whole run, and the storages (buffer and offset of each) that they bind. */
interface Tape {
  readonly ids: readonly number[];
  readonly groups: readonly GPUBindGroup[];
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
  private readonly tapes: Tape[] = [];
  /** Filled anew in each run: what `Tape.ids` is compared with. */
  private readonly ids: number[] = [];
  /** Which inputs are host numbers. */
  private readonly takesNumber: readonly boolean[];
  private readonly arenas: GPUBuffer[];
  private params: GPUBuffer | null;
  private readonly words: Uint32Array<ArrayBuffer>;
  private readonly slots: ScalarSlot[] = [];
  private readonly inputIndex: Map<Value, number>;
  private readonly outputIndex: Map<Value, number>;
  private readonly building: Promise<void>;
  private isReady = false;
  private failure: Error | null = null;
  private disposed = false;
  /** Runs asked for and not yet handed to the device. */
  private pending = 0;
  private dirty = true;

  constructor(backend: WebGpuBackend, traced: Graph, lowered: Lowered, label: string) {
    this.backend = backend;
    this.lowered = lowered;
    this.graph = traced;
    this.label = label;
    this.plannedBytes = lowered.memory.totalBytes;
    this.takesNumber = traced.inputs.map((v) => v.node.attrs.scalar === true);
    this.inputIndex = new Map(lowered.graph.inputs.map((v, i) => [v, i]));
    this.outputIndex = new Map(lowered.graph.outputs.map((v, i) => [v, i]));
    let offset = 0;
    for (const kernel of lowered.kernels) {
      const paramBytes = Math.ceil((kernel.fields.length * 4) / 16) * 16;
      const outer = kernel.bindings.flatMap((b) =>
        lowered.memory.places.has(b.value) ? [] : [this.outerOf(b.value)],
      );
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
    this.building = spanUntil("pipelines", label, this.compile());
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
      const begun = performance.now();
      const pipelines = await Promise.all(this.steps.map((s) => this.backend.pipelines.get(s.kernel)));
      if (flags().debug >= 1) {
        const distinct = new Set(pipelines).size;
        console.error(
          `ready: ${this.label}: ${distinct} pipelines in ${(performance.now() - begun).toFixed(0)} ms`,
        );
      }
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
    this.check(args);
    const results = this.graph.outputs.map((v, i) =>
      this.backend.pool.take(this.backend, bytesFor(v), `${this.label}.out${i}`),
    );
    const held: GpuStorage[] = [];
    for (const a of args) if (a instanceof GpuStorage) held.push(a);
    for (const s of held) s.retain();
    for (const s of results) s.retain();
    this.pending++;
    this.backend.enqueue({
      ready: this.isReady ? null : this.building,
      label: this.label,
      go: () => {
        const fault = this.failure ?? held.find((s) => s.fault)?.fault;
        if (fault) throw fault;
        span("encode", this.label, () => this.encode(args, results, held));
      },
      failed: (error) => {
        for (const s of results) s.fault = error;
      },
      done: () => {
        for (const s of held) s.release();
        for (const s of results) s.release();
        this.pending--;
        if (this.disposed) this.free();
      },
    });
    return results;
  }

  /** What can be known wrong before anything is allocated or handed to the device. */
  private check(args: readonly (Storage | number)[]): void {
    if (this.disposed) {
      throw new TensorError(
        `${this.label}: a live program was expected, got a disposed one. Compile it again.`,
      );
    }
    for (let i = 0; i < this.takesNumber.length; i++) {
      const a = args[i];
      const number = this.takesNumber[i];
      if (number ? typeof a === "number" : a instanceof GpuStorage && a.backend === this.backend) continue;
      throw new TensorError(
        `${this.label}: ${number ? "a number" : "a tensor of the current device"} was expected, got ${typeof a === "number" ? "a number" : "a tensor of another device"}. Create tensors after init().`,
      );
    }
  }

  private outerOf(v: Value): Outer {
    const out = this.outputIndex.get(v);
    if (out !== undefined) return { from: "results", index: out };
    return { from: "args", index: this.inputIndex.get(v) as number };
  }

  /** The range that holds a value in this run, as long as `size`. */
  private rangeOf(
    v: Value,
    size: number,
    args: readonly (Storage | number)[],
    results: readonly GpuStorage[],
  ): GPUBufferBinding {
    const place = this.lowered.memory.places.get(v);
    if (place) return { buffer: this.arenas[place.arena], offset: place.offset, size };
    const { from, index } = this.outerOf(v);
    const s = from === "results" ? results[index] : (args[index] as GpuStorage);
    return { buffer: s.buffer, offset: s.offset, size };
  }

  /** The bind groups of this run, one a step. */
  private groupsFor(
    args: readonly (Storage | number)[],
    results: readonly GpuStorage[],
    held: readonly GpuStorage[],
  ): readonly GPUBindGroup[] {
    const { ids } = this;
    let n = 0;
    for (const list of [held, results]) {
      for (const s of list) {
        ids[n++] = s.bufferId;
        ids[n++] = s.offset;
      }
    }
    for (const tape of this.tapes) {
      let i = 0;
      while (i < n && tape.ids[i] === ids[i]) i++;
      if (i === n) return tape.groups;
    }
    const groups = this.steps.map((step) => this.bindGroup(step, args, results));
    if (this.tapes.length >= TAPES_KEPT) this.tapes.shift();
    this.tapes.push({ ids: ids.slice(0, n), groups });
    return groups;
  }

  private bindGroup(
    step: Step,
    args: readonly (Storage | number)[],
    results: readonly GpuStorage[],
  ): GPUBindGroup {
    let key = "";
    for (const { from, index } of step.outer) {
      const s = from === "results" ? results[index] : (args[index] as GpuStorage);
      key += `${s.bufferId}@${s.offset},`;
    }
    return step.groups.get(key) ?? this.createBindGroup(step, key, args, results);
  }

  private createBindGroup(
    step: Step,
    key: string,
    args: readonly (Storage | number)[],
    results: readonly GpuStorage[],
  ): GPUBindGroup {
    const { kernel } = step;
    const entries: GPUBindGroupEntry[] = kernel.bindings.map((b, binding) => ({
      binding,
      resource: this.rangeOf(b.value, bytesFor(b.value), args, results),
    }));
    this.checkAliasing(kernel, entries);
    if (this.params) {
      entries.push({
        binding: entries.length,
        resource: { buffer: this.params, offset: step.paramOffset, size: step.paramBytes },
      });
    }
    const { layout } = step.pipeline as Pipeline;
    const group = this.backend.device.gpu.createBindGroup({ label: kernel.label, layout, entries });
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

  private writeScalars(args: readonly (Storage | number)[]): void {
    for (const slot of this.slots) {
      const word = wordOf(args[slot.input] as number, slot.type);
      if (this.words[slot.word] !== word) {
        this.words[slot.word] = word;
        this.dirty = true;
      }
    }
    if (this.dirty && this.params) this.backend.device.queue.writeBuffer(this.params, 0, this.words);
    this.dirty = false;
  }

  private encode(
    args: readonly (Storage | number)[],
    results: readonly GpuStorage[],
    held: readonly GpuStorage[],
  ): void {
    this.writeScalars(args);
    const { device, profiler } = this.backend;
    const nan = flags().nan ? this.nanCheck() : null;
    let encoder = device.gpu.createCommandEncoder({ label: this.label });
    let pass: GPUComputePassEncoder | null = nan ? this.lookAtArguments(nan, encoder, args, results) : null;
    let flops = 0;
    let current: GPUComputePipeline | null = null;
    const groups = this.groupsFor(args, results, held);
    for (let i = 0; i < this.steps.length; i++) {
      const step = this.steps[i];
      if (profiler) {
        pass?.end();
        pass = profiler.begin(encoder, step.kernel);
      }
      if (profiler || nan || !pass) current = null;
      pass ??= encoder.beginComputePass({ label: this.label });
      const { pipeline } = step.pipeline as Pipeline;
      if (pipeline !== current) pass.setPipeline(pipeline);
      current = pipeline;
      pass.setBindGroup(0, groups[i]);
      pass.dispatchWorkgroups(step.kernel.grid[0], step.kernel.grid[1]);
      if (nan) {
        pass.end();
        pass = this.lookAtResults(nan, encoder, i, args, results);
      }
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
      const bytes = numel(c.value.shape) * 4;
      if (bytes === 0) continue;
      const to = this.rangeOf(c.input, bytes, args, results);
      const from = this.rangeOf(c.value, bytes, args, results);
      encoder.copyBufferToBuffer(from.buffer, from.offset as number, to.buffer, to.offset as number, bytes);
    }
    profiler?.resolve(encoder);
    if (nan) this.backend.expect(nan.verdict(encoder, this.steps.length));
    device.queue.submit([encoder.finish()]);
    this.backend.submits++;
    this.backend.dispatches += this.steps.length;
  }

  // ------------------------------------------------------------ NAN=1

  private nanCheck(): NanCheck {
    const most = this.steps.reduce((n, s) => n + s.kernel.bindings.length, this.lowered.graph.inputs.length);
    return new NanCheck(this.backend.device, this.label, most);
  }

  private lookAtArguments(
    nan: NanCheck,
    encoder: GPUCommandEncoder,
    args: readonly (Storage | number)[],
    results: readonly GpuStorage[],
  ): GPUComputePassEncoder {
    const pass = encoder.beginComputePass({ label: `${this.label}.nan` });
    for (const v of this.lowered.graph.inputs) {
      if (v.node.attrs.scalar === true) continue;
      nan.look(pass, v, this.rangeOf(v, numel(v.shape) * 4, args, results), null, 0);
    }
    return pass;
  }

  private lookAtResults(
    nan: NanCheck,
    encoder: GPUCommandEncoder,
    at: number,
    args: readonly (Storage | number)[],
    results: readonly GpuStorage[],
  ): GPUComputePassEncoder {
    const pass = encoder.beginComputePass({ label: `${this.label}.nan` });
    const { kernel } = this.steps[at];
    for (const b of kernel.bindings) {
      if (!b.write) continue;
      const range = this.rangeOf(b.value, numel(b.value.shape) * 4, args, results);
      nan.look(pass, b.value, range, kernel, at + 1);
    }
    return pass;
  }

  /** One line: kernels and memory. */
  summary(): string {
    const { memory, kernels, copies } = this.lowered;
    return `${this.label}: ${kernels.length} kernels, ${new Set(kernels.map((k) => k.wgsl)).size} distinct, ${memory.totalBytes} bytes in ${memory.arenas.length} arenas (at least ${memory.lowerBound}), ${copies.length} state copies`;
  }

  describe(): string {
    const { kernels } = this.lowered;
    return [
      this.summary(),
      ...kernels.map(
        (k) => `  ${k.label} grid ${k.grid[0]}x${k.grid[1]} bindings ${k.bindings.length} flops ${k.flops}`,
      ),
    ].join("\n");
  }

  /** Releases the program's memory once runs that were asked for are done. */
  dispose(): void {
    if (this.disposed) return;
    this.disposed = true;
    this.free();
  }

  private free(): void {
    if (this.pending > 0) return;
    for (const b of this.arenas.splice(0)) this.backend.pool.destroy(b);
    if (this.params) this.backend.pool.destroy(this.params);
    this.params = null;
    for (const s of this.steps) s.groups.clear();
    this.tapes.length = 0;
  }
}

/**
 * A program: kernels in order with their memory planned, replayed with cached bind groups and no allocation but for its
 * results.
 */
import type { Executable } from "./backend.ts";
import { Faults, type GpuStorage } from "./buffers.ts";
import { type FieldType, wordOf } from "./codegen/builder.ts";
import { TensorError } from "./errors.ts";
import { flags } from "./flags.ts";
import { BufferUsage } from "./gpuConstants.ts";
import type { Graph, StateUpdate } from "./ir.ts";
import { NanCheck } from "./nanCheck.ts";
import { ALIGN, bytesFor } from "./passes/memory.ts";
import type { Lowered } from "./passes/pipeline.ts";
import type { Profiler } from "./profiler.ts";
import { numel } from "./shape.ts";
import { span, spanUntil } from "./spans.ts";
import { type Dispatch, type RunStorages, type Step, Tapes } from "./tapes.ts";
import type { Storage } from "./tensor.ts";
import type { Task, WebGpuBackend } from "./webgpu.ts";

interface ScalarSlot {
  readonly input: number;
  readonly word: number;
  readonly type: FieldType;
}

export class Program implements Executable {
  readonly label: string;
  readonly lowered: Lowered;
  readonly plannedBytes: number;
  private readonly backend: WebGpuBackend;
  private readonly steps: readonly Step[];
  private readonly tapes: Tapes;
  /** Positions of the arguments that a run gives new values. */
  readonly states: readonly number[];
  /** Which inputs are host numbers. */
  private readonly takesNumber: readonly boolean[];
  /** Arguments that were found right: mostly those of the next run too. */
  private readonly checked: (Storage | number)[] = [];
  /** Another number whenever one of them changes: equal versions are equal arguments. */
  private version = 0;
  private readonly outputs: readonly { bytes: number; label: string }[];
  private readonly arenas: GPUBuffer[];
  private params: GPUBuffer | null;
  private readonly words: Uint32Array<ArrayBuffer>;
  private readonly slots: ScalarSlot[] = [];
  private readonly building: Promise<void>;
  private isReady = false;
  private failure: Error | null = null;
  private disposed = false;
  /** Runs that wait to be handed to the device. */
  private waiting = 0;
  private dirty = true;
  /** The command buffer that a run went into last. */
  private usedIn = 0;

  constructor(backend: WebGpuBackend, traced: Graph, lowered: Lowered, label: string) {
    this.backend = backend;
    this.lowered = lowered;
    this.label = label;
    this.plannedBytes = lowered.memory.totalBytes;
    this.takesNumber = traced.inputs.map((v) => v.node.attrs.scalar === true);
    const position = new Map(traced.inputs.map((v, i) => [v, i]));
    this.states = traced.updates.map((u) => position.get(u.input) as number);
    this.outputs = traced.outputs.map((v, i) => ({ bytes: bytesFor(v), label: `${label}.out${i}` }));
    let offset = 0;
    this.steps = lowered.kernels.map((kernel): Step => {
      const paramOffset = offset;
      const paramBytes = Math.ceil((kernel.fields.length * 4) / 16) * 16;
      offset += Math.ceil(paramBytes / ALIGN) * ALIGN;
      return { kernel, paramOffset, paramBytes, flops: kernel.mostFlops ?? kernel.flops, pipeline: null };
    });
    this.words = new Uint32Array(offset / 4);
    this.packParams();
    this.arenas = lowered.memory.arenas.map((bytes, i) => backend.pool.create(bytes, `${label}.arena${i}`));
    this.params =
      offset > 0
        ? backend.pool.create(offset, `${label}.params`, BufferUsage.UNIFORM | BufferUsage.COPY_DST)
        : null;
    this.tapes = new Tapes(backend.device, lowered, this.steps, this.arenas, this.params);
    this.building = spanUntil("pipelines", label, this.compile());
    this.building.catch(() => {});
  }

  private packParams(): void {
    const inputIndex = new Map(this.lowered.graph.inputs.map((v, i) => [v, i]));
    for (const { kernel, paramOffset } of this.steps) {
      kernel.fields.forEach((f, i) => {
        const word = paramOffset / 4 + i;
        if (typeof f.value === "number") this.words[word] = wordOf(f.value, f.type);
        else this.slots.push({ input: inputIndex.get(f.value.scalar) as number, word, type: f.type });
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

  run(args: readonly (Storage | number)[], times = 1): Storage[] {
    this.check(args);
    const run = new Run(this, args, this.version, this.takeResults(), times);
    this.backend.enqueue(run);
    return run.results;
  }

  private takeResults(): GpuStorage[] {
    const { pool } = this.backend;
    return this.outputs.map(({ bytes, label }) => pool.take(this.backend, bytes, label));
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
      if (i < this.checked.length && a === this.checked[i]) continue;
      const number = this.takesNumber[i];
      if (typeof a === "number" ? number : !number && a?.backend === this.backend) {
        this.checked[i] = a;
        this.version++;
        continue;
      }
      throw new TensorError(
        `${this.label}: ${number ? "a number" : "a tensor of the current device"} was expected, got ${typeof a === "number" ? "a number" : "a tensor of another device"}. Create tensors after init().`,
      );
    }
  }

  /** What a run has to wait for, or null. */
  get awaits(): Promise<void> | null {
    return this.isReady ? null : this.building;
  }

  /** Keeps the program's memory until `left`. */
  entered(): void {
    this.waiting++;
  }

  left(): void {
    this.waiting--;
    if (this.disposed) this.free();
  }

  /** Hands a run to the device. */
  submit(run: Run): void {
    if (this.failure) throw this.failure;
    if (Faults.ever) {
      for (const a of run.args)
        if (typeof a !== "number" && (a as GpuStorage).fault) throw (a as GpuStorage).fault;
    }
    span("encode", this.label, () => this.encode(run));
  }

  /** The dispatches of a run in order. */
  dispatches(run: Omit<RunStorages, "version">): readonly Dispatch[] {
    return this.tapes.record({ ...run, version: Number.NaN }).dispatches;
  }

  private writeScalars(args: readonly (Storage | number)[]): void {
    for (const slot of this.slots) {
      const word = wordOf(args[slot.input] as number, slot.type);
      if (this.words[slot.word] !== word) {
        this.words[slot.word] = word;
        this.dirty = true;
      }
    }
    if (!this.dirty) return;
    const { commands, device } = this.backend;
    // A write overtakes what is not submitted: runs that wait there are to see the numbers of their own.
    if (this.usedIn === commands.current) commands.flush();
    if (this.params) device.queue.writeBuffer(this.params, 0, this.words);
    this.dirty = false;
  }

  private encode(run: Run): void {
    this.writeScalars(run.args);
    const { commands, profiler } = this.backend;
    const recorded = this.tapes.record(run);
    for (let i = 0; i < run.times; i++) {
      const nan = flags().nan ? this.nanCheck() : null;
      if (profiler || nan) this.encodeWatched(recorded.dispatches, run, profiler, nan);
      else commands.run(recorded);
      for (const c of this.lowered.copies) this.copyState(c, run);
    }
    this.usedIn = commands.current;
  }

  private copyState({ input, value }: StateUpdate, run: Run): void {
    const bytes = numel(value.shape) * 4;
    if (bytes === 0) return;
    const to = this.tapes.rangeOf(input, bytes, run);
    const from = this.tapes.rangeOf(value, bytes, run);
    this.backend.commands.copy(from.buffer, from.offset as number, to.buffer, to.offset as number, bytes);
  }

  /** As `Commands.run`, a pass for each kernel, with what times it or looks at its results. */
  private encodeWatched(
    dispatches: readonly Dispatch[],
    run: Run,
    profiler: Profiler | null,
    nan: NanCheck | null,
  ): void {
    const { commands, device } = this.backend;
    commands.flush();
    const name = { label: this.label };
    let encoder = device.gpu.createCommandEncoder(name);
    if (nan) this.lookAtArguments(nan, encoder, run);
    let flops = 0;
    dispatches.forEach(({ pipeline, group, x, y, flops: own }, i) => {
      const { kernel } = this.steps[i];
      const pass = profiler ? profiler.begin(encoder, kernel) : encoder.beginComputePass(name);
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, group);
      pass.dispatchWorkgroups(x, y);
      pass.end();
      if (nan) this.lookAtResults(nan, encoder, i, run);
      flops += own;
      if (flops > commands.limit && i < dispatches.length - 1) {
        commands.submit(encoder);
        encoder = device.gpu.createCommandEncoder(name);
        flops = 0;
      }
    });
    profiler?.resolve(encoder);
    if (nan) this.backend.expect(nan.verdict(encoder, this.steps.length));
    commands.submit(encoder);
    commands.dispatches += dispatches.length;
  }

  // ------------------------------------------------------------ NAN=1

  private nanCheck(): NanCheck {
    const most = this.steps.reduce((n, s) => n + s.kernel.bindings.length, this.lowered.graph.inputs.length);
    return new NanCheck(this.backend.device, this.label, most);
  }

  private lookAtArguments(nan: NanCheck, encoder: GPUCommandEncoder, run: Run): void {
    const pass = encoder.beginComputePass({ label: `${this.label}.nan` });
    for (const v of this.lowered.graph.inputs) {
      if (v.node.attrs.scalar === true) continue;
      nan.look(pass, v, this.tapes.rangeOf(v, numel(v.shape) * 4, run), null, 0);
    }
    pass.end();
  }

  private lookAtResults(nan: NanCheck, encoder: GPUCommandEncoder, at: number, run: Run): void {
    const pass = encoder.beginComputePass({ label: `${this.label}.nan` });
    const { kernel } = this.steps[at];
    for (const b of kernel.bindings) {
      if (b.write)
        nan.look(pass, b.value, this.tapes.rangeOf(b.value, numel(b.value.shape) * 4, run), kernel, at + 1);
    }
    pass.end();
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
    if (this.waiting > 0) return;
    for (const b of this.arenas.splice(0)) this.backend.pool.destroy(b);
    if (this.params) this.backend.pool.destroy(this.params);
    this.params = null;
    this.tapes.clear();
  }
}

/** One run of a program. */
class Run implements Task, RunStorages {
  readonly program: Program;
  readonly args: readonly (Storage | number)[];
  readonly version: number;
  readonly results: GpuStorage[];
  readonly times: number;
  private waited = false;

  constructor(
    program: Program,
    args: readonly (Storage | number)[],
    version: number,
    results: GpuStorage[],
    times: number,
  ) {
    this.program = program;
    this.times = times;
    this.args = args;
    this.version = version;
    this.results = results;
  }

  get ready(): Promise<void> | null {
    return this.program.awaits;
  }

  wait(): void {
    this.waited = true;
    this.program.entered();
    for (const a of this.args) if (typeof a !== "number") a.retain();
    for (const s of this.results) s.retain();
  }

  go(): void {
    this.program.submit(this);
  }

  failed(error: Error): void {
    for (const s of this.results) s.fault = error;
    for (const i of this.program.states) (this.args[i] as GpuStorage).fault = error;
  }

  done(): void {
    if (!this.waited) return;
    for (const a of this.args) if (typeof a !== "number") a.release();
    for (const s of this.results) s.release();
    this.program.left();
  }
}

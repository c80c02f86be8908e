/** GPU time per kernel from timestamp queries: the table of DEBUG=2 and the GPU's track in the trace of PROFILE. */
import type { Kernel } from "./codegen/kernel.ts";
import type { Device } from "./device.ts";
import { BufferUsage, MapMode } from "./gpuConstants.ts";
import { bytesFor } from "./passes/memory.ts";

export interface KernelTime {
  readonly label: string;
  /** Start on the clock of `performance.now()` (see `align`) and duration, ms. */
  readonly start: number;
  readonly ms: number;
  readonly flops: number;
  readonly bytes: number;
}

export interface KernelTotal {
  count: number;
  ms: number;
  flops: number;
  bytes: number;
}

export interface ProfilerOptions {
  /** Passes that one query set holds before it is resolved. */
  capacity?: number;
  /** Keep every kernel's time (PROFILE) and not only the totals. */
  keepTimes?: boolean;
}

/** Query sets hold at most 4096 queries: two a pass. */
const CAPACITY = 2048;
/** Times kept where they are asked for: about 20 MB. */
const MOST_TIMES = 200_000;

/** Bytes that a kernel's bindings hold: what it moves if it touches each element once. */
function kernelBytes(kernel: Kernel): number {
  if (kernel.group.kind === "patch") return 8 * kernel.group.elements;
  return kernel.bindings.reduce((sum, b) => sum + bytesFor(b.value) * (b.read && b.write ? 2 : 1), 0);
}

export class Profiler {
  /** Each kernel's time, where `keepTimes` was asked for. */
  readonly times: KernelTime[] = [];
  readonly totals = new Map<string, KernelTotal>();
  private readonly device: Device;
  private readonly set: GPUQuerySet;
  private readonly capacity: number;
  private readonly keepTimes: boolean;
  private pending: Kernel[] = [];
  private readonly reads: Promise<void>[] = [];
  /** Added to the GPU's clock to get the host's, ms; known from the first read-back. */
  private shift: number | null = null;

  constructor(device: Device, options: ProfilerOptions = {}) {
    this.device = device;
    this.capacity = Math.min(options.capacity ?? CAPACITY, CAPACITY);
    this.keepTimes = options.keepTimes ?? false;
    this.set = device.gpu.createQuerySet({
      label: "naysay.profiler",
      type: "timestamp",
      count: 2 * this.capacity,
    });
  }

  /** Begins a pass that times one kernel; a full query set is read back first, in the same encoder. */
  begin(encoder: GPUCommandEncoder, kernel: Kernel): GPUComputePassEncoder {
    if (this.pending.length >= this.capacity) this.resolve(encoder);
    const i = this.pending.length;
    this.pending.push(kernel);
    return encoder.beginComputePass({
      label: kernel.label,
      timestampWrites: {
        querySet: this.set,
        beginningOfPassWriteIndex: 2 * i,
        endOfPassWriteIndex: 2 * i + 1,
      },
    });
  }

  /** Adds the read-back of what was timed to an encoder that is submitted in the same turn. */
  resolve(encoder: GPUCommandEncoder): void {
    const kernels = this.pending;
    this.pending = [];
    if (kernels.length === 0) return;
    const size = kernels.length * 16;
    const usage = BufferUsage.QUERY_RESOLVE | BufferUsage.COPY_SRC;
    const resolved = this.device.gpu.createBuffer({ label: "naysay.timestamps", size, usage });
    const staging = this.device.gpu.createBuffer({
      label: "naysay.timestamps.read",
      size,
      usage: BufferUsage.MAP_READ | BufferUsage.COPY_DST,
    });
    encoder.resolveQuerySet(this.set, 0, kernels.length * 2, resolved, 0);
    encoder.copyBufferToBuffer(resolved, 0, staging, 0, size);
    const read = this.collect(kernels, resolved, staging, performance.now());
    // A device lost meanwhile rejects the caller's own awaits; the times are lost with it.
    this.reads.push(read.catch(() => {}));
  }

  private async collect(
    kernels: readonly Kernel[],
    resolved: GPUBuffer,
    staging: GPUBuffer,
    encoded: number,
  ): Promise<void> {
    // The submission follows in the same turn.
    await Promise.resolve();
    await staging.mapAsync(MapMode.READ);
    const ticks = new BigUint64Array(staging.getMappedRange().slice(0));
    staging.destroy();
    resolved.destroy();
    this.align(Number(ticks[0]) / 1e6, encoded);
    kernels.forEach((kernel, i) => {
      // Clocks of some adapters step back between queries.
      const ms = Math.max(0, Number(ticks[2 * i + 1] - ticks[2 * i]) / 1e6);
      this.add(kernel, Number(ticks[2 * i]) / 1e6 + (this.shift as number), ms);
    });
  }

  /** The two clocks share no origin: the first timed kernel is taken to start when it was encoded. */
  private align(gpu: number, host: number): void {
    this.shift ??= host - gpu;
  }

  private add(kernel: Kernel, start: number, ms: number): void {
    const { label, flops } = kernel;
    const bytes = kernelBytes(kernel);
    const t = this.totals.get(label) ?? { count: 0, ms: 0, flops: 0, bytes: 0 };
    t.count++;
    t.ms += ms;
    t.flops += flops;
    t.bytes += bytes;
    this.totals.set(label, t);
    if (this.keepTimes && this.times.length < MOST_TIMES) this.times.push({ label, start, ms, flops, bytes });
  }

  /** Waits for all times so far. */
  async finish(): Promise<void> {
    await Promise.all(this.reads.splice(0));
  }

  /** Forgets what was timed. */
  reset(): void {
    this.times.length = 0;
    this.totals.clear();
  }

  /** Kernels by total time, most first, as text: ms, share, calls, GFLOP/s, GB/s, label. */
  table(rows = 40): string {
    const all = [...this.totals].sort((a, b) => b[1].ms - a[1].ms);
    const ms = all.reduce((sum, [, t]) => sum + t.ms, 0);
    const count = all.reduce((sum, [, t]) => sum + t.count, 0);
    const rate = (x: number, t: number): string => (t > 0 ? (x / t / 1e6).toFixed(2) : "-").padStart(8);
    const lines = all
      .slice(0, rows)
      .map(
        ([label, t]) =>
          `${t.ms.toFixed(2).padStart(10)} ms ${((100 * t.ms) / (ms || 1)).toFixed(1).padStart(5)} % ${String(t.count).padStart(7)} x ${rate(t.flops, t.ms)} GFLOP/s ${rate(t.bytes, t.ms)} GB/s  ${label}`,
      );
    if (all.length > rows) lines.push(`${" ".repeat(10)}    and ${all.length - rows} more`);
    return [`${ms.toFixed(1)} ms on the GPU in ${count} kernels, ${all.length} distinct`, ...lines].join(
      "\n",
    );
  }
}

/** GPU time per kernel from timestamp queries: the table of DEBUG=2 and the trace of PROFILE. */
import type { Kernel } from "./codegen/kernel.ts";
import type { Device } from "./device.ts";
import { BufferUsage, MapMode } from "./gpuConstants.ts";
import { bytesFor } from "./passes/memory.ts";

export interface KernelTime {
  readonly label: string;
  /** Start on the GPU's clock and duration, ms. */
  readonly start: number;
  readonly ms: number;
  readonly flops: number;
  readonly bytes: number;
}

/** Passes that one query set holds. */
const CAPACITY = 2048;

export class Profiler {
  readonly times: KernelTime[] = [];
  private readonly device: Device;
  private readonly set: GPUQuerySet;
  private pendingKernels: Kernel[] = [];
  private readonly reads: Promise<void>[] = [];

  constructor(device: Device) {
    this.device = device;
    this.set = device.gpu.createQuerySet({
      label: "naysay.profiler",
      type: "timestamp",
      count: 2 * CAPACITY,
    });
  }

  /** Descriptor of a pass that times one kernel. */
  pass(kernel: Kernel): GPUComputePassDescriptor {
    const i = this.pendingKernels.length;
    if (i >= CAPACITY) return { label: kernel.label };
    this.pendingKernels.push(kernel);
    return {
      label: kernel.label,
      timestampWrites: {
        querySet: this.set,
        beginningOfPassWriteIndex: 2 * i,
        endOfPassWriteIndex: 2 * i + 1,
      },
    };
  }

  /** Adds the read-back of what was timed to an encoder; call `collect` after its submission. */
  resolve(encoder: GPUCommandEncoder): void {
    const kernels = this.pendingKernels;
    this.pendingKernels = [];
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
    this.reads.push(this.collect(kernels, resolved, staging));
  }

  private async collect(kernels: readonly Kernel[], resolved: GPUBuffer, staging: GPUBuffer): Promise<void> {
    await Promise.resolve();
    await staging.mapAsync(MapMode.READ);
    const ticks = new BigUint64Array(staging.getMappedRange().slice(0));
    staging.destroy();
    resolved.destroy();
    kernels.forEach((k, i) => {
      const bytes = k.bindings.reduce((b, x) => b + bytesFor(x.value) * (x.read && x.write ? 2 : 1), 0);
      const ms = Number(ticks[2 * i + 1] - ticks[2 * i]) / 1e6;
      this.times.push({ label: k.label, start: Number(ticks[2 * i]) / 1e6, ms, flops: k.flops, bytes });
    });
  }

  /** Waits for all times so far. */
  async finish(): Promise<readonly KernelTime[]> {
    await Promise.all(this.reads.splice(0));
    return this.times;
  }

  /** Kernels by total time, most first, as text. */
  table(): string {
    const rows = new Map<string, { n: number; ms: number; flops: number; bytes: number }>();
    for (const t of this.times) {
      const r = rows.get(t.label) ?? { n: 0, ms: 0, flops: 0, bytes: 0 };
      rows.set(t.label, { n: r.n + 1, ms: r.ms + t.ms, flops: r.flops + t.flops, bytes: r.bytes + t.bytes });
    }
    const total = this.times.reduce((s, t) => s + t.ms, 0);
    const lines = [...rows].sort((a, b) => b[1].ms - a[1].ms);
    const text = lines.map(
      ([label, r]) =>
        `${r.ms.toFixed(2).padStart(10)} ms ${((100 * r.ms) / total).toFixed(1).padStart(5)} % ${String(r.n).padStart(6)} x ${(r.flops / r.ms / 1e6).toFixed(2).padStart(8)} GFLOP/s ${(r.bytes / r.ms / 1e6).toFixed(2).padStart(8)} GB/s  ${label}`,
    );
    return [`${total.toFixed(1)} ms on the GPU in ${this.times.length} kernels`, ...text].join("\n");
  }

  /** A trace in Chrome's format, which Perfetto opens. */
  trace(): string {
    const events = this.times.map((t) => ({
      name: t.label,
      ph: "X",
      ts: t.start * 1000,
      dur: t.ms * 1000,
      pid: 1,
      tid: 1,
      args: { flops: t.flops, bytes: t.bytes },
    }));
    return JSON.stringify({ traceEvents: events, displayTimeUnit: "ms" });
  }
}

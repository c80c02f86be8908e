/**
 * Commands on their way to the device. Runs that are asked for in one turn share a command buffer, whichever programs
 * they belong to; it is submitted before the host writes to the device or reads from it, when it holds much work, and at the
 * latest when the turn ends.
 */
import { flags } from "./flags.ts";
import type { Dispatch, Recorded } from "./tapes.ts";

/** Estimated operations after which a submission ends, so that no driver's watchdog fires: 0.2 s at 100 GFLOP/s. */
const SUBMIT_FLOPS = 2e10;
/** The same in dispatches, so that the device does not wait for long loops of small programs. */
const SUBMIT_DISPATCHES = 1024;

const SETTLED = Promise.resolve();

const LABEL = { label: "naysay" };
/** Of encoders and passes, where somebody looks: each run would pay for the text (bench/NOTES.md). */
const label = () => (flags().debug >= 1 ? LABEL : undefined);

export class Commands {
  submits = 0;
  dispatches = 0;
  /** Number of the command buffer that is being written: what went into an earlier one has been submitted. */
  current = 1;
  private readonly gpu: GPUDevice;
  private readonly queue: GPUQueue;
  /** Estimated operations after which a submission ends. */
  readonly limit: number;
  private encoder: GPUCommandEncoder | null = null;
  private pass: GPUComputePassEncoder | null = null;
  private flops = 0;
  private count = 0;
  /** One function for all turns: a closure a run would be garbage. */
  private readonly endOfTurn = (): void => this.flush();

  /** `limit` is a seam for tests: see `SUBMIT_FLOPS`. */
  constructor(gpu: GPUDevice, limit = SUBMIT_FLOPS) {
    this.gpu = gpu;
    this.queue = gpu.queue;
    this.limit = limit;
  }

  /** Encodes dispatches in order. A submission ends after the one that passes its limit. */
  run({ dispatches, flops }: Recorded): void {
    const { length } = dispatches;
    if (length === 0) return;
    if (this.flops + flops <= this.limit && this.count + length < SUBMIT_DISPATCHES) {
      this.encode(dispatches, 0, length);
      this.flops += flops;
    } else {
      for (let at = 0; at < length; ) at = this.encodeToLimit(dispatches, at);
    }
    this.dispatches += length;
  }

  /** Encodes dispatches from `at` to the one that ends a submission, or all; returns where it ended. */
  private encodeToLimit(dispatches: readonly Dispatch[], at: number): number {
    const most = Math.min(dispatches.length, at + SUBMIT_DISPATCHES - this.count);
    let end = at;
    while (end < most && !(this.flops > this.limit)) this.flops += dispatches[end++].flops;
    this.encode(dispatches, at, end);
    if (this.flops > this.limit || this.count >= SUBMIT_DISPATCHES) this.flush();
    return end;
  }

  private encode(dispatches: readonly Dispatch[], from: number, to: number): void {
    const pass = this.pass ?? this.begin();
    for (let i = from; i < to; i++) {
      const { pipeline, again, group, x, y } = dispatches[i];
      if (!again || i === from) pass.setPipeline(pipeline);
      pass.setBindGroup(0, group);
      pass.dispatchWorkgroups(x, y);
    }
    this.count += to - from;
  }

  clear(buffer: GPUBuffer, offset: number, bytes: number): void {
    const encoder = this.encoder ?? this.open();
    this.endPass();
    encoder.clearBuffer(buffer, offset, bytes);
  }

  copy(from: GPUBuffer, fromOffset: number, to: GPUBuffer, toOffset: number, bytes: number): void {
    const encoder = this.encoder ?? this.open();
    this.endPass();
    encoder.copyBufferToBuffer(from, fromOffset, to, toOffset, bytes);
  }

  /** Submits what was encoded, if anything was. */
  flush(): void {
    const { encoder } = this;
    if (!encoder) return;
    this.endPass();
    this.encoder = null;
    this.flops = 0;
    this.count = 0;
    this.current++;
    this.submit(encoder);
  }

  /** Submits an encoder of the caller's, after everything that was encoded here. */
  submit(encoder: GPUCommandEncoder): void {
    this.flush();
    this.queue.submit([encoder.finish()]);
    this.submits++;
  }

  private open(): GPUCommandEncoder {
    this.encoder = this.gpu.createCommandEncoder(label());
    SETTLED.then(this.endOfTurn); // for less than queueMicrotask takes; what throws there is an unhandled rejection
    return this.encoder;
  }

  private begin(): GPUComputePassEncoder {
    this.pass = (this.encoder ?? this.open()).beginComputePass(label());
    return this.pass;
  }

  private endPass(): void {
    this.pass?.end();
    this.pass = null;
  }
}

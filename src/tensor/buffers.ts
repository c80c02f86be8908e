/** GPU memory of tensors: pooled buffers, counted references, bytes alive and allocated. */
import type { Device } from "./device.ts";
import { TensorError } from "./errors.ts";
import { BufferUsage } from "./gpuConstants.ts";
import type { BackendLike, Storage } from "./tensor.ts";

/** Ranges of a buffer whose contents are not what was asked for, shared by all storages in it. */
export class Faults {
  private ranges: { from: number; to: number; error: Error }[] = [];

  in(from: number, to: number): Error | null {
    if (this.ranges.length === 0) return null;
    return this.ranges.find((r) => r.from < to && from < r.to)?.error ?? null;
  }

  add(from: number, to: number, error: Error): void {
    this.ranges.push({ from, to, error });
  }

  /** Forgets what lies within a range that was written anew. */
  clear(from: number, to: number): void {
    this.ranges = this.ranges.filter((r) => r.from < from || r.to > to);
  }
}

/** Storage in a GPU buffer, from `offset` on. */
export class GpuStorage implements Storage {
  readonly backend: BackendLike;
  readonly buffer: GPUBuffer;
  /** Bytes from the start of the buffer; a multiple of 256. */
  readonly offset: number;
  readonly bytes: number;
  /** Number of the buffer: what bind groups are cached by. */
  readonly bufferId: number;
  readonly faults: Faults;
  private count = 1;
  private readonly onFree: () => void;

  constructor(
    backend: BackendLike,
    buffer: GPUBuffer,
    bufferId: number,
    offset: number,
    bytes: number,
    onFree: () => void,
    faults = new Faults(),
  ) {
    this.backend = backend;
    this.buffer = buffer;
    this.bufferId = bufferId;
    this.offset = offset;
    this.bytes = bytes;
    this.onFree = onFree;
    this.faults = faults;
  }

  /** Why the contents are not what was asked for: reads of it and programs on it reject with this. Null: they are. */
  get fault(): Error | null {
    return this.faults.in(this.offset, this.offset + this.bytes);
  }

  set fault(error: Error | null) {
    const to = this.offset + this.bytes;
    if (error) this.faults.add(this.offset, to, error);
    else this.faults.clear(this.offset, to);
  }

  get root(): object {
    return this.buffer;
  }

  retain(): void {
    this.count++;
  }

  release(): void {
    this.count--;
    if (this.count === 0) this.onFree();
    if (this.count < 0)
      throw new TensorError("storage: one release a reference was expected, got one too many. Dispose once.");
  }
}

/** Smallest buffer: a vector of four words can always be bound. */
const SMALLEST = 256;

/** Size that a request is rounded up to, so that freed buffers fit later requests: eighths of powers of two. */
function sizeClass(bytes: number): number {
  if (bytes <= SMALLEST) return SMALLEST;
  const step = Math.max(SMALLEST, 2 ** (31 - Math.clz32(bytes - 1)) / 8);
  return Math.ceil(bytes / step) * step;
}

/** Words before and after each storage that tests check for stray writes. */
const GUARD_BYTES = 256;
export const GUARD_WORD = 0xdeadbeef;

export class BufferPool {
  liveBytes = 0;
  allocatedBytes = 0;
  private readonly free = new Map<number, { buffer: GPUBuffer; id: number }[]>();
  private readonly device: Device;
  private readonly guards: boolean;
  private nextId = 1;
  /** Storages alive, kept only where guard words are asked for. */
  readonly guarded = new Set<GpuStorage>();

  constructor(device: Device, guards: boolean) {
    this.device = device;
    this.guards = guards;
  }

  /** A buffer of its own for `bytes`, from the pool where one fits. */
  take(backend: BackendLike, bytes: number, label: string): GpuStorage {
    const pad = this.guards ? GUARD_BYTES : 0;
    const size = sizeClass(bytes + 2 * pad);
    const list = this.free.get(size);
    const hit = list?.pop();
    const { buffer, id } = hit ?? { buffer: this.create(size, label), id: this.nextId++ };
    this.liveBytes += bytes;
    const storage: GpuStorage = new GpuStorage(backend, buffer, id, pad, bytes, () => {
      this.liveBytes -= bytes;
      this.guarded.delete(storage);
      const back = this.free.get(size);
      if (back) back.push({ buffer, id });
      else this.free.set(size, [{ buffer, id }]);
    });
    if (this.guards) this.poison(storage, size);
    return storage;
  }

  private poison(storage: GpuStorage, size: number): void {
    this.device.queue.writeBuffer(storage.buffer, 0, new Uint32Array(size / 4).fill(GUARD_WORD));
    this.guarded.add(storage);
  }

  /** A buffer outside the pool, for a program's own use. */
  create(
    size: number,
    label: string,
    usage: number = BufferUsage.STORAGE | BufferUsage.COPY_SRC | BufferUsage.COPY_DST,
  ): GPUBuffer {
    this.allocatedBytes += size;
    return this.device.gpu.createBuffer({ label: `naysay.${label}`, size, usage });
  }

  destroy(buffer: GPUBuffer): void {
    this.allocatedBytes -= buffer.size;
    buffer.destroy();
  }
}

/** GPU memory of tensors: pooled buffers, counted references, bytes alive and allocated. */
import type { Device } from "./device.ts";
import type { DType } from "./dtype.ts";
import { MemoryBudgetError, TensorError } from "./errors.ts";
import { BufferUsage } from "./gpuConstants.ts";
import { ALIGN, storageBytes } from "./passes/memory.ts";
import { type Shape, show } from "./shape.ts";
import type { BackendLike, Storage } from "./tensor.ts";

/** Of all buffers without a fault: a list each would be garbage. */
const NONE: readonly never[] = [];

/** Ranges of a buffer whose contents are not what was asked for, shared by all storages in it. They do not overlap. */
export class Faults {
  /** Whether there ever were any: as long as nothing has failed, nobody needs to look. */
  static ever = false;
  private ranges: readonly { from: number; to: number; error: Error }[] = NONE;

  in(from: number, to: number): Error | null {
    if (this.ranges.length === 0) return null;
    return this.ranges.find((r) => r.from < to && from < r.to)?.error ?? null;
  }

  add(from: number, to: number, error: Error): void {
    Faults.ever = true;
    this.clear(from, to);
    this.ranges = [...this.ranges, { from, to, error }];
  }

  /** Forgets what lies within a range that was written anew, and keeps what sticks out of it. */
  clear(from: number, to: number): void {
    if (this.ranges.length === 0) return;
    this.ranges = this.ranges.flatMap((r) => {
      if (r.to <= from || to <= r.from) return [r];
      return [
        { ...r, to: from },
        { ...r, from: to },
      ].filter((rest) => rest.from < rest.to);
    });
  }
}

/** Whose memory a storage is in. An object, not a closure: a run's results would make one each. */
interface Owner {
  takeBack(storage: GpuStorage): void;
}

/** Storage in a GPU buffer, from `offset` on. As an owner, of views of it, it is held by each. */
export class GpuStorage implements Storage, Owner {
  readonly backend: BackendLike;
  readonly buffer: GPUBuffer;
  /** Bytes from the start of the buffer; a multiple of 256. */
  readonly offset: number;
  readonly bytes: number;
  /** Number of the buffer: what bind groups are cached by. */
  readonly bufferId: number;
  readonly faults: Faults;
  private count = 1;
  private readonly owner: Owner;

  constructor(
    backend: BackendLike,
    buffer: GPUBuffer,
    bufferId: number,
    offset: number,
    bytes: number,
    owner: Owner,
    faults: Faults,
  ) {
    this.backend = backend;
    this.buffer = buffer;
    this.bufferId = bufferId;
    this.offset = offset;
    this.bytes = bytes;
    this.owner = owner;
    this.faults = faults;
  }

  /** Why the contents are not what was asked for: reads of it and programs on it reject with this. Null: they are. */
  get fault(): Error | null {
    return this.faults.in(this.offset, this.offset + this.bytes);
  }

  /** Null where all of it was written anew; a whole is as good as its parts, whoever writes them. */
  set fault(error: Error | null) {
    // Parts of a buffer begin at multiples of ALIGN: up to the next one there is padding, which nobody writes or reads.
    const to = Math.ceil((this.offset + this.bytes) / ALIGN) * ALIGN;
    if (error) this.faults.add(this.offset, to, error);
    else this.faults.clear(this.offset, to);
  }

  get root(): object {
    return this.buffer;
  }

  retain(): void {
    this.count++;
  }

  takeBack(): void {
    this.release();
  }

  release(): void {
    this.count--;
    if (this.count === 0) this.owner.takeBack(this);
    if (this.count < 0)
      throw new TensorError("storage: one release a reference was expected, got one too many. Dispose once.");
  }
}

/** Smallest buffer: a vector of four words can always be bound. */
const SMALLEST = 256;

/** Size that a request is rounded up to, so that freed buffers fit later requests: eighths of powers of two. */
function sizeClass(bytes: number, limit: number): number {
  if (bytes <= SMALLEST) return SMALLEST;
  const octave = SMALLEST * 2 ** (31 - Math.clz32((bytes - 1) / SMALLEST));
  const step = Math.max(SMALLEST, octave / 8);
  return Math.min(Math.ceil(bytes / step) * step, Math.max(limit, bytes));
}

/** Free bytes beyond the peak of live bytes that the pool keeps at any rate, and as a part of that peak. */
const SPARE_BYTES = 64 << 20;
const SPARE_PART = 0.25;
/** Takes after which a peak begins to be forgotten: "lately" is this many to twice as many. */
const PERIOD = 2048;

/** Words before and after each storage that tests check for stray writes. */
const GUARD_BYTES = 256;
export const GUARD_WORD = 0xdeadbeef;

/** A buffer of the pool: free, or under one storage. */
class Pooled implements Owner {
  readonly buffer: GPUBuffer;
  readonly id: number;
  readonly size: number;
  private readonly pool: BufferPool;
  faults = new Faults();
  /** Which return it was, of all. */
  since = 0;

  constructor(pool: BufferPool, buffer: GPUBuffer, id: number, size: number) {
    this.pool = pool;
    this.buffer = buffer;
    this.id = id;
    this.size = size;
  }

  takeBack(storage: GpuStorage): void {
    if (Faults.ever) this.faults = new Faults(); // those of the next
    this.pool.takeBack(this, storage);
  }
}

/**
 * Buffers of rounded sizes, handed out again when they come back. What it holds, live and free, is at most the peak of
 * the live bytes lately plus the larger of 64 MiB and a quarter of that peak; beyond that the buffers that came back
 * first are destroyed. Steps that repeat find all of theirs again as long as sizes that take turns fit in that quarter.
 */
export class BufferPool {
  liveBytes = 0;
  allocatedBytes = 0;
  /** By size; each list in the order in which they came back. */
  private readonly free = new Map<number, Pooled[]>();
  private returns = 0;
  private freeBytes = 0;
  /** Bytes of the buffers that are handed out: rounded sizes. */
  private heldBytes = 0;
  private takes = 0;
  private peak = 0;
  private peakBefore = 0;
  private readonly device: Device;
  private readonly guards: boolean;
  private readonly spare: number;
  private readonly submit: () => void;
  private nextId = 1;
  /** Storages alive, kept only where guard words are asked for. */
  readonly guarded = new Set<GpuStorage>();

  /** `spare` is a seam for tests: see `SPARE_BYTES`. `submit` hands over what may still use a buffer. */
  constructor(device: Device, guards: boolean, spare = SPARE_BYTES, submit = (): void => {}) {
    this.submit = submit;
    this.device = device;
    this.guards = guards;
    this.spare = spare;
  }

  /** Largest tensor in bytes: what the device can bind at once. */
  get largest(): number {
    const { maxStorageBufferBindingSize, maxBufferSize } = this.device.limits;
    return Math.min(maxStorageBufferBindingSize, maxBufferSize - (this.guards ? 2 * GUARD_BYTES : 0));
  }

  /** Throws `MemoryBudgetError` for a tensor that no buffer of this device can hold. */
  requireFits(what: string, count: number, dtype: DType, shape: Shape = [count]): void {
    const bytes = storageBytes(count);
    const { largest } = this;
    if (bytes <= largest) return;
    throw new MemoryBudgetError(
      `${what}: at most ${largest} bytes for one tensor were expected (the device's limit for a binding at tier ${this.device.tier}), got ${bytes} for ${dtype}${show(shape)}. Make the batch, the length or the width smaller, or split it by rows into several tensors.`,
    );
  }

  /** A buffer of its own for `bytes`, from the pool where one fits. */
  take(backend: BackendLike, bytes: number, label: string): GpuStorage {
    const pad = this.guards ? GUARD_BYTES : 0;
    const size = sizeClass(bytes + 2 * pad, this.device.limits.maxBufferSize);
    const hit = this.free.get(size)?.pop();
    if (hit) this.freeBytes -= size;
    this.heldBytes += size;
    this.notePeak();
    // Before another is made: the two would be there at once.
    if (!hit) this.shrink();
    const pooled = hit ?? new Pooled(this, this.create(size, label), this.nextId++, size);
    this.liveBytes += bytes;
    const storage = new GpuStorage(backend, pooled.buffer, pooled.id, pad, bytes, pooled, pooled.faults);
    if (this.guards) this.poison(storage, size);
    return storage;
  }

  private notePeak(): void {
    if (++this.takes % PERIOD === 0) {
      this.peakBefore = this.peak;
      this.peak = 0;
    }
    this.peak = Math.max(this.peak, this.heldBytes);
  }

  /** A storage's end: its buffer is free. */
  takeBack(pooled: Pooled, storage: GpuStorage): void {
    this.liveBytes -= storage.bytes;
    if (this.guards) this.guarded.delete(storage);
    this.heldBytes -= pooled.size;
    this.freeBytes += pooled.size;
    pooled.since = ++this.returns;
    const list = this.free.get(pooled.size);
    if (list) list.push(pooled);
    else this.free.set(pooled.size, [pooled]);
    this.shrink();
  }

  /** Work that was submitted keeps what it uses: a buffer that came back can be destroyed at once. */
  private shrink(): void {
    const peak = Math.max(this.peak, this.peakBefore);
    const limit = peak + Math.max(this.spare, SPARE_PART * peak);
    if (this.heldBytes + this.freeBytes <= limit) return;
    while (this.freeBytes > 0 && this.heldBytes + this.freeBytes > limit) {
      const { size, buffer } = this.takeOldest();
      this.freeBytes -= size;
      this.destroy(buffer);
    }
  }

  private takeOldest(): Pooled {
    let from: Pooled[] = [];
    for (const list of this.free.values()) {
      if (list.length > 0 && (from.length === 0 || list[0].since < from[0].since)) from = list;
    }
    return from.shift() as Pooled;
  }

  private poison(storage: GpuStorage, size: number): void {
    this.submit();
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
    this.submit();
    buffer.destroy();
  }
}

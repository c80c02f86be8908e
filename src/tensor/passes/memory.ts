/**
 * Memory of temporaries: offsets in a few arenas, by liveness. WebGPU forbids binding one buffer both read-only
 * and writable in a dispatch, so a step's results never share an arena with what it reads.
 */
import { MemoryBudgetError } from "../errors.ts";
import type { Value } from "../ir.ts";
import { numel } from "../shape.ts";

export interface Step {
  readonly label: string;
  /** Temporaries this step reads and writes. */
  readonly reads: readonly Value[];
  readonly writes: readonly Value[];
}

export interface Place {
  readonly arena: number;
  /** Bytes from the start of the arena; a multiple of 256. */
  readonly offset: number;
  readonly bytes: number;
}

export interface MemoryPlan {
  readonly places: ReadonlyMap<Value, Place>;
  /** Bytes of each arena. */
  readonly arenas: readonly number[];
  readonly totalBytes: number;
  /** Largest sum of bytes alive at one step: what no plan can go below. */
  readonly lowerBound: number;
}

/** Offsets of storage bindings must be multiples of this on every adapter. */
export const ALIGN = 256;

/** Bytes that `count` words take: whole vectors of four, and one at least, so that there is something to bind. */
export function storageBytes(count: number): number {
  return Math.max(16, Math.ceil((count * 4) / 16) * 16);
}

export function bytesFor(v: Value): number {
  return storageBytes(numel(v.shape));
}

function aligned(bytes: number): number {
  return Math.ceil(bytes / ALIGN) * ALIGN;
}

interface Block {
  offset: number;
  bytes: number;
  until: number;
}

/** First gap of `bytes` between the blocks alive at `step`. */
function firstFit(blocks: Block[], bytes: number, step: number): number {
  const alive = blocks.filter((b) => b.until >= step).sort((a, b) => a.offset - b.offset);
  let offset = 0;
  for (const b of alive) {
    if (offset + bytes <= b.offset) return offset;
    offset = Math.max(offset, b.offset + b.bytes);
  }
  return offset;
}

/**
 * Plans offsets for every value that a step writes. `limit` is the largest arena, `budget` the most bytes in all;
 * beyond either a `MemoryBudgetError` lists the largest values.
 */
export function planMemory(steps: readonly Step[], limit: number, budget: number): MemoryPlan {
  const lastUse = new Map<Value, number>();
  steps.forEach((s, i) => {
    for (const v of [...s.writes, ...s.reads]) lastUse.set(v, i);
  });
  const places = new Map<Value, Place>();
  const blocks: Block[][] = [];
  const sizes: number[] = [];
  let alive = 0;
  let lowerBound = 0;
  const ending = new Map<number, number>();
  steps.forEach((s, i) => {
    const taken = new Set(s.reads.map((v) => places.get(v)?.arena));
    for (const v of s.writes) {
      const bytes = aligned(bytesFor(v));
      const until = lastUse.get(v) as number;
      let best = -1;
      let bestOffset = 0;
      let bestGrowth = Number.POSITIVE_INFINITY;
      for (let a = 0; a <= blocks.length; a++) {
        if (taken.has(a)) continue;
        const offset = a < blocks.length ? firstFit(blocks[a], bytes, i) : 0;
        if (offset + bytes > limit) continue;
        const growth = Math.max(0, offset + bytes - (sizes[a] ?? 0));
        // A new arena only where the old ones cannot take it at all.
        if (growth < bestGrowth && (a < blocks.length || best === -1))
          [best, bestOffset, bestGrowth] = [a, offset, growth];
      }
      if (best === -1) throw overBudget(steps, bytes, limit, "one buffer");
      if (best === blocks.length) {
        blocks.push([]);
        sizes.push(0);
      }
      blocks[best].push({ offset: bestOffset, bytes, until });
      sizes[best] = Math.max(sizes[best], bestOffset + bytes);
      places.set(v, { arena: best, offset: bestOffset, bytes: bytesFor(v) });
      alive += bytes;
      ending.set(until, (ending.get(until) ?? 0) + bytes);
    }
    lowerBound = Math.max(lowerBound, alive);
    alive -= ending.get(i) ?? 0;
  });
  const totalBytes = sizes.reduce((a, b) => a + b, 0);
  if (totalBytes > budget) throw overBudget(steps, totalBytes, budget, "the program");
  return { places, arenas: sizes, totalBytes, lowerBound };
}

/** A value by its size, the kernel that makes it, and its shape. */
export function describeValue(v: Value, label: string): string {
  return `${(bytesFor(v) / 2 ** 20).toFixed(1)} MiB ${label} [${v.shape}]`;
}

function overBudget(steps: readonly Step[], bytes: number, limit: number, what: string): MemoryBudgetError {
  const all = steps.flatMap((s) => s.writes.map((v) => ({ v, label: s.label })));
  const top = all.sort((a, b) => bytesFor(b.v) - bytesFor(a.v)).slice(0, 5);
  const list = top.map(({ v, label }) => describeValue(v, label)).join("; ");
  return new MemoryBudgetError(
    `plan: at most ${limit} bytes for ${what} were expected, got ${bytes}. Reduce the batch or the length, or use checkpoint. Largest: ${list}.`,
  );
}

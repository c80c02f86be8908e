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

/** What an error calls the place of a value. */
const ONE_BUFFER = "one buffer";

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

/** A value to place: alive from the step that first writes it to the last that touches it. */
interface Need {
  readonly value: Value;
  readonly bytes: number;
  readonly from: number;
  until: number;
  /** Values that a step reads where it writes this one, or the other way round: their arenas differ. */
  readonly apart: Set<Value>;
}

function needsOf(steps: readonly Step[]): Need[] {
  const needs = new Map<Value, Need>();
  steps.forEach((s, i) => {
    for (const value of s.writes) {
      if (!needs.has(value)) {
        needs.set(value, { value, bytes: aligned(bytesFor(value)), from: i, until: i, apart: new Set() });
      }
    }
    for (const v of [...s.writes, ...s.reads]) {
      const need = needs.get(v);
      if (need) need.until = i;
    }
    for (const w of s.writes) {
      for (const r of s.reads) {
        if (w === r) continue;
        needs.get(w)?.apart.add(r);
        needs.get(r)?.apart.add(w);
      }
    }
  });
  return [...needs.values()];
}

interface Block extends Need {
  readonly offset: number;
}

/** First gap of a need's bytes between the blocks that are alive when it is; blocks are ordered by offset. */
function firstFit(blocks: readonly Block[], { bytes, from, until }: Need): number {
  let offset = 0;
  for (const b of blocks) {
    if (b.until < from || b.from > until) continue;
    if (offset + bytes <= b.offset) break;
    offset = Math.max(offset, b.offset + b.bytes);
  }
  return offset;
}

interface Placed {
  places: Map<Value, Place>;
  arenas: number[];
}

/** Places needs in the order given, each where arenas grow least; the need for which no arena has room within `limit`. */
function place(needs: readonly Need[], limit: number): Placed | Need {
  const places = new Map<Value, Place>();
  const blocks: Block[][] = [];
  const arenas: number[] = [];
  for (const need of needs) {
    const { value, bytes } = need;
    const taken = new Set([...need.apart].map((v) => places.get(v)?.arena));
    let best = -1;
    let bestOffset = 0;
    let bestGrowth = Number.POSITIVE_INFINITY;
    for (let a = 0; a <= blocks.length; a++) {
      if (taken.has(a)) continue;
      const offset = a < blocks.length ? firstFit(blocks[a], need) : 0;
      if (offset + bytes > limit) continue;
      const growth = Math.max(0, offset + bytes - (arenas[a] ?? 0));
      // A new arena only where the old ones cannot take it at all.
      if (growth < bestGrowth && (a < blocks.length || best === -1))
        [best, bestOffset, bestGrowth] = [a, offset, growth];
    }
    if (best === -1) return need;
    if (best === blocks.length) {
      blocks.push([]);
      arenas.push(0);
    }
    const after = blocks[best].findIndex((b) => b.offset > bestOffset);
    blocks[best].splice(after < 0 ? blocks[best].length : after, 0, { ...need, offset: bestOffset });
    arenas[best] = Math.max(arenas[best], bestOffset + bytes);
    places.set(value, { arena: best, offset: bestOffset, bytes: bytesFor(value) });
  }
  return { places, arenas };
}

/** Largest first packs tightest as a rule; long lives first, or as they come, where that does not. */
const ORDERS: readonly ((a: Need, b: Need) => number)[] = [
  (a, b) => b.bytes - a.bytes || a.from - b.from,
  (a, b) => b.until - b.from - (a.until - a.from) || b.bytes - a.bytes || a.from - b.from,
  (a, b) => a.from - b.from,
];

const sum = (list: readonly number[]): number => list.reduce((a, b) => a + b, 0);

/** Largest sum of bytes alive at one step. */
function mostAlive(needs: readonly Need[], steps: number): number {
  const change = new Array<number>(steps + 1).fill(0);
  for (const { bytes, from, until } of needs) {
    change[from] += bytes;
    change[until + 1] -= bytes;
  }
  let alive = 0;
  let most = 0;
  for (const c of change) {
    alive += c;
    most = Math.max(most, alive);
  }
  return most;
}

/**
 * Plans offsets for every value that a step writes: the tightest of a few orders to place them in. `limit` is the largest
 * arena, `budget` the most bytes in all; beyond either a `MemoryBudgetError` lists the largest values.
 */
export function planMemory(steps: readonly Step[], limit: number, budget: number): MemoryPlan {
  const needs = needsOf(steps);
  const lowerBound = mostAlive(needs, steps.length);
  let best: Placed | null = null;
  for (const order of ORDERS) {
    const placed = place([...needs].sort(order), limit);
    if (!("arenas" in placed)) {
      // Any value has room in an arena of its own, if in any.
      throw overBudget(steps, placed.bytes, limit, ONE_BUFFER);
    }
    if (!best || sum(placed.arenas) < sum(best.arenas)) best = placed;
    if (sum(best.arenas) === lowerBound) break;
  }
  const { places, arenas } = best as Placed;
  const totalBytes = sum(arenas);
  if (totalBytes > budget) throw overBudget(steps, totalBytes, budget, "the program");
  return { places, arenas, totalBytes, lowerBound };
}

const mib = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

/** Of what may be too small to be seen in MiB. */
const size = (bytes: number): string => (bytes < 2 ** 20 ? `${bytes} bytes` : mib(bytes));

/** A value by its size, the kernel that makes it, and its shape. */
function describeValue(v: Value, label: string): string {
  return `${mib(bytesFor(v))} ${label} [${v.shape}]`;
}

/** Values by size, the largest first; those of one description are one line with their number. */
export function largestValues(made: readonly { value: Value; by: string }[], most: number): string[] {
  const counts = new Map<string, number>();
  for (const { value, by } of [...made].sort((a, b) => bytesFor(b.value) - bytesFor(a.value))) {
    const line = describeValue(value, by);
    counts.set(line, (counts.get(line) ?? 0) + 1);
  }
  return [...counts].slice(0, most).map(([line, count]) => (count > 1 ? `${count} of ${line}` : line));
}

function overBudget(steps: readonly Step[], bytes: number, limit: number, what: string): MemoryBudgetError {
  const list = largestValues(
    steps.flatMap((s) => s.writes.map((value) => ({ value, by: s.label }))),
    5,
  ).join("; ");
  // One value is as large when it is computed again.
  const remedy =
    what === ONE_BUFFER ? "" : ", or recompute activations (checkpoint, or --recompute of naysay plan)";
  return new MemoryBudgetError(
    `plan: at most ${size(limit)} for ${what} were expected, got ${size(bytes)}. Reduce the batch or the length${remedy}. Largest: ${list}.`,
  );
}

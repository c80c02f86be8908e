/**
 * Stacking: small kernels become one. Patches of one shape that follow one another are written together: a decoding step
 * has some, of a number for each row. Sums down the columns of several tensors become one kernel, whose workgroups do the one
 * or the other: a step of training has some for each layer (gradients of biases and of norms), each far too small for a device
 * and read by nobody soon, so a sum waits for the next ones, as long as nothing needs it. Those that read the same rows share
 * one loop. Every sum keeps its order, so no bit depends on it. Runs on groups that are in order, with states in place.
 */
import type { Value } from "../ir.ts";
import { opByName } from "../ops/table.ts";
import { sameShape } from "../shape.ts";
import { lanesOf, type RowSpace } from "./access.ts";
import { type Fused, type Group, MAX_BINDINGS, MAX_REDUCTIONS } from "./fuse.ts";

/** Kernels that a sum waits for at most: what it reads stays in memory as long. */
const MAX_WAIT = 8;

/** What a group's kernel binds, by the value whose memory it is. */
interface Memory {
  readonly reads: ReadonlySet<Value>;
  readonly writes: ReadonlySet<Value>;
}

function memoryOf(g: Group, fused: Fused, inPlace: ReadonlyMap<Value, Value>): Memory {
  const home = (v: Value): Value => inPlace.get(v) ?? v;
  return {
    reads: new Set([...(fused.reads.get(g) ?? [])].map(home)),
    writes: new Set((fused.outputs.get(g) ?? []).map(home)),
  };
}

const meet = (a: ReadonlySet<Value>, b: ReadonlySet<Value>): boolean => [...a].some((v) => b.has(v));

/** Whether one of them has to see what the other leaves in memory, or must not. */
function conflict(a: Memory, b: Memory): boolean {
  return meet(a.writes, b.reads) || meet(a.reads, b.writes) || meet(a.writes, b.writes);
}

/** A kernel may not read and write one buffer, and arguments share buffers as the caller likes: no new pairs of them. */
function mixesArguments(a: Memory, b: Memory): boolean {
  const isArgument = (v: Value): boolean => v.node.op === "input";
  const readOnly = (m: Memory): boolean => [...m.reads].some((v) => isArgument(v) && !m.writes.has(v));
  const writes = (m: Memory): boolean => [...m.writes].some(isArgument);
  return (readOnly(a) && writes(b)) || (readOnly(b) && writes(a));
}

function isColumnSum(g: Group): boolean {
  return g.kind === "row" && g.space !== null && !g.space.trailing && g.space.rows > 0;
}

/** Whether what `last` writes in place and what `g` does are one kernel: each thread an element of either. */
function isNextPatch(last: Group, g: Group, a: Memory, b: Memory): boolean {
  if (last.kind !== "patch" || g.kind !== "patch") return false;
  const [m, n] = [last.nodes[0], g.nodes[0]];
  const all = union(a, b);
  return (
    m.op === n.op &&
    sameShape(m.inputs[1].shape, n.inputs[1].shape) &&
    !conflict(a, b) &&
    !mixesArguments(a, b) &&
    new Set([...all.reads, ...all.writes]).size <= MAX_BINDINGS
  );
}

const reductions = (g: Group): number =>
  g.nodes.filter((n) => opByName(n.op).lowering.kind === "reduce").length;

/** Sums that wait, in the order in which they came. */
interface Waiting {
  readonly members: Group[];
  memory: Memory;
  since: number;
}

const union = (a: Memory, b: Memory): Memory => ({
  reads: new Set([...a.reads, ...b.reads]),
  writes: new Set([...a.writes, ...b.writes]),
});

function fits({ members, memory }: Waiting, g: Group, own: Memory): boolean {
  const all = union(memory, own);
  return (
    lanesOf(members[0].space as RowSpace) === lanesOf(g.space as RowSpace) &&
    new Set([...all.reads, ...all.writes]).size <= MAX_BINDINGS &&
    [...members, g].reduce((n, m) => n + reductions(m), 0) <= MAX_REDUCTIONS &&
    !mixesArguments(memory, own)
  );
}

/** Members as parts of a kernel: those over the same rows that read something in common are one part. */
function partsOf(members: readonly Group[], fused: Fused): Group[] {
  const parts: { group: Group; reads: Set<Value> }[] = [];
  for (const g of members) {
    const reads = new Set(fused.reads.get(g));
    const { rows, length } = g.space as RowSpace;
    const same = parts.find(
      ({ group: { space }, reads: others }) =>
        space?.rows === rows && space.length === length && meet(reads, others),
    );
    if (!same) {
      parts.push({ group: { ...g }, reads });
      continue;
    }
    same.group.nodes = [...same.group.nodes, ...g.nodes].sort((a, b) => a.id - b.id);
    same.group.narrow = new Set([...same.group.narrow, ...g.narrow]);
    for (const v of reads) same.reads.add(v);
  }
  return parts.map((p) => p.group);
}

/** Groups in an order that still holds, with patches and sums of columns in common kernels. */
export function stack(
  groups: readonly Group[],
  fused: Fused,
  inPlace: ReadonlyMap<Value, Value>,
): { groups: Group[]; fused: Fused } {
  const reads = new Map(fused.reads);
  const outputs = new Map(fused.outputs);
  const out: Group[] = [];
  let waiting: Waiting | null = null;
  const flush = (): void => {
    if (!waiting) return;
    const { members } = waiting;
    waiting = null;
    if (members.length === 1) {
      out.push(members[0]);
      return;
    }
    const parts = partsOf(members, fused);
    const [first] = parts;
    const all: Group =
      parts.length === 1
        ? first
        : {
            ...first,
            nodes: members.flatMap((m) => m.nodes).sort((a, b) => a.id - b.id),
            elements: parts.reduce((n, p) => n + p.elements, 0),
            narrow: new Set(members.flatMap((m) => [...m.narrow])),
            parts,
          };
    reads.set(all, new Set(members.flatMap((m) => [...(fused.reads.get(m) ?? [])])));
    outputs.set(
      all,
      members.flatMap((m) => fused.outputs.get(m) ?? []),
    );
    out.push(all);
  };
  const joined = (a: Group, b: Group): Group => {
    const both = { ...a, nodes: [...a.nodes, ...b.nodes], elements: a.elements + b.elements };
    reads.set(both, new Set([a, b].flatMap((g) => [...(reads.get(g) ?? [])])));
    outputs.set(
      both,
      [a, b].flatMap((g) => outputs.get(g) ?? []),
    );
    return both;
  };
  for (const g of groups) {
    const own = memoryOf(g, fused, inPlace);
    const held = waiting as Waiting | null;
    if (held && (conflict(held.memory, own) || out.length - held.since > MAX_WAIT)) flush();
    if (!isColumnSum(g)) {
      const last = out.at(-1);
      if (last && isNextPatch(last, g, memoryOf(last, { ...fused, reads, outputs }, inPlace), own)) {
        out[out.length - 1] = joined(last, g);
      } else out.push(g);
      continue;
    }
    const before = waiting as Waiting | null;
    if (before && fits(before, g, own)) {
      before.members.push(g);
      before.memory = union(before.memory, own);
      continue;
    }
    flush();
    waiting = { members: [g], memory: own, since: out.length };
  }
  flush();
  return { groups: out, fused: { ...fused, groups: out, reads, outputs } };
}

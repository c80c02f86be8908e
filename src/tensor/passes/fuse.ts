/**
 * Fusion: computed nodes become groups, each one kernel. A node joins the group of what it reads where both run
 * over the same elements in the same order (map into map, row program or matmul epilogue); what is cheap is not
 * stored but computed again by its readers (also as a matmul's prologue). Depends on the graph alone.
 */
import { delinearize, linearize, variable } from "../affine.ts";
import { TensorError } from "../errors.ts";
import { type Graph, type Node, topoOrder, type Value } from "../ir.ts";
import { opByName } from "../ops/table.ts";
import { numel } from "../shape.ts";
import { accesses, follow, linearOf, type RowSpace, rowSpaceOf } from "./access.ts";
import { mustStore } from "./expand.ts";
import { orderGroups } from "./order.ts";

export type GroupKind = "map" | "row" | "matmul" | "template" | "patch";

export interface Group {
  kind: GroupKind;
  nodes: Node[];
  /** Elements the group runs over (the wide ones where it is a row program). */
  elements: number;
  space: RowSpace | null;
  /** Members with one element a row. */
  narrow: Set<Node>;
  /** Computed again by its readers instead of stored. */
  inline: boolean;
  /** Row programs over rows of their own that share a kernel (stack.ts). */
  parts?: readonly Group[];
}

export interface Fused {
  /** Groups that run, each after those it reads. */
  readonly groups: readonly Group[];
  readonly groupOf: ReadonlyMap<Node, Group>;
  /** Values each group stores. */
  readonly outputs: ReadonlyMap<Group, readonly Value[]>;
  /** Stored values (and graph inputs) each group reads. */
  readonly reads: ReadonlyMap<Group, ReadonlySet<Value>>;
}

/** Storage buffers a kernel may bind on every adapter (T0). */
export const MAX_BINDINGS = 8;

/**
 * Reductions of one row program. One that depends on another computes what lies between once more, so a kernel's text
 * grows with the square of a chain's length, and a driver's compilation faster still: lavapipe took 1, 4, 11 and 27 s
 * for one to four softmaxes of a softmax. A training step has three at most (softmax with loss and entropy).
 */
export const MAX_REDUCTIONS = 4;

export interface FuseOptions {
  /** Leave every computed node on its own. */
  off?: boolean;
  /** Nodes that write a window of a state in place, each with the values that live in the memory it writes. */
  patches?: ReadonlyMap<Node, ReadonlySet<Value>>;
  /** New values of states that will take over the memory of the old: one binding for both where a kernel has both. */
  inPlace?: ReadonlyMap<Value, Value>;
  /** Store what an op that hides NaN reads (NAN=1). */
  nan?: boolean;
}

function isScalarInput(v: Value): boolean {
  return v.node.op === "input" && v.node.attrs.scalar === true;
}

function weightOf(node: Node): number {
  const { lowering } = opByName(node.op);
  return lowering.kind === "map" ? (lowering.cost ?? 1) : lowering.kind === "indexed" ? 2 : 1000;
}

function isScalarOnly(node: Node): boolean {
  const { lowering } = opByName(node.op);
  return lowering.kind === "map" && lowering.scalarOnly === true;
}

function isReduction(node: Node): boolean {
  return opByName(node.op).lowering.kind === "reduce";
}

class Fuser {
  readonly groupOf = new Map<Node, Group>();
  /** Groups of several nodes: they reach over what lies between their first and last. */
  private readonly joined = new Set<Group>();
  private readonly users = new Map<Value, Set<Node>>();
  readonly required: ReadonlySet<Value>;
  private readonly inPlace: ReadonlyMap<Value, Value>;
  private readonly patches: ReadonlyMap<Node, ReadonlySet<Value>>;
  /** Computed again by every kernel that reads it, from the one value that it is made of. */
  private readonly repeated: ReadonlySet<Value>;
  private readonly readCache = new Map<Node, readonly Value[]>();
  /** What a group reads, by its list of nodes, which is replaced and never changed. */
  private readonly groupReads = new WeakMap<readonly Node[], ReadonlySet<Value>>();
  readonly order: Node[];

  constructor(graph: Graph, options: FuseOptions) {
    this.required = mustStore(graph, options.nan);
    this.inPlace = options.inPlace ?? new Map();
    this.patches = options.patches ?? new Map();
    this.order = topoOrder(graph).filter((n) => {
      if (n.op === "input") return false;
      const { kind } = opByName(n.op).lowering;
      return kind !== "view" && kind !== "source" && kind !== "none";
    });
    for (const n of this.order) {
      for (const v of this.readsOf(n)) {
        const set = this.users.get(v);
        if (set) set.add(n);
        else this.users.set(v, new Set([n]));
      }
    }
    this.repeated = options.off ? new Set() : this.findRepeated();
    for (const n of this.order) {
      this.groupOf.set(n, this.single(n));
      if (!options.off) this.join(n);
    }
    if (!options.off) for (const n of this.order) this.joinReader(n);
    if (!options.off) for (const n of this.order) this.joinForLookups(n);
    if (!options.off) for (const n of [...this.order].reverse()) this.leaveToReaders(n);
  }

  /** Computed values and inputs a node reads, through movement. */
  readsOf(n: Node): readonly Value[] {
    let list = this.readCache.get(n);
    if (!list) {
      const inputs = n.inputs.map((v) => follow(v, null).value);
      list = [...new Set(inputs)].filter((v) => !isScalarInput(v) && !this.isSource(v));
      this.readCache.set(n, list);
    }
    return list;
  }

  /**
   * Steps as cheap as a load, of one value that others need as well (a square beside its root): whoever reads both then
   * reads one. Not where a product, a lookup or a reduction would repeat it for every use of an element.
   */
  private findRepeated(): Set<Value> {
    const found = new Set<Value>();
    // The old value of a state is to be read early, or nothing can take its place.
    const states = new Set([...this.inPlace.values(), ...[...this.patches.values()].flatMap((m) => [...m])]);
    for (const n of this.order) {
      const { kind } = opByName(n.op).lowering;
      if (kind !== "map" || weightOf(n) > 1 || isScalarOnly(n) || this.patches.has(n)) continue;
      const [r] = n.results;
      const from = this.readsOf(n);
      const users = [...(this.users.get(r) ?? [])];
      const isMap = (u: Node): boolean => opByName(u.op).lowering.kind === "map";
      if (from.length !== 1 || this.required.has(r) || users.length < 2 || !users.every(isMap)) continue;
      if ((this.users.get(from[0])?.size ?? 0) > 1 && !states.has(from[0])) found.add(r);
    }
    return found;
  }

  /** What the nodes of a kernel read from memory, or from each other through what each kernel repeats. */
  private readsBeyond(nodes: Iterable<Node>, members: ReadonlySet<Node>): Set<Value> {
    const found = new Set<Value>();
    const visit = (n: Node): void => {
      for (const v of this.readsOf(n)) {
        if (members.has(v.node)) continue;
        if (this.repeated.has(v)) visit(v.node);
        else found.add(v);
      }
    };
    for (const n of nodes) visit(n);
    return found;
  }

  private isSource(v: Value): boolean {
    return v.node.op !== "input" && opByName(v.node.op).lowering.kind === "source";
  }

  private single(n: Node): Group {
    const { kind } = opByName(n.op).lowering;
    const base = { nodes: [n], narrow: new Set<Node>(), inline: false, space: null as RowSpace | null };
    if (this.patches.has(n)) return { ...base, kind: "patch", elements: numel(n.inputs[1].shape) };
    if (kind === "template") return { ...base, kind: "template", elements: numel(n.results[0].shape) };
    if (kind === "matmul") return { ...base, kind: "matmul", elements: numel(n.results[0].shape) };
    if (kind === "reduce") {
      const space = rowSpaceOf(n);
      return { ...base, kind: "row", space, elements: space.rows * space.length, narrow: new Set([n]) };
    }
    return { ...base, kind: "map", elements: numel(n.results[0].shape) };
  }

  private join(n: Node): void {
    const candidates = new Set<Group>();
    for (const v of this.readsOf(n)) {
      const g = this.groupOf.get(v.node);
      if (g) candidates.add(g);
    }
    const sorted = [...candidates].sort((a, b) => last(b) - last(a));
    for (const g of sorted) this.merge(g, this.groupOf.get(n) as Group);
  }

  /** Lets a constant that replaces a state be stored by the last kernel that reads the state, and binds it anyway. */
  private joinReader(n: Node): void {
    const state =
      n.op === "copy" && this.readsOf(n).length === 0 ? this.inPlace.get(n.results[0]) : undefined;
    if (!state) return;
    const readers = new Set([...(this.users.get(state) ?? [])].map((u) => this.groupOf.get(u) as Group));
    for (const g of readers) {
      const after = [...readers].some(
        (h) => h !== g && (this.dependencies(h).has(g) || this.pathBetween(h, g)),
      );
      if (!after && this.merge(g, this.groupOf.get(n) as Group)) return;
    }
  }

  /**
   * Lets a node join a row program that binds too much for it, where the program looks up its rows (an embedding) and has to
   * store them anyway: a kernel of its own does that instead of the node's.
   */
  private joinForLookups(n: Node): void {
    const own = this.groupOf.get(n) as Group;
    if (own.kind !== "map") return;
    for (const g of new Set(this.readsOf(n).map((v) => this.groupOf.get(v.node)))) {
      const first = g?.kind === "row" && g !== own ? this.lookupsOf(g) : null;
      if (!g || !first) continue;
      const members = new Set(first.nodes);
      const rest: Group = { ...g, nodes: g.nodes.filter((m) => !members.has(m)) };
      const assign = (): void => {
        for (const part of [first, rest]) for (const m of part.nodes) this.groupOf.set(m, part);
      };
      assign();
      if (this.merge(rest, own)) {
        this.joined.delete(g);
        if (first.nodes.length > 1) this.joined.add(first);
        return;
      }
      for (const m of g.nodes) this.groupOf.set(m, g);
    }
  }

  /** The part of a row program before its first reduction, if that looks up something and stores all that the rest reads. */
  private lookupsOf(g: Group): Group | null {
    const before = new Set<Node>();
    for (const n of g.nodes) {
      if (isReduction(n) || g.narrow.has(n)) continue;
      if (this.readsOf(n).every((v) => before.has(v.node) || this.groupOf.get(v.node) !== g)) before.add(n);
    }
    const nodes = g.nodes.filter((n) => before.has(n));
    if (!nodes.some((n) => opByName(n.op).lowering.kind === "indexed")) return null;
    const members = new Set(g.nodes);
    const stored = (n: Node): boolean =>
      n.results.every(
        (r) => [...(this.users.get(r) ?? [])].every((u) => before.has(u)) || this.isStored(r, members),
      );
    if (!nodes.every(stored)) return null;
    return { kind: "map", nodes, elements: g.elements, space: null, narrow: new Set(), inline: false };
  }

  /** Makes one group of two, if they can be one kernel. */
  private merge(a: Group, b: Group): boolean {
    const merged = a === b ? null : this.union(a, b);
    if (!merged) return false;
    for (const m of merged.nodes) this.groupOf.set(m, merged);
    for (const old of [a, b]) this.joined.delete(old);
    this.joined.add(merged);
    return true;
  }

  /** The group of both, or null where they cannot be one kernel. */
  private union(a: Group, b: Group): Group | null {
    const kinds = new Set([a.kind, b.kind]);
    if (kinds.has("template") || kinds.has("patch")) return null;
    if (a.kind !== "map" && b.kind !== "map" && !(a.kind === "row" && b.kind === "row")) return null;
    const nodes = [...a.nodes, ...b.nodes].sort((x, y) => x.id - y.id);
    const merged: Group = {
      kind: "map",
      nodes,
      elements: a.elements,
      space: null,
      narrow: new Set(),
      inline: false,
    };
    if (kinds.has("row")) {
      const space = (a.kind === "row" ? a.space : b.space) as RowSpace;
      if (
        a.kind === "row" &&
        b.kind === "row" &&
        (b.space?.rows !== space.rows || b.space?.length !== space.length)
      )
        return null;
      if (!space.trailing && a.kind === b.kind) return null;
      if (nodes.some(isScalarOnly)) return null;
      if (nodes.filter(isReduction).length > MAX_REDUCTIONS) return null;
      merged.kind = "row";
      merged.space = space;
      merged.elements = space.rows * space.length;
      for (const g of [a, b]) {
        if (g.kind === "row") for (const n of g.narrow) merged.narrow.add(n);
        else if (g.elements === space.rows && space.length !== 1)
          for (const n of g.nodes) merged.narrow.add(n);
        else if (g.elements !== merged.elements || !space.trailing) return null;
      }
    } else {
      if (a.elements !== b.elements) return null;
      if (kinds.has("matmul")) {
        if (nodes.some(isScalarOnly)) return null;
        merged.kind = "matmul";
      }
    }
    if (!this.sameOrder(merged) || this.pathBetween(a, b) || this.pathBetween(b, a)) return null;
    return this.bindings(merged) <= MAX_BINDINGS ? merged : null;
  }

  /** Every read of a member by a member is at the element being computed. */
  private sameOrder(g: Group): boolean {
    const members = new Set(g.nodes);
    const inner = g.space ? variable("c", g.space.length) : variable("c", 1);
    for (const n of g.nodes) {
      const at = linearOf(g.space, g.elements, g.narrow.has(n));
      const index = delinearize(at, n.results[0].shape);
      const list = accesses(n, index, inner);
      for (const access of list) {
        const { value } = access;
        if (!members.has(value.node)) {
          if (!this.repeated.has(value)) continue;
          const again = access.index
            ? accesses(value.node, access.index, inner)
            : value.node.inputs.map((v) => follow(v, null));
          list.push(...again.map((a) => ({ ...a, blocked: a.blocked || access.blocked })));
          continue;
        }
        if (access.blocked || !access.index) return false;
        const want = linearOf(g.space, g.elements, g.narrow.has(value.node));
        if (linearize(access.index, value.shape).key !== want.key) return false;
      }
    }
    return true;
  }

  private dependencies(g: Group): Set<Group> {
    let reads = this.groupReads.get(g.nodes);
    if (!reads) {
      reads = this.readsBeyond(g.nodes, new Set(g.nodes));
      this.groupReads.set(g.nodes, reads);
    }
    const set = new Set<Group>();
    for (const v of reads) {
      const d = this.groupOf.get(v.node);
      if (d && d !== g) set.add(d);
    }
    return set;
  }

  /** The least node of groups that may reach back to a node from `id` on: no group lies on both sides of it. */
  private floorOf(id: number): number {
    let floor = id;
    for (let again = true; again; ) {
      again = false;
      for (const g of this.joined) {
        if (g.nodes[0].id >= floor || last(g) < floor) continue;
        floor = g.nodes[0].id;
        again = true;
      }
    }
    return floor;
  }

  /** Whether `from` depends on `to` by way of a third group. */
  private pathBetween(from: Group, to: Group): boolean {
    const floor = this.floorOf(to.nodes[0].id);
    const stack = [...this.dependencies(from)].filter((g) => g !== to);
    const seen = new Set<Group>(stack);
    while (stack.length > 0) {
      const g = stack.pop() as Group;
      if (last(g) < floor) continue;
      for (const d of this.dependencies(g)) {
        if (d === to) return true;
        if (!seen.has(d) && d !== from) {
          seen.add(d);
          stack.push(d);
        }
      }
    }
    return false;
  }

  private isStored(v: Value, members: ReadonlySet<Node>): boolean {
    if (this.required.has(v)) return true;
    if (this.repeated.has(v)) return false;
    for (const u of this.users.get(v) ?? []) {
      const [r] = u.results;
      if (this.repeated.has(r) ? this.isRead(r, members) : !members.has(u)) return true;
    }
    return false;
  }

  /** Whether a kernel of others repeats it. */
  private isRead(r: Value, members: ReadonlySet<Node>): boolean {
    return [...(this.users.get(r) ?? [])].some((u) =>
      this.repeated.has(u.results[0]) ? this.isRead(u.results[0], members) : !members.has(u),
    );
  }

  private bindings(g: Group): number {
    const reads = this.readsBeyond(g.nodes, new Set(g.nodes));
    return reads.size + this.storedBesides(g, reads);
  }

  /** Values a group stores in memory other than that of a state it reads. */
  private storedBesides(g: Group, reads: ReadonlySet<Value>): number {
    const members = new Set(g.nodes);
    let stored = 0;
    for (const n of g.nodes) {
      for (const r of n.results) {
        const state = this.inPlace.get(r);
        if (this.isStored(r, members) && !(state && reads.has(state))) stored++;
      }
    }
    return stored;
  }

  /**
   * Takes cheap last steps out of a group that stores what they need anyway (a square beside its root; one less a square):
   * their readers compute them from there, and one array less is written and read.
   */
  private leaveToReaders(n: Node): void {
    const g = this.groupOf.get(n) as Group;
    const steps = g.nodes.length === 1 ? null : this.cheapSteps(n, g);
    if (!steps || steps.size === g.nodes.length) return;
    const users = new Set(n.results.flatMap((r) => [...(this.users.get(r) ?? [])]));
    const members = new Set(g.nodes);
    if ([...users].some((u) => members.has(u)) || n.results.some((r) => this.required.has(r))) return;
    const nodes = g.nodes.filter((m) => steps.has(m));
    const several = nodes.length > 1 || this.readsOf(n).some((v) => this.repeated.has(v));
    // A product would do them for every use of an element.
    if (several && [...users].some((u) => opByName(u.op).lowering.kind === "matmul")) return;
    const alone: Group = { ...this.single(n), nodes };
    const from = this.readsBeyond(nodes, steps);
    const readers = [...new Set([...users].map((u) => this.groupOf.get(u) as Group))];
    const weight = nodes.reduce((w, m) => w + weightOf(m), 0);
    if (!this.mayInline(alone, readers, weight, from)) return;
    if (readers.some((r) => this.bindings(r) + from.size - 1 > MAX_BINDINGS)) return;
    g.nodes = g.nodes.filter((m) => !steps.has(m));
    for (const m of nodes) this.groupOf.set(m, alone);
    if (nodes.length > 1) this.joined.add(alone);
  }

  /** The steps from what a group stores for others, or reads, to `n`, where that is all that they are for; null where they are dear. */
  private cheapSteps(n: Node, g: Group): Set<Node> | null {
    const members = new Set(g.nodes);
    const steps = new Set([n]);
    let weight = 0;
    for (const m of steps) {
      if (g.narrow.has(m) || opByName(m.op).lowering.kind !== "map") return null;
      if (this.repeated.has(m.results[0])) return null;
      weight += weightOf(m);
      if (weight > 2) return null;
      for (const v of this.readsOf(m)) {
        if (!members.has(v.node) || this.isStoredBut(v, members, steps)) continue;
        if (this.required.has(v) || [...(this.users.get(v) ?? [])].some((u) => !steps.has(u))) return null;
        steps.add(v.node);
      }
    }
    return steps;
  }

  /** Stored for somebody other than `but`. */
  private isStoredBut(v: Value, members: ReadonlySet<Node>, but: ReadonlySet<Node>): boolean {
    if (this.required.has(v)) return true;
    return [...(this.users.get(v) ?? [])].some((u) => {
      const [r] = u.results;
      return !but.has(u) && (this.repeated.has(r) ? this.isRead(r, members) : !members.has(u));
    });
  }

  // ------------------------------------------------------------ what is cheap is computed again

  /** Marks groups as inline (none where fusion is off); returns what each remaining group reads from memory. */
  dissolve(off: boolean): Map<Group, Set<Value>> {
    const groups = [...new Set(this.order.map((n) => this.groupOf.get(n) as Group))].sort(
      (a, b) => last(a) - last(b),
    );
    const reads = new Map<Group, Set<Value>>();
    const weight = new Map<Group, number>();
    const readers = new Map<Group, Set<Group>>();
    for (const g of groups) {
      // What every reader repeats needs no kernel of its own.
      g.inline = g.nodes.every((n) => this.repeated.has(n.results[0]));
      if (g.inline) continue;
      const set = this.readsBeyond(g.nodes, new Set(g.nodes));
      reads.set(g, set);
      weight.set(
        g,
        g.nodes.reduce((w, n) => w + weightOf(n), 0),
      );
      for (const v of set) {
        const from = this.groupOf.get(v.node);
        if (!from) continue;
        const list = readers.get(from);
        if (list) list.add(g);
        else readers.set(from, new Set([g]));
      }
    }
    for (const g of groups) {
      if (g.inline) continue;
      const to = [...(readers.get(g) ?? [])];
      const mine = reads.get(g) as Set<Value>;
      if (off || !this.mayInline(g, to, weight.get(g) as number, mine)) continue;
      const after = to.map((t) => {
        const set = new Set(reads.get(t));
        for (const n of g.nodes) for (const r of n.results) set.delete(r);
        for (const v of mine) set.add(v);
        return set;
      });
      if (to.some((t, i) => after[i].size + this.storedBesides(t, after[i]) > MAX_BINDINGS)) continue;
      g.inline = true;
      to.forEach((t, i) => {
        reads.set(t, after[i]);
        weight.set(t, (weight.get(t) as number) + (weight.get(g) as number));
        for (const v of mine) {
          const from = this.groupOf.get(v.node);
          if (from) (readers.get(from) as Set<Group>).add(t);
        }
      });
      for (const v of mine) {
        const from = this.groupOf.get(v.node);
        if (from) readers.get(from)?.delete(g);
      }
    }
    return reads;
  }

  private mayInline(g: Group, readers: readonly Group[], weight: number, from: ReadonlySet<Value>): boolean {
    const reads = from.size;
    // What reads the memory that a patch is written to must be done before the first element is.
    for (const r of readers) {
      const memory = r.kind === "patch" ? this.patches.get(r.nodes[0]) : undefined;
      if (memory && [...from].some((v) => memory.has(v))) return false;
    }
    if (g.kind !== "map" || readers.length === 0) return false;
    if (g.nodes.some((n) => n.results.some((r) => this.required.has(r)))) return false;
    if (readers.some((r) => r.kind === "template")) return false;
    if (g.nodes.some(isScalarOnly)) return false;
    if (reads === 0) return weight <= 16;
    // The threads of a product read its operands many times over: two arrays instead of one would cost it more than a third.
    if (reads > 1 && readers.some((r) => r.kind === "matmul")) return false;
    if (readers.length > 1) return weight <= 2 && reads <= 2 && readers.length <= 4;
    const [r] = readers;
    if (r.kind === "matmul") return weight <= 2;
    if (r.kind === "row") return weight <= 8;
    return r.elements <= 2 * g.elements ? weight <= 16 : weight <= 4;
  }
}

function last(g: Group): number {
  return g.nodes[g.nodes.length - 1].id;
}

/** Groups of a graph whose results have been materialized. */
export function fuse(graph: Graph, options: FuseOptions = {}): Fused {
  const fuser = new Fuser(graph, options);
  const reads = fuser.dissolve(options.off ?? false);
  const { groupOf, required } = fuser;
  const live = [...new Set(fuser.order.map((n) => groupOf.get(n) as Group))].filter((g) => !g.inline);
  const wanted = new Set<Value>();
  for (const g of live) for (const v of reads.get(g) as Set<Value>) wanted.add(v);
  const outputs = new Map<Group, Value[]>();
  for (const g of live) {
    outputs.set(
      g,
      g.nodes.flatMap((n) => n.results.filter((r) => required.has(r) || wanted.has(r))),
    );
  }
  const needs = new Map<Group, Set<Group>>();
  for (const g of live) {
    const set = new Set<Group>();
    for (const v of reads.get(g) as Set<Value>) {
      const d = groupOf.get(v.node);
      if (d && d !== g) set.add(d);
    }
    needs.set(g, set);
  }
  const groups = orderGroups(live, needs);
  if (!groups)
    throw new TensorError("fuse: groups in an order expected, got a ring of them. Please report it.");
  return { groups, groupOf, outputs, reads };
}

/** The compiler's passes in order, from a traced graph to kernels in an order with their memory planned. */
import { type Affine, delinearize, linearize, variable } from "../affine.ts";
import type { Choose, Kernel, LowerContext } from "../codegen/kernel.ts";
import { type Lanes, lanesFor } from "../codegen/lanes.ts";
import { mapKernel, patchKernel } from "../codegen/map.ts";
import { matmulKernel } from "../codegen/matmul.ts";
import { rowKernel } from "../codegen/row.ts";
import { templateKernel } from "../codegen/template.ts";
import { flags } from "../flags.ts";
import { type Graph, type Node, printGraph, type StateUpdate, type Value } from "../ir.ts";
import { numel } from "../shape.ts";
import type { Tier } from "../tiers.ts";
import { accesses, follow, linearOf, SINGLE_THREAD_LENGTH } from "./access.ts";
import { cse } from "./cse.ts";
import { expand, materialize, patchApart, patchChain, patchedValues } from "./expand.ts";
import { type Fused, fuse, type Group, MAX_BINDINGS } from "./fuse.ts";
import { type MemoryPlan, planMemory } from "./memory.ts";
import { orderGroups } from "./order.ts";
import { simplify } from "./simplify.ts";
import { stack } from "./stack.ts";

export interface CompilerOptions {
  label: string;
  passesOff: readonly string[];
  /** Largest buffer binding in bytes. */
  bindingLimit: number;
  /** Most bytes of temporaries. */
  budget: number;
  /** Most workgroups along one axis. */
  maxGroups: number;
  tier: Tier;
  /** How lanes are joined; default: what the tier says. Tests put a broken one here. */
  lanes?: Lanes;
  /** What was measured on the device; default: nothing. */
  tuning?: Choose;
}

export interface Lowered {
  readonly graph: Graph;
  readonly kernels: readonly Kernel[];
  /** Values whose memory is that of a state. */
  readonly inPlace: ReadonlyMap<Value, Value>;
  /** New values of states that are copied over at the end. */
  readonly copies: readonly StateUpdate[];
  readonly memory: MemoryPlan;
}

/** The passes from graph to graph. */
function optimize(graph: Graph, options: Pick<CompilerOptions, "label" | "passesOff">): Graph {
  const off = new Set([...options.passesOff, ...flags().passesOff]);
  const show = (name: string, g: Graph): Graph => {
    if (flags().debug >= 4) console.error(`${options.label} after ${name}:\n${printGraph(g)}`);
    return g;
  };
  let g = show("trace", graph);
  // The marks of differentiation have no lowering, so one sweep of simplify always runs.
  g = show("simplify", simplify(g));
  if (!off.has("cse")) g = show("cse", cse(g));
  if (!off.has("simplify")) g = show("simplify", simplify(g));
  g = show("expand", expand(g));
  return off.has("cse") ? g : show("cse", cse(g));
}

/** Whether a group reads `state` only at the element at which it stores `value`. */
function readsAtOwnIndex(g: Group, fused: Fused, state: Value, value: Value): boolean {
  const stored = fused.reads.get(g) as ReadonlySet<Value>;
  if (!stored.has(state)) return true;
  if (g.kind === "template" || g.kind === "patch") return false;
  // The lanes of a workgroup write a wide row at their own pace: a result of the row may not replace what they still read.
  const shared =
    g.kind === "row" && (g.space?.length ?? 0) > SINGLE_THREAD_LENGTH && g.narrow.has(value.node);
  if (shared && (fused.outputs.get(g) as readonly Value[]).some((v) => !g.narrow.has(v.node))) return false;
  const inner = variable("c", g.space?.length ?? 1);
  const want = linearOf(g.space, g.elements, g.narrow.has(value.node)).key;
  const visit = (n: Node, index: readonly Affine[] | null): boolean => {
    const reads = index ? accesses(n, index, inner) : n.inputs.map((v) => follow(v, null));
    return reads.every((a) => {
      if (a.value === state) return a.index !== null && linearize(a.index, state.shape).key === want;
      const from = fused.groupOf.get(a.value.node);
      // Members are visited on their own; what is stored elsewhere, or is no computation, reads nothing here.
      return !from || from === g || stored.has(a.value) || visit(a.value.node, a.index);
    });
  };
  return g.nodes.every((n) =>
    visit(n, delinearize(linearOf(g.space, g.elements, g.narrow.has(n)), n.results[0].shape)),
  );
}

interface Ordered {
  groups: Group[];
  inPlace: Map<Value, Value>;
  copies: StateUpdate[];
  /** Place in the graph's list of an update whose patches cannot be written in place, or -1. */
  refused: number;
}

/** Decides which states are written in place, and orders readers of an old value before its writer. */
function placeStates(
  graph: Graph,
  fused: Fused,
  patches: ReadonlyMap<StateUpdate, Node[]>,
  off: boolean,
): Ordered {
  const needs = new Map<Group, Set<Group>>();
  for (const g of fused.groups) {
    const set = new Set<Group>();
    for (const v of fused.reads.get(g) as ReadonlySet<Value>) {
      const d = fused.groupOf.get(v.node);
      if (d && d !== g) set.add(d);
    }
    needs.set(g, set);
  }
  let groups = [...fused.groups];
  let placeOf: Map<Group, number> | null = null;
  const inPlace = new Map<Value, Value>();
  const copies: StateUpdate[] = [];
  const tryOrder = (extra: [Group, Group][]): boolean => {
    // An order found before that keeps to these as well is what would be found again.
    const place = placeOf;
    if (place && extra.every(([g, before]) => (place.get(before) ?? 0) < (place.get(g) ?? 0))) {
      for (const [g, before] of extra) needs.get(g)?.add(before);
      return true;
    }
    const next = new Map([...needs].map(([g, s]) => [g, new Set(s)]));
    for (const [g, before] of extra) (next.get(g) as Set<Group>).add(before);
    const order = orderGroups(fused.groups, next);
    if (!order) return false;
    groups = order;
    placeOf = new Map(order.map((g, i) => [g, i]));
    for (const [g, s] of next) needs.set(g, s);
    return true;
  };
  const readersOf = (v: Value, but: Group): [Group, Group][] =>
    fused.groups.filter((g) => g !== but && fused.reads.get(g)?.has(v)).map((g) => [but, g]);
  for (const [i, u] of graph.updates.entries()) {
    const chain = patches.get(u) ?? [];
    if (chain.length > 0) {
      let old = u.input;
      const extra: [Group, Group][] = [];
      for (const n of chain) {
        extra.push(...readersOf(old, fused.groupOf.get(n) as Group));
        [old] = n.results;
        inPlace.set(old, u.input);
      }
      if (!tryOrder(extra)) return { groups, inPlace, copies, refused: i };
      continue;
    }
    const g = fused.groupOf.get(u.value.node) as Group;
    const ok =
      !off &&
      g.kind !== "template" &&
      !inPlaceTwice(g, u, inPlace, fused) &&
      readsAtOwnIndex(g, fused, u.input, u.value) &&
      tryOrder(readersOf(u.input, g));
    if (ok) inPlace.set(u.value, u.input);
    else copies.push(u);
  }
  return { groups, inPlace, copies, refused: -1 };
}

/** A state may take over one value of a group only. */
function inPlaceTwice(g: Group, u: StateUpdate, inPlace: ReadonlyMap<Value, Value>, fused: Fused): boolean {
  return (fused.outputs.get(g) as readonly Value[]).some((v) => v !== u.value && inPlace.get(v) === u.input);
}

function lower(g: Group, ctx: LowerContext): Kernel {
  if (g.kind === "map") return mapKernel(g, ctx);
  if (g.kind === "row") return rowKernel(g, ctx);
  if (g.kind === "matmul") return matmulKernel(g, ctx);
  if (g.kind === "patch") return patchKernel(g, ctx);
  return templateKernel(g, ctx);
}

/** Everything between a trace and a program. */
export function lowerGraph(traced: Graph, options: CompilerOptions): Lowered {
  const optimized = optimize(traced, options);
  const apart = new Set<number>();
  for (;;) {
    const tried = lowerOptimized(materialize(patchApart(optimized, apart)), options);
    if (typeof tried !== "number") return tried;
    apart.add(tried);
  }
}

/** The program, or the place of an update whose patches have to be written apart from the state. */
function lowerOptimized(graph: Graph, options: CompilerOptions): Lowered | number {
  const off = new Set([...options.passesOff, ...flags().passesOff]);
  if (flags().debug >= 4) console.error(`${options.label} after materialize:\n${printGraph(graph)}`);
  const patches = new Map<StateUpdate, Node[]>();
  const patchNodes = new Map<Node, ReadonlySet<Value>>();
  for (const u of graph.updates) {
    const chain = patchChain(u);
    patches.set(u, chain);
    for (const n of chain) patchNodes.set(n, patchedValues(u, chain));
  }
  const attempt = (expected: ReadonlyMap<Value, Value>) => {
    const { nan } = flags();
    const single = fuse(graph, { off: off.has("fuse"), patches: patchNodes, inPlace: expected, nan });
    const ordered = placeStates(graph, single, patches, off.has("inplace"));
    const { inPlace, copies, refused } = ordered;
    if (refused >= 0) return refused;
    const { groups, fused } = off.has("fuse")
      ? { groups: ordered.groups, fused: single }
      : stack(ordered.groups, single, inPlace);
    const { maxGroups, label, tier, tuning } = options;
    const ctx: LowerContext = {
      fused,
      inPlace,
      maxGroups,
      label,
      tier,
      lanes: options.lanes ?? lanesFor(tier),
      tuning,
    };
    const live = groups.filter((g) =>
      (fused.outputs.get(g) as readonly Value[]).some((v) => numel(v.shape) > 0),
    );
    const kernels = live.filter((g) => g.kind !== "patch" || g.elements > 0).map((g) => lower(g, ctx));
    return { kernels, inPlace, copies };
  };
  let tried = attempt(off.has("inplace") ? new Map() : new Map(graph.updates.map((u) => [u.value, u.input])));
  // Fusion counted on states in place; where one could not be, a kernel may bind too much: then count on none.
  if (typeof tried !== "number" && tried.kernels.some((k) => k.bindings.length > MAX_BINDINGS)) {
    tried = attempt(new Map());
  }
  if (typeof tried === "number") return tried;
  const { kernels, inPlace, copies } = tried;
  const outputs = new Set(graph.outputs);
  const temporary = (v: Value): boolean => v.node.op !== "input" && !outputs.has(v) && !inPlace.has(v);
  const steps = kernels.map((k) => ({
    label: k.label,
    reads: k.bindings.filter((b) => !b.write && temporary(b.value)).map((b) => b.value),
    writes: k.bindings.filter((b) => b.write && temporary(b.value)).map((b) => b.value),
  }));
  // A value without elements has no kernel, but those that read it still bind some memory.
  const made = new Set(steps.flatMap((s) => s.writes));
  const empty = [...new Set(steps.flatMap((s) => s.reads))].filter((v) => !made.has(v));
  // Values copied to states at the end live until then.
  const ends = copies.map((c) => c.value).filter(temporary);
  const held = off.has("reuse") ? steps.flatMap((s) => s.writes) : ends;
  const memory = planMemory(
    [{ label: "empty", reads: [], writes: empty }, ...steps, { label: "end", reads: held, writes: [] }],
    options.bindingLimit,
    options.budget,
  );
  return { graph, kernels, inPlace, copies, memory };
}

/** What a lowered group is: a kernel's text, what it binds, and how many workgroups it takes. */
import { ShapeError } from "../errors.ts";
import type { Value } from "../ir.ts";
import { opByName } from "../ops/table.ts";
import type { Fused, Group } from "../passes/fuse.ts";
import type { Tier } from "../tiers.ts";
import { KernelBuilder, type KernelText } from "./builder.ts";
import { Emitter } from "./emit.ts";
import type { Lanes } from "./lanes.ts";
import type { MatmulProduct } from "./matmulTiles.ts";

export interface Kernel extends KernelText {
  readonly label: string;
  /** Workgroups along x and y. */
  readonly grid: readonly [number, number];
  readonly group: Group;
  readonly flops: number;
  /** Most operations, where data decides how many there are. */
  readonly mostFlops?: number;
  /** Loads that pick four elements one by one. */
  readonly gathers: number;
  /** What the text needs above T0, by the names that the check at first use knows. */
  readonly variants: readonly string[];
  /** Makes the T0 text with the same bindings and fields, where `variants` names any. */
  readonly portable: (() => KernelText) | null;
}

/** The way that is fastest for a shape class, of which `product` is one; undefined: not known. */
export type Choose = (shapeClass: string, product: MatmulProduct) => string | undefined;

export interface LowerContext {
  readonly fused: Fused;
  /** Stored value to the state whose memory it takes. */
  readonly inPlace: ReadonlyMap<Value, Value>;
  /** Most workgroups along the first axis of the grid (65,535; tests lower it). */
  readonly maxGroups: number;
  readonly label: string;
  readonly tier: Tier;
  /** How threads share what they have at this tier. */
  readonly lanes: Lanes;
  readonly tuning?: Choose;
}

/** Threads of a generated workgroup, but for small ones and those of subgroup matrices. */
export const WORKGROUP = 64;

/** Of so few units, full workgroups would leave cores without any: they come in small ones. */
const FEW_UNITS = 4 * WORKGROUP;
export const SMALL_WORKGROUP = 16;

/** Threads of a workgroup where each does one of so many units of much work (no bit depends on it). */
export function threadsFor(units: number): number {
  return units < FEW_UNITS ? SMALL_WORKGROUP : WORKGROUP;
}

export interface Body {
  /** Units of work; the kernel guards against the surplus. */
  units: number;
  /** Units a workgroup does: as many as it has threads where a thread does one, 1 where 64 threads share one. */
  perGroup: number;
  /** Threads of a workgroup where not 64. */
  threads?: number;
  /** Threads beyond the last unit run along with it, and `inside` keeps them from storing; else they return at once. */
  allThreads?: boolean;
  /** `inside` wraps what stores. */
  emit(e: Emitter, k: KernelBuilder, outputs: readonly Value[], inside: (store: () => void) => void): void;
}

/** What every adapter dispatches along one axis. */
const MAX_GROUPS = 65535;

/** Folds a count of workgroups into a grid of two axes. */
export function gridOf(groups: number, maxGroups: number): [number, number] {
  if (groups > maxGroups * MAX_GROUPS) {
    throw new ShapeError(
      `kernel: at most ${maxGroups * MAX_GROUPS} workgroups were expected, got ${groups}. Split the tensor.`,
    );
  }
  if (groups <= maxGroups) return [groups, 1];
  return [maxGroups, Math.ceil(groups / maxGroups)];
}

/**
 * Generates with arrays of vectors wherever memory is accessed by four elements; and once more where some of it turns out
 * to be accessed by single ones too.
 */
export function assemble(group: Group, body: Body, ctx: LowerContext): Kernel {
  const reads = ctx.fused.reads.get(group) as ReadonlySet<Value>;
  const stored = (v: Value): boolean => reads.has(v) || (v.node.op === "input" && !v.node.attrs.scalar);
  const outputs = ctx.fused.outputs.get(group) as readonly Value[];
  const groups = Math.ceil(body.units / body.perGroup);
  const grid = gridOf(groups, ctx.maxGroups);
  const generate = (singly: ReadonlySet<Value>): KernelBuilder => {
    const k = new KernelBuilder(singly, ctx.inPlace);
    const width = k.namedField("grid", grid[0]);
    const count = k.namedField("count", body.units);
    const at = `wg.y * ${width} + wg.x`;
    const mine = body.perGroup === 1 ? at : `(${at}) * ${body.perGroup}u + lane`;
    if (body.allThreads) {
      k.line(`let place = ${mine};`);
      k.line(`let unit = min(place, ${count} - 1u);`);
    } else {
      k.line(`let unit = ${mine};`);
      k.line(`if (unit >= ${count}) { return; }`);
    }
    const inside = (store: () => void): void => {
      if (body.allThreads) k.block(`if (place < ${count})`, store);
      else store();
    };
    body.emit(new Emitter(k, stored), k, outputs, inside);
    return k;
  };
  let built = generate(new Set());
  const mixed = [...built.bindings.values()].filter((b) => b.single > 0 && b.vector > 0);
  if (mixed.length > 0) built = generate(new Set(mixed.map((b) => b.value)));
  return {
    ...built.finish(body.threads ?? (body.perGroup === 1 ? WORKGROUP : body.perGroup)),
    label: labelOf(group, ctx),
    grid,
    group,
    flops: flopsOf(group),
    gathers: built.gathers,
    variants: [...built.variants].sort(),
    portable: null,
  };
}

export function labelOf(group: Group, ctx: LowerContext): string {
  const names = group.nodes.map((n) => n.op);
  const shown =
    names.length <= 4 ? names : [...names.slice(0, 2), `${names.length - 3} more`, names[names.length - 1]];
  return `${ctx.label}/${group.kind}:${shown.join("+")}`;
}

export function flopsOf(group: Group): number {
  if (group.kind === "patch") return group.elements;
  let flops = 0;
  for (const n of group.nodes) {
    flops +=
      opByName(n.op).cost?.(n.inputs, n.results, n.attrs).flops ??
      n.results[0].shape.reduce((a, b) => a * b, 1);
  }
  return flops;
}

/**
 * Joins the partial results of a row's 64 lanes; every lane gets the whole. Two texts with the same tree, and so with
 * the same bits: at each step what stands at place q takes in what stands at q + 32, then q + 16, 8, 4, 2 and 1.
 */
import type { Node } from "../ir.ts";
import { type Tier, tierAtLeast } from "../tiers.ts";
import type { KernelBuilder } from "./builder.ts";

export interface Accumulator {
  readonly n: Node;
  /** Variable that holds the lane's partial result. */
  readonly name: string;
  /** WGSL type: `f32`, `vec4<f32>`, `u32`, ... */
  readonly type: string;
  combine(a: string, b: string): string;
}

export type JoinLanes = (a: Accumulator, k: KernelBuilder) => string;

const STEPS = [32, 16, 8, 4, 2, 1];
/** WGSL: subgroups have 4 to 128 lanes, a power of two. */
const SMALLEST_SUBGROUP = 4;

/** T0: a halving tree in workgroup memory, with a barrier a step. */
export const treeJoin: JoinLanes = (a, k) => {
  const shared = share(a, k);
  for (const s of STEPS) treeStep(shared, s, a, k);
  return k.name("all", `${shared}[0]`);
};

/**
 * T2: steps narrower than a subgroup are exchanges within it, the wider ones (and their barriers) are taken only where
 * subgroups are that small. The size is read at run time (4, 8, 16, 32, 64 and 128 exist), and places are those in
 * the subgroup, so it does not matter which lanes the adapter puts together.
 */
const subgroupJoin: JoinLanes = (a, k) => {
  k.subgroups();
  const shared = share(a, k);
  for (const s of STEPS) {
    if (s < SMALLEST_SUBGROUP) break;
    k.block(`if (subgroupSize <= ${s}u)`, () => treeStep(shared, s, a, k));
  }
  const v = k.fresh("j");
  k.line(`var ${v} = ${shared}[subgroupLane & 63u];`);
  for (const s of STEPS) {
    const other = k.name("o", `subgroupShuffleXor(${v}, ${s}u)`);
    k.line(`${v} = select(${v}, ${a.combine(v, other)}, subgroupSize > ${s}u);`);
  }
  return k.name("all", v);
};

function treeStep(shared: string, s: number, a: Accumulator, k: KernelBuilder): void {
  k.line(
    `if (lane < ${s}u) { ${shared}[lane] = ${a.combine(`${shared}[lane]`, `${shared}[lane + ${s}u]`)}; }`,
  );
  k.line("workgroupBarrier();");
}

function share(a: Accumulator, k: KernelBuilder): string {
  const shared = k.sharedArray(a.type, 64);
  k.line(`${shared}[lane] = ${a.name};`);
  k.line("workgroupBarrier();");
  return shared;
}

/** Chosen by the named tier alone. */
export function joinFor(tier: Tier): JoinLanes {
  return tierAtLeast(tier, "T2") ? subgroupJoin : treeJoin;
}

/** What a first use is checked by: the reduction, its dtype, and whether four results go together. */
export function variantOf(a: Accumulator): string {
  return `join/${a.n.op}/${a.n.results[0].dtype}/${a.type.startsWith("vec4") ? 4 : 1}`;
}

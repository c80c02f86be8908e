/**
 * What the threads of a workgroup do together, by tier, with the same bits on each.
 *
 * Joining the partial results of a row's 64 lanes, so that every lane gets the whole: two texts with the same tree. At each
 * step what stands at place q takes in what stands at q + 32, then q + 16, 8, 4, 2 and 1.
 *
 * Reading what another thread of the quad has loaded: from T2 on.
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
const treeJoin: JoinLanes = (a, k) => {
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

/** The value that the thread at `place` (0 to 3) of the quad has under `name`; every thread of the quad must ask. */
export type QuadRead = (name: string, place: number) => string;

/** What of this a tier has. */
export interface Lanes {
  readonly join: JoinLanes;
  /** `null`: threads read for themselves. */
  readonly quad: QuadRead | null;
}

export const PORTABLE_LANES: Lanes = { join: treeJoin, quad: null };

const SUBGROUP_LANES: Lanes = {
  join: subgroupJoin,
  quad: (name, place) => `quadBroadcast(${name}, ${place}u)`,
};

/** Chosen by the named tier alone. */
export function lanesFor(tier: Tier): Lanes {
  return tierAtLeast(tier, "T2") ? SUBGROUP_LANES : PORTABLE_LANES;
}

/** What the first use of a quad is checked by. */
export const QUAD_VARIANT = "quad/matmul";

/** What a first use is checked by: the reduction, its dtype, and whether four results go together. */
export function variantOf(a: Accumulator): string {
  return `join/${a.n.op}/${a.n.results[0].dtype}/${a.type.startsWith("vec4") ? 4 : 1}`;
}

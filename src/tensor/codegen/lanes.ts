/**
 * What the threads of a workgroup do together, by tier, with the same bits on each.
 *
 * Joining the partial results of a row's 64 lanes, so that every lane gets the whole: two texts with the same tree. At each
 * step what stands at place q takes in what stands at q + 32, then q + 16, 8, 4, 2 and 1.
 *
 * Reading what another thread of the quad has loaded: from T2 on.
 *
 * Multiplying small matrices that a subgroup holds together, at T4: there alone bits differ (matmulMatrix.ts).
 *
 * Sharing a unit of work at all, where one thread could do it: on GPUs, and not where each barrier costs more than it saves.
 */
import type { QuadRead } from "../../shaders/quads.ts";
import type { Device } from "../device.ts";
import type { Node } from "../ir.ts";
import { type MatrixConfig, type Tier, tierAtLeast } from "../tiers.ts";
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

/** What the tree makes of values at places in order, read by `at`: place q takes in q + half of them, half by half. */
export function tree(a: Pick<Accumulator, "combine">, count: number, at: (place: number) => string): string {
  let level = Array.from({ length: count }, (_, q) => at(q));
  while (level.length > 1) {
    const half = level.length / 2;
    level = level.slice(0, half).map((x, q) => `(${a.combine(x, level[q + half])})`);
  }
  return level[0];
}

/** T0: eight lanes take in eight values each, and every lane what those make. */
const treeJoin: JoinLanes = (a, k) => {
  const all = k.sharedArray(a.type, 64);
  const few = k.sharedArray(a.type, 8);
  k.line(`${all}[lane] = ${a.name};`);
  k.line("workgroupBarrier();");
  k.block(`if (lane < 8u)`, () => {
    k.line(`${few}[lane] = ${tree(a, 8, (q) => (q === 0 ? `${all}[lane]` : `${all}[lane + ${8 * q}u]`))};`);
  });
  k.line("workgroupBarrier();");
  return k.name(
    "all",
    tree(a, 8, (q) => `${few}[${q}]`),
  );
};

/**
 * T2: every lane takes in the sixteen values of its place in a quad, and the quad's lanes exchange what those make.
 * Subgroups of every size consist of quads, so it does not matter how many lanes they have, nor which.
 */
const quadJoin: JoinLanes = (a, k) => {
  // Two arrays take turns: every lane passes the barrier of the one after it last read the other.
  const all = k.sharedArray(a.type, 64, k.turn());
  k.line(`${all}[lane] = ${a.name};`);
  k.line("workgroupBarrier();");
  const own = k.quadPlace();
  let v = k.name(
    "j",
    tree(a, 16, (q) => (q === 0 ? `${all}[${own}]` : `${all}[${own} + ${4 * q}u]`)),
  );
  for (const s of [2, 1]) v = k.name("j", a.combine(v, `subgroupShuffleXor(${v}, ${s}u)`));
  return v;
};

/** What of this a tier has. */
export interface Lanes {
  readonly join: JoinLanes;
  /** `null`: threads read for themselves. */
  readonly quad: QuadRead | null;
  /** `null`: products are sums of single numbers. */
  readonly matrix: MatrixConfig | null;
  /** `false`: one thread does by itself, for the same bits, what threads could share. */
  readonly together: boolean;
}

export const PORTABLE_LANES: Lanes = { join: treeJoin, quad: null, matrix: null, together: true };

const SUBGROUP_LANES: Lanes = {
  join: quadJoin,
  quad: (name, place) => `quadBroadcast(${name}, ${place}u)`,
  matrix: null,
  together: true,
};

/** Chosen by the named tier alone, but for the sizes of T4's matrices, which are the device's. */
export function lanesFor(tier: Tier, matrix: MatrixConfig | null = null): Lanes {
  if (tierAtLeast(tier, "T4")) return { ...SUBGROUP_LANES, matrix };
  return tierAtLeast(tier, "T2") ? SUBGROUP_LANES : PORTABLE_LANES;
}

/** SwiftShader makes a coroutine of every subgroup that passes a barrier: a decoding step took twice its time (bench/NOTES.md). */
const DEAR_BARRIERS: readonly string[] = ["swiftshader"];

/** The same of a device, which also decides whether threads work together. */
export function lanesOn({ tier, matrix, info }: Pick<Device, "tier" | "matrix" | "info">): Lanes {
  return { ...lanesFor(tier, matrix), together: !DEAR_BARRIERS.includes(info.architecture) };
}

/** What the first use of a quad is checked by, in whole workgroups and in small ones. */
export const QUAD_VARIANT = "quad/matmul";
export const SMALL_QUAD_VARIANT = "quad/matmul/16";
/** The same of quads that walk what data says, with the threads of a workgroup after it. */
export const WALK_VARIANT = "quad/walk/";

/** What a first use is checked by: the reduction, its dtype, and whether four results go together. */
export function variantOf(a: Accumulator): string {
  return `join/${a.n.op}/${a.n.results[0].dtype}/${a.type.startsWith("vec4") ? 4 : 1}`;
}

/** The kernel that shows whether quads which walk what data says hand round what they load, for the check of first use. */
import { type QuadRead, quadWalk } from "../shaders/quads.ts";
import type { Kernel } from "./codegen/kernel.ts";
import { WALK_VARIANT } from "./codegen/lanes.ts";
import { Node } from "./ir.ts";

/** What the check needs of a kernel. */
export type Probe = Pick<Kernel, "label" | "wgsl" | "bindings" | "fields" | "grid" | "variants" | "portable">;

/** Null for other variants. `quad` null makes the T0 text. */
export function quadProbe(variant: string, quad: QuadRead | null): Probe | null {
  if (!variant.startsWith(WALK_VARIANT)) return null;
  const threads = Number(variant.slice(WALK_VARIANT.length));
  // Two workgroups, of whose last 3 quads in 4 have work.
  const count = 2 * threads - threads / 4;
  const bindings = (["f32", "u32", "f32"] as const).map((dtype, i) => ({
    name: `b${i}`,
    value: new Node("input", [], {}, [{ shape: [2 * count], dtype }]).results[0],
    read: i < 2,
    write: i === 2,
    vector: 0,
    single: 1,
  }));
  const fields: Kernel["fields"] = [{ name: "count", type: "u32", value: count }];
  return {
    label: `check/${variant}`,
    wgsl: quadWalk(quad, threads),
    bindings,
    fields,
    grid: [2, 1],
    variants: [variant],
    portable: () => ({ wgsl: quadWalk(null, threads), bindings, fields }),
  };
}

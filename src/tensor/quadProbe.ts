/** The kernel that shows whether quads which walk what data says hand round what they load, for the check of first use. */
import { type QuadRead, quadWalk } from "../shaders/quads.ts";
import { type Kernel, SMALL_WORKGROUP, WORKGROUP } from "./codegen/kernel.ts";
import { SMALL_WALK_VARIANT, WALK_VARIANT } from "./codegen/lanes.ts";
import type { DType } from "./dtype.ts";
import { Node } from "./ir.ts";

/** What the check needs of a kernel. */
export type Probe = Pick<Kernel, "label" | "wgsl" | "bindings" | "fields" | "grid" | "variants" | "portable">;

const THREADS: Readonly<Record<string, number>> = {
  [WALK_VARIANT]: WORKGROUP,
  [SMALL_WALK_VARIANT]: SMALL_WORKGROUP,
};

/** Null for other variants. `quad` null makes the T0 text. */
export function quadProbe(variant: string, quad: QuadRead | null): Probe | null {
  const threads = THREADS[variant];
  if (threads === undefined) return null;
  // Two workgroups, of whose last 3 quads in 4 have work.
  const count = 2 * threads - threads / 4;
  const buffer = (
    dtype: DType,
    each: number,
    binding: number,
    write = false,
  ): Kernel["bindings"][number] => ({
    name: `b${binding}`,
    value: new Node("input", [], {}, [{ shape: [each * count], dtype }]).results[0],
    read: !write,
    write,
    vector: 0,
    single: 1,
  });
  const bindings = [buffer("f32", 1, 0), buffer("u32", 2, 1), buffer("f32", 1, 2, true)];
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

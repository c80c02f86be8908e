/** How the threads of a row program share its rows, and what they accumulate in. */
import type { Node } from "../ir.ts";
import { opByName } from "../ops/table.ts";
import { lanesOf, type RowSpace } from "../passes/access.ts";
import type { Group } from "../passes/fuse.ts";
import type { KernelBuilder } from "./builder.ts";
import type { Emitter, Width } from "./emit.ts";

export interface RowShape {
  space: RowSpace;
  /** Vector over the row (last axes) or over neighbouring results (other axes). */
  along: "row" | "results" | "none";
  lanes: 1 | 64;
}

export function shapeOf(group: Group): RowShape {
  const space = group.space as RowSpace;
  const lanes = lanesOf(space);
  if (space.trailing)
    return { space, lanes, along: space.length % 4 === 0 && space.length > 0 ? "row" : "none" };
  return { space, lanes, along: space.rows % 4 === 0 ? "results" : "none" };
}

/** Results that a thread has at a time. */
export const resultWidthOf = ({ along }: RowShape): Width => (along === "results" ? 4 : 1);

/** Rows, or vectors of them. */
export const unitsOf = (shape: RowShape): number => shape.space.rows / resultWidthOf(shape);

/** Whether a row is a column of the operand that several threads share. */
export const isSharedColumn = ({ lanes, space }: RowShape): boolean => lanes === 64 && !space.trailing;

/** Declares what a reduction is accumulated in: `count` variables that start at its identity. */
export function accumulate(n: Node, width: Width, e: Emitter, k: KernelBuilder, count: number) {
  const { lowering } = opByName(n.op);
  if (lowering.kind !== "reduce") throw new Error("unreachable: only reductions have levels");
  const { dtype } = n.results[0];
  const type = e.type(dtype, width);
  const names = Array.from({ length: count }, () => k.fresh("acc"));
  // An infinity is a parameter: as a constant expression it would not compile.
  for (const name of names) k.line(`var ${name} = ${type}(${k.constant(lowering.identity(dtype), dtype)});`);
  return { n, names, type, combine: lowering.combine };
}

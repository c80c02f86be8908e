/**
 * A table that is cut by rows, because one binding cannot hold it (or its gradient comes in parts): looked up over its
 * blocks, and joined again. Blocks are in order and have one width.
 */
import type { Tensor } from "../tensor.ts";
import { concat } from "./movement.ts";

/** Parts that one kernel joins: it binds them and the result, 8 in all. */
const JOINED_AT_ONCE = 7;

/** Joins [R_i, C] to [sum of R_i, C], copying each row as few times as kernels of `JOINED_AT_ONCE` parts allow. */
export function joinRows(parts: readonly Tensor[]): Tensor {
  let level = parts;
  while (level.length > 1) {
    const next: Tensor[] = [];
    for (let i = 0; i < level.length; i += JOINED_AT_ONCE)
      next.push(concat(level.slice(i, i + JOINED_AT_ONCE), 0));
    level = next;
  }
  return level[0];
}

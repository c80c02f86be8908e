/**
 * A table that is cut by rows, because one binding cannot hold it (or its gradient comes in parts): looked up over its
 * blocks, and joined again. Blocks are in order and have one width.
 */
import { ShapeError } from "../errors.ts";
import { numel, show } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { currentTrace, requireTensor, runEagerly } from "../trace.ts";
import { barrier, customVjpBoundary } from "./control.ts";
import { and, ge, lt, minimum, sub, where } from "./elementwise.ts";
import { iota, scatterAdd, take } from "./indexing.ts";
import { concat, reshape } from "./movement.ts";

/**
 * Rows of a large table that are worked on at a time: as many of a vocabulary's logits are alive at once. Sums follow
 * these chunks, so their size depends on nothing, not on how many tokens there are.
 */
export const CHUNK_ROWS = 2048;

/** Name of block `index` of a tensor that is cut by rows. */
export function blockName(name: string, index: number): string {
  return `${name}#${index}`;
}

/** Parts that one kernel joins: it binds them and the result, 8 in all. */
const JOINED_AT_ONCE = 7;

/** Joins [R_i, ...] to [sum of R_i, ...], copying each row as few times as kernels of `JOINED_AT_ONCE` parts allow. */
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

/** Sum of the rows of `g` [N, C] by index, for rows [start, start + rows) of the table; the last ones take all beyond. */
function gradientRows(g: Tensor, indices: Tensor, start: number, rows: number, last: boolean): Tensor {
  const reached = ge(indices, start);
  const inside = last ? reached : and(reached, lt(indices, start + rows)); // [N]
  // The rest adds zeros, and is spread over the rows: one long list would be walked by one thread alone.
  const elsewhere = minimum(iota(indices.shape), rows - 1);
  const own = where(reshape(inside, [-1, 1]), g, 0); // [N, C]
  return scatterAdd(own, where(inside, sub(indices, start), elsewhere), rows);
}

function lookUp(blocks: readonly Tensor[], indices: Tensor): Tensor {
  const spread = (x: Tensor): Tensor => reshape(x, [...indices.shape, 1]);
  let start = blocks[0].shape[0];
  let found = take(blocks[0], indices);
  for (const block of blocks.slice(1)) {
    // An earlier index wraps around and reads some row, which it does not keep.
    found = where(spread(ge(indices, start)), take(block, sub(indices, start)), found);
    start += block.shape[0];
  }
  return found;
}

/**
 * `take` from a table [V, C] that is given as blocks of its rows: `indices` [...] u32 -> [..., C]. An index beyond the table
 * reads the last row. Bits are those of the uncut table, gradients' too.
 */
export function takeRows(blocks: readonly Tensor[], indices: Tensor): Tensor {
  requireTensor("takeRows", indices, ...blocks);
  if (blocks.length === 0 || blocks.some((b) => b.shape.length !== 2 || b.shape[1] !== blocks[0].shape[1])) {
    throw new ShapeError(
      `takeRows: blocks[R, C] of one width were expected, got ${blocks.map((b) => show(b.shape)).join(", ") || "none"}. Cut the table by rows.`,
    );
  }
  if (blocks.length === 1) return take(blocks[0], indices);
  if (!currentTrace()) {
    return runEagerly(([at, ...cut]) => [takeRows(cut as Tensor[], at as Tensor)], [indices, ...blocks])[0];
  }
  const [found] = customVjpBoundary([lookUp(blocks, indices)], [indices, ...blocks], {
    outputs: 1,
    backward({ g, inputs: [ids, ...cut], land }) {
      // Not the forward pass's comparisons: with them, every chunk's lists would be made early and kept.
      const at = reshape(barrier(ids, g[0] as Tensor), [numel(ids.shape)]);
      const ct = reshape(g[0] as Tensor, [numel(ids.shape), cut[0].shape[1]]);
      const total = cut.reduce((n, b) => n + b.shape[0], 0);
      let start = 0;
      const grads = cut.map((block, i) => {
        const landing = land?.(1 + i) ?? null;
        const step = landing ? CHUNK_ROWS : block.shape[0];
        const parts: Tensor[] = [];
        for (let from = 0; from < block.shape[0]; from += step) {
          const rows = Math.min(step, block.shape[0] - from);
          const first = start + from;
          const part = gradientRows(ct, at, first, rows, first + rows === total);
          if (landing) landing(from, part);
          else parts.push(part);
        }
        start += block.shape[0];
        return landing ? null : joinRows(parts);
      });
      return [null, ...grads];
    },
  });
  return found;
}

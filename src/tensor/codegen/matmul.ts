/**
 * Matrix products straight from memory: a thread computes a tile of rows and columns, four steps of k at a time where sizes
 * allow. From T2 on the four threads of a quad, whose tiles have the same rows, load a quarter of them each and hand it
 * round. Operands are expressions (prologue), and so is what is stored (epilogue). Which tile, or whether through workgroup
 * memory instead: matmulTiles.ts.
 */
import { type Affine, delinearize, div, linearize, plus, scale, variable } from "../affine.ts";
import type { Node } from "../ir.ts";
import { matmulDims } from "../ops/matmulDims.ts";
import { opByName } from "../ops/table.ts";
import type { Group } from "../passes/fuse.ts";
import { numel } from "../shape.ts";
import type { Width } from "./emit.ts";
import {
  assemble,
  type Body,
  type Kernel,
  type LowerContext,
  SMALL_WORKGROUP,
  threadsFor,
  WORKGROUP,
} from "./kernel.ts";
import { QUAD_VARIANT, SMALL_QUAD_VARIANT } from "./lanes.ts";
import { matrixBody } from "./matmulMatrix.ts";
import {
  addProducts,
  each,
  operandA,
  operandB,
  quadOperandA,
  quadReader,
  side,
  stepOf,
  tileAt,
  when,
  zeroSums,
} from "./matmulOperands.ts";
import { sharedBody } from "./matmulShared.ts";
import { splitBody } from "./matmulSplit.ts";
import {
  type DirectTiling,
  type MatmulProduct,
  matmulClass,
  QUAD,
  range,
  type Tiling,
  tilingOf,
} from "./matmulTiles.ts";

/** How operands are read, by vectors of four. */
export interface Layout {
  /** Read a by four rows (its columns are contiguous) instead of by four k. */
  aByRows: boolean;
  /** Read b by four k instead of by four columns. */
  bByK: boolean;
}

/** Tiles that a workgroup computes, and how many there are down and across when blocks are full. */
interface Block {
  rows: number;
  columns: number;
  down: number;
  across: number;
}

/** Results of a tile that is work enough for small workgroups: with one size, products share a text whatever their sizes. */
const LARGE_TILE = 256;

/** Threads without a tile that a block near a square may bring with it. */
const SPARE = 1 / 16;

/**
 * Near a square, so that what a workgroup's threads read lies close together; a row of tiles where too many threads would
 * be without one.
 */
function blockOf(down: number, across: number, sameRows: boolean, threads: number): Block {
  const round = (size: number, to: number): number => Math.ceil(size / to) * to;
  const near = [16, 8, 4].map((columns): Block => {
    const rows = threads / columns;
    return { rows, columns, down: round(down, rows), across: round(across, columns) };
  });
  const spare = (b: Block): number => b.down * b.across - down * across;
  // Several rows, and several blocks down and across, where that can be: one alone would be a text of its own, with an index less.
  const several = (b: Block): boolean => b.rows > 1 && b.down > b.rows && b.across > b.columns;
  const block =
    near.find((b) => spare(b) === 0 && several(b)) ??
    near.find((b) => spare(b) === 0 && b.across > b.columns) ??
    near.find((b) => spare(b) === 0) ??
    near.find((b) => spare(b) <= SPARE * down * across);
  if (block) return block;
  const columns = sameRows ? round(across, QUAD) : across;
  return { rows: 1, columns, down, across: columns };
}

export function matmulKernel(group: Group, ctx: LowerContext): Kernel {
  const node = group.nodes.find((n) => opByName(n.op).lowering.kind === "matmul") as Node;
  const product = productOf(node);
  const { transposeA, transposeB } = product;
  const variant = ctx.tuning?.(matmulClass(product), product);
  const tiling = tilingOf(product, ctx.lanes, variant);
  // Of the ways to read the operands take the one with the fewest elements picked one by one.
  let best: { kernel: Kernel; layout: Layout } | null = null;
  for (const layout of layouts(transposeA, transposeB)) {
    const kernel = assemble(group, bodyOf(node, product, layout, tiling), ctx);
    if (!best || kernel.gathers < best.kernel.gathers) best = { kernel, layout };
    if (best.kernel.gathers === 0) break;
  }
  const { kernel, layout } = best as { kernel: Kernel; layout: Layout };
  const alone = portableBody(node, product, layout, tiling);
  if (!alone) return kernel;
  return { ...kernel, portable: () => assemble(group, alone, ctx) };
}

/** The same at T0; null where it is that already. */
function portableBody(node: Node, product: MatmulProduct, layout: Layout, tiling: Tiling): Body | null {
  if (tiling.kind === "matrix") return matrixBody(node, product, layout, tiling, true);
  if (tiling.kind !== "direct" || tiling.quad === null) return null;
  return directBody(node, product, layout, { ...tiling, quad: null });
}

function bodyOf(node: Node, product: MatmulProduct, layout: Layout, tiling: Tiling): Body {
  if (tiling.kind === "shared") return sharedBody(node, product, layout, tiling);
  if (tiling.kind === "matrix") return matrixBody(node, product, layout, tiling, false);
  if (tiling.kind === "split") return splitBody(node, product, layout, tiling);
  return directBody(node, product, layout, tiling);
}

function productOf(node: Node): MatmulProduct {
  const [a, b] = node.inputs;
  const transposeA = node.attrs.transposeA === true;
  const transposeB = node.attrs.transposeB === true;
  const dims = matmulDims(a.shape, b.shape, transposeA, transposeB);
  return { ...dims, batches: numel(dims.batch), transposeA, transposeB };
}

/** The likeliest way to read the operands first. */
function layouts(ta: boolean, tb: boolean): Layout[] {
  return [ta, !ta].flatMap((aByRows) => [tb, !tb].map((bByK) => ({ aByRows, bByK })));
}

function directBody(node: Node, product: MatmulProduct, layout: Layout, tiling: DirectTiling): Body {
  const [a, b] = node.inputs;
  const { batch, batches, m, n, k: length } = product;
  const { tileM, tileN, sameRows, quad } = tiling;
  const quads = Math.max(1, tileN / 4);
  const width: Width = tileN === 1 ? 1 : 4;
  const stepK = stepOf(product);
  const aByRows = layout.aByRows && tileM % 4 === 0;
  const bByK = layout.bByK && stepK === 4;
  const [tilesDown, tilesAcross] = [Math.ceil(m / tileM), Math.ceil(n / tileN)];
  const threads =
    tileM * tileN >= LARGE_TILE ? SMALL_WORKGROUP : threadsFor(batches * tilesDown * tilesAcross);
  const block = blockOf(tilesDown, tilesAcross, sameRows, threads);
  const units = batches * block.down * block.across;
  const out = node.results[0];

  return {
    units,
    perGroup: threads,
    // What a quad hands round, every thread of it has to reach.
    allThreads: quad !== null,
    emit(e, k, outputs, inside) {
      const grid = [
        batches,
        block.down / block.rows,
        block.across / block.columns,
        block.rows,
        block.columns,
      ];
      const [z, bm, bn, rm, rn] = delinearize(variable("unit", units), grid);
      const zn = variable(k.name("z", e.index(z)), batches);
      // Rows and columns of a block that are equal by chance share no parameter either.
      e.index(div(variable("unit", units), block.columns));
      k.section("m");
      const down = side(e, k, "m", plus(scale(bm, block.rows), rm), {
        size: m,
        tile: tileM,
        tiles: block.down,
        unit: aByRows && m % 4 === 0 ? 4 : 1,
      });
      // Blocks across and a block's columns that are equal by chance share none either.
      k.section("blocks");
      e.index(bn);
      k.section("n");
      const across = side(e, k, "n", plus(scale(bn, block.columns), rn), {
        size: n,
        tile: tileN,
        tiles: block.across,
        unit: width === 4 && n % 4 === 0 ? 4 : 1,
      });
      const lead = delinearize(zn, batch);
      const steps = length / stepK;
      const kk = k.fresh("k");
      const counter = variable(kk, steps);
      const ofQuad = quadReader(k, quad, tileM);
      if (quad) k.variants.add(threads === WORKGROUP ? QUAD_VARIANT : SMALL_QUAD_VARIANT);
      const tile = tileAt(product, lead, { tileM, tileN, stepK }, down, across, counter);
      const acc = zeroSums(e, k, tile);
      const type = e.type("f32", width);
      k.section("loop");
      k.loop(kk, "0u", k.size(steps), () => {
        // Steps of a and of b that are equal by chance share no parameter.
        k.section("a");
        const left = sameRows ? quadOperandA(e, a, tile, aByRows, ofQuad) : operandA(e, a, tile, aByRows);
        k.section("b");
        const right = operandB(e, k, b, tile, bByK);
        addProducts(e, k, tile, acc, left, right);
      });
      const finish = (row: Affine, columns: Affine, by: Width, sum: string): void => {
        const position = linearize([zn, row, columns], [batches, m, n]);
        e.know(out, delinearize(position, out.shape), by, sum);
        e.store(outputs, (v) => delinearize(position, v.shape), by);
      };
      // Columns that do not come in fours are stored one by one.
      const loose = width === 4 && n % 4 !== 0;
      const { skip: above } = down;
      const { skip: before } = across;
      k.section("results");
      inside(() => {
        if (tileM === 1 && !loose) {
          const skips = [above, before].filter((s) => s !== null);
          when(k, skips.map((s) => `${s} == 0u`).join(" && "), () => {
            range(quads).forEach((q) => {
              finish(tile.row(0), tile.columns(q), width, acc[0][q]);
            });
          });
          return;
        }
        // What is done with a row's results stands once in the text: a driver compiles it in a fraction of the time.
        const all = k.fresh("all");
        k.line(`var ${all} = array<${type}, ${tileM * quads}>(${acc.flat().join(", ")});`);
        each(k, "j", above, tileM, (j) => {
          const row = plus(down.start, variable(j, tileM));
          if (loose) {
            each(k, "l", before, tileN, (l) => {
              const at = quads === 1 ? j : `${j} * ${quads}u + ${l} / 4u`;
              finish(
                row,
                plus(across.start, variable(l, tileN)),
                1,
                k.name("sum", `${all}[${at}][${l} & 3u]`),
              );
            });
            return;
          }
          const sums = range(quads).map((q) =>
            k.name("sum", quads === 1 ? `${all}[${j}]` : `${all}[${j} * ${quads}u + ${q}u]`),
          );
          when(k, before === null ? "" : `${before} == 0u`, () => {
            sums.forEach((sum, q) => {
              finish(row, tile.columns(q), width, sum);
            });
          });
        });
      });
    },
  };
}

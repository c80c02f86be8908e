/**
 * Matrix products straight from memory: a thread computes a tile of rows and columns, four steps of k at a time where sizes
 * allow. From T2 on the four threads of a quad, whose tiles have the same rows, load a quarter of them each and hand it
 * round. Operands are expressions (prologue), and so is what is stored (epilogue). Which tile, or whether through workgroup
 * memory instead: matmulTiles.ts.
 */
import { type Affine, constantIndex, delinearize, div, linearize, plus, scale, variable } from "../affine.ts";
import type { Node, Value } from "../ir.ts";
import { matmulDims } from "../ops/matmulDims.ts";
import { opByName } from "../ops/table.ts";
import type { Group } from "../passes/fuse.ts";
import { numel } from "../shape.ts";
import type { KernelBuilder } from "./builder.ts";
import { type Emitter, LANE, type Width } from "./emit.ts";
import { assemble, type Body, type Kernel, type LowerContext, WORKGROUP } from "./kernel.ts";
import { QUAD_VARIANT, type QuadRead } from "./lanes.ts";
import { matrixBody } from "./matmulMatrix.ts";
import { sharedBody } from "./matmulShared.ts";
import { type DirectTiling, type MatmulProduct, matmulClass, QUAD, range, tilingOf } from "./matmulTiles.ts";

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

/** Threads without a tile that a block near a square may bring with it. */
const SPARE = 1 / 16;

/**
 * Near a square, so that what a workgroup's threads read lies close together; a row of tiles where too many threads would
 * be without one.
 */
function blockOf(down: number, across: number, sameRows: boolean): Block {
  const round = (size: number, to: number): number => Math.ceil(size / to) * to;
  const near = [16, 8, 4].map((columns): Block => {
    const rows = WORKGROUP / columns;
    return { rows, columns, down: round(down, rows), across: round(across, columns) };
  });
  const spare = (b: Block): number => b.down * b.across - down * across;
  // Several across where that can be: one alone would be a text of its own, with an index less.
  const block =
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
    const body =
      tiling.kind === "matrix"
        ? matrixBody(node, product, layout, tiling, false)
        : tiling.kind === "shared"
          ? sharedBody(node, product, layout, tiling)
          : directBody(node, product, layout, tiling);
    const kernel = assemble(group, body, ctx);
    if (!best || kernel.gathers < best.kernel.gathers) best = { kernel, layout };
    if (best.kernel.gathers === 0) break;
  }
  const { kernel, layout } = best as { kernel: Kernel; layout: Layout };
  if (tiling.kind === "shared" || (tiling.kind === "direct" && tiling.quad === null)) return kernel;
  const alone =
    tiling.kind === "matrix"
      ? matrixBody(node, product, layout, tiling, true)
      : directBody(node, product, layout, { ...tiling, quad: null });
  return { ...kernel, portable: () => assemble(group, alone, ctx) };
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
  const { batch, batches, m, n, k: length, transposeA: ta, transposeB: tb } = product;
  const { tileM, tileN, sameRows, quad } = tiling;
  const quads = Math.max(1, tileN / 4);
  const width: Width = tileN === 1 ? 1 : 4;
  const stepK = length % 4 === 0 && length > 0 ? 4 : 1;
  const aByRows = layout.aByRows && tileM % 4 === 0;
  const bByK = layout.bByK && stepK === 4;
  const block = blockOf(Math.ceil(m / tileM), Math.ceil(n / tileN), sameRows);
  const units = batches * block.down * block.across;
  const out = node.results[0];

  return {
    units,
    perGroup: WORKGROUP,
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
      const tile: Tile = {
        tileM,
        quads,
        width,
        stepK,
        row: (j) => plus(down.start, constantIndex(j)),
        rows: (q) => plus(plus(down.start, constantIndex(4 * q)), LANE),
        column: (j) => plus(across.start, constantIndex(j)),
        columns: (q) => (width === 4 ? plus(plus(across.start, constantIndex(4 * q)), LANE) : across.start),
        step: (s) => plus(scale(counter, stepK), constantIndex(s)),
        byFour: plus(scale(counter, 4), LANE),
        a: (i, q) => [...lead, ...(ta ? [q, i] : [i, q])],
        b: (q, j) => [...lead, ...(tb ? [j, q] : [q, j])],
      };
      const acc = Array.from({ length: tileM }, () => Array.from({ length: quads }, () => k.fresh("acc")));
      const type = e.type("f32", width);
      for (const name of acc.flat()) k.line(`var ${name} = ${type}(0.0);`);
      k.section("loop");
      k.loop(kk, "0u", k.size(steps), () => {
        // Steps of a and of b that are equal by chance share no parameter.
        k.section("a");
        const left = sameRows ? quadOperandA(e, a, tile, aByRows, ofQuad) : operandA(e, a, tile, aByRows);
        k.section("b");
        const right = operandB(e, k, b, tile, bByK);
        for (let s = 0; s < stepK; s++) {
          const columns = range(quads).map((q) => right(s, q));
          for (let j = 0; j < tileM; j++) {
            for (let q = 0; q < quads; q++) {
              k.line(`${acc[j][q]} = fma(${type}(${left(j, s)}), ${columns[q]}, ${acc[j][q]});`);
            }
          }
        }
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

function when(k: KernelBuilder, condition: string, body: () => void): void {
  if (condition === "") body();
  else k.block(`if (${condition})`, body);
}

/** A loop over `size` places from `skip` on, or from 0. */
function each(
  k: KernelBuilder,
  prefix: string,
  skip: string | null,
  size: number,
  body: (at: string) => void,
): void {
  const at = k.fresh(prefix);
  k.loop(at, skip ?? "0u", k.size(size), () => body(at));
}

/** Where a thread's tile stands along rows or columns. */
interface Side {
  /** Its first row or column. */
  start: Affine;
  /**
   * Name of how many there are in it that the tile before stores, or all, where this is no tile of the product. Null where
   * tiles divide the size.
   */
  skip: string | null;
}

/**
 * A tile that would reach beyond the end is moved back to it, so that vectors stay whole and loads in bounds; what it then shares
 * with the tile before it computes, but does not store. Starts are multiples of `unit`.
 */
function side(
  e: Emitter,
  k: KernelBuilder,
  name: string,
  at: Affine,
  { size, tile, tiles, unit }: { size: number; tile: number; tiles: number; unit: number },
): Side {
  if (tile * tiles === size) {
    return { start: scale(variable(k.name(name, e.index(at)), tiles), tile), skip: null };
  }
  const last = (size - tile) / unit;
  const own = k.name(name, `${e.index(at)} * ${tile / unit}u`);
  const start = k.name(name, `min(${own}, ${k.namedField(`${name}Last`, last)})`);
  const skip = k.name("skip", `(${own} - ${start}) * ${unit}u`);
  return { start: scale(variable(start, last + 1), unit), skip };
}

/** A thread's share of the product, and where its operands stand. */
interface Tile {
  tileM: number;
  /** Vectors of four columns; 1 where the tile is one column wide. */
  quads: number;
  width: Width;
  stepK: number;
  row(j: number): Affine;
  /** Four rows over the lane. */
  rows(q: number): Affine;
  column(j: number): Affine;
  /** Four columns over the lane. */
  columns(q: number): Affine;
  /** Position along k in this turn of the loop. */
  step(s: number): Affine;
  /** Four positions along k over the lane. */
  byFour: Affine;
  a(i: Affine, k: Affine): Affine[];
  b(k: Affine, j: Affine): Affine[];
}

/** Loads a for one turn of the loop; the result names a at row j and step s. */
function operandA(e: Emitter, a: Value, t: Tile, byRows: boolean): (j: number, s: number) => string {
  if (byRows) {
    const part = range(t.stepK).map((s) =>
      range(t.tileM / 4).map((q) => e.value(a, t.a(t.rows(q), t.step(s)), 4)),
    );
    return (j, s) => `${part[s][j >> 2]}[${j & 3}]`;
  }
  if (t.stepK === 4) {
    const lines = range(t.tileM).map((j) => e.value(a, t.a(t.row(j), t.byFour), 4));
    return (j, s) => `${lines[j]}[${s}]`;
  }
  const ones = range(t.tileM).map((j) => e.value(a, t.a(t.row(j), t.step(0)), 1));
  return (j) => ones[j];
}

/** What `make` loads at a place of the quad, of the first `places` (4). */
type OfQuad = (make: (place: Affine) => string, place: number, places?: number) => string;

/**
 * From the thread at that place where threads can read each other; else every thread loads all four, by index arithmetic
 * of the same form, so that both texts have the same parameters.
 */
function quadReader(k: KernelBuilder, quad: QuadRead | null, tileM: number): OfQuad {
  if (!quad) return (make, place, places = QUAD) => make(variable(k.quadPlace(place), places));
  k.variants.add(QUAD_VARIANT);
  // Named here, before the loop, and found there.
  if (tileM >= QUAD) k.quadPlace();
  if (tileM % QUAD > 1) k.quadPlace(undefined, tileM % QUAD);
  return (make, place, places = QUAD) => {
    const mine = make(variable(k.quadPlace(undefined, places), places));
    return places === 1 ? mine : k.name("qa", quad(mine, place));
  };
}

/** The same for rows that a quad shares: four rows over k, or four steps over the rows. */
function quadOperandA(
  e: Emitter,
  a: Value,
  t: Tile,
  byRows: boolean,
  ofQuad: OfQuad,
): (j: number, s: number) => string {
  if (byRows && t.stepK === 4) {
    const part = range(4).map((s) =>
      range(t.tileM / 4).map((q) =>
        ofQuad((place) => e.value(a, t.a(t.rows(q), plus(t.step(0), place)), 4), s),
      ),
    );
    return (j, s) => `${part[s][j >> 2]}[${j & 3}]`;
  }
  const four = t.stepK === 4;
  const rows = range(t.tileM).map((j) =>
    // The last rows may be fewer than the threads.
    ofQuad(
      (place) => {
        const row = plus(t.row(j & ~3), place);
        return e.value(a, t.a(row, four ? t.byFour : t.step(0)), four ? 4 : 1);
      },
      j & 3,
      Math.min(QUAD, t.tileM - (j & ~3)),
    ),
  );
  return (j, s) => (four ? `${rows[j]}[${s}]` : rows[j]);
}

/** Loads b for one turn of the loop; the result names b at step s over a vector of columns. */
function operandB(
  e: Emitter,
  k: KernelBuilder,
  b: Value,
  t: Tile,
  byK: boolean,
): (s: number, q: number) => string {
  if (byK) {
    const lines = range(t.width === 4 ? t.quads * 4 : 1).map((j) =>
      e.value(b, t.b(t.byFour, t.column(j)), 4),
    );
    if (t.width === 1) return (s) => `${lines[0]}[${s}]`;
    return (s, q) =>
      k.name(
        "bq",
        `vec4<f32>(${range(4)
          .map((j) => `${lines[4 * q + j]}[${s}]`)
          .join(", ")})`,
      );
  }
  const list = range(t.stepK).map((s) =>
    range(t.quads).map((q) => e.value(b, t.b(t.step(s), t.columns(q)), t.width)),
  );
  return (s, q) => list[s][q];
}

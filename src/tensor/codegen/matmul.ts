/**
 * Matrix products straight from memory: a thread computes a tile of rows and columns, four steps of k at a time where sizes
 * allow. From T2 on the four threads of a quad, whose tiles have the same rows, load a quarter of them each and hand it
 * round. Operands are expressions (prologue), and so is what is stored (epilogue). Which tile, or whether through workgroup
 * memory instead: matmulTiles.ts.
 */
import { type Affine, constantIndex, delinearize, linearize, plus, scale, variable } from "../affine.ts";
import type { Node, Value } from "../ir.ts";
import { matmulDims } from "../ops/matmulDims.ts";
import { opByName } from "../ops/table.ts";
import type { Group } from "../passes/fuse.ts";
import { numel } from "../shape.ts";
import type { KernelBuilder } from "./builder.ts";
import { type Emitter, LANE, type Width } from "./emit.ts";
import { assemble, type Body, type Kernel, type LowerContext, WORKGROUP } from "./kernel.ts";
import { QUAD_VARIANT, type QuadRead } from "./lanes.ts";
import { sharedBody } from "./matmulShared.ts";
import { type DirectTiling, type MatmulProduct, matmulClass, QUAD, range, tilingOf } from "./matmulTiles.ts";

/** How operands are read, by vectors of four. */
export interface Layout {
  /** Read a by four rows (its columns are contiguous) instead of by four k. */
  aByRows: boolean;
  /** Read b by four k instead of by four columns. */
  bByK: boolean;
}

/**
 * Tiles that a workgroup computes: near a square, so that what its threads read lies close together; a row of tiles where
 * the product cannot be cut so.
 */
function blockOf(down: number, across: number): { rows: number; columns: number } {
  const columns = [16, 8, 4].find((c) => across % c === 0 && down % (WORKGROUP / c) === 0);
  return columns ? { rows: WORKGROUP / columns, columns } : { rows: 1, columns: across };
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
      tiling.kind === "shared"
        ? sharedBody(node, product, layout, tiling)
        : directBody(node, product, layout, tiling);
    const kernel = assemble(group, body, ctx);
    if (!best || kernel.gathers < best.kernel.gathers) best = { kernel, layout };
    if (best.kernel.gathers === 0) break;
  }
  const { kernel, layout } = best as { kernel: Kernel; layout: Layout };
  if (tiling.kind === "shared" || tiling.quad === null) return kernel;
  const alone = directBody(node, product, layout, { ...tiling, quad: null });
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
  const units = batches * (m / tileM) * (n / tileN);
  const block = blockOf(m / tileM, n / tileN);
  const out = node.results[0];

  return {
    units,
    perGroup: WORKGROUP,
    // What a quad hands round, every thread of it has to reach.
    allThreads: quad !== null,
    emit(e, k, outputs, inside) {
      const { rows, columns: across } = block;
      const grid = [batches, m / tileM / rows, n / tileN / across, rows, across];
      const [z, bm, bn, rm, rn] = delinearize(variable("unit", units), grid);
      const tm = plus(scale(bm, rows), rm);
      const tn = plus(scale(bn, across), rn);
      const zn = variable(k.name("z", e.index(z)), batches);
      const mn = variable(k.name("m", e.index(tm)), m / tileM);
      const nn = variable(k.name("n", e.index(tn)), n / tileN);
      const lead = delinearize(zn, batch);
      const steps = length / stepK;
      const kk = k.fresh("k");
      const counter = variable(kk, steps);
      const ofQuad = quadReader(k, quad);
      const tile: Tile = {
        tileM,
        quads,
        width,
        stepK,
        row: (j) => plus(scale(mn, tileM), constantIndex(j)),
        rows: (q) => plus(plus(scale(mn, tileM), constantIndex(4 * q)), LANE),
        column: (j) => plus(scale(nn, tileN), constantIndex(j)),
        columns: (q) => (width === 4 ? plus(plus(scale(nn, tileN), constantIndex(4 * q)), LANE) : nn),
        step: (s) => plus(scale(counter, stepK), constantIndex(s)),
        byFour: plus(scale(counter, 4), LANE),
        a: (i, q) => [...lead, ...(ta ? [q, i] : [i, q])],
        b: (q, j) => [...lead, ...(tb ? [j, q] : [q, j])],
      };
      const acc = Array.from({ length: tileM }, () => Array.from({ length: quads }, () => k.fresh("acc")));
      const type = e.type("f32", width);
      for (const name of acc.flat()) k.line(`var ${name} = ${type}(0.0);`);
      k.section("loop");
      k.block(`for (var ${kk} = 0u; ${kk} < ${k.size(steps)}; ${kk}++)`, () => {
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
      const finish = (row: Affine, sums: readonly string[]): void => {
        for (let q = 0; q < quads; q++) {
          const position = linearize([zn, row, tile.columns(q)], [batches, m, n]);
          e.know(out, delinearize(position, out.shape), width, sums[q]);
          e.store(outputs, (v) => delinearize(position, v.shape), width);
        }
      };
      k.section("results");
      inside(() => {
        if (tileM === 1) {
          acc.forEach((sums, j) => {
            finish(tile.row(j), sums);
          });
          return;
        }
        // What is done with a row's results stands once in the text: a driver compiles it in a fraction of the time.
        const all = k.fresh("all");
        k.line(`var ${all} = array<${type}, ${tileM * quads}>(${acc.flat().join(", ")});`);
        const j = k.fresh("j");
        k.block(`for (var ${j} = 0u; ${j} < ${k.size(tileM)}; ${j}++)`, () => {
          const sums = range(quads).map((q) =>
            k.name("sum", quads === 1 ? `${all}[${j}]` : `${all}[${j} * ${quads}u + ${q}u]`),
          );
          finish(plus(scale(mn, tileM), variable(j, tileM)), sums);
        });
      });
    },
  };
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

/** What `make` loads at a place (0 to 3) of the quad. */
type OfQuad = (make: (place: Affine) => string, place: number) => string;

/**
 * From the thread at that place where threads can read each other; else every thread loads all four, by index arithmetic
 * of the same form, so that both texts have the same parameters.
 */
function quadReader(k: KernelBuilder, quad: QuadRead | null): OfQuad {
  if (!quad) return (make, place) => make(variable(k.quadPlace(place), QUAD));
  const own = variable(k.quadPlace(), QUAD);
  k.variants.add(QUAD_VARIANT);
  return (make, place) => k.name("qa", quad(make(own), place));
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
    ofQuad((place) => {
      const row = plus(t.row(j & ~3), place);
      return e.value(a, t.a(row, four ? t.byFour : t.step(0)), four ? 4 : 1);
    }, j & 3),
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

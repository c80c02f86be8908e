/**
 * Matrix products: a thread computes a tile of up to 8 rows by 8 columns straight from memory, four steps of k at a
 * time where sizes allow. From T2 on the four threads of a quad, whose tiles have the same rows, load a quarter of them each
 * and hand it round. Every output is one sum over k in order, each product added by fma(), whatever the tile: so no choice
 * of it changes a bit. Operands are expressions (prologue), and so is what is stored (epilogue).
 */
import { type Affine, constantIndex, delinearize, linearize, plus, scale, variable } from "../affine.ts";
import type { Node, Value } from "../ir.ts";
import { matmulDims } from "../ops/matmulDims.ts";
import { opByName } from "../ops/table.ts";
import type { Group } from "../passes/fuse.ts";
import type { KernelBuilder } from "./builder.ts";
import { type Emitter, LANE, type Width } from "./emit.ts";
import { assemble, type Body, type Kernel, type LowerContext, WORKGROUP } from "./kernel.ts";
import { QUAD_VARIANT, type QuadRead } from "./lanes.ts";

interface Layout {
  /** Read a by four rows (its columns are contiguous) instead of by four k. */
  aByRows: boolean;
  /** Read b by four k instead of by four columns. */
  bByK: boolean;
}

/**
 * Without quads, products of at least this many multiply-adds take the large tile. It halves the loads, and costs several
 * times the compilation (bench/NOTES.md); small products would not earn that back.
 */
const LARGE_TILE_WORK = 2e6;
/** ... and have this many tiles at least, so that several cores share them. */
const LARGE_TILE_UNITS = 256;

/** Threads that hand each other their part of a: consecutive, and in a subgroup of any size. */
const QUAD = 4;

/** What a thread computes, and whether its quad shares the loads of a. */
interface Tiling {
  /** Rows. */
  tileM: 1 | 2 | 4 | 8;
  /** Columns: vectors of four, or one. */
  tileN: 1 | 4 | 8;
  /** The threads of a quad have the same rows: each loads a quarter where it can read the others by this. */
  sameRows: boolean;
  quad: QuadRead | null;
}

interface Sizes {
  batch: readonly number[];
  batches: number;
  m: number;
  n: number;
  k: number;
}

function tilingOf({ batches, m, n, k }: Sizes, quad: QuadRead | null): Tiling {
  const columns = n % 4 === 0 ? 4 : 1;
  if (quad && m % 4 === 0 && (n / columns) % QUAD === 0)
    return { tileM: m % 8 === 0 ? 8 : 4, tileN: columns, sameRows: true, quad };
  const outputs = batches * m * n;
  const large = outputs * k >= LARGE_TILE_WORK && outputs / 64 >= LARGE_TILE_UNITS;
  return {
    tileM: large && m % 8 === 0 ? 8 : m % 4 === 0 ? 4 : m % 2 === 0 ? 2 : 1,
    tileN: large && n % 8 === 0 ? 8 : columns,
    sameRows: false,
    quad: null,
  };
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
  const [a, b] = node.inputs;
  const { transposeA, transposeB } = node.attrs;
  const dims = matmulDims(a.shape, b.shape, transposeA === true, transposeB === true);
  const sizes = { ...dims, batches: dims.batch.reduce((x, y) => x * y, 1) };
  const tiling = tilingOf(sizes, ctx.lanes.quad);
  // Of the ways to read the operands take the one with the fewest elements picked one by one.
  let best: { kernel: Kernel; layout: Layout } | null = null;
  for (const layout of layouts(transposeA === true, transposeB === true)) {
    const kernel = assemble(group, matmulBody(node, sizes, layout, tiling), ctx);
    if (!best || kernel.gathers < best.kernel.gathers) best = { kernel, layout };
    if (best.kernel.gathers === 0) break;
  }
  const { kernel, layout } = best as { kernel: Kernel; layout: Layout };
  if (kernel.variants.length === 0) return kernel;
  const alone: Tiling = { ...tiling, quad: null };
  return { ...kernel, portable: () => assemble(group, matmulBody(node, sizes, layout, alone), ctx) };
}

/** The likeliest way to read the operands first. */
function layouts(ta: boolean, tb: boolean): Layout[] {
  return [ta, !ta].flatMap((aByRows) => [tb, !tb].map((bByK) => ({ aByRows, bByK })));
}

function matmulBody(node: Node, sizes: Sizes, layout: Layout, tiling: Tiling): Body {
  const [a, b] = node.inputs;
  const ta = node.attrs.transposeA === true;
  const tb = node.attrs.transposeB === true;
  const { batch, batches, m, n, k: length } = sizes;
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
      k.block(`for (var ${kk} = 0u; ${kk} < ${k.size(steps)}; ${kk}++)`, () => {
        const left = sameRows ? quadOperandA(e, a, tile, aByRows, ofQuad) : operandA(e, a, tile, aByRows);
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
      inside(() => {
        for (let j = 0; j < tileM; j++) {
          for (let q = 0; q < quads; q++) {
            const position = linearize([zn, tile.row(j), tile.columns(q)], [batches, m, n]);
            e.know(out, delinearize(position, out.shape), width, acc[j][q]);
            e.store(outputs, (v) => delinearize(position, v.shape), width);
          }
        }
      });
    },
  };
}

const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

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

/**
 * How a thread's tile of a matrix product reads its operands: where the tile stands, and what of a and b one turn of the loop
 * over k loads, each operand along its contiguous axis by vectors of four where sizes allow.
 */

import type { QuadRead } from "../../shaders/quads.ts";
import { type Affine, constantIndex, plus, scale, variable } from "../affine.ts";
import type { Value } from "../ir.ts";
import type { KernelBuilder } from "./builder.ts";
import { type Emitter, LANE, type Width } from "./emit.ts";
import { type MatmulProduct, QUAD, range } from "./matmulTiles.ts";

export function when(k: KernelBuilder, condition: string, body: () => void): void {
  if (condition === "") body();
  else k.block(`if (${condition})`, body);
}

/** A loop over `size` places from `skip` on, or from 0. */
export function each(
  k: KernelBuilder,
  prefix: string,
  skip: string | null,
  size: number,
  body: (at: string) => void,
): void {
  const at = k.fresh(prefix);
  // A size of the tile that is equal to one of the product by chance shares no parameter with it.
  const around = k.section(`tile ${prefix}`);
  const end = k.size(size);
  k.section(around);
  k.loop(at, skip ?? "0u", end, () => body(at));
}

/** Where a thread's tile stands along rows or columns. */
export interface Side {
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
export function side(
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
export interface Tile {
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

/** What of a tile is the same for all threads. */
export interface TileShape {
  readonly tileM: number;
  /** 1 where rows of b are read one by one, else a multiple of 4. */
  readonly tileN: 1 | 4 | 8;
  /** Steps along k that are loaded together: 4 where they come in fours. */
  readonly stepK: 1 | 4;
}

/** Steps of k that a turn of the loop loads. */
export function stepOf({ k }: MatmulProduct): 1 | 4 {
  return k % 4 === 0 && k > 0 ? 4 : 1;
}

/** The tile that starts at `down` and `across` in the matrices at `lead`, at the turn `counter` of the loop over k. */
export function tileAt(
  { transposeA: ta, transposeB: tb }: MatmulProduct,
  lead: readonly Affine[],
  { tileM, tileN, stepK }: TileShape,
  down: Side,
  across: Side,
  counter: Affine,
): Tile {
  const width: Width = tileN === 1 ? 1 : 4;
  return {
    tileM,
    quads: Math.max(1, tileN / 4),
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
}

/** Names of a tile's sums, one a row and vector of columns, at 0. */
export function zeroSums(e: Emitter, k: KernelBuilder, { tileM, quads, width }: Tile): string[][] {
  const acc = range(tileM).map(() => range(quads).map(() => k.fresh("acc")));
  for (const name of acc.flat()) k.line(`var ${name} = ${e.type("f32", width)}(0.0);`);
  return acc;
}

/** Adds what one turn of the loop has loaded: each product by fma(), k in order. */
export function addProducts(
  e: Emitter,
  k: KernelBuilder,
  { tileM, quads, width, stepK }: Tile,
  acc: readonly (readonly string[])[],
  left: (j: number, s: number) => string,
  right: (s: number, q: number) => string,
): void {
  const type = e.type("f32", width);
  const columns = range(stepK).map((s) => range(quads).map((q) => right(s, q)));
  for (let j = 0; j < tileM; j++) {
    for (let q = 0; q < quads; q++) {
      const sum = columns.reduce((sum, b, s) => `fma(${type}(${left(j, s)}), ${b[q]}, ${sum})`, acc[j][q]);
      k.line(`${acc[j][q]} = ${sum};`);
    }
  }
}

/** Loads a for one turn of the loop; the result names a at row j and step s. */
export function operandA(e: Emitter, a: Value, t: Tile, byRows: boolean): (j: number, s: number) => string {
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
export function quadReader(k: KernelBuilder, quad: QuadRead | null, tileM: number): OfQuad {
  if (!quad) return (make, place, places = QUAD) => make(variable(k.quadPlace(place), places));
  // Named here, before the loop, and found there.
  if (tileM >= QUAD) k.quadPlace();
  if (tileM % QUAD > 1) k.quadPlace(undefined, tileM % QUAD);
  return (make, place, places = QUAD) => {
    const mine = make(variable(k.quadPlace(undefined, places), places));
    return places === 1 ? mine : k.name("qa", quad(mine, place));
  };
}

/** The same for rows that a quad shares: four rows over k, or four steps over the rows. */
export function quadOperandA(
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
export function operandB(
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

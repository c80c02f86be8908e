/**
 * Matrix products: a thread computes a tile of up to 8 rows by 8 columns straight from memory, four steps of k at a
 * time where sizes allow. Every output is one sum over k in order, whatever the tile. Operands are expressions
 * (prologue), and so is what is stored (epilogue).
 */
import { type Affine, constantIndex, delinearize, linearize, plus, scale, variable } from "../affine.ts";
import type { Node, Value } from "../ir.ts";
import { matmulDims } from "../ops/matmulDims.ts";
import { opByName } from "../ops/table.ts";
import type { Group } from "../passes/fuse.ts";
import type { KernelBuilder } from "./builder.ts";
import { type Emitter, LANE, type Width } from "./emit.ts";
import { assemble, type Body, type Kernel, type LowerContext, WORKGROUP } from "./kernel.ts";

interface Layout {
  /** Read a by four rows (its columns are contiguous) instead of by four k. */
  aByRows: boolean;
  /** Read b by four k instead of by four columns. */
  bByK: boolean;
}

/**
 * Products of at least this many multiply-adds take the large tile. It halves the loads, and costs several times the
 * compilation (bench/NOTES.md); small products would not earn that back. No choice of tile changes a bit.
 */
const LARGE_TILE_WORK = 2e6;
/** ... and have this many tiles at least, so that several cores share them. */
const LARGE_TILE_UNITS = 256;

/** Rows of a thread's tile. */
function tileRows(m: number, large: boolean): 1 | 2 | 4 | 8 {
  if (large && m % 8 === 0) return 8;
  return m % 4 === 0 ? 4 : m % 2 === 0 ? 2 : 1;
}

/** Columns of a thread's tile: vectors of four, or one. */
function tileColumns(n: number, large: boolean): 1 | 4 | 8 {
  if (large && n % 8 === 0) return 8;
  return n % 4 === 0 ? 4 : 1;
}

export function matmulKernel(group: Group, ctx: LowerContext): Kernel {
  const node = group.nodes.find((n) => opByName(n.op).lowering.kind === "matmul") as Node;
  // Of the ways to read the operands take the one with the fewest elements picked one by one.
  let best: Kernel | null = null;
  for (const aByRows of [node.attrs.transposeA === true, node.attrs.transposeA !== true]) {
    for (const bByK of [node.attrs.transposeB === true, node.attrs.transposeB !== true]) {
      const kernel = assemble(group, matmulBody(group, node, { aByRows, bByK }, ctx), ctx);
      if (!best || kernel.gathers < best.gathers) best = kernel;
      if (best.gathers === 0) return best;
    }
  }
  return best as Kernel;
}

function matmulBody(group: Group, node: Node, layout: Layout, ctx: LowerContext): Body {
  const [a, b] = node.inputs;
  const ta = node.attrs.transposeA === true;
  const tb = node.attrs.transposeB === true;
  const { batch, m, n, k: length } = matmulDims(a.shape, b.shape, ta, tb);
  const batches = batch.reduce((x, y) => x * y, 1);
  const outputsInAll = batches * m * n;
  const large = outputsInAll * length >= LARGE_TILE_WORK && outputsInAll / 64 >= LARGE_TILE_UNITS;
  const tileM = tileRows(m, large);
  const tileN = tileColumns(n, large);
  const quads = Math.max(1, tileN / 4);
  const width: Width = tileN === 1 ? 1 : 4;
  const stepK = length % 4 === 0 && length > 0 ? 4 : 1;
  const aByRows = layout.aByRows && tileM % 4 === 0;
  const bByK = layout.bByK && stepK === 4;
  const units = batches * (m / tileM) * (n / tileN);
  const outputs = ctx.fused.outputs.get(group) as readonly Value[];
  const out = node.results[0];

  return {
    units,
    perGroup: WORKGROUP,
    emit(e, k) {
      const [z, tm, tn] = delinearize(variable("unit", units), [batches, m / tileM, n / tileN]);
      const zn = variable(k.name("z", e.index(z)), batches);
      const mn = variable(k.name("m", e.index(tm)), m / tileM);
      const nn = variable(k.name("n", e.index(tn)), n / tileN);
      const lead = delinearize(zn, batch);
      const steps = length / stepK;
      const kk = k.fresh("k");
      const counter = variable(kk, steps);
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
      for (const name of acc.flat()) k.line(`var ${name} = ${e.type("f32", width)}(0.0);`);
      k.block(`for (var ${kk} = 0u; ${kk} < ${k.size(steps)}; ${kk}++)`, () => {
        const left = operandA(e, a, tile, aByRows);
        const right = operandB(e, k, b, tile, bByK);
        for (let s = 0; s < stepK; s++) {
          const columns = Array.from({ length: quads }, (_, q) => right(s, q));
          for (let j = 0; j < tileM; j++) {
            for (let q = 0; q < quads; q++) {
              k.line(`${acc[j][q]} = ${acc[j][q]} + ${left(j, s)} * ${columns[q]};`);
            }
          }
        }
      });
      for (let j = 0; j < tileM; j++) {
        for (let q = 0; q < quads; q++) {
          const position = linearize([zn, tile.row(j), tile.columns(q)], [batches, m, n]);
          e.know(out, delinearize(position, out.shape), width, acc[j][q]);
          e.store(outputs, (v) => delinearize(position, v.shape), width);
        }
      }
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
  const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
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

/** Loads b for one turn of the loop; the result names b at step s over a vector of columns. */
function operandB(
  e: Emitter,
  k: KernelBuilder,
  b: Value,
  t: Tile,
  byK: boolean,
): (s: number, q: number) => string {
  const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
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

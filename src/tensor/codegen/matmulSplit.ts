/**
 * Matrix products whose few tiles would leave a GPU idle: the 64 threads of a workgroup are so many tiles times so many parts.
 * Part p of a tile adds the steps p, p + parts, p + 2 parts, ... along k; the parts' sums are joined in workgroup memory
 * by a tree that depends on their number alone, and the tile's threads share its results. Other bits than a sum in order, the
 * same ones at every run: for the level `fast` (determinism.ts). Operands and results are expressions, as in matmul.ts.
 */
import { delinearize, linearize, plus, scale, variable } from "../affine.ts";
import type { Node } from "../ir.ts";
import type { KernelBuilder } from "./builder.ts";
import { LANE, type Width } from "./emit.ts";
import { type Body, WORKGROUP } from "./kernel.ts";
import type { Layout } from "./matmul.ts";
import {
  addProducts,
  operandA,
  operandB,
  type Side,
  side,
  stepOf,
  tileAt,
  when,
  zeroSums,
} from "./matmulOperands.ts";
import { type MatmulProduct, range, type SplitTiling } from "./matmulTiles.ts";

/** How the tiles of a workgroup lie: as near a square as leaves the fewest of them without work. */
function blockOf(tiles: number, down: number, across: number): { rows: number; columns: number } {
  const powers = range(7).map((p) => 1 << p);
  const blocks = powers
    .filter((columns) => columns <= tiles)
    .map((columns) => ({ rows: tiles / columns, columns }));
  const work = ({ rows, columns }: { rows: number; columns: number }): number =>
    Math.ceil(down / rows) * Math.ceil(across / columns);
  const girth = ({ rows, columns }: { rows: number; columns: number }): number => rows + columns;
  return blocks.reduce((best, b) =>
    work(b) < work(best) || (work(b) === work(best) && girth(b) < girth(best)) ? b : best,
  );
}

export function splitBody(node: Node, product: MatmulProduct, layout: Layout, tiling: SplitTiling): Body {
  const [a, b] = node.inputs;
  const { batch, batches, m, n, k: length } = product;
  const { tileM, tileN, parts } = tiling;
  const width: Width = tileN === 1 ? 1 : 4;
  const stepK = stepOf(product);
  const steps = length / stepK;
  const aByRows = layout.aByRows && tileM % 4 === 0;
  const bByK = layout.bByK && stepK === 4;
  const tiles = WORKGROUP / parts;
  const block = blockOf(tiles, Math.ceil(m / tileM), Math.ceil(n / tileN));
  const down = Math.ceil(Math.ceil(m / tileM) / block.rows);
  const across = Math.ceil(Math.ceil(n / tileN) / block.columns);
  const units = batches * down * across;
  const out = node.results[0];
  return {
    units,
    perGroup: 1,
    emit(e, k, outputs) {
      const [z, bm, bn] = delinearize(variable("unit", units), [batches, down, across]);
      const zn = variable(k.name("z", e.index(z)), batches);
      const lead = delinearize(zn, batch);
      // Threads side by side read what lies side by side: steps of one tile where b is read along k, else columns of tiles.
      const apart = bByK ? 1 : tiles;
      const part = k.name("part", bByK ? `lane % ${parts}u` : `lane / ${tiles}u`);
      const place = variable(k.name("place", bByK ? `lane / ${parts}u` : `lane % ${tiles}u`), tiles);
      const [rm, rn] = delinearize(place, [block.rows, block.columns]);
      // Rows and columns that are equal by chance share no parameter.
      k.section("m");
      const rows = side(e, k, "m", plus(scale(bm, block.rows), rm), {
        size: m,
        tile: tileM,
        tiles: down * block.rows,
        unit: aByRows && m % 4 === 0 ? 4 : 1,
      });
      k.section("n");
      const columns = side(e, k, "n", plus(scale(bn, block.columns), rn), {
        size: n,
        tile: tileN,
        tiles: across * block.columns,
        unit: width === 4 && n % 4 === 0 ? 4 : 1,
      });
      const step = k.fresh("k");
      const shape = { tileM, tileN, stepK } as const;
      const tile = tileAt(product, lead, shape, rows, columns, variable(step, steps));
      const acc = zeroSums(e, k, tile);
      k.section("loop");
      // So many as there are at part, part + parts, ... below all steps.
      const all = k.size(steps);
      const own = `(max(${all}, ${part}) - ${part} + ${parts - 1}u) / ${parts}u`;
      const turn = k.fresh("turn");
      k.loop(turn, "0u", own, () => {
        k.line(`let ${step} = ${turn} * ${parts}u + ${part};`);
        // Steps of a and of b that are equal by chance share no parameter.
        k.section("a");
        const left = operandA(e, a, tile, aByRows);
        k.section("b");
        addProducts(e, k, tile, acc, left, operandB(e, k, b, tile, bByK));
      });
      const sums = joinParts(k, e.type("f32", width), acc.flat(), part, parts, apart);
      k.section("results");
      // Columns that do not come in fours are stored one by one.
      const by: Width = n % 4 === 0 ? width : 1;
      const first = k.name("first", `lane - ${part} * ${apart}u`);
      const inRow = tileN / by;
      const at = k.fresh("at");
      k.block(`for (var ${at} = ${part}; ${at} < ${tileM * inRow}u; ${at} += ${parts}u)`, () => {
        const j = k.name("j", `${at} / ${inRow}u`);
        const l = k.name("l", `${at} % ${inRow}u`);
        when(k, owned(rows, columns, j, `${l} * ${by}u`), () => {
          const vector = `${sums}[${j} * ${WORKGROUP}u + ${first}]`;
          const sum = k.name("sum", width === 4 && by === 1 ? `${vector}[${l}]` : vector);
          const column = plus(columns.start, by === 4 ? LANE : variable(l, inRow));
          const position = linearize([zn, plus(rows.start, variable(j, tileM)), column], [batches, m, n]);
          e.know(out, delinearize(position, out.shape), by, sum);
          e.store(outputs, (v) => delinearize(position, v.shape), by);
        });
      });
    },
  };
}

/** What holds where this tile, and not the one before it, stores a row and a column of it. */
function owned(rows: Side, columns: Side, j: string, l: string): string {
  const tests = [
    ...(rows.skip === null ? [] : [`${j} >= ${rows.skip}`]),
    ...(columns.skip === null ? [] : [`${l} >= ${columns.skip}`]),
  ];
  return tests.join(" && ");
}

/**
 * Adds the sums that stand `apart` threads from each other, in halves: part p takes in part p + parts / 2, then p + parts / 4,
 * ... The result names an array that has a tile's sums where its part 0 stands, row by row.
 */
function joinParts(
  k: KernelBuilder,
  type: string,
  acc: readonly string[],
  part: string,
  parts: number,
  apart: number,
): string {
  const shared = k.fresh("sp");
  k.declare(`var<workgroup> ${shared}: array<${type}, ${WORKGROUP * acc.length}>;`);
  acc.forEach((name, i) => {
    k.line(`${shared}[lane + ${WORKGROUP * i}u] = ${name};`);
  });
  k.line("workgroupBarrier();");
  const s = k.fresh("s");
  k.block(`for (var ${s} = ${parts / 2}u; ${s} > 0u; ${s} /= 2u)`, () => {
    k.block(`if (${part} < ${s})`, () => {
      const i = k.fresh("i");
      k.loop(i, "0u", `${acc.length}u`, () => {
        const at = k.name("at", `${i} * ${WORKGROUP}u + lane`);
        k.line(`${shared}[${at}] = ${shared}[${at}] + ${shared}[${at} + ${s} * ${apart}u];`);
      });
    });
    k.line("workgroupBarrier();");
  });
  return shared;
}

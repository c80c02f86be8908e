/**
 * Matrix products: a thread computes a tile of up to 4 rows by 4 columns straight from memory, four steps of k at a
 * time where sizes allow. Every output is one sum over k in order, whatever the tile. Operands are expressions
 * (prologue), and so is what is stored (epilogue).
 */
import { type Affine, constantIndex, delinearize, linearize, plus, scale, variable } from "../affine.ts";
import type { Node, Value } from "../ir.ts";
import { matmulDims } from "../ops/matmul.ts";
import { opByName } from "../ops/table.ts";
import type { Group } from "../passes/fuse.ts";
import { type Emitter, LANE } from "./emit.ts";
import { assemble, type Body, type Kernel, type LowerContext, WORKGROUP } from "./kernel.ts";

interface Layout {
  /** Read a by four rows (its columns are contiguous) instead of by four k. */
  aByRows: boolean;
  /** Read b by four k instead of by four columns. */
  bByK: boolean;
}

function divisor(n: number): 1 | 2 | 4 {
  return n % 4 === 0 ? 4 : n % 2 === 0 ? 2 : 1;
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
  const tileM = divisor(m);
  const tileN = n % 4 === 0 ? 4 : 1;
  const stepK = length % 4 === 0 && length > 0 ? 4 : 1;
  const aByRows = layout.aByRows && tileM === 4;
  const bByK = layout.bByK && stepK === 4;
  const batches = batch.reduce((x, y) => x * y, 1);
  const units = batches * (m / tileM) * (n / tileN);
  const outputs = ctx.fused.outputs.get(group) as readonly Value[];
  const out = node.results[0];

  return {
    units,
    perGroup: WORKGROUP,
    emit(e, k) {
      const [z, tm, tn] = delinearize(variable("unit", units), [batches, m / tileM, n / tileN]);
      const at = (x: Affine): string => e.index(x);
      const zn = variable(k.name("z", at(z)), batches);
      const mn = variable(k.name("m", at(tm)), m / tileM);
      const nn = variable(k.name("n", at(tn)), n / tileN);
      const row = (j: number): Affine => plus(scale(mn, tileM), constantIndex(j));
      const rows = plus(scale(mn, 4), LANE);
      const column = (j: number): Affine => plus(scale(nn, tileN), constantIndex(j));
      const columns = tileN === 4 ? plus(scale(nn, 4), LANE) : nn;
      const lead = delinearize(zn, batch);
      const aAt = (i: Affine, q: Affine): Affine[] => [...lead, ...(ta ? [q, i] : [i, q])];
      const bAt = (q: Affine, j: Affine): Affine[] => [...lead, ...(tb ? [j, q] : [q, j])];
      const type = tileN === 4 ? "vec4<f32>" : "f32";
      const acc = Array.from({ length: tileM }, () => k.fresh("acc"));
      for (const name of acc) k.line(`var ${name} = ${type}(0.0);`);

      const steps = length / stepK;
      const kk = k.fresh("k");
      const counter = variable(kk, steps);
      k.block(`for (var ${kk} = 0u; ${kk} < ${k.size(steps)}; ${kk}++)`, () => {
        const single = (s: number): Affine => plus(scale(counter, stepK), constantIndex(s));
        const byFour = plus(scale(counter, 4), LANE);
        const aOf = operandA(e, a, { tileM, stepK, aByRows }, aAt, row, rows, single, byFour);
        const bOf = operandB(
          e,
          k.name.bind(k),
          b,
          { tileN, stepK, bByK },
          bAt,
          column,
          columns,
          single,
          byFour,
        );
        for (let s = 0; s < stepK; s++) {
          const right = bOf(s);
          for (let j = 0; j < tileM; j++) k.line(`${acc[j]} = ${acc[j]} + ${aOf(j, s)} * ${right};`);
        }
      });

      for (let j = 0; j < tileM; j++) {
        const position = linearize([zn, row(j), columns], [batches, m, n]);
        e.know(out, delinearize(position, out.shape), tileN === 4 ? 4 : 1, acc[j]);
        for (const v of outputs) e.store(v, delinearize(position, v.shape), tileN === 4 ? 4 : 1);
      }
    },
  };
}

type At = (x: Affine, y: Affine) => Affine[];

/** a at row j of the tile and step s of the loop. */
function operandA(
  e: Emitter,
  a: Value,
  s: { tileM: number; stepK: number; aByRows: boolean },
  at: At,
  row: (j: number) => Affine,
  rows: Affine,
  single: (s: number) => Affine,
  byFour: Affine,
): (j: number, s: number) => string {
  if (s.aByRows) {
    const columns = Array.from({ length: s.stepK }, (_, q) => e.value(a, at(rows, single(q)), 4));
    return (j, q) => `${columns[q]}[${j}]`;
  }
  if (s.stepK === 4) {
    const lines = Array.from({ length: s.tileM }, (_, j) => e.value(a, at(row(j), byFour), 4));
    return (j, q) => `${lines[j]}[${q}]`;
  }
  const ones = Array.from({ length: s.tileM }, (_, j) => e.value(a, at(row(j), single(0)), 1));
  return (j) => ones[j];
}

/** b over the columns of the tile at step s. */
function operandB(
  e: Emitter,
  name: (prefix: string, expression: string) => string,
  b: Value,
  s: { tileN: number; stepK: number; bByK: boolean },
  at: At,
  column: (j: number) => Affine,
  columns: Affine,
  single: (s: number) => Affine,
  byFour: Affine,
): (s: number) => string {
  if (s.bByK) {
    const lines = Array.from({ length: s.tileN }, (_, j) => e.value(b, at(byFour, column(j)), 4));
    if (s.tileN === 1) return (q) => `${lines[0]}[${q}]`;
    return (q) => name("bq", `vec4<f32>(${lines.map((l) => `${l}[${q}]`).join(", ")})`);
  }
  const list = Array.from({ length: s.stepK }, (_, q) =>
    e.value(b, at(single(q), columns), s.tileN === 4 ? 4 : 1),
  );
  return (q) => list[q];
}

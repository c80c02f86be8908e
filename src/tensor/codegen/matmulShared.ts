/**
 * Matrix products through workgroup memory: 64 threads compute a square block; for a few steps of k at a time they copy what
 * it needs of both operands, by vectors of four, and each thread then reads its rows and columns from the copy. Operands and
 * results are expressions, as in matmul.ts.
 */
import {
  type Affine,
  constantIndex,
  delinearize,
  linearize,
  opaque,
  plus,
  scale,
  variable,
} from "../affine.ts";
import type { Node } from "../ir.ts";
import type { KernelBuilder } from "./builder.ts";
import { type Emitter, LANE } from "./emit.ts";
import { type Body, WORKGROUP } from "./kernel.ts";
import type { Layout } from "./matmul.ts";
import { type MatmulProduct, range, type SharedTiling } from "./matmulTiles.ts";

/** Threads along either side of a block. */
const SIDE = 8;

export function sharedBody(node: Node, product: MatmulProduct, layout: Layout, tiling: SharedTiling): Body {
  const [a, b] = node.inputs;
  const { batch, batches, m, n, k: length, transposeA: ta, transposeB: tb } = product;
  const { block, stepK } = tiling;
  const rows = block / SIDE;
  const quads = block / SIDE / 4;
  const down = m / block;
  const across = n / block;
  const out = node.results[0];
  return {
    units: batches * down * across,
    perGroup: 1,
    emit(e, k, outputs) {
      const [z, bm, bn] = delinearize(variable("unit", batches * down * across), [batches, down, across]);
      const zn = variable(k.name("z", e.index(z)), batches);
      const mn = variable(k.name("m", e.index(bm)), down);
      const nn = variable(k.name("n", e.index(bn)), across);
      const lead = delinearize(zn, batch);
      const left = copyOf(k, "sa", block, stepK);
      const right = copyOf(k, "sb", block, stepK);
      const tm = k.name("tm", `lane / ${SIDE}u`);
      const tn = k.name("tn", `lane % ${SIDE}u`);
      const acc = range(rows).map(() => range(quads).map(() => k.fresh("acc")));
      for (const name of acc.flat()) k.line(`var ${name} = vec4<f32>(0.0);`);
      const turns = length / stepK;
      const turn = k.fresh("k");
      k.loop(turn, "0u", k.size(turns), () => {
        const from = scale(variable(turn, turns), stepK);
        fill(e, k, left, layout.aByRows, (i, q) => {
          const row = plus(scale(mn, block), i);
          const step = plus(from, q);
          return e.value(a, [...lead, ...(ta ? [step, row] : [row, step])], 4);
        });
        fill(e, k, right, !layout.bByK, (j, q) => {
          const column = plus(scale(nn, block), j);
          const step = plus(from, q);
          return e.value(b, [...lead, ...(tb ? [column, step] : [step, column])], 4);
        });
        k.line("workgroupBarrier();");
        const s = k.fresh("s");
        k.block(`for (var ${s} = 0u; ${s} < ${stepK}u; ${s}++)`, () => {
          const at = k.name("c", `${s} * ${block}u + ${tn} * 4u`);
          const columns = range(quads).map((q) => {
            const parts = range(4).map((l) => `${right.name}[${at} + ${q * SIDE * 4 + l}u]`);
            return k.name("bv", `vec4<f32>(${parts.join(", ")})`);
          });
          const first = k.name("r", `${s} * ${block}u + ${tm} * ${rows}u`);
          for (const j of range(rows)) {
            const x = k.name("av", `vec4<f32>(${left.name}[${first} + ${j}u])`);
            for (const q of range(quads)) k.line(`${acc[j][q]} = fma(${x}, ${columns[q]}, ${acc[j][q]});`);
          }
        });
        k.line("workgroupBarrier();");
      });
      const row0 = plus(scale(mn, block), scale(variable(tm, SIDE), rows));
      const column0 = plus(scale(nn, block), scale(variable(tn, SIDE), 4));
      for (const j of range(rows)) {
        for (const q of range(quads)) {
          const row = plus(row0, constantIndex(j));
          const columns = plus(plus(column0, constantIndex(q * SIDE * 4)), LANE);
          const position = linearize([zn, row, columns], [batches, m, n]);
          e.know(out, delinearize(position, out.shape), 4, acc[j][q]);
          e.store(outputs, (v) => delinearize(position, v.shape), 4);
        }
      }
    },
  };
}

/** Part of an operand in workgroup memory: [stepK, block], a step's elements side by side. */
interface Copy {
  readonly name: string;
  readonly block: number;
  readonly stepK: number;
}

function copyOf(k: KernelBuilder, prefix: string, block: number, stepK: number): Copy {
  const name = k.fresh(prefix);
  k.declare(`var<workgroup> ${name}: array<f32, ${block * stepK}>;`);
  return { name, block, stepK };
}

/**
 * The threads copy a part together, a vector of four a turn: along the block where `along`, else along k. `load` gives the
 * vector at a place in the block and a step, one of which runs over the lane.
 */
function fill(
  e: Emitter,
  k: KernelBuilder,
  copy: Copy,
  along: boolean,
  load: (place: Affine, step: Affine) => string,
): void {
  const { name, block, stepK } = copy;
  const inner = along ? block / 4 : stepK / 4;
  const vectors = (block * stepK) / 4;
  for (let first = 0; first < vectors; first += WORKGROUP) {
    const at = k.name("at", `lane + ${first}u`);
    const low = opaque([k.name("at", `${at} % ${inner}u`)], inner);
    const high = opaque([k.name("at", `${at} / ${inner}u`)], vectors / inner);
    const four = plus(scale(low, 4), LANE);
    const x = along ? load(four, high) : load(high, four);
    for (const l of range(4)) {
      const to = along
        ? `${e.index(high)} * ${block}u + ${e.index(low)} * 4u + ${l}u`
        : `(${e.index(low)} * 4u + ${l}u) * ${block}u + ${e.index(high)}`;
      k.line(`${name}[${to}] = ${x}[${l}];`);
    }
  }
}

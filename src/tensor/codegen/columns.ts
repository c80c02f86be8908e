/**
 * Sums down long columns: the threads of a workgroup share four columns (or vectors of four), side by side, so that they read
 * memory as it lies. The order is that of 64 lanes and their halving tree (row.ts): a thread has four of the lanes, joins
 * them as the tree does; four of a column's 16 threads take in four values each, and the first of them what those make.
 */
import { type Affine, constantIndex, delinearize, opaque, plus, scale, variable } from "../affine.ts";
import type { Value } from "../ir.ts";
import { opByName } from "../ops/table.ts";
import { reduceIndex } from "../passes/access.ts";
import type { Group } from "../passes/fuse.ts";
import type { KernelBuilder } from "./builder.ts";
import { type Emitter, LANE } from "./emit.ts";
import { WORKGROUP } from "./kernel.ts";
import { tree } from "./lanes.ts";
import { accumulate, type RowShape, resultWidthOf, shapeOf, unitsOf } from "./rowShape.ts";

/** Columns (vectors of them) that a workgroup sums, and the threads that share one. */
const COLUMNS = 4;
const SHARERS = WORKGROUP / COLUMNS;
/** Of these, those that first take in the values of as many others. */
const QUARTER = 4;
/** Lanes of the sum's order that a thread has the part of: of every 64 steps it takes each 16th. */
const PARTS = 64 / SHARERS;

/** Workgroups for the columns of a shape. */
export const columnGroups = (shape: RowShape): number => Math.ceil(unitsOf(shape) / COLUMNS);

/** The columns of workgroup `at`. No reduction of such a group needs another. */
export function emitColumns(
  group: Group,
  at: Affine,
  outputs: readonly Value[],
  e: Emitter,
  k: KernelBuilder,
): void {
  const shape = shapeOf(group);
  const reductions = group.nodes.filter((n) => opByName(n.op).lowering.kind === "reduce");
  const { length } = shape.space;
  const units = unitsOf(shape);
  const width = resultWidthOf(shape);
  const whole = units % COLUMNS === 0;
  const place = k.name("c", `${e.index(scale(at, COLUMNS))} + lane % ${COLUMNS}u`);
  const unit = whole ? place : k.name("c", `min(${place}, ${k.size(units)} - 1u)`);
  const column = opaque([unit], units);
  const r = width === 4 ? plus(scale(column, 4), LANE) : column;
  const part = k.name("part", `lane / ${COLUMNS}u`);
  const sums = reductions.map((n) => accumulate(n, width, e, k, PARTS));
  const end = k.name("end", k.size(length));
  const turn = k.fresh("turn");
  const counter = k.fresh("k");
  const step = variable(counter, length);
  // What is added to a position is no size, though it may be equal to one.
  const sizes = k.section("steps");
  k.section(`${sizes}:steps`);
  k.loop(turn, "0u", `(${end} + 63u - ${part}) / 64u`, () => {
    k.line(`let ${counter} = ${part} + 64u * ${turn};`);
    for (let i = 0; i < PARTS; i++) {
      const take = (): void => {
        for (const { n, names, combine } of sums) {
          const outer = delinearize(r, n.results[0].shape);
          const x = e.value(
            n.inputs[0],
            reduceIndex(n, outer, plus(step, constantIndex(SHARERS * i))),
            width,
          );
          k.line(`${names[i]} = ${combine(names[i], x)};`);
        }
      };
      if (i === 0 || length % 64 === 0) take();
      else k.block(`if (${counter} + ${SHARERS * i}u < ${end})`, take);
    }
  });
  k.section(sizes);
  const arrays = sums.map((a, i) => {
    const shared = k.sharedArray(a.type, WORKGROUP, i);
    k.line(`${shared}[lane] = ${tree(a, PARTS, (i) => a.names[i])};`);
    return shared;
  });
  // In two rounds of four values each: sixteen loads of shared memory cost a driver's compiler more than a barrier costs a step.
  const joined = (i: number, count: number, stride: number): string =>
    tree(sums[i], count, (q) => `${arrays[i]}[lane${q === 0 ? "" : ` + ${stride * q}u`}]`);
  k.line("workgroupBarrier();");
  k.block(`if (${part} < ${QUARTER}u)`, () => {
    arrays.forEach((shared, i) => {
      k.line(`${shared}[lane] = ${joined(i, SHARERS / QUARTER, COLUMNS * QUARTER)};`);
    });
  });
  k.line("workgroupBarrier();");
  k.block(`if (${part} == 0u${whole ? "" : ` && ${place} == ${unit}`})`, () => {
    sums.forEach((a, i) => {
      const all = k.name("red", joined(i, QUARTER, COLUMNS));
      e.know(a.n.results[0], delinearize(r, a.n.results[0].shape), width, all);
    });
    e.store(outputs, (v) => delinearize(r, v.shape), width);
  });
}

/**
 * Sums down long columns: the threads of a workgroup share four columns (or vectors of four), side by side, so that they read
 * memory as it lies. The order is that of 64 lanes and their halving tree (row.ts): a thread has four of the lanes and joins
 * them as the tree does; four of a column's 16 threads then take in four values each, and the first of them what those make.
 * What joins stands once in a kernel's text, whatever the number of its sums: a driver compiles it in a fraction of the time.
 */
import { type Affine, constantIndex, delinearize, opaque, plus, scale, variable } from "../affine.ts";
import type { Node, Value } from "../ir.ts";
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

/** Columns of one shape with their sums, which some of a kernel's workgroups do. */
export interface ColumnPart {
  readonly group: Group;
  readonly outputs: readonly Value[];
  /** Emits what those workgroups do; `at` counts them. */
  within(body: (at: Affine) => void): void;
}

type Sum = ReturnType<typeof accumulate>;

/** Sums that are joined alike: they lie in one array, 64 places each, and one text joins those of all parts. */
interface Kind {
  readonly sum: Sum;
  readonly shared: string;
  /** Sums of it that a part has at most. */
  readonly most: number;
}

const reductionsOf = (group: Group): Node[] =>
  group.nodes.filter((n) => opByName(n.op).lowering.kind === "reduce");

/** Where a sum of its kind lies in the kind's array, first of its 64 places. */
const placesOf = (slot: number): string => (slot === 0 ? "lane" : `lane + ${WORKGROUP * slot}u`);

/** The columns of all parts. No reduction of such a group needs another. */
export function emitColumns(parts: readonly ColumnPart[], e: Emitter, k: KernelBuilder): void {
  const slots = new Map<Node, { kind: string; slot: number }>();
  const most = new Map<string, number>();
  for (const { group } of parts) {
    const used = new Map<string, number>();
    for (const n of reductionsOf(group)) {
      const kind = `${n.op} ${n.results[0].dtype} ${resultWidthOf(shapeOf(group))}`;
      const slot = used.get(kind) ?? 0;
      used.set(kind, slot + 1);
      slots.set(n, { kind, slot });
      most.set(kind, Math.max(most.get(kind) ?? 0, slot + 1));
    }
  }
  const kinds = new Map<string, Kind>();
  for (const { group, within } of parts) {
    within((at) => {
      for (const sum of sumColumns(group, columnOf(group, at, e, k).r, e, k)) {
        const { kind, slot } = slots.get(sum.n) as { kind: string; slot: number };
        const count = most.get(kind) as number;
        const shared = k.sharedArray(sum.type, WORKGROUP * count, kind);
        kinds.set(kind, { sum, shared, most: count });
        k.line(`${shared}[${placesOf(slot)}] = ${tree(sum, PARTS, (i) => sum.names[i])};`);
      }
    });
  }
  // In two rounds of four values each: sixteen loads of shared memory cost a driver's compiler more than a barrier costs a step.
  const all = [...kinds.values()];
  join(all, SHARERS / QUARTER, COLUMNS * QUARTER, k);
  join(all, QUARTER, COLUMNS, k);
  for (const { group, outputs, within } of parts) {
    within((at) => {
      const { r, own } = columnOf(group, at, e, k);
      const width = resultWidthOf(shapeOf(group));
      k.block(`if (lane < ${COLUMNS}u${own === null ? "" : ` && ${own}`})`, () => {
        for (const n of reductionsOf(group)) {
          const { kind, slot } = slots.get(n) as { kind: string; slot: number };
          const sum = k.name("red", `${(kinds.get(kind) as Kind).shared}[${placesOf(slot)}]`);
          e.know(n.results[0], delinearize(r, n.results[0].shape), width, sum);
        }
        e.store(outputs, (v) => delinearize(r, v.shape), width);
      });
    });
  }
}

/** The thread's column of workgroup `at`, and the condition under which it is no other's; null: always. */
function columnOf(group: Group, at: Affine, e: Emitter, k: KernelBuilder): { r: Affine; own: string | null } {
  const shape = shapeOf(group);
  const units = unitsOf(shape);
  const place = k.name("c", `${e.index(scale(at, COLUMNS))} + lane % ${COLUMNS}u`);
  const whole = units % COLUMNS === 0;
  const unit = whole ? place : k.name("c", `min(${place}, ${k.size(units)} - 1u)`);
  const column = opaque([unit], units);
  const r = resultWidthOf(shape) === 4 ? plus(scale(column, 4), LANE) : column;
  return { r, own: whole ? null : `${place} == ${unit}` };
}

/** The thread's parts of the sums of column `r`. */
function sumColumns(group: Group, r: Affine, e: Emitter, k: KernelBuilder): Sum[] {
  const shape = shapeOf(group);
  const { length } = shape.space;
  const width = resultWidthOf(shape);
  const part = k.name("part", `lane / ${COLUMNS}u`);
  const sums = reductionsOf(group).map((n) => accumulate(n, width, e, k, PARTS));
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
  return sums;
}

/** The first `stride` threads take in `count` values each, `stride` apart, of every sum. */
function join(kinds: readonly Kind[], count: number, stride: number, k: KernelBuilder): void {
  k.line("workgroupBarrier();");
  const around = k.section("joins");
  k.block(`if (lane < ${stride}u)`, () => {
    for (const { sum, shared, most } of kinds) {
      const take = (at: string): void => {
        const values = tree(sum, count, (q) => `${shared}[${q === 0 ? at : `${at} + ${stride * q}u`}]`);
        k.line(`${shared}[${at}] = ${values};`);
      };
      if (most === 1) take("lane");
      else {
        // Over a bound that is no constant, or a driver would write it out.
        const i = k.fresh("i");
        k.loop(i, "0u", k.size(most), () => take(k.name("at", `lane + ${WORKGROUP}u * ${i}`)));
      }
    }
  });
  k.section(around);
}

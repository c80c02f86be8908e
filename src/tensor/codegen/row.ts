/**
 * Row programs: any chain of elementwise work and reductions over rows. Each level of reductions is one loop over
 * the row; results of a level are scalars that the next loops use; a last loop writes what is as wide as the row.
 *
 * Order of accumulation, by the reduction length n and whether the reduced axes are the last ones:
 * last axes and n % 4 = 0: four interleaved sums, joined as (0 + 1) + (2 + 3); otherwise one sum in order.
 * n > 128: 64 lanes take every 64th step of that, and a halving tree joins the lanes (see lanes.ts). Down columns a thread
 * has the part of several such lanes (columns.ts).
 */
import { type Affine, delinearize, plus, scale, variable } from "../affine.ts";
import type { Node, Value } from "../ir.ts";
import { opByName } from "../ops/table.ts";
import { reduceIndex } from "../passes/access.ts";
import type { Group } from "../passes/fuse.ts";
import type { KernelBuilder } from "./builder.ts";
import { type ColumnPart, columnGroups, emitColumns } from "./columns.ts";
import { type Emitter, LANE, type Width } from "./emit.ts";
import { assemble, type Kernel, type LowerContext, WORKGROUP } from "./kernel.ts";
import { type JoinLanes, PORTABLE_LANES, variantOf } from "./lanes.ts";
import { accumulate, isSharedColumn, type RowShape, resultWidthOf, shapeOf, unitsOf } from "./rowShape.ts";

/** Reductions by depth: those that need no other first. */
function levels(group: Group): Node[][] {
  const depth = new Map<Node, number>();
  const lowest = group.nodes[0].id;
  const out: Node[][] = [];
  const below = (n: Node): number => {
    let d = 0;
    const stack: Value[] = [...n.inputs];
    const seen = new Set<Node>();
    while (stack.length > 0) {
      const m = (stack.pop() as Value).node;
      if (seen.has(m) || m.id < lowest) continue;
      seen.add(m);
      const known = depth.get(m);
      if (known !== undefined) d = Math.max(d, known);
      else stack.push(...m.inputs);
    }
    return d;
  };
  for (const n of group.nodes) {
    if (opByName(n.op).lowering.kind !== "reduce") continue;
    const d = below(n) + 1;
    depth.set(n, d);
    if (!out[d - 1]) out[d - 1] = [];
    out[d - 1].push(n);
  }
  return out;
}

export function rowKernel(group: Group, ctx: LowerContext): Kernel {
  const kernel = rowText(group, ctx);
  if (kernel.variants.length === 0) return kernel;
  return { ...kernel, portable: () => rowText(group, { ...ctx, lanes: PORTABLE_LANES }) };
}

function rowText(group: Group, ctx: LowerContext): Kernel {
  const parts = (group.parts ?? [group]).map((g) => ({
    g,
    units: isSharedColumn(shapeOf(g)) ? columnGroups(shapeOf(g)) : unitsOf(shapeOf(g)),
  }));
  return assemble(
    group,
    {
      units: parts.reduce((n, { units }) => n + units, 0),
      perGroup: shapeOf(parts[0].g).lanes === 1 ? WORKGROUP : 1,
      emit(e, k, outputs) {
        const ownOf = (g: Group): Value[] => {
          const members = new Set(g.nodes);
          return outputs.filter((v) => members.has(v.node));
        };
        const all = withins(parts, k).map((within, i) => ({
          group: parts[i].g,
          outputs: ownOf(parts[i].g),
          within,
        }));
        // Of parts that share a kernel (stack.ts) either all are such columns, or none.
        if (isSharedColumn(shapeOf(parts[0].g))) emitColumns(all, e, k);
        else {
          for (const { group, outputs, within } of all)
            within((at) => emitRow(group, at, outputs, ctx.lanes.join, e, k));
        }
      },
    },
    ctx,
  );
}

/** How each part's workgroups are told from the others, of which a part alone has none. */
function withins(parts: readonly { units: number }[], k: KernelBuilder): ColumnPart["within"][] {
  if (parts.length === 1) return [(body) => body(variable("unit", parts[0].units))];
  let start = 0;
  return parts.map(({ units }, i) => {
    const first = start;
    start += units;
    const end = start;
    return (body) => {
      const from = k.name("s", i === 0 ? "0u" : k.namedField(`from${i}`, first));
      // Whole workgroups where threads share a row: its barriers are passed by all of them.
      k.block(`if (unit >= ${from} && unit < ${k.namedField(`from${i + 1}`, end)})`, () => {
        k.section(`part${i}`);
        body(variable(k.name("u", `unit - ${from}`), units));
      });
    };
  });
}

/** The rows that `u` counts: their reductions level by level, then what is stored. */
function emitRow(
  group: Group,
  u: Affine,
  outputs: readonly Value[],
  join: JoinLanes,
  e: Emitter,
  k: KernelBuilder,
): void {
  const shape = shapeOf(group);
  const resultWidth = resultWidthOf(shape);
  const r: Affine = resultWidth === 4 ? plus(scale(u, 4), LANE) : u;
  for (const level of levels(group)) reduceLevel(level, r, shape, join, e, k);
  const wide = outputs.filter((v) => !group.narrow.has(v.node));
  const narrow = outputs.filter((v) => group.narrow.has(v.node));
  if (wide.length > 0) {
    loop(shape, k, (c, width) => {
      const at = plus(scale(r, shape.space.length), c);
      e.store(wide, (v) => delinearize(at, v.shape), width);
    });
  }
  const writeNarrow = (): void => {
    e.store(narrow, (v) => delinearize(r, v.shape), resultWidth);
  };
  if (narrow.length > 0 && shape.lanes === 64) k.block("if (lane == 0u)", writeNarrow);
  else writeNarrow();
}

/** A loop over the reduced axes; `c` is the position, over four lanes where the row is read four at a time. */
function loop(shape: RowShape, k: KernelBuilder, body: (c: Affine, width: Width) => void): void {
  const vector = shape.along === "row";
  const steps = vector ? shape.space.length / 4 : shape.space.length;
  const name = k.fresh("k");
  const counter = variable(name, steps);
  const walk = (): void => {
    // Where one step is all there is, the counter is the constant 0 in index arithmetic: both are 0.
    if (vector) body(plus(scale(counter, 4), LANE), 4);
    else body(counter, shape.along === "results" ? 4 : 1);
  };
  if (shape.lanes === 1) {
    k.loop(name, "0u", k.size(steps), walk);
    return;
  }
  const turn = k.fresh("turn");
  k.loop(turn, "0u", `(${k.size(steps)} + 63u - lane) / 64u`, () => {
    k.line(`let ${name} = lane + 64u * ${turn};`);
    walk();
  });
}

function reduceLevel(
  level: readonly Node[],
  r: Affine,
  shape: RowShape,
  join: JoinLanes,
  e: Emitter,
  k: KernelBuilder,
): void {
  const loopWidth: Width = shape.along === "none" ? 1 : 4;
  const accumulators = level.map((n) => {
    const { names, ...rest } = accumulate(n, loopWidth, e, k, 1);
    return { ...rest, name: names[0] };
  });
  loop(shape, k, (c, width) => {
    for (const a of accumulators) {
      const outer = delinearize(r, a.n.results[0].shape);
      const x = e.value(a.n.inputs[0], reduceIndex(a.n, outer, c), width);
      k.line(`${a.name} = ${a.combine(a.name, x)};`);
    }
  });
  for (const a of accumulators) {
    let name = a.name;
    if (shape.lanes === 64) {
      name = join(a, k);
      if (join !== PORTABLE_LANES.join) k.variants.add(variantOf(a));
    }
    let result: string;
    if (shape.along === "row") {
      const q = k.name("q", name);
      const left = k.name("q", a.combine(`${q}[0]`, `${q}[1]`));
      const right = k.name("q", a.combine(`${q}[2]`, `${q}[3]`));
      result = k.name("red", a.combine(left, right));
    } else {
      result = k.name("red", name);
    }
    const width: Width = shape.along === "results" ? 4 : 1;
    e.know(a.n.results[0], delinearize(r, a.n.results[0].shape), width, result);
  }
}

/**
 * Canonical form: marks that only differentiation needs go away, movement collapses, arithmetic with 0 and 1 on
 * constants disappears where that leaves every bit as it was.
 */
import { type Graph, type Node, rewrite, type Value } from "../ir.ts";
import { add } from "../ops/elementwise.ts";
import { pad, reshape, slice } from "../ops/movement.ts";
import { opByName } from "../ops/table.ts";
import { sameShape } from "../shape.ts";
import { build } from "./rewriting.ts";

/** The number a value holds everywhere, through broadcasts and reshapes, or null. */
function constantOf(v: Value): number | null {
  let x = v;
  while (["broadcastTo", "reshape", "permute", "slice"].includes(x.node.op)) x = x.node.inputs[0];
  return x.node.op === "const" ? Number(x.node.attrs.value) : null;
}

function reshapeTo(v: Value, shape: readonly number[]): Value {
  return sameShape(v.shape, shape) ? v : build([v], ([t]) => [reshape(t, shape)])[0];
}

function isIdentityView(node: Node, input: Value): boolean {
  const out = node.results[0];
  if (node.op === "reshape" || node.op === "broadcastTo") return sameShape(out.shape, input.shape);
  if (node.op === "permute") return (node.attrs.order as number[]).every((a, i) => a === i);
  if (node.op === "slice") return sameShape(out.shape, input.shape);
  return false;
}

/** How many numbers `indices` counts from 0 on, or null where they are others. */
function countedBy(indices: Value): number | null {
  let x = indices;
  while (x.node.op === "reshape") x = x.node.inputs[0];
  const { op, results, attrs } = x.node;
  if (op !== "iota") return null;
  const { shape } = results[0];
  const counts = shape.every((n, d) => n === 1 || d === attrs.axis);
  return counts ? shape[attrs.axis as number] : null;
}

/** The first rows of a table, looked up one by one. */
function firstRows(node: Node, [table, indices]: readonly Value[]): Value | null {
  const n = countedBy(indices);
  if (n === null || n === 0 || n > table.shape[0]) return null;
  const [out] = node.results;
  return build([table], ([t]) => [
    reshape(
      slice(
        t,
        t.shape.map(() => 0),
        [n, ...t.shape.slice(1)],
      ),
      out.shape,
    ),
  ])[0];
}

/** Rows added to zeros, each to its own: a 0 is added all the same, which makes 0 of -0. */
function rowsInZeros(node: Node, [updates, indices]: readonly Value[]): Value | null {
  const n = countedBy(indices);
  const rows = node.attrs.rows as number;
  if (n === null || n === 0 || n > rows) return null;
  return build([updates], ([t]) => [add(n === rows ? t : pad(t, [0, 0], [rows - n, 0]), 0)])[0];
}

/** The windows that a sum puts into zeros, where it is made of nothing else but for reshapes. */
function windowsOf(v: Value): Value[] | null {
  if (v.node.op === "reshape") return windowsOf(v.node.inputs[0]);
  if (v.node.op === "pad") return [v];
  if (v.node.op !== "add") return null;
  const [a, b] = v.node.inputs.map(windowsOf);
  return a && b && [...a, ...b];
}

/**
 * The tensor whose parts a sum puts side by side again, each where it was cut out: the gradient of what was cut into queries,
 * keys and values. Only where it holds no -0, to which the zeros beside would add up to 0.
 */
function joinedOf(node: Node, inputs: readonly Value[]): Value | null {
  const [a, b] = inputs.map(windowsOf);
  if (!a || !b) return null;
  const windows = [...a, ...b].map((v) => ({ pad: v.node, cut: v.node.inputs[0].node }));
  const [{ cut: first }] = windows;
  if (first.op !== "slice") return null;
  const [whole] = first.inputs;
  if (whole.node.op === "input" || !opByName(whole.node.op).plainZeros) return null;
  const ends = new Map<number, number>();
  let axis = -1;
  for (const { pad, cut } of windows) {
    const before = pad.attrs.before as number[];
    const size = pad.inputs[0].shape;
    if (cut.op !== "slice" || cut.inputs[0] !== whole || !sameShape(cut.attrs.start as number[], before))
      return null;
    if (!sameShape(pad.results[0].shape, whole.shape)) return null;
    const short = size.flatMap((n, d) => (n === whole.shape[d] ? [] : [d]));
    if (short.length !== 1 || (axis >= 0 && short[0] !== axis)) return null;
    [axis] = short;
    ends.set(before[axis], before[axis] + size[axis]);
  }
  let at = 0;
  for (let i = 0; i < windows.length; i++) at = ends.get(at) ?? -1;
  return at === whole.shape[axis] ? reshapeTo(whole, node.results[0].shape) : null;
}

function visit(node: Node, inputs: Value[]): readonly Value[] | null {
  const [a, b] = inputs;
  const out = node.results[0];
  switch (node.op) {
    case "alias":
    case "stopGradient":
      return [a];
    case "customVjp":
      return inputs.slice(0, node.attrs.outputs as number);
    case "reshape":
      if (a.node.op === "reshape") return [reshapeTo(a.node.inputs[0], out.shape)];
      break;
    case "permute":
      // Axes of size 1 may move freely: such a permutation is a reshape, and one that is none stays.
      if (
        sameShape(
          moving(a.shape, node.attrs.order as number[]),
          [...moving(a.shape, node.attrs.order as number[])].sort((x, y) => x - y),
        )
      ) {
        return [reshapeTo(a, out.shape)];
      }
      break;
    case "add":
      // Only -0 leaves every bit as it was: -0 + 0 is 0.
      if (Object.is(constantOf(b), -0)) return [a];
      if (Object.is(constantOf(a), -0)) return [b];
      {
        const whole = joinedOf(node, inputs);
        if (whole) return [whole];
      }
      break;
    case "take": {
      const rows = firstRows(node, inputs);
      if (rows) return [rows];
      break;
    }
    case "scatterAdd": {
      const rows = rowsInZeros(node, inputs);
      if (rows) return [rows];
      break;
    }
    case "sub":
      if (Object.is(constantOf(b), 0)) return [a];
      break;
    case "mul":
      if (constantOf(b) === 1) return [a];
      if (constantOf(a) === 1) return [b];
      break;
    case "div":
      if (constantOf(b) === 1) return [a];
      break;
    case "sum":
    case "max":
    case "min":
      if ((node.attrs.axes as number[]).every((axis) => a.shape[axis] === 1))
        return [reshapeTo(a, out.shape)];
      break;
    default:
  }
  if (opByName(node.op).lowering.kind === "view" && isIdentityView(node, a)) return [a];
  return null;
}

/** Axes of more than one element, in the order in which the permutation reads them. */
function moving(shape: readonly number[], order: readonly number[]): number[] {
  return order.filter((axis) => shape[axis] !== 1);
}

/** One sweep of local rewrites; values keep their bits. */
export function simplify(graph: Graph): Graph {
  return rewrite(graph, visit);
}

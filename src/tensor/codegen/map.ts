/** Map kernels: one thread computes one element, or four neighbours, of every output. */
import { type Affine, delinearize, linearize, opaque, plus, scale, variable } from "../affine.ts";
import type { Node } from "../ir.ts";
import { opByName } from "../ops/table.ts";
import type { Group } from "../passes/fuse.ts";
import { numel } from "../shape.ts";
import type { KernelBuilder } from "./builder.ts";
import { type Emitter, LANE, type Width } from "./emit.ts";
import { assemble, type Kernel, type LowerContext, WORKGROUP } from "./kernel.ts";

function scalarOnly(n: Node): boolean {
  const { lowering } = opByName(n.op);
  return lowering.kind === "map" && lowering.scalarOnly === true;
}

export function mapKernel(group: Group, ctx: LowerContext): Kernel {
  const n = group.elements;
  const width: Width = n % 4 === 0 && !group.nodes.some(scalarOnly) ? 4 : 1;
  const units = n / width;
  return assemble(
    group,
    {
      units,
      perGroup: WORKGROUP,
      emit(e, _k, outputs) {
        const u = variable("unit", units);
        const at = width === 4 ? plus(scale(u, 4), LANE) : u;
        e.store(outputs, (v) => delinearize(at, v.shape), width);
      },
    },
    ctx,
  );
}

/** Writes parts of states, in place: one thread an element, or four, of each patch. Patches of one kernel have one shape. */
export function patchKernel(group: Group, ctx: LowerContext): Kernel {
  const [{ op, inputs }] = group.nodes;
  const { shape } = inputs[1];
  const elements = numel(shape);
  // Four neighbours are of one row.
  const whole = op === "updateRows" ? elements / shape[0] : elements;
  const width: Width = whole % 4 === 0 ? 4 : 1;
  const units = elements / width;
  return assemble(
    group,
    {
      units,
      perGroup: WORKGROUP,
      emit(e, k) {
        const u = variable("unit", units);
        const index = delinearize(width === 4 ? plus(scale(u, 4), LANE) : u, shape);
        for (const node of group.nodes) emitPatch(node, index, width, e, k);
      },
    },
    ctx,
  );
}

function emitPatch(node: Node, index: readonly Affine[], width: Width, e: Emitter, k: KernelBuilder): void {
  const [state, patch, place] = node.inputs;
  const byRows = node.op === "updateRows";
  const axis = byRows ? 0 : (node.attrs.axis as number);
  const store = (to: Affine): void => {
    const x = e.value(patch, index, width);
    const at = index.map((i, d) => (d === axis ? to : i));
    e.storeName(node.results[0], x, linearize(at, state.shape), width);
  };
  if (!byRows) {
    store(plus(index[axis], e.start(place, state.shape[axis] - patch.shape[axis] + 1)));
    return;
  }
  const row = e.value(place, [index[0]], 1);
  k.block(`if (${row} < ${k.size(state.shape[0])})`, () => store(opaque([row], state.shape[0])));
}

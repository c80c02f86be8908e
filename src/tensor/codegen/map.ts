/** Map kernels: one thread computes one element, or four neighbours, of every output. */
import { type Affine, delinearize, linearize, opaque, plus, scale, variable } from "../affine.ts";
import type { Node } from "../ir.ts";
import { opByName } from "../ops/table.ts";
import type { Group } from "../passes/fuse.ts";
import { LANE, type Width } from "./emit.ts";
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

/** Writes a part of a state, in place: one thread an element, or four, of the patch. */
export function patchKernel(group: Group, ctx: LowerContext): Kernel {
  const [node] = group.nodes;
  const [state, patch, place] = node.inputs;
  const byRows = node.op === "updateRows";
  const axis = byRows ? 0 : (node.attrs.axis as number);
  // Four neighbours are of one row.
  const whole = byRows ? group.elements / patch.shape[0] : group.elements;
  const width: Width = whole % 4 === 0 ? 4 : 1;
  const units = group.elements / width;
  return assemble(
    group,
    {
      units,
      perGroup: WORKGROUP,
      emit(e, k) {
        const u = variable("unit", units);
        const index = delinearize(width === 4 ? plus(scale(u, 4), LANE) : u, patch.shape);
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
      },
    },
    ctx,
  );
}

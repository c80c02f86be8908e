/** Map kernels: one thread computes one element, or four neighbours, of every output. */
import { delinearize, linearize, plus, scale, variable } from "../affine.ts";
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

/** Writes a window of a state, in place: one thread an element, or four, of the patch. */
export function patchKernel(group: Group, ctx: LowerContext): Kernel {
  const [node] = group.nodes;
  const [state, patch, start] = node.inputs;
  const axis = node.attrs.axis as number;
  const width: Width = group.elements % 4 === 0 ? 4 : 1;
  const units = group.elements / width;
  return assemble(
    group,
    {
      units,
      perGroup: WORKGROUP,
      emit(e) {
        const u = variable("unit", units);
        const index = delinearize(width === 4 ? plus(scale(u, 4), LANE) : u, patch.shape);
        const from = e.start(start, state.shape[axis] - patch.shape[axis] + 1);
        const to = index.map((x, d) => (d === axis ? plus(x, from) : x));
        e.storeName(node.results[0], e.value(patch, index, width), linearize(to, state.shape), width);
      },
    },
    ctx,
  );
}

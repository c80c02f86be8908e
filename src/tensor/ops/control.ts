/** Ops that say something about differentiation or order and leave the numbers as they are. */

import { ShapeError } from "../errors.ts";
import { ndarray } from "../ndarray.ts";
import type { OpDef, OpFunction, VjpContext } from "../opdef.ts";
import { sameShape, show } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { apply, currentTrace, type Trace } from "../trace.ts";

const same: Pick<OpDef, "infer" | "reference" | "lowering" | "noCase"> = {
  noCase: { bad: "any tensor will do" },
  infer: (inputs) => inputs.map((t) => ({ shape: t.shape, dtype: t.dtype })),
  reference: (inputs, _attrs, types) => inputs.map((x, i) => ndarray(types[i].shape, types[i].dtype, x.data)),
  lowering: { kind: "none" },
};

const SHAPES: readonly (readonly number[])[] = [[1], [7], [3, 4], [0, 3]];

const stopGradientOp: OpDef = {
  ...same,
  name: "stopGradient",
  signature: "x[...] -> [...]",
  doc: "The same numbers; no gradient flows back.",
  vjp: () => [null],
  cases: SHAPES.map((shape) => ({ inputs: [{ shape }], gradInputs: [] })),
};

/** `x`, as a constant to differentiation. */
export const stopGradient: ((x: Tensor) => Tensor) & OpFunction = Object.assign(
  (x: Tensor): Tensor => apply(stopGradientOp, [x])[0],
  { op: stopGradientOp },
);

const aliasOp: OpDef = {
  ...same,
  name: "alias",
  signature: "x[...] -> [...]",
  doc: "The same numbers under another name: marks where a differentiated function begins.",
  vjp: ({ g }) => [g[0]],
  cases: SHAPES.map((shape) => ({ inputs: [{ shape }] })),
};

export const alias: ((x: Tensor) => Tensor) & OpFunction = Object.assign(
  (x: Tensor): Tensor => apply(aliasOp, [x])[0],
  {
    op: aliasOp,
  },
);

const barrierOp: OpDef = {
  ...same,
  name: "barrier",
  signature: "x[...], after[...] -> x[...]",
  doc: "x, but not before `after` is known, and never merged with other uses of x: what recomputation reads.",
  infer: ([x]) => [{ shape: x.shape, dtype: x.dtype }],
  reference: ([x], _attrs, [t]) => [ndarray(t.shape, t.dtype, x.data)],
  vjp: ({ g }) => [g[0], null],
  cases: [
    ...SHAPES.map((shape) => ({ inputs: [{ shape }, { shape: [2] }], gradInputs: [0] })),
    { inputs: [{ shape: [1] }, { shape: [1] }], gradInputs: [0] },
  ],
};

const barriers = new WeakMap<Trace, number>();

/** Tells the barriers of a trace apart; equal traces number theirs alike, or no program of theirs would be found again. */
function nextBarrier(): number {
  const trace = currentTrace();
  const id = trace ? (barriers.get(trace) ?? 0) + 1 : 0;
  if (trace) barriers.set(trace, id);
  return id;
}

export const barrier: ((x: Tensor, after: Tensor) => Tensor) & OpFunction = Object.assign(
  (x: Tensor, after: Tensor): Tensor => apply(barrierOp, [x, after], { id: nextBarrier() })[0],
  { op: barrierOp },
);

/** What `customVjp` attaches to its node. */
export interface CustomVjpMeta {
  outputs: number;
  backward(ctx: {
    g: (Tensor | null)[];
    inputs: Tensor[];
    outputs: Tensor[];
    land?: VjpContext["land"];
  }): (Tensor | null)[];
}

const customVjpOp: OpDef = {
  name: "customVjp",
  signature: "outputs..., inputs... -> outputs...",
  doc: "The outputs of a function whose gradient the user wrote; the gradient through its inside is cut.",
  infer: (inputs, attrs) =>
    inputs.slice(0, attrs.outputs as number).map((t) => ({ shape: t.shape, dtype: t.dtype })),
  reference: (inputs, _attrs, types) => types.map((t, i) => ndarray(t.shape, t.dtype, inputs[i].data)),
  vjp(ctx: VjpContext) {
    const meta = ctx.meta as CustomVjpMeta;
    const args = ctx.inputs.slice(meta.outputs);
    const land = (input: number) => ctx.land?.(meta.outputs + input) ?? null;
    const grads = meta.backward({ g: [...ctx.g], inputs: [...args], outputs: [...ctx.outputs], land });
    if (grads.length !== args.length) {
      throw new ShapeError(
        `customVjp: a gradient for each of ${args.length} inputs was expected, got ${grads.length}. Return null where none flows.`,
      );
    }
    grads.forEach((d, i) => {
      if (d && !sameShape(d.shape, args[i].shape)) {
        throw new ShapeError(
          `customVjp: a gradient of shape ${show(args[i].shape)} was expected for input ${i}, got ${show(d.shape)}. Sum over broadcast axes.`,
        );
      }
    });
    return [...new Array<null>(meta.outputs).fill(null), ...grads];
  },
  lowering: { kind: "none" },
  internal: "made by customVjp(), whose tests cover it",
  cases: [],
};

export const customVjpBoundary: ((
  outputs: readonly Tensor[],
  inputs: readonly Tensor[],
  meta: CustomVjpMeta,
) => Tensor[]) &
  OpFunction = Object.assign(
  (outputs: readonly Tensor[], inputs: readonly Tensor[], meta: CustomVjpMeta): Tensor[] =>
    apply(customVjpOp, [...outputs, ...inputs], { outputs: outputs.length }, meta),
  { op: customVjpOp },
);

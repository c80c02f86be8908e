/** Makers of elementwise primitives: the object and the function users call are one and the same thing. */
import { type DType, requireDType, requireHeld } from "../dtype.ts";
import { DTypeError, ShapeError, TensorError } from "../errors.ts";
import type { Attrs, ValueType } from "../ir.ts";
import { ndarray } from "../ndarray.ts";
import {
  type BadCase,
  bytesOf,
  type CaseInput,
  type MapContext,
  type OpCase,
  type OpDef,
  type OpFunction,
  type Tolerance,
  type VjpContext,
} from "../opdef.ts";
import { broadcastShapes, numel, sameShape, show } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { isTensor } from "../tensor.ts";
import { apply, composite, constant, currentTrace, lift, runEagerly, type TensorLike } from "../trace.ts";
import { MAP_SHAPES } from "./caseShapes.ts";
import { broadcastTo } from "./movement.ts";

interface MapSpec {
  name: string;
  doc: string;
  /** Default: one or two operands and a result, all of one dtype. */
  signature?: string;
  source?: string;
  /** Accepted dtypes of the inputs (all alike unless `mixed`). */
  dtypes: readonly DType[];
  /** Result dtype; default: that of the last input. */
  result?: (inputs: readonly ValueType[], attrs: Attrs) => DType;
  wgsl: (args: readonly string[], ctx: MapContext) => string;
  watched?: (args: readonly string[], ctx: MapContext) => string;
  helpers?: readonly string[];
  scalarOnly?: boolean;
  weight?: number;
  /** float64 reference of one element. */
  ref: (args: readonly number[], dtype: DType, attrs: Attrs) => number;
  vjp?: OpDef["vjp"];
  noGradient?: string;
  /** How inputs are drawn, one entry per input. */
  domain: readonly Omit<CaseInput, "shape" | "dtype">[];
  tolerance?: Tolerance;
  hidesNan?: boolean;
  attrCases?: readonly Attrs[];
  /** Checks beyond equal shapes and dtypes. */
  check?: (inputs: readonly ValueType[], attrs: Attrs) => void;
  /** dtype of each input where they differ, e.g. `where`. */
  inputDTypes?: (dtype: DType) => DType[];
}

/** Builds the op object of an elementwise primitive. */
export function defineMap(spec: MapSpec): OpDef {
  const arity = spec.domain.length;
  const dtypesOf = (d: DType): DType[] => spec.inputDTypes?.(d) ?? new Array<DType>(arity).fill(d);
  const attrCases = spec.attrCases ?? [{}];
  const cases: OpCase[] = [];
  for (const dtype of spec.dtypes) {
    for (const attrs of attrCases) {
      for (const shape of dtype === spec.dtypes[0] ? MAP_SHAPES : MAP_SHAPES.slice(2, 6)) {
        cases.push({
          inputs: spec.domain.map((d, i) => ({ ...d, shape, dtype: dtypesOf(dtype)[i] })),
          attrs,
        });
      }
    }
  }
  const bad: BadCase[] = [];
  if (arity > 1) {
    bad.push({
      inputs: spec.domain.map((_, i) => ({
        shape: i === 0 ? [3, 5] : [3, 4],
        dtype: dtypesOf(spec.dtypes[0])[i],
      })),
      attrs: attrCases[0],
      error: "ShapeError",
    });
  }
  const refused = (["f32", "i32", "u32", "bool"] as const).find((d) => !spec.dtypes.includes(d));
  if (refused) {
    bad.push({
      inputs: spec.domain.map((_, i) => ({
        shape: [3],
        dtype: spec.inputDTypes ? spec.inputDTypes(refused)[i] : refused,
      })),
      attrs: attrCases[0],
      error: "DTypeError",
    });
  }
  return {
    name: spec.name,
    signature: spec.signature ?? `${arity === 1 ? "x[...]" : "a[...], b[...]"} -> [...]`,
    doc: spec.doc,
    source: spec.source,
    infer(inputs, attrs) {
      if (inputs.length !== arity) {
        throw new ShapeError(
          `${spec.name}: ${arity} operands were expected, got ${inputs.length}. Check the call.`,
        );
      }
      const want = dtypesOf(inputs[arity - 1].dtype);
      requireDType(spec.name, "the operand", inputs[arity - 1].dtype, spec.dtypes);
      inputs.forEach((t, i) => {
        if (t.dtype !== want[i]) {
          throw new DTypeError(
            `${spec.name}: operands of dtypes ${want.join(", ")} were expected, got ${inputs.map((x) => x.dtype).join(", ")}. Use ops.cast first.`,
          );
        }
        if (!sameShape(t.shape, inputs[0].shape)) {
          throw new ShapeError(
            `${spec.name}: equal shapes were expected, got ${inputs.map((x) => show(x.shape)).join(", ")}. Use ops.broadcastTo.`,
          );
        }
      });
      spec.check?.(inputs, attrs);
      return [{ shape: inputs[0].shape, dtype: spec.result?.(inputs, attrs) ?? inputs[arity - 1].dtype }];
    },
    vjp: spec.vjp,
    noGradient: spec.noGradient ?? (spec.vjp ? undefined : "piecewise constant or not real-valued"),
    reference(inputs, attrs, types) {
      const out = ndarray(types[0].shape, types[0].dtype);
      const args = new Array<number>(arity);
      for (let i = 0; i < out.data.length; i++) {
        for (let a = 0; a < arity; a++) args[a] = inputs[a].data[i];
        out.data[i] = spec.ref(args, inputs[arity - 1].dtype, attrs);
      }
      return [out];
    },
    lowering: {
      kind: "map",
      wgsl: spec.wgsl,
      watched: spec.watched,
      helpers: spec.helpers,
      scalarOnly: spec.scalarOnly,
      cost: spec.weight ?? 1,
    },
    cases,
    bad,
    noCase: bad.length > 0 ? undefined : { bad: "one operand, of any dtype" },
    tolerance: spec.tolerance,
    hidesNan: spec.hidesNan,
    cost: (ins, outs) => ({
      flops: numel(outs[0].shape) * (spec.weight ?? 1),
      bytes: bytesOf(ins) + bytesOf(outs),
    }),
    perf: [
      {
        inputs: spec.domain.map((d, i) => ({ ...d, shape: [1 << 20], dtype: dtypesOf(spec.dtypes[0])[i] })),
        attrs: attrCases[0],
      },
    ],
  };
}

/** First cotangent, which a one-result op always has when its vjp is asked. */
export function cotangent(ctx: VjpContext): Tensor {
  return ctx.g[0] as Tensor;
}

export type UnaryFunction = ((x: TensorLike) => Tensor) & OpFunction;
export type BinaryFunction = ((a: TensorLike, b: TensorLike) => Tensor) & OpFunction;

export function unary(
  spec: Omit<MapSpec, "domain"> & { domain?: Omit<CaseInput, "shape" | "dtype"> },
): UnaryFunction {
  const op = defineMap({ ...spec, domain: [spec.domain ?? {}] });
  return Object.assign((x: TensorLike) => apply(op, [x])[0], { op });
}

export function binary(
  spec: Omit<MapSpec, "domain"> & { domain?: readonly Omit<CaseInput, "shape" | "dtype">[] },
): BinaryFunction {
  const op = defineMap({ ...spec, domain: spec.domain ?? [{}, {}] });
  const call = composite(
    (a: TensorLike, b: TensorLike) => apply(op, broadcastAll(spec.name, [a, b]))[0],
    spec.name,
  );
  return Object.assign((a: TensorLike, b: TensorLike) => call(a, b), { op });
}

/** Broadcasts operands to one shape; numbers become constants of their partner's dtype. */
export function broadcastAll(op: string, args: readonly TensorLike[]): TensorLike[] {
  let shape: readonly number[] = [];
  for (const a of args) if (isTensor(a)) shape = broadcastShapes(op, shape, a.shape);
  return lift(args, op).map((a) => {
    if (isTensor(a)) return sameShape(a.shape, shape) ? a : broadcastTo(a, shape);
    return broadcastTo(full([], a.scalar, a.dtype), shape);
  });
}

const constOp: OpDef = {
  name: "const",
  signature: "-> []",
  doc: "A scalar constant; the kernel reads it as data.",
  infer: (_inputs, attrs) => [{ shape: [], dtype: attrs.dtype as DType }],
  noGradient: "a constant",
  reference: (_inputs, attrs, types) => [ndarray([], types[0].dtype, [Number(attrs.value)])],
  lowering: { kind: "source" },
  noCase: { odd: "always one element", empty: "always one element", bad: "it has no operand" },
  cases: [
    { inputs: [], attrs: { value: "-1.5", dtype: "f32" } },
    { inputs: [], attrs: { value: "4294967295", dtype: "u32" } },
    { inputs: [], attrs: { value: "-2147483648", dtype: "i32" } },
    { inputs: [], attrs: { value: "1", dtype: "bool" } },
  ],
};

/** A tensor of `shape` filled with one number. Throws `DTypeError` where `dtype` cannot hold it. */
export const full: ((shape: readonly number[], value: number, dtype?: DType) => Tensor) & OpFunction =
  Object.assign(
    (shape: readonly number[], value: number, dtype: DType = "f32"): Tensor => {
      if (isTensor(value)) {
        throw new TensorError(
          `full: a JavaScript number was expected, got the tensor ${value}. Use ops.broadcastTo.`,
        );
      }
      requireHeld("full", value, dtype);
      const spread = (c: TensorLike): Tensor => broadcastTo(c as Tensor, shape);
      const trace = currentTrace();
      if (trace) return spread(constant(trace, value, dtype));
      return runEagerly(([c]) => [spread(c)], [{ scalar: value, dtype }])[0];
    },
    { op: constOp },
  );

/**
 * What a primitive is: one object that holds its shape and dtype rules, its derivative, its float64 reference,
 * its lowering to WGSL, its test cases and its cost. Tests, documentation and benchmarks are derived from it.
 */

import type { Affine } from "./affine.ts";
import type { DType } from "./dtype.ts";
import type { Attrs, Value, ValueType } from "./ir.ts";
import type { NDArray } from "./ndarray.ts";
import type { Tensor } from "./tensor.ts";

/** How a generated input is drawn for a test case. */
export interface CaseInput {
  shape: readonly number[];
  dtype?: DType;
  /** Uniform range of the values (default -2 to 2; integers inclusive). */
  range?: readonly [number, number];
  /** Keep values at least this far from 0 (kinks, poles). */
  awayFromZero?: number;
  /** All values distinct by a margin (ties would make the derivative undefined). */
  distinct?: boolean;
  /** The values themselves, where they are not drawn. */
  values?: readonly number[];
}

export interface OpCase {
  inputs: readonly CaseInput[];
  attrs?: Attrs;
  /** Which inputs the finite differences check (default: all f32 inputs); empty for none. */
  gradInputs?: readonly number[];
}

/** Kinds of case that every op has: odd sizes, an empty input, inputs of one element, a call that is refused. */
export type CaseKind = "odd" | "empty" | "one" | "bad";

/** A call that must be refused before any GPU work. */
export interface BadCase {
  inputs: readonly CaseInput[];
  attrs?: Attrs;
  error: "ShapeError" | "DTypeError";
}

export interface Tolerance {
  /** Largest |got - want| / (1e-6 scale + |want|) accepted in f32, forward; the scale is the largest |want|. Default 2e-6. */
  forward?: number;
  /** Absolute error accepted beside it, where WGSL promises no better: forward, and times the cotangent's scale in gradients. */
  absolute?: number;
  /** For sums, whose terms may cancel: |want| above is the reference's result for the absolute values of the inputs. */
  ofMagnitudes?: boolean;
  /** Largest |got - want| / (0.01 scale + |want|) of f32 gradients against the float64 reference's. Default 2e-4. */
  gradient?: number;
  /** Why it is looser than the default: required where it is. */
  reason?: string;
}

/** Cost of one call, from its types: what a roofline needs. */
export interface Cost {
  flops: number;
  bytes: number;
  /** Most operations, where data decides how many there are: what a submission has to leave time for. */
  mostFlops?: number;
}

/** Adds `part` to rows [start, start + part.shape[0]) of the state where an operand's gradient is accumulated. */
export type LandRows = (start: number, part: Tensor) => void;

export interface VjpContext {
  /** Cotangents of the results, `null` where nothing flows. */
  readonly g: readonly (Tensor | null)[];
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
  readonly attrs: Attrs;
  readonly meta: unknown;
  /**
   * Where parts of an input's gradient may land at once, before the next is computed: then the rule gives `null` for it.
   * `null`: nobody accumulates it, give the whole.
   */
  land?(input: number): LandRows | null;
}

/** A WGSL expression per call: the map generator inlines it, one element (or four) at a time. */
export interface MapContext {
  /** WGSL name of a dtype at the current width: `f32` or `vec4<f32>`. */
  type(dtype: DType): string;
  /** A literal at the current width. */
  literal(value: number, dtype: DType): string;
  inputTypes: readonly ValueType[];
  outputType: ValueType;
  attrs: Attrs;
}

/** Units of work of a hand-built kernel, and its sizes. */
export interface TemplateSizes {
  units: number;
  /** u32 that the text reads: `p.<name>`. */
  fields: Readonly<Record<string, number>>;
  /** f32 that the text reads. */
  scalars?: Readonly<Record<string, number>>;
  /** What the text itself depends on, for templates that are functions of it. */
  text?: TextSizes;
}

/** How threads of a hand-built kernel may share work. */
export interface TemplateLanes {
  /** Threads that share a unit of work are worth their barriers. */
  readonly together: boolean;
  /** Quads hand round what they have loaded. */
  readonly quads: boolean;
}

/** Sizes that are part of a template's text; no size of a batch is. */
export interface TextSizes {
  readonly own: number;
  readonly block: number;
  readonly slots: number;
  /** Threads that share a unit of work, which they begin together: such a text may hold barriers. */
  readonly parts: number;
  /** Sums that a unit of work has, of a share each: as many as `parts`, or all of them one thread's. */
  readonly shares: number;
  /** The four threads of a quad have work side by side, and load the same: from T2 on a quarter each. */
  readonly quads: boolean;
  /** Where the kernel has two kinds of tile: those of the second. */
  readonly keys?: { readonly own: number; readonly block: number };
}

/** The kinds of lowering. */
export type Lowering =
  /** Elementwise: inputs and result share one shape. */
  | {
      kind: "map";
      wgsl(args: readonly string[], ctx: MapContext): string;
      /**
       * The expression under NAN=1, where `wgsl` may give a number of finite operands although the reference's result is not
       * finite: then this one's is not either. All other results are the same, but for what a driver simplifies across ops.
       */
      watched?(args: readonly string[], ctx: MapContext): string;
      /** WGSL helper functions the expression calls. */
      helpers?: readonly string[];
      /** The expression has no four-wide form. */
      scalarOnly?: boolean;
      /** Relative weight for the fuser: 1 is an add. */
      cost?: number;
    }
  /** A pure change of index: result[index] = input[sources(index)]. */
  | { kind: "view"; source(index: readonly Affine[], input: ValueType, attrs: Attrs): Affine[] }
  /** A reduction over `attrs.axes`. */
  | { kind: "reduce"; identity(dtype: DType): number; combine(a: string, b: string): string }
  | { kind: "matmul" }
  /** An index computed from data or chosen between inputs; emitted by name in the code generator. */
  | { kind: "indexed" }
  /** Produces values from no buffer: constants, index numbers. */
  | { kind: "source" }
  /**
   * A hand-built kernel of its own, by its name in `src/shaders/templates.ts`, and the sizes that its text reads. No bit depends
   * on `lanes`.
   */
  | {
      kind: "template";
      template: string;
      sizes(
        inputs: readonly ValueType[],
        results: readonly ValueType[],
        attrs: Attrs,
        lanes: TemplateLanes,
      ): TemplateSizes;
      /**
       * Operands, by place, that the text reads where they lie in another tensor: `p.<name>At` is the first element, and
       * `p.<name>0`, `p.<name>1`, ... are the steps along each axis but the last, whose elements lie side by side.
       */
      strided?: Readonly<Record<number, string>>;
    }
  /** Rewritten in terms of other ops before fusion. */
  | { kind: "expand"; expand(inputs: readonly Tensor[], attrs: Attrs): readonly Tensor[] }
  /** Removed before lowering. */
  | { kind: "none" };

export interface OpDef {
  readonly name: string;
  /** Signature in named dimensions, for messages and documentation. */
  readonly signature: string;
  /** One sentence. */
  readonly doc: string;
  readonly source?: string;
  /** Result types; throws `ShapeError` or `DTypeError`. */
  infer(inputs: readonly ValueType[], attrs: Attrs): ValueType[];
  /** Cotangents for the inputs, `null` where none flows; absent: the op has no derivative. */
  vjp?(ctx: VjpContext): (Tensor | null)[];
  /** Why there is no derivative. */
  noGradient?: string;
  /** Float64 reference on plain arrays. */
  reference(inputs: readonly NDArray[], attrs: Attrs, types: readonly ValueType[]): NDArray[];
  readonly lowering: Lowering;
  readonly cases: readonly OpCase[];
  readonly bad?: readonly BadCase[];
  /** Why a kind of case is missing: required where it is. */
  readonly noCase?: Readonly<Partial<Record<CaseKind, string>>>;
  readonly tolerance?: Tolerance;
  /** No f32 element of the results is -0: adding 0 to one changes no bit. */
  readonly plainZeros?: boolean;
  /** Whether the result may be a number where an operand is NaN: shaders may assume that there are none. */
  readonly hidesNan?: boolean;
  /** Whether rounding may decide an element of the results: tests leave it out. */
  unstable?(inputs: readonly NDArray[], attrs: Attrs): (result: number, at: number) => boolean;
  cost?(inputs: readonly ValueType[], outputs: readonly ValueType[], attrs: Attrs): Cost;
  /** Sizes for the benchmark. */
  readonly perf?: readonly OpCase[];
  /** Not for users: how it is reached and tested instead of through cases of its own. */
  readonly internal?: string;
  /** Results that may be read, by name, where there are several. */
  readonly resultNames?: readonly string[];
}

export interface OpFunction {
  readonly op: OpDef;
}

/** Bytes that the inputs and results of a call hold. */
export function bytesOf(types: readonly ValueType[]): number {
  let b = 0;
  for (const t of types) b += 4 * t.shape.reduce((x, y) => x * y, 1);
  return b;
}

export type { Value };

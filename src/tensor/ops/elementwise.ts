/** Elementwise primitives, one object each: an op added here is tested, documented and benchmarked as it stands. */
import type { DType } from "../dtype.ts";
import { DTypeError } from "../errors.ts";
import type { MapContext, OpFunction } from "../opdef.ts";
import type { Tensor } from "../tensor.ts";
import { apply, composite, requireTensor, type TensorLike, unchanged } from "../trace.ts";
import { binary, broadcastAll, cotangent, defineMap, unary } from "./define.ts";

const FLOAT = ["f32"] as const;
const NUMBER = ["f32", "i32", "u32"] as const;
const INTEGER = ["u32", "i32"] as const;
const BOOL = ["bool"] as const;

/** Brings an exact result into the range of an integer dtype, as WGSL wraps. */
function wrap(v: number, dtype: DType): number {
  return dtype === "u32" ? v >>> 0 : dtype === "i32" ? v | 0 : v;
}

function zeros(x: Tensor): Tensor {
  return mul(x, 0);
}

// ---------------------------------------------------------------- arithmetic

export const add = binary({
  name: "add",
  doc: "a + b; integers wrap.",
  dtypes: NUMBER,
  wgsl: ([a, b]) => `(${a} + ${b})`,
  ref: ([a, b], d) => wrap(a + b, d),
  vjp: (c) => [cotangent(c), cotangent(c)],
});

export const sub = binary({
  name: "sub",
  doc: "a - b; integers wrap.",
  dtypes: NUMBER,
  wgsl: ([a, b]) => `(${a} - ${b})`,
  ref: ([a, b], d) => wrap(a - b, d),
  vjp: (c) => [cotangent(c), neg(cotangent(c))],
});

export const mul = binary({
  name: "mul",
  doc: "a * b; integers wrap.",
  dtypes: NUMBER,
  wgsl: ([a, b]) => `(${a} * ${b})`,
  ref: ([a, b], d) => (d === "f32" ? a * b : wrap(Math.imul(a, b), d)),
  vjp: (c) => [mul(cotangent(c), c.inputs[1]), mul(cotangent(c), c.inputs[0])],
});

export const div = binary({
  name: "div",
  doc: "a / b; integers truncate, and division by 0 gives a as WGSL says.",
  dtypes: NUMBER,
  domain: [{}, { awayFromZero: 0.3 }],
  wgsl: ([a, b]) => `(${a} / ${b})`,
  ref: ([a, b], d) => (d === "f32" ? a / b : b === 0 ? a : wrap(Math.trunc(a / b), d)),
  weight: 4,
  vjp: (c) => {
    const ga = div(cotangent(c), c.inputs[1]);
    return [ga, neg(mul(ga, c.outputs[0]))];
  },
  tolerance: { forward: 1e-6 },
});

export const rem = binary({
  name: "rem",
  doc: "Remainder of the truncated integer division; by 0 it is 0.",
  dtypes: INTEGER,
  domain: [{ range: [0, 100] }, { range: [1, 9] }],
  wgsl: ([a, b]) => `(${a} % ${b})`,
  ref: ([a, b]) => (b === 0 ? 0 : a % b),
  weight: 4,
});

/** The larger of a and b. Where one is NaN the result may be the other: shaders may assume that there are none. */
export const maximum = binary({
  name: "maximum",
  hidesNan: true,
  doc: "The larger of a and b.",
  dtypes: NUMBER,
  domain: [{ distinct: true }, { distinct: true, range: [-2.1, 2.3] }],
  wgsl: ([a, b]) => `max(${a}, ${b})`,
  ref: ([a, b]) => Math.max(a, b),
  vjp: (c) => {
    const first = ge(c.inputs[0], c.inputs[1]);
    return [where(first, cotangent(c), 0), where(first, 0, cotangent(c))];
  },
});

/** The smaller of a and b. Where one is NaN the result may be the other: shaders may assume that there are none. */
export const minimum = binary({
  name: "minimum",
  hidesNan: true,
  doc: "The smaller of a and b.",
  dtypes: NUMBER,
  domain: [{ distinct: true }, { distinct: true, range: [-2.1, 2.3] }],
  wgsl: ([a, b]) => `min(${a}, ${b})`,
  ref: ([a, b]) => Math.min(a, b),
  vjp: (c) => {
    const first = le(c.inputs[0], c.inputs[1]);
    return [where(first, cotangent(c), 0), where(first, 0, cotangent(c))];
  },
});

export const neg = unary({
  name: "neg",
  doc: "-x.",
  dtypes: ["f32", "i32"],
  wgsl: ([x]) => `(-${x})`,
  ref: ([x], d) => wrap(-x, d),
  vjp: (c) => [neg(cotangent(c))],
});

export const abs = unary({
  name: "abs",
  doc: "Absolute value; its gradient at 0 is 0.",
  dtypes: ["f32", "i32"],
  domain: { awayFromZero: 0.05 },
  wgsl: ([x]) => `abs(${x})`,
  ref: ([x], d) => wrap(Math.abs(x), d),
  vjp: (c) => [mul(cotangent(c), sign(c.inputs[0]))],
});

/** -1, 0 or 1. Of NaN it may be 0: shaders may assume that there are none. */
export const sign = unary({
  name: "sign",
  hidesNan: true,
  doc: "-1, 0 or 1.",
  dtypes: ["f32", "i32"],
  domain: { awayFromZero: 0.05 },
  wgsl: ([x]) => `sign(${x})`,
  ref: ([x]) => Math.sign(x),
  vjp: (c) => [zeros(c.inputs[0])],
});

export const floor = unary({
  name: "floor",
  doc: "Largest integer not above x.",
  dtypes: FLOAT,
  domain: { awayFromZero: 0.05 },
  wgsl: ([x]) => `floor(${x})`,
  ref: ([x]) => Math.floor(x),
});

// ---------------------------------------------------------------- transcendental

export const exp = unary({
  name: "exp",
  doc: "e^x.",
  dtypes: FLOAT,
  wgsl: ([x]) => `exp(${x})`,
  ref: ([x]) => Math.exp(x),
  weight: 8,
  vjp: (c) => [mul(cotangent(c), c.outputs[0])],
  tolerance: { forward: 4e-6, reason: "WGSL allows 3 + 2|x| ULP" },
});

const inverseRoot = (x: string, ctx: MapContext): string => `(${ctx.literal(1, "f32")} / sqrt(${x}))`;

/** Natural logarithm. Of 0, of negative numbers and of NaN it may be a number: WGSL defines it above 0 only. */
export const log = unary({
  name: "log",
  hidesNan: true,
  doc: "Natural logarithm, inexact below 2^-126.",
  dtypes: FLOAT,
  domain: { range: [0.05, 4] },
  wgsl: ([x]) => `log(${x})`,
  // Bits tell 0 from what is below 2^-126, which a comparison of floats may take for 0.
  watched: ([x], ctx) =>
    `select(log(${x}), -${inverseRoot(x, ctx)}, bitcast<${ctx.type("i32")}>(${x}) <= ${ctx.literal(0, "i32")})`,
  ref: ([x]) => Math.log(x),
  weight: 8,
  vjp: (c) => [div(cotangent(c), c.inputs[0])],
  tolerance: { forward: 4e-6, absolute: 4.8e-7, reason: "WGSL allows 3 ULP, and 2^-21 absolute near 1" },
});

export const sqrt = unary({
  name: "sqrt",
  doc: "Square root.",
  dtypes: FLOAT,
  domain: { range: [0.05, 4] },
  wgsl: ([x]) => `sqrt(${x})`,
  ref: ([x]) => Math.sqrt(x),
  weight: 4,
  vjp: (c) => [div(mul(cotangent(c), 0.5), c.outputs[0])],
});

export const rsqrt = unary({
  name: "rsqrt",
  doc: "1 / sqrt(x), by division: builtins may be 2 ULP off.",
  dtypes: FLOAT,
  domain: { range: [0.05, 4] },
  wgsl: ([x], ctx) => inverseRoot(x, ctx),
  ref: ([x]) => 1 / Math.sqrt(x),
  weight: 8,
  vjp: (c) => [mul(mul(cotangent(c), -0.5), div(c.outputs[0], c.inputs[0]))],
});

/** Hyperbolic tangent. Of NaN it may be a number (0): shaders may assume that there are none. */
export const tanh = unary({
  name: "tanh",
  hidesNan: true,
  doc: "Hyperbolic tangent, accurate near 0 too.",
  dtypes: FLOAT,
  helpers: ["tanh"],
  wgsl: ([x], ctx) => `tanh_${ctx.type("f32") === "f32" ? 1 : 4}(${x})`,
  ref: ([x]) => Math.tanh(x),
  weight: 14,
  vjp: (c) => [mul(cotangent(c), sub(1, mul(c.outputs[0], c.outputs[0])))],
  tolerance: { forward: 4e-6, reason: "built on exp" },
});

/** 1 / (1 + e^-x). Of NaN it may be a number (near 0): shaders may assume that there are none. */
export const sigmoid = unary({
  name: "sigmoid",
  hidesNan: true,
  doc: "1 / (1 + e^-x), without overflow.",
  dtypes: FLOAT,
  helpers: ["sigmoid"],
  wgsl: ([x], ctx) => `sigmoid_${ctx.type("f32") === "f32" ? 1 : 4}(${x})`,
  ref: ([x]) => 1 / (1 + Math.exp(-x)),
  weight: 12,
  vjp: (c) => [mul(cotangent(c), mul(c.outputs[0], sub(1, c.outputs[0])))],
  tolerance: { forward: 4e-6, reason: "built on exp" },
});

export const sin = unary({
  name: "sin",
  doc: "Sine of x in radians.",
  dtypes: FLOAT,
  wgsl: ([x]) => `sin(${x})`,
  ref: ([x]) => Math.sin(x),
  weight: 8,
  vjp: (c) => [mul(cotangent(c), cos(c.inputs[0]))],
  tolerance: { absolute: 4.9e-4, reason: "WGSL allows 2^-11 absolute on [-pi, pi]" },
});

export const cos = unary({
  name: "cos",
  doc: "Cosine of x in radians.",
  dtypes: FLOAT,
  wgsl: ([x]) => `cos(${x})`,
  ref: ([x]) => Math.cos(x),
  weight: 8,
  vjp: (c) => [neg(mul(cotangent(c), sin(c.inputs[0])))],
  tolerance: { absolute: 4.9e-4, reason: "WGSL allows 2^-11 absolute on [-pi, pi]" },
});

// ---------------------------------------------------------------- comparison, logic, choice

const comparison = (name: string, doc: string, sym: string, ref: (a: number, b: number) => boolean) =>
  binary({
    name,
    doc,
    signature: "a[...], b[...] -> [...] bool",
    dtypes: NUMBER,
    domain: [{ range: [-2, 2] }, { range: [-2, 2] }],
    result: () => "bool",
    wgsl: ([a, b]) => `(${a} ${sym} ${b})`,
    ref: ([a, b]) => (ref(a, b) ? 1 : 0),
    noGradient: "piecewise constant",
  });

export const eq = comparison("eq", "a == b.", "==", (a, b) => a === b);
export const ne = comparison("ne", "a != b.", "!=", (a, b) => a !== b);
export const lt = comparison("lt", "a < b.", "<", (a, b) => a < b);
export const le = comparison("le", "a <= b.", "<=", (a, b) => a <= b);
export const gt = comparison("gt", "a > b.", ">", (a, b) => a > b);
export const ge = comparison("ge", "a >= b.", ">=", (a, b) => a >= b);

export const and = binary({
  name: "and",
  doc: "Both are true.",
  dtypes: BOOL,
  domain: [{ range: [0, 1] }, { range: [0, 1] }],
  wgsl: ([a, b]) => `(${a} & ${b})`,
  ref: ([a, b]) => a * b,
});

export const or = binary({
  name: "or",
  doc: "At least one is true.",
  dtypes: BOOL,
  domain: [{ range: [0, 1] }, { range: [0, 1] }],
  wgsl: ([a, b]) => `(${a} | ${b})`,
  ref: ([a, b]) => Math.max(a, b),
});

export const not = unary({
  name: "not",
  doc: "The opposite.",
  dtypes: BOOL,
  domain: { range: [0, 1] },
  wgsl: ([x]) => `(!${x})`,
  ref: ([x]) => 1 - x,
});

const bits = {
  dtypes: ["u32"] as const,
  domain: [{ range: [0, 4294967295] as const }, { range: [0, 4294967295] as const }],
};

export const bitAnd = binary({
  name: "bitAnd",
  doc: "Bitwise and.",
  ...bits,
  wgsl: ([a, b]) => `(${a} & ${b})`,
  ref: ([a, b]) => (a & b) >>> 0,
});
export const bitOr = binary({
  name: "bitOr",
  doc: "Bitwise or.",
  ...bits,
  wgsl: ([a, b]) => `(${a} | ${b})`,
  ref: ([a, b]) => (a | b) >>> 0,
});
export const bitXor = binary({
  name: "bitXor",
  doc: "Bitwise exclusive or.",
  ...bits,
  wgsl: ([a, b]) => `(${a} ^ ${b})`,
  ref: ([a, b]) => (a ^ b) >>> 0,
});
export const shiftRight = binary({
  name: "shiftRight",
  doc: "Logical shift right by b mod 32 bits.",
  dtypes: ["u32"],
  domain: [{ range: [0, 4294967295] }, { range: [0, 31] }],
  wgsl: ([a, b], ctx) => `(${a} >> (${b} & ${ctx.literal(31, "u32")}))`,
  ref: ([a, b]) => a >>> (b & 31),
});

const whereOp = defineMap({
  name: "where",
  doc: "a where the condition holds, else b.",
  signature: "condition[...] bool, a[...], b[...] -> [...]",
  dtypes: ["f32", "i32", "u32", "bool"],
  inputDTypes: (d) => ["bool", d, d],
  domain: [{ range: [0, 1] }, {}, {}],
  wgsl: ([c, a, b]) => `select(${b}, ${a}, ${c})`,
  ref: ([c, a, b]) => (c ? a : b),
  vjp: (x) => [null, where(x.inputs[0], cotangent(x), 0), where(x.inputs[0], 0, cotangent(x))],
});

/** `a` where `condition` holds, else `b`; broadcasts. */
export const where: ((condition: TensorLike, a: TensorLike, b: TensorLike) => Tensor) & OpFunction =
  Object.assign(
    composite((c: TensorLike, a: TensorLike, b: TensorLike): Tensor => {
      const [x, y] = broadcastAll("where", [a, b]);
      const [cc, xx] = broadcastAll("where", [c, x]);
      const [yy] = broadcastAll("where", [y, xx]);
      return apply(whereOp, [cc, xx, yy])[0];
    }, "where"),
    { op: whereOp },
  );

const castOp = defineMap({
  name: "cast",
  doc: "Converts the dtype: floats truncate towards 0 and saturate, integers wrap, bool is x != 0.",
  dtypes: ["f32", "i32", "u32", "bool"],
  domain: [{ range: [-3, 3] }],
  result: (_i, attrs) => attrs.to as DType,
  attrCases: [{ to: "f32" }, { to: "i32" }, { to: "u32" }, { to: "bool" }],
  wgsl: ([x], ctx) => {
    const to = ctx.attrs.to as DType;
    const from = ctx.inputTypes[0].dtype;
    if (from === to) return x;
    if (to === "bool") return `(${x} != ${ctx.literal(0, from)})`;
    if (from === "bool") return `select(${ctx.literal(0, to)}, ${ctx.literal(1, to)}, ${x})`;
    if (from === "f32" && to === "u32") return `${ctx.type(to)}(max(${x}, ${ctx.literal(0, "f32")}))`;
    return `${ctx.type(to)}(${x})`;
  },
  ref: ([x], from, attrs) => {
    const to = attrs.to as DType;
    if (to === "bool") return x === 0 ? 0 : 1;
    if (to === "f32" || from === "bool") return x;
    if (from === "f32") {
      const t = Math.trunc(x);
      return to === "u32"
        ? Math.min(Math.max(t, 0), 4294967295)
        : Math.min(Math.max(t, -2147483648), 2147483647);
    }
    return wrap(x, to);
  },
  vjp: (c) => [c.inputs[0].dtype === "f32" && c.attrs.to === "f32" ? cotangent(c) : null],
});

/** Converts to another dtype; to its own, outside `compile`, it is a second handle on the same memory. */
export const cast: ((x: Tensor, to: DType) => Tensor) & OpFunction = Object.assign(
  (x: Tensor, to: DType): Tensor => {
    if (!["f32", "i32", "u32", "bool"].includes(to)) {
      throw new DTypeError(
        `cast: f32, i32, u32 or bool was expected, got ${to}. Storage types are chosen elsewhere.`,
      );
    }
    requireTensor("cast", x);
    return x.dtype === to ? unchanged("cast", x) : apply(castOp, [x], { to })[0];
  },
  { op: castOp },
);

/** The same numbers in memory of their own. */
export const copy = unary({
  name: "copy",
  doc: "The same numbers in memory of their own.",
  dtypes: ["f32", "i32", "u32", "bool"],
  wgsl: ([x]) => x,
  ref: ([x]) => x,
  vjp: (c) => [cotangent(c)],
});

// ---------------------------------------------------------------- compositions

/** Square. */
export const square = composite((x: TensorLike) => mul(x, x), "square");

/** x * sigmoid(x). Source: arXiv 1702.03118. */
export const silu = composite((x: TensorLike) => mul(x, sigmoid(x)), "silu");

/** GELU, tanh form: 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))). Source: arXiv 1606.08415. */
export const gelu = composite((x: TensorLike) => {
  const inner = mul(add(x, mul(mul(mul(x, x), x), 0.044715)), 0.7978845608028654);
  return mul(mul(x, 0.5), add(1, tanh(inner)));
}, "gelu");

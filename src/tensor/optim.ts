/**
 * AdamW over flat segments, with clipping by the global norm, as one program that also zeroes the gradients:
 *
 *     g = gradient * gradScale;   c = min(1, maxGradNorm / (|g| + 1e-6));   g = c g
 *     m = b1 m + (1 - b1) g;      v = b2 v + (1 - b2) g^2
 *     p = p - lr weightDecay p - lr / (1 - b1^t) * m / (sqrt(v / (1 - b2^t)) + eps)
 *
 * Source: arXiv 1711.05101, algorithm 2, in PyTorch's order of operations (`torch.optim.AdamW`, `clip_grad_norm_`).
 */
import { differentiate } from "./autodiff.ts";
import { assign, type Compiled, compile } from "./compile.ts";
import { type FlatLayout, FlatTensors, SEGMENT_ALIGN, tensor } from "./create.ts";
import { ConfigError, TensorError } from "./errors.ts";
import { pow } from "./math.ts";
import type { LandRows } from "./opdef.ts";
import { ops } from "./ops/index.ts";
import { CHUNK_ROWS } from "./ops/rowBlocks.ts";
import type { Shape } from "./shape.ts";
import { requireKnown } from "./suggest.ts";
import type { Tensor } from "./tensor.ts";
import { currentTrace } from "./trace.ts";

export interface AdamWStep {
  /** Learning rate. */
  lr: number;
  /** Count of this update, from 1: what the bias corrections see. */
  step: number;
  /** Default 0.9. */
  beta1?: number;
  /** Default 0.999. */
  beta2?: number;
  /** Default 1e-8. */
  eps?: number;
  /** Default 0.01. */
  weightDecay?: number;
  /** Largest norm of the whole gradient; default: not clipped. */
  maxGradNorm?: number;
  /** Multiplies the accumulated gradient first: 1 / normaliser. Default 1. */
  gradScale?: number;
}

/** A norm that clips nothing, and whose quotients stay finite. */
export const UNCLIPPED = 1e30;

/** Elements that one row of the first stage of the norm sums. */
const NORM_ROW = 1024;

/** Sum of squares of a vector `[N]` in two stages of fixed shape. */
function sumOfSquares(x: Tensor): Tensor {
  const n = x.shape[0];
  const rows = Math.ceil(n / NORM_ROW);
  if (rows <= 1) return ops.sum(ops.square(x));
  const padded = ops.pad(ops.square(x), [0], [rows * NORM_ROW - n]);
  return ops.sum(ops.sum(ops.reshape(padded, [rows, NORM_ROW]), 1)); // [rows] -> []
}

/** Norm over all elements of flat segments. Padding is 0 and adds nothing. */
export function globalNorm(segments: readonly Tensor[]): Tensor {
  const parts = segments.map(sumOfSquares);
  return ops.sqrt(parts.slice(1).reduce((a, b) => ops.add(a, b), parts[0]));
}

/** Adds `gradients` to the states of the same names, in place: for use inside `compile`. */
export function accumulate(
  into: Readonly<Record<string, Tensor>>,
  gradients: Readonly<Record<string, Tensor>>,
): void {
  for (const [name, g] of Object.entries(gradients)) assign(into[name], ops.add(into[name], g));
}

/**
 * `fn`'s value, its gradient added to the states of the same names: for use inside `compile`. As `valueAndGrad` and
 * `accumulate`, but parts of a gradient that are computed one after another (of a large output layer) are added one after
 * another as well, and never stand side by side.
 */
export function accumulateGrad<A extends readonly unknown[], X = undefined>(
  into: Readonly<Record<string, Tensor>>,
  fn: (params: Readonly<Record<string, Tensor>>, ...rest: A) => Tensor | readonly [Tensor, X],
): (params: Readonly<Record<string, Tensor>>, ...rest: A) => { value: Tensor; aux: X } {
  return (params, ...rest) => {
    const trace = currentTrace();
    if (!trace) {
      throw new TensorError(
        "accumulateGrad: an open trace was expected, got a call outside compile. Compile the step, gradients as state.",
      );
    }
    const names = Object.keys(params);
    const landed = new Set<string>();
    const landing = (position: number): LandRows => {
      const name = names[position];
      return (start, part) => {
        landed.add(name);
        addRows(into[name], start, part);
      };
    };
    const { value, grads, aux } = differentiate(trace, fn, params, rest, landing);
    grads.forEach((g, i) => {
      const name = names[i];
      if (!landed.has(name)) accumulate(into, { [name]: g ?? ops.full(params[name].shape, 0) });
      else if (g) for (const [start, part] of rowParts(g)) addRows(into[name], start, part);
    });
    return { value, aux };
  };
}

/** A gradient that comes in one piece where parts have landed before, in parts as well: one at a time is alive. */
function rowParts(g: Tensor): [number, Tensor][] {
  const [rows, ...rest] = g.shape;
  return Array.from({ length: Math.ceil(rows / CHUNK_ROWS) }, (_, i) => {
    const from = i * CHUNK_ROWS;
    const to = Math.min(from + CHUNK_ROWS, rows);
    return [from, ops.slice(g, [from, ...rest.map(() => 0)], [to, ...rest])];
  });
}

/** Adds to a window of rows of a state, in place. */
function addRows(state: Tensor, start: number, part: Tensor): void {
  const [rows, ...rest] = part.shape;
  const old = ops.slice(state, [start, ...rest.map(() => 0)], [start + rows, ...rest]);
  assign(state, ops.updateAt(state, ops.add(old, part), ops.full([], start, "u32"), 0));
}

type Numbers = Readonly<
  Record<"decay" | "rate" | "b1" | "c1" | "b2" | "c2" | "correction" | "eps" | "maxNorm" | "scale", number>
>;
type Segments = readonly Tensor[];
type Program = Compiled<[Segments, Segments, Segments, Segments, Segments, Numbers], Tensor>;

/**
 * One update of flat segments [N], which are states of the open trace; `decayed` as of `decayMasks`. Returns the norm of the
 * scaled gradient.
 */
export function adamwUpdate(
  p: Segments,
  g: Segments,
  m: Segments,
  v: Segments,
  decayed: Segments,
  given: Numbers,
): Tensor {
  // Numbers are scalar tensors inside a compiled function.
  const n = given as unknown as Readonly<Record<keyof Numbers, Tensor>>;
  const norm = ops.mul(globalNorm(g), n.scale);
  const factor = ops.mul(n.scale, ops.minimum(1, ops.div(n.maxNorm, ops.add(norm, 1e-6))));
  p.forEach((_, i) => {
    const grad = ops.mul(g[i], factor);
    const m1 = ops.add(ops.mul(n.b1, m[i]), ops.mul(n.c1, grad));
    const v1 = ops.add(ops.mul(n.b2, v[i]), ops.mul(n.c2, ops.square(grad)));
    const kept = ops.sub(p[i], ops.mul(ops.mul(n.decay, spread(decayed[i], p[i])), p[i]));
    const denominator = ops.add(ops.mul(ops.sqrt(v1), n.correction), n.eps);
    assign(p[i], ops.sub(kept, ops.mul(n.rate, ops.div(m1, denominator))));
    assign(m[i], m1);
    assign(v[i], v1);
    assign(g[i], ops.full(g[i].shape, 0));
  });
  return norm;
}

/** A number for each element of `segment` [N], from a mask of one for every so many. */
export function spread(mask: Tensor, segment: Tensor): Tensor {
  const shape = [mask.size, segment.size / mask.size];
  return ops.reshape(ops.broadcastTo(ops.reshape(mask, [mask.size, 1]), shape), segment.shape);
}

export interface AdamWOptions {
  /** Which parameters decay; default those of two axes or more. */
  decays?: (name: string, shape: Shape) => boolean;
}

/**
 * For each of the layout's segments a number for every `SEGMENT_ALIGN` elements of it: 1 where weights decay, by default in parts
 * of two axes or more, else 0.
 */
export function decayMasks(
  layout: FlatLayout,
  decays: (name: string, shape: Shape) => boolean = (_, shape) => shape.length >= 2,
): Tensor[] {
  const masks = layout.segments.map((n) => new Float32Array(n / SEGMENT_ALIGN));
  for (const part of layout.parts) {
    const count = part.shape.reduce((a, b) => a * b, 1);
    const { name, shape } = part.whole ?? part;
    if (decays(name, shape)) {
      masks[part.segment].fill(
        1,
        part.offset / SEGMENT_ALIGN,
        Math.ceil((part.offset + count) / SEGMENT_ALIGN),
      );
    }
  }
  return masks.map((mask) => tensor(mask));
}

/** AdamW for one set of flat parameters; owns their gradients and moments. */
export class AdamW {
  readonly params: FlatTensors;
  /** Where gradients are accumulated; 0 after each step. */
  readonly grads: FlatTensors;
  /** First and second moments. */
  readonly m: FlatTensors;
  readonly v: FlatTensors;
  private readonly decayed: readonly Tensor[];
  private readonly program: Program;

  constructor(params: FlatTensors, options: AdamWOptions = {}) {
    const { layout } = params;
    this.params = params;
    this.grads = new FlatTensors(layout, "grads");
    this.m = new FlatTensors(layout, "m");
    this.v = new FlatTensors(layout, "v");
    this.decayed = decayMasks(layout, options.decays);
    this.program = compile(adamwUpdate, { state: [0, 1, 2, 3], label: "adamw" }) as unknown as Program;
  }

  /**
   * Updates the parameters from the accumulated gradients, which become 0. Returns the norm of the scaled gradient
   * before clipping, a scalar tensor that the caller owns. Throws `ConfigError` for values out of range.
   */
  step(given: AdamWStep): Tensor {
    const { params: p, grads: g, m, v } = this;
    return this.program(p.flat, g.flat, m.flat, v.flat, this.decayed, adamwNumbers(given));
  }

  /** Programs built so far. */
  get programs(): number {
    return this.program.programs;
  }

  /** Releases gradients, moments and the program; the parameters stay. */
  dispose(): void {
    this.program.dispose();
    this.grads.dispose();
    this.m.dispose();
    this.v.dispose();
    for (const t of this.decayed) t.dispose();
  }
}

function check(name: string, value: unknown, good: boolean, expected: string): void {
  if (!good) throw new ConfigError(`adamw: ${name}: ${expected} expected, got ${value}. Check the schedule.`);
}

/** What `adamwUpdate` takes of a step. Throws `ConfigError` for values out of range. */
export function adamwNumbers(given: AdamWStep): Numbers {
  const { lr, step, beta1, beta2, eps, weightDecay, maxGradNorm, gradScale } = checkAdamWStep(given);
  return {
    decay: lr * weightDecay,
    rate: lr / (1 - pow(beta1, step)),
    b1: beta1,
    c1: 1 - beta1,
    b2: beta2,
    c2: 1 - beta2,
    correction: 1 / Math.sqrt(1 - pow(beta2, step)),
    eps,
    maxNorm: Math.min(maxGradNorm ?? UNCLIPPED, UNCLIPPED),
    scale: gradScale,
  };
}

const STEP_KEYS: readonly (keyof AdamWStep)[] = [
  "lr",
  "step",
  "beta1",
  "beta2",
  "eps",
  "weightDecay",
  "maxGradNorm",
  "gradScale",
];

/** The step with its defaults. Throws `ConfigError` for numbers out of range: to be asked before any gradient is computed. */
export function checkAdamWStep(given: AdamWStep) {
  requireKnown("adamw", given, STEP_KEYS);
  const {
    lr,
    step,
    beta1 = 0.9,
    beta2 = 0.999,
    eps = 1e-8,
    weightDecay = 0.01,
    maxGradNorm,
    gradScale = 1,
  } = given;
  const natural = (x: number): boolean => x >= 0 && Number.isFinite(x);
  check("lr", lr, natural(lr), "a finite number of at least 0");
  check("step", step, Number.isInteger(step) && step >= 1, "an integer of at least 1");
  check("beta1", beta1, beta1 >= 0 && beta1 < 1, "a number in [0, 1)");
  check("beta2", beta2, beta2 >= 0 && beta2 < 1, "a number in [0, 1)");
  check("eps", eps, eps > 0 && eps < 1, "a number in (0, 1)");
  check("weightDecay", weightDecay, natural(weightDecay), "a finite number of at least 0");
  check("maxGradNorm", maxGradNorm, maxGradNorm === undefined || maxGradNorm > 0, "a number above 0");
  check("gradScale", gradScale, natural(gradScale), "a finite number of at least 0");
  return { lr, step, beta1, beta2, eps, weightDecay, maxGradNorm, gradScale };
}

/**
 * Whole programs to check beside single ops: a training step of two small transformers, random numbers, a cache written
 * in place, a grid that one axis does not hold. Each is a `Call` with what is right computed in plain JavaScript.
 */

import { type ModelOptions, modelConfig } from "../model/config.ts";
import { parameterSpecs } from "../model/parameters.ts";
import { tokenLogProbs } from "../model/scoring.ts";
import { Transformer } from "../model/transformer.ts";
import { valueAndGrad } from "../tensor/autodiff.ts";
import { withBackend } from "../tensor/backend.ts";
import { assign, traceCall, u32 } from "../tensor/compile.ts";
import { tensor } from "../tensor/create.ts";
import { interpret } from "../tensor/interpreter.ts";
import { type Graph, roots } from "../tensor/ir.ts";
import { type NDArray, ndarray } from "../tensor/ndarray.ts";
import { ops } from "../tensor/ops/index.ts";
import { adamwNumbers, adamwUpdate } from "../tensor/optim.ts";
import { philox, Rng, Stream, uniform24 } from "../tensor/random.ts";
import { ReferenceBackend } from "../tensor/reference.ts";
import { numel } from "../tensor/shape.ts";
import { isTensor, type Tensor } from "../tensor/tensor.ts";
import { mapTree } from "../tensor/tree.ts";
import { Call, type Wanted } from "./calls.ts";
import type { Accept } from "./compare.ts";

export interface WholeProgram {
  /** Kebab case, so that no op has the same name. */
  readonly name: string;
  /** One line: what it runs. */
  readonly does: string;
  call(seed: number): Promise<Call>;
}

/** Equal in every bit. */
const EXACT: Accept = { relative: 0 };

/** Of a step's results: 1e-5 of the largest element, and 1e-4 of each. */
const STEP: Accept = { relative: 1e-4, floor: 0.1 };

/** Substream of a program's draws: cases of the op table count from 0. */
const SUBSTREAM = 0x70726f67;

interface Traced {
  graph: Graph;
  inputs: NDArray[];
}

/** Traces `fn`, whose arguments `make` creates; they and what `fn` captures live in plain JavaScript. */
async function traced<A extends readonly unknown[]>(
  make: () => { fn: (...args: A) => unknown; args: A; state?: readonly number[] },
): Promise<Traced> {
  const leaves: unknown[] = [];
  const { graph, captures } = withBackend(new ReferenceBackend(), () => {
    const { fn, args, state } = make();
    mapTree(args, (leaf) => leaves.push(leaf));
    return traceCall(fn as (...args: never[]) => unknown, args, { state });
  });
  const inputs = [...leaves, ...captures].map(async (leaf, i) => {
    const { shape, dtype } = graph.inputs[i];
    const given = isTensor(leaf) ? await leaf.data() : [Number((leaf as { scalar?: number }).scalar ?? leaf)];
    const data = dtype === "f32" ? Float64Array.from(given, Math.fround) : given;
    return ndarray(shape, dtype, data);
  });
  return { graph, inputs: await Promise.all(inputs) };
}

/** A call that is compared with the float64 interpreter. */
function interpreted(name: string, { graph, inputs }: Traced, accept: Accept): Call {
  return new Call(name, graph, inputs, () =>
    interpret(graph, inputs, roots(graph)).map((value): Wanted => ({ value, accept })),
  );
}

/** One AdamW step on the mean loss of a few rows: loss, norm, parameters, moments, gradients that are 0 again. */
async function trainingStep(name: string, options: ModelOptions, seed: number): Promise<Call> {
  const config = modelConfig(options);
  const specs = parameterSpecs(config);
  const rng = new Rng(seed, Stream.test, SUBSTREAM);
  const [rows, length] = [3, 13];
  const program = await traced(() => {
    const model = new Transformer(config);
    const draw = (kind: string): number =>
      kind === "scale" ? 1 + 0.2 * rng.normal() : kind === "bias" ? 0.2 * rng.normal() : 0.3 * rng.normal();
    const vectors = (f: (kind: string, shape: readonly number[]) => number): Tensor[] =>
      specs.map(({ kind, shape }) =>
        tensor(Float64Array.from({ length: numel(shape) }, () => f(kind, shape))),
      );
    const words = Uint32Array.from({ length: rows * length }, () => rng.int(config.vocabSize));
    const named = (list: readonly Tensor[]): Record<string, Tensor> =>
      Object.fromEntries(specs.map((spec, i) => [spec.name, ops.reshape(list[i], spec.shape)]));
    const fn = (
      p: Tensor[],
      g: Tensor[],
      m: Tensor[],
      v: Tensor[],
      decayed: Tensor[],
      tokens: Tensor,
      numbers: ReturnType<typeof adamwNumbers>,
    ): Tensor[] => {
      const loss = (q: Record<string, Tensor>): Tensor =>
        ops.neg(ops.mean(tokenLogProbs(model, q, tokens).logProbs));
      const { value, grad } = valueAndGrad(loss)(named(p));
      specs.forEach((spec, i) => {
        assign(g[i], ops.add(g[i], ops.reshape(grad[spec.name], [-1])));
      });
      return [value, adamwUpdate(p, g, m, v, decayed, numbers)];
    };
    const numbers = adamwNumbers({
      lr: 0.05,
      step: 2,
      beta2: 0.9,
      eps: 1e-2,
      maxGradNorm: 1,
      weightDecay: 0.1,
    });
    return {
      fn,
      args: [
        vectors(draw),
        vectors(() => 0.02 * rng.normal()),
        vectors(() => 0),
        vectors(() => 0.01 * rng.uniform()),
        vectors((_, shape) => (shape.length >= 2 ? 1 : 0)),
        tensor(words, { shape: [rows, length], dtype: "u32" }),
        numbers,
      ] as Parameters<typeof fn>,
      state: [0, 1, 2, 3],
    };
  });
  return interpreted(name, program, STEP);
}

const SMALL = { vocabSize: 37, hiddenSize: 20, intermediateSize: 28, numLayers: 2, maxPositions: 16 };

/** Draws of the random stream: more than one workgroup, and not a whole number of them. */
const DRAWS = 5003;

async function philoxStream(name: string, seed: number): Promise<Call> {
  const rng = new Rng(seed, Stream.test, SUBSTREAM);
  const [c1, c2, c3, k0, k1] = Array.from({ length: 5 }, () => rng.next());
  const { graph, inputs } = await traced(() => ({
    fn: (...words: unknown[]) => {
      const [a, b, c, low, high] = words as Tensor[];
      const bits = ops.randomBits([ops.iota([DRAWS]), a, b, c], [low, high]);
      return [bits, ops.uniformFromBits(bits)];
    },
    args: [c1, c2, c3, k0, k1].map(u32) as unknown[],
  }));
  return new Call(name, graph, inputs, () => {
    const bits = Float64Array.from({ length: DRAWS }, (_, i) => philox([i, c1, c2, c3], [k0, k1])[0]);
    return [
      { value: ndarray([DRAWS], "u32", bits), accept: EXACT },
      { value: ndarray([DRAWS], "f32", bits.map(uniform24)), accept: EXACT },
    ];
  });
}

/** One element more than 65,535 workgroups of 64 hold. */
const LARGE = 65535 * 64 + 1;
const PERIOD = 1021;

async function largeGrid(name: string): Promise<Call> {
  const { graph, inputs } = await traced(() => ({
    fn: () => ops.rem(ops.iota([LARGE]), PERIOD),
    args: [] as [],
  }));
  return new Call(name, graph, inputs, () => {
    const value = { shape: [LARGE], dtype: "u32" as const, data: new Float64Array(LARGE) };
    for (let i = 0; i < LARGE; i++) value.data[i] = i % PERIOD;
    return [{ value, accept: EXACT }];
  });
}

async function cacheInPlace(name: string, seed: number): Promise<Call> {
  const rng = new Rng(seed, Stream.test, SUBSTREAM);
  const drawn = (shape: number[]): Tensor =>
    tensor(
      Float32Array.from({ length: numel(shape) }, () => 4 * rng.uniform() - 2),
      { shape },
    );
  const program = await traced(() => ({
    fn: (cache: Tensor, fresh: Tensor, at: unknown) => {
      assign(cache, ops.updateAt(cache, fresh, at as Tensor, 1));
      return ops.max(cache, 2);
    },
    args: [drawn([3, 70, 5]), drawn([3, 2, 5]), u32(rng.int(69))] as [Tensor, Tensor, unknown],
    state: [0],
  }));
  return interpreted(name, program, EXACT);
}

export const WHOLE_PROGRAMS: readonly WholeProgram[] = [
  {
    name: "gpt2-step",
    does: "one AdamW step of a small transformer: LayerNorm, learned positions, GELU",
    call: (seed) => {
      const biases = { qkvBias: true, outputBias: true, mlpBias: true };
      const kind = { modelType: "gpt2", norm: "layer", positions: "learned", hiddenAct: "gelu_new" } as const;
      return trainingStep("gpt2-step", { ...SMALL, ...kind, ...biases, gatedMlp: false, numHeads: 2 }, seed);
    },
  },
  {
    name: "qwen3-step",
    does: "one AdamW step of a small transformer: RMSNorm, rotary positions, grouped queries, gated SiLU",
    call: (seed) => {
      const kind = {
        modelType: "qwen3",
        numHeads: 4,
        numKeyValueHeads: 2,
        headDim: 6,
        qkNorm: true,
      } as const;
      return trainingStep("qwen3-step", { ...SMALL, ...kind }, seed);
    },
  },
  {
    name: "philox-stream",
    does: "random bits and uniform numbers, bit for bit",
    call: (seed) => philoxStream("philox-stream", seed),
  },
  {
    name: "cache-in-place",
    does: "rows of a state written in place at a position that is data",
    call: (seed) => cacheInPlace("cache-in-place", seed),
  },
  { name: "large-grid", does: "more than 65,535 workgroups", call: () => largeGrid("large-grid") },
];

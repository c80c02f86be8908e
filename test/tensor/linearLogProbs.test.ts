/**
 * Hidden states to log-probabilities by chunks of the vocabulary: against float64 written out, its central differences, the
 * whole [N, V] at once; and what its plan takes, without running it.
 */
import { beforeAll, describe, expect, test } from "vitest";
import { checkpoint, grad, valueAndGrad } from "../../src/tensor/autodiff.ts";
import { compile } from "../../src/tensor/compile.ts";
import { tensor, zeros } from "../../src/tensor/create.ts";
import type { DType } from "../../src/tensor/dtype.ts";
import { type Graph, topoOrder } from "../../src/tensor/ir.ts";
import { ops } from "../../src/tensor/ops/index.ts";
import { scoreLogits } from "../../src/tensor/ops/linearLogProbs.ts";
import { CHUNK_ROWS } from "../../src/tensor/ops/rowBlocks.ts";
import { accumulate, accumulateGrad } from "../../src/tensor/optim.ts";
import { type Lowered, lowerGraph } from "../../src/tensor/passes/pipeline.ts";
import { Rng, Stream } from "../../src/tensor/random.ts";
import { numel } from "../../src/tensor/shape.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { Trace, withTrace } from "../../src/tensor/trace.ts";
import { useBackend } from "../helpers/backend.ts";
import { seed } from "../helpers/seed.ts";

beforeAll(async () => {
  await useBackend();
});

const [N, C, V] = [7, 5, 37];
/** Blocks of rows and rows of a chunk: 8, 8, 4, then 8, 8, 1. */
const BLOCKS = [20, 17];
const CHUNK = 8;

interface Problem {
  hidden: Float32Array;
  weight: Float32Array;
  tokens: number[];
  /** Weights of the results in the loss that is differentiated. */
  ofLogProb: Float32Array;
  ofEntropy: Float32Array;
}

function problem(scale: number): Problem {
  const rng = new Rng(seed, Stream.test, 71);
  const draw = (n: number, s: number): Float32Array => rng.fillNormal(new Float32Array(n), s);
  return {
    hidden: draw(N * C, scale),
    weight: draw(V * C, scale),
    tokens: [0, 7, 8, 19, 20, 30, 36], // of every chunk, first and last rows among them
    ofLogProb: draw(N, 1),
    ofEntropy: draw(N, 1),
  };
}

/** The results in float64. */
function scores64(p: Problem, hidden: ArrayLike<number>, weight: ArrayLike<number>, temperature: number) {
  const logProbs: number[] = [];
  const entropy: number[] = [];
  for (let n = 0; n < N; n++) {
    const z = Array.from({ length: V }, (_, v) => {
      let dot = 0;
      for (let c = 0; c < C; c++) dot += hidden[n * C + c] * weight[v * C + c];
      return dot / temperature;
    });
    const top = Math.max(...z);
    const logTotal = top + Math.log(z.reduce((s, x) => s + Math.exp(x - top), 0));
    logProbs.push(z[p.tokens[n]] - logTotal);
    entropy.push(z.reduce((s, x) => s - Math.exp(x - logTotal) * (x - logTotal), 0));
  }
  return { logProbs, entropy };
}

function loss64(
  p: Problem,
  hidden: ArrayLike<number>,
  weight: ArrayLike<number>,
  temperature: number,
): number {
  const { logProbs, entropy } = scores64(p, hidden, weight, temperature);
  return logProbs.reduce((s, x, n) => s + p.ofLogProb[n] * x + p.ofEntropy[n] * entropy[n], 0);
}

/** Central differences of a function of many numbers. */
function differences(at: ArrayLike<number>, f: (x: Float64Array) => number): number[] {
  const x = Float64Array.from(at);
  return Array.from(x, (kept, i) => {
    const h = 1e-5 * Math.max(1, Math.abs(kept));
    x[i] = kept + h;
    const above = f(x);
    x[i] = kept - h;
    const below = f(x);
    x[i] = kept;
    return (above - below) / (2 * h);
  });
}

function cut(weight: Float32Array, rows: readonly number[]): Tensor[] {
  let from = 0;
  return rows.map((r) => {
    const part = tensor(weight.slice(from * C, (from + r) * C), { shape: [r, C] });
    from += r;
    return part;
  });
}

function makeStep(chunkRows?: number, logitsLimit?: number) {
  return compile(
    (
      p: { hidden: Tensor; blocks: Tensor[]; temperature: Tensor },
      tokens: Tensor,
      ofLogProb: Tensor,
      ofEntropy: Tensor,
    ) =>
      valueAndGrad((q: typeof p) => {
        const r = ops.linearLogProbs(q.hidden, q.blocks, tokens, q.temperature, chunkRows, logitsLimit);
        const loss = ops.add(ops.sum(ops.mul(r.logProbs, ofLogProb)), ops.sum(ops.mul(r.entropy, ofEntropy)));
        return [loss, r] as const;
      })(p),
    { label: "linearLogProbs" },
  );
}
const chunked = makeStep(CHUNK);
const whole = makeStep();

async function run(step: typeof chunked, p: Problem, blocks: readonly number[], temperature: number) {
  const r = step(
    {
      hidden: tensor(p.hidden, { shape: [N, C] }),
      blocks: cut(p.weight, blocks),
      temperature: tensor(temperature),
    },
    tensor(p.tokens, { dtype: "u32" }),
    tensor(p.ofLogProb),
    tensor(p.ofEntropy),
  );
  const list = async (t: Tensor): Promise<number[]> => Array.from(await t.data());
  return {
    logProbs: await list(r.aux.logProbs),
    entropy: await list(r.aux.entropy),
    hidden: await list(r.grad.hidden),
    weight: (await Promise.all(r.grad.blocks.map(list))).flat(),
    temperature: (await list(r.grad.temperature))[0],
  };
}

/** Largest error, in units of the largest number. */
function error(got: readonly number[], want: readonly number[]): number {
  expect(got.length).toBe(want.length);
  const scale = Math.max(...want.map(Math.abs));
  return Math.max(...got.map((x, i) => Math.abs(x - want[i]))) / scale;
}

describe.each([1, 0.7])("at temperature %d", (temperature) => {
  test("results and gradients are those of float64", async () => {
    const p = problem(1);
    const got = await run(chunked, p, BLOCKS, temperature);
    const want = scores64(p, p.hidden, p.weight, temperature);
    expect(error(got.logProbs, want.logProbs)).toBeLessThan(1e-6);
    expect(error(got.entropy, want.entropy)).toBeLessThan(2e-6);
    const ofHidden = differences(p.hidden, (x) => loss64(p, x, p.weight, temperature));
    const ofWeight = differences(p.weight, (x) => loss64(p, p.hidden, x, temperature));
    const [ofTemperature] = differences([temperature], ([x]) => loss64(p, p.hidden, p.weight, x));
    expect(error(got.hidden, ofHidden)).toBeLessThan(3e-6);
    expect(error(got.weight, ofWeight)).toBeLessThan(3e-6);
    expect(error([got.temperature], [ofTemperature])).toBeLessThan(3e-5);
  });
});

test("logits of +-80, where all but one probability may vanish", async () => {
  const p = problem(5.5);
  const want = scores64(p, p.hidden, p.weight, 1);
  const largest = Math.max(...want.logProbs.map(Math.abs));
  expect(largest).toBeGreaterThan(80);
  const got = await run(chunked, p, BLOCKS, 1);
  // A logit of 80 has an absolute error of 80 x 2^-24 by each of its C products.
  expect(error(got.logProbs, want.logProbs)).toBeLessThan(1e-6);
  const apart = got.entropy.map((x, n) => Math.abs(x - want.entropy[n]));
  expect(Math.max(...apart)).toBeLessThan(1e-4);
  expect(Math.max(...got.logProbs)).toBeLessThanOrEqual(0);
  const ofHidden = differences(p.hidden, (x) => loss64(p, x, p.weight, 1));
  const ofWeight = differences(p.weight, (x) => loss64(p, p.hidden, x, 1));
  expect(error(got.hidden, ofHidden)).toBeLessThan(1e-4);
  expect(error(got.weight, ofWeight)).toBeLessThan(1e-4);
});

test("the same bits run after run, for one block or two, and for a row beside others or alone", async () => {
  const p = problem(1);
  const first = await run(chunked, p, [16, 21], 0.7);
  expect(await run(chunked, p, [16, 21], 0.7)).toEqual(first);
  expect(await run(chunked, p, [V], 0.7)).toEqual(first); // chunks of 8 as before
  const alone = compile(
    (h: Tensor, w: Tensor, t: Tensor, temperature: number) => ops.linearLogProbs(h, w, t, temperature, CHUNK),
    { label: "alone" },
  );
  const [w] = cut(p.weight, [V]);
  const rows = [5, 2];
  const hidden = rows.flatMap((n) => Array.from(p.hidden.subarray(n * C, (n + 1) * C)));
  const tokens = tensor(
    rows.map((n) => p.tokens[n]),
    { dtype: "u32" },
  );
  const r = alone(tensor(hidden, { shape: [2, C] }), w, tokens, 0.7);
  expect(Array.from(await r.logProbs.data())).toEqual(rows.map((n) => first.logProbs[n]));
  expect(Array.from(await r.entropy.data())).toEqual(rows.map((n) => first.entropy[n]));
});

test("by pieces of three tokens: the bits of all at once, but for the weight's gradient, which is a sum of parts", async () => {
  const p = problem(1);
  const [pieces, all] = [
    await run(makeStep(CHUNK, 3 * CHUNK + 1), p, BLOCKS, 0.7),
    await run(chunked, p, BLOCKS, 0.7),
  ];
  for (const key of ["logProbs", "entropy", "hidden"] as const) expect(pieces[key], key).toEqual(all[key]);
  const ofWeight = differences(p.weight, (x) => loss64(p, p.hidden, x, 0.7));
  expect(error(pieces.weight, ofWeight)).toBeLessThan(3e-6);
  expect(Math.abs(pieces.temperature - all.temperature)).toBeLessThan(1e-4);
  // One chunk of a vocabulary is cut by tokens as well.
  const [w] = cut(p.weight, [V]);
  const [hidden, tokens] = [tensor(p.hidden, { shape: [N, C] }), tensor(p.tokens, { dtype: "u32" })];
  const of = async (limit?: number): Promise<number[]> =>
    Array.from(await ops.linearLogProbs(hidden, w, tokens, undefined, undefined, limit).logProbs.data());
  expect(await of(2 * V)).toEqual(await of());
});

test("by chunks and at once give nearly the same; a token beyond the vocabulary counts as the last", async () => {
  const p = problem(1);
  p.tokens[3] = 99;
  const [a, b] = [await run(chunked, p, [V], 1), await run(whole, p, [V], 1)];
  for (const key of ["logProbs", "entropy", "hidden", "weight"] as const)
    expect(error(a[key], b[key]), key).toBeLessThan(3e-6);
  expect(Math.abs(a.temperature - b.temperature)).toBeLessThan(1e-4);
});

test("no token at all: empty results, and gradients of zeros", async () => {
  const [w] = cut(problem(1).weight, [V]);
  const [h, tokens] = [zeros([0, C]), zeros([0], "u32")];
  expect((await ops.linearLogProbs(h, w, tokens, 1, CHUNK).entropy.data()).length).toBe(0);
  const g = grad((x: Tensor) => ops.sum(ops.linearLogProbs(h, x, tokens, 1, CHUNK).logProbs))(w);
  expect(Array.from(await g.data())).toEqual(new Array(V * C).fill(0));
});

test("called alone, with more axes", async () => {
  const p = problem(1);
  const hidden = tensor(p.hidden.subarray(0, 6 * C), { shape: [2, 3, C] });
  const tokens = tensor(p.tokens.slice(0, 6), { shape: [2, 3], dtype: "u32" });
  const r = ops.linearLogProbs(hidden, cut(p.weight, BLOCKS), tokens, undefined, CHUNK);
  expect(r.logProbs.shape).toEqual([2, 3]);
  const want = scores64(p, p.hidden, p.weight, 1);
  expect(error(Array.from(await r.logProbs.data()), want.logProbs.slice(0, 6))).toBeLessThan(1e-6);
  expect(error(Array.from(await r.entropy.data()), want.entropy.slice(0, 6))).toBeLessThan(2e-6);
});

test("gradients added as they come: the bits of those added at the end", async () => {
  const p = problem(1);
  type Params = Readonly<Record<string, Tensor>>;
  const loss = (q: Params, tokens: Tensor): Tensor => {
    const r = ops.linearLogProbs(q.hidden, [q["w#0"], q["w#1"]], tokens, undefined, CHUNK);
    return ops.add(ops.sum(r.logProbs), ops.mul(ops.sum(r.entropy), 0.1));
  };
  const atOnce = compile(
    (into: Params, q: Params, tokens: Tensor) => accumulateGrad(into, loss)(q, tokens).value,
    {
      state: [0],
      label: "landed",
    },
  );
  const atTheEnd = compile(
    (into: Params, q: Params, tokens: Tensor) => {
      const { value, grad } = valueAndGrad(loss)(q, tokens);
      accumulate(into, grad);
      return value;
    },
    { state: [0], label: "joined" },
  );
  const [w0, w1] = cut(p.weight, BLOCKS);
  const params = { hidden: tensor(p.hidden, { shape: [N, C] }), "w#0": w0, "w#1": w1, unused: zeros([3]) };
  const sums = async (step: typeof atOnce): Promise<number[][]> => {
    const into = Object.fromEntries(Object.entries(params).map(([k, t]) => [k, zeros(t.shape)]));
    const tokens = tensor(p.tokens, { dtype: "u32" });
    for (let i = 0; i < 2; i++) step(into, params, tokens).dispose();
    return Promise.all(Object.values(into).map(async (t) => Array.from(await t.data())));
  };
  const landed = await sums(atOnce);
  expect(landed).toEqual(await sums(atTheEnd));
  expect(landed.slice(0, 3).every((x) => x.some((v) => v !== 0))).toBe(true);
});

test("recomputed in a checkpoint: the same gradients", async () => {
  const p = problem(1);
  const tokens = tensor(p.tokens, { dtype: "u32" });
  type Pair = { h: Tensor; w: Tensor };
  const score = (h: Tensor, w: Tensor): Tensor => {
    const r = ops.linearLogProbs(h, w, tokens, undefined, CHUNK);
    return ops.add(r.logProbs, ops.mul(r.entropy, 0.1));
  };
  const gradient = compile(
    (q: Pair, again: boolean) =>
      grad(({ h, w }: Pair) => ops.sum((again ? checkpoint(score) : score)(h, w)))(q),
    { static: [1] },
  );
  const q = { h: tensor(p.hidden, { shape: [N, C] }), w: cut(p.weight, [V])[0] };
  const [a, b] = [gradient(q, false), gradient(q, true)];
  expect(Array.from(await b.h.data())).toEqual(Array.from(await a.h.data()));
  expect(Array.from(await b.w.data())).toEqual(Array.from(await a.w.data()));
});

describe("refused", () => {
  const h = (): Tensor => zeros([N, C]);
  const t = (n = N): Tensor => zeros([n], "u32");
  test.each<[string, () => unknown]>([
    ["another width", () => ops.linearLogProbs(h(), zeros([V, C + 1]), t())],
    ["no block", () => ops.linearLogProbs(h(), [], t())],
    ["tokens of another number", () => ops.linearLogProbs(h(), zeros([V, C]), t(N + 1))],
    ["a temperature for each row", () => ops.linearLogProbs(h(), zeros([V, C]), t(), zeros([N, 1]))],
    ["chunks of nothing", () => ops.linearLogProbs(h(), zeros([V, C]), t(), 1, 0)],
  ])("%s", (_, call) => {
    expect(call).toThrow(
      expect.objectContaining({
        name: "ShapeError",
        message: expect.stringMatching(/^linearLogProbs: .* got /),
      }),
    );
  });

  test("adding a gradient outside compile", () => {
    expect(() => accumulateGrad({}, () => ops.full([], 0))({})).toThrow(
      /accumulateGrad: an open trace .* Compile/,
    );
  });

  test("a second derivative", () => {
    const f = (w: Tensor): Tensor => ops.sum(ops.linearLogProbs(h(), w, t(), 1, CHUNK).logProbs);
    const twice = compile(
      (w: Tensor) => valueAndGrad((x: Tensor) => ops.sum(valueAndGrad(f)(x).grad))(w).grad,
    );
    expect(() => twice(zeros([V, C]))).toThrow(/linearLogProbs: a first derivative .* Use scoreLogits/);
  });
});

// ---------------------------------------------------------------- graphs and plans, not run

const [TOKENS, WIDTH] = [1024, 64];

/** A graph over inputs of these shapes. */
function graphOf(
  f: (input: (shape: number[], dtype?: DType, state?: boolean) => Tensor, temperature: Tensor) => Tensor[],
): Graph {
  const trace = new Trace();
  return withTrace(trace, () => {
    const input = (shape: number[], dtype: DType = "f32", state = false): Tensor => {
      const value = trace.input({ shape, dtype });
      const t = Tensor.traced(trace, value);
      if (state) {
        trace.declareState(value);
        t.stateOrigin = value;
      }
      return t;
    };
    const outputs = f(input, Tensor.traced(trace, trace.scalarInput("f32"))).map((t) => trace.valueOf(t));
    return { inputs: trace.inputs, outputs, updates: trace.updates() };
  });
}

function training(vocabulary: number, count = TOKENS): Graph {
  return graphOf((input, temperature) => {
    const params = { hidden: input([count, WIDTH]), weight: input([vocabulary, WIDTH]) };
    const into = {
      hidden: input([count, WIDTH], "f32", true),
      weight: input([vocabulary, WIDTH], "f32", true),
    };
    const tokens = input([count], "u32");
    const { value } = accumulateGrad(into, (p: Readonly<Record<string, Tensor>>) => {
      const r = ops.linearLogProbs(p.hidden, p.weight, tokens, temperature);
      return ops.add(ops.sum(r.logProbs), ops.mul(ops.sum(r.entropy), 0.1));
    })(params);
    return [value];
  });
}

function lowered(graph: Graph): Lowered {
  return lowerGraph(graph, {
    label: "plan",
    passesOff: [],
    bindingLimit: 128 << 20,
    budget: 2 ** 40,
    maxGroups: 65535,
    tier: "T0",
  });
}

test("temporaries do not grow with the vocabulary, forward and backward, and nothing of [N, V] is in the graph", () => {
  const bytes = (v: number): number => lowered(training(v)).memory.totalBytes;
  const small = bytes(2000); // one chunk, all of it
  const large = bytes(64000);
  const chunk = 4 * TOKENS * CHUNK_ROWS;
  expect(large).toBeLessThan(bytes(3 * CHUNK_ROWS) + 65536);
  expect(large).toBeLessThan(small + chunk);
  const { graph, copies, kernels } = lowered(training(64000));
  expect(copies).toEqual([]);
  const sizes = topoOrder(graph).flatMap((n) => n.results.map((r) => numel(r.shape)));
  expect(Math.max(...sizes)).toBe(64000 * WIDTH); // the weight
  // Equal chunks share their kernels: texts are few however many chunks there are.
  expect(new Set(kernels.map((k) => k.wgsl)).size).toBeLessThan(40);
});

test("more tokens than a binding has room for in a chunk's logits are planned, with the logits of a few pieces alive", () => {
  const most = 2 ** 25 / CHUNK_ROWS;
  const logits = (vocabulary: number, count: number): number[] =>
    topoOrder(lowered(training(vocabulary, count)).graph)
      .filter((n) => n.op === "matmul" && n.results[0].shape[1] !== WIDTH)
      .map((n) => n.results[0].shape[0]);
  const forward = (rows: number[]): number[] => [...new Set(rows)].sort((x, y) => x - y);
  expect(forward(logits(3 * CHUNK_ROWS, most))).toEqual([most]);
  for (const vocabulary of [CHUNK_ROWS, 3 * CHUNK_ROWS]) {
    expect(forward(logits(vocabulary, 2 * most + 5))).toEqual([5, most]);
  }
  const bytes = (count: number): number => lowered(training(3 * CHUNK_ROWS, count)).memory.totalBytes;
  expect(bytes(4 * most)).toBeLessThan(bytes(most) + 2 ** 28);
});

test("the same of an embedding cut by rows that is the output layer too", () => {
  const tied = (vocabulary: number): Lowered => {
    const rows = 4 * CHUNK_ROWS;
    const sizes = Array.from({ length: Math.ceil(vocabulary / rows) }, (_, i) =>
      Math.min(rows, vocabulary - i * rows),
    );
    const graph = graphOf((input) => {
      const blocks = (state: boolean): Record<string, Tensor> =>
        Object.fromEntries(sizes.map((n, i) => [`w#${i}`, input([n, WIDTH], "f32", state)]));
      const [ids, next] = [input([TOKENS], "u32"), input([TOKENS], "u32")];
      const { value } = accumulateGrad(blocks(true), (p: Readonly<Record<string, Tensor>>) => {
        const hidden = ops.tanh(ops.takeRows(Object.values(p), ids));
        return ops.sum(ops.linearLogProbs(hidden, Object.values(p), next).logProbs);
      })(blocks(false));
      return [value];
    });
    return lowered(graph);
  };
  const large = tied(64000);
  expect(large.copies).toEqual([]);
  // Which arenas two large values fall into differs: what is alive at once does not.
  expect(large.memory.lowerBound).toBeLessThan(tied(6 * CHUNK_ROWS).memory.lowerBound + 65536);
  expect(large.memory.totalBytes).toBeLessThan(2 * large.memory.lowerBound);
});

test("a vocabulary of one chunk is the graph of scoreLogits on matmul, node for node", () => {
  const build = (f: (h: Tensor, w: Tensor, t: Tensor, temperature: Tensor) => Tensor[]): string => {
    const g = graphOf((input, temperature) =>
      f(input([2, 9, WIDTH]), input([CHUNK_ROWS, WIDTH]), input([2, 9], "u32"), temperature),
    );
    const names = new Map(topoOrder(g).map((n, i) => [n, i]));
    return topoOrder(g)
      .map(
        (n) =>
          `${n.op}(${n.inputs.map((v) => names.get(v.node))}) ${JSON.stringify(n.attrs)} ${n.results[0].shape}`,
      )
      .join("\n");
  };
  const got = build((h, w, t, temperature) => Object.values(ops.linearLogProbs(h, w, t, temperature)));
  const want = build((h, w, t, temperature) =>
    Object.values(scoreLogits(ops.matmul(h, w, { transposeB: true }), t, temperature)),
  );
  expect(got).toBe(want);
  expect(got).toContain("matmul");
});

import { beforeAll, describe, expect, test } from "vitest";
import { type ModelConfig, modelConfig } from "../../src/model/config.ts";
import { initializeParameters } from "../../src/model/parameters.ts";
import { rotaryTable, rotate } from "../../src/model/rotary.ts";
import { tokenLogProbs } from "../../src/model/scoring.ts";
import { type Parameters, Transformer } from "../../src/model/transformer.ts";
import { grad } from "../../src/tensor/autodiff.ts";
import { compile } from "../../src/tensor/compile.ts";
import { tensor } from "../../src/tensor/create.ts";
import { ops } from "../../src/tensor/ops/index.ts";
import { scope, type Tensor } from "../../src/tensor/tensor.ts";
import { type TestBackend, useBackend } from "../helpers/backend.ts";

let on: TestBackend;
beforeAll(async () => {
  on = await useBackend();
});

const small = { vocabSize: 11, hiddenSize: 16, numLayers: 2, numHeads: 4, maxPositions: 12 } as const;
const variants: [string, ModelConfig][] = [
  ["Llama", modelConfig({ ...small, numKeyValueHeads: 2 })],
  ["Qwen3", modelConfig({ ...small, numKeyValueHeads: 1, qkNorm: true, headDim: 6, tieEmbeddings: false })],
  [
    "LayerNorm, learned positions, plain MLP",
    modelConfig({
      ...small,
      norm: "layer",
      positions: "learned",
      gatedMlp: false,
      hiddenAct: "gelu_new",
      qkvBias: true,
      outputBias: true,
      mlpBias: true,
    }),
  ],
];

const ids = (rows: number[][]): Tensor => tensor(rows, { dtype: "u32" });

function logitsOf(model: Transformer) {
  return compile((p: Parameters, tokens: Tensor, start?: Tensor) =>
    model.logits(p, model.hidden(p, tokens, { start })),
  );
}

function expectClose(a: ArrayLike<number>, b: ArrayLike<number>): void {
  expect(a.length).toBe(b.length);
  const worst = Math.max(...Array.from(a, (x, i) => Math.abs(x - b[i])));
  expect(worst).toBeLessThan(on.tolerance(1e-9, 1e-5));
}

describe.each(variants)("%s", (_name, config) => {
  test("left padding and what stands beside a row change nothing", async () => {
    const model = new Transformer(config);
    const params = initializeParameters(config, 3, { std: 0.3 }).tensors;
    const run = logitsOf(model);
    const alone = await run(params, ids([[4, 5, 6]])).data();
    const both = await run(
      params,
      ids([
        [9, 9, 4, 5, 6],
        [1, 2, 3, 4, 5],
      ]),
      tensor([2, 0], { dtype: "u32" }),
    ).data();
    expectClose(both.slice(2 * 11, 5 * 11), alone);
    const other = await run(params, ids([[1, 2, 3, 4, 5]])).data();
    expectClose(both.slice(5 * 11), other);
  });

  test("a token changes only what comes after it", async () => {
    const model = new Transformer(config);
    const params = initializeParameters(config, 3, { std: 0.3 }).tensors;
    const run = logitsOf(model);
    const a = await run(params, ids([[1, 2, 3, 4]])).data();
    const b = await run(params, ids([[1, 2, 7, 4]])).data();
    expectClose(a.slice(0, 22), b.slice(0, 22));
    expect(Math.abs(a[22] - b[22])).toBeGreaterThan(1e-6);
    expect(Math.abs(a[33] - b[33])).toBeGreaterThan(1e-6);
  });

  test("recomputation gives the same gradients", async () => {
    const model = new Transformer(config);
    const params = initializeParameters(config, 3, { std: 0.3 }).tensors;
    const tokens = ids([[1, 2, 3, 4, 5]]);
    const gradient = (recompute: boolean) =>
      grad((p: Parameters) => ops.sum(tokenLogProbs(model, p, tokens, { recompute }).logProbs))(params);
    const [kept, again] = [gradient(false), gradient(true)];
    for (const name of Object.keys(params)) expectClose(await again[name].data(), await kept[name].data());
  });
});

test("grouped-query attention is attention with repeated keys and values", async () => {
  const grouped = modelConfig({ ...small, numKeyValueHeads: 2 });
  const full = modelConfig(small);
  const from = initializeParameters(grouped, 5, { std: 0.3 });
  const to = initializeParameters(full, 5, { std: 0.3 });
  for (const name of Object.keys(to.tensors)) {
    const values = Array.from(await from.get(name).data());
    const repeated = /[kv]_proj/.test(name)
      ? [0, 0, 1, 1].flatMap((head) => values.slice(head * 4 * 16, (head + 1) * 4 * 16))
      : values;
    to.get(name).write(repeated);
  }
  const tokens = ids([[1, 2, 3, 4, 5]]);
  const a = await logitsOf(new Transformer(grouped))(from.tensors, tokens).data();
  const b = await logitsOf(new Transformer(full))(to.tensors, tokens).data();
  expectClose(a, b);
});

test("rotated products depend on the distance alone; learned positions on the place", async () => {
  const table = rotaryTable(12, 8, 10000);
  const turn = (x: Tensor, p: number): Tensor => rotate(x, tensor(table.slice(p * 16, p * 16 + 16)));
  const q = tensor([0.3, -1, 0.5, 2, -0.7, 0.1, 1.1, -0.4]);
  const k = tensor([1, 0.2, -0.3, 0.8, 0.6, -1.5, 0.9, 0.4]);
  const product = (m: number, n: number): Promise<number> => ops.sum(ops.mul(turn(q, m), turn(k, n))).item();
  expect(await product(7, 4)).toBeCloseTo(await product(3, 0), 5);
  expect(Math.abs((await product(7, 4)) - (await product(7, 3)))).toBeGreaterThan(1e-3);
  expect(await product(0, 0)).toBeCloseTo(await ops.sum(ops.mul(q, k)).item(), 6);

  const config = variants[2][1];
  const params = initializeParameters(config, 3, { std: 0.3 });
  const run = logitsOf(new Transformer(config));
  const before = await run(params.tensors, ids([[1, 1, 1]])).data();
  const positions = Float32Array.from(await params.get("model.embed_positions.weight").data());
  positions.fill(0.5, 2 * 16, 3 * 16);
  params.get("model.embed_positions.weight").write(positions);
  const after = await run(params.tensors, ids([[1, 1, 1]])).data();
  expectClose(before.slice(0, 22), after.slice(0, 22));
  expect(Math.abs(before[22] - after[22])).toBeGreaterThan(1e-6);
});

test("scores: log-probabilities and entropy at a temperature", async () => {
  const [, config] = variants[0];
  const model = new Transformer(config);
  const params = initializeParameters(config, 3, { std: 0.5 }).tensors;
  const tokens = ids([[1, 2, 3, 4]]);
  const logits = await logitsOf(model)(params, tokens).data();
  const scored = compile((p: Parameters, t: Tensor, temperature: number) =>
    tokenLogProbs(model, p, t, { from: 2, temperature }),
  )(params, tokens, 0.7);
  expect(scored.logProbs.shape).toEqual([1, 2]);
  const [l, e] = [await scored.logProbs.data(), await scored.entropy.data()];
  [1, 2].forEach((at, i) => {
    const z = Array.from(logits.slice(at * 11, at * 11 + 11), (x) => x / 0.7);
    const total = z.reduce((s, x) => s + Math.exp(x), 0);
    const logp = z.map((x) => x - Math.log(total));
    expect(l[i]).toBeCloseTo(logp[at + 2], 5);
    expect(e[i]).toBeCloseTo(-logp.reduce((s, x) => s + Math.exp(x) * x, 0), 5);
  });
});

test("a model whose first run is in a scope keeps its rotary table", async () => {
  const [, config] = variants[0];
  const run = logitsOf(new Transformer(config));
  const params = initializeParameters(config, 3).tensors;
  const tokens = ids([[1, 2, 3]]);
  const first = await scope(() => run(params, tokens)).data();
  expect(Array.from(await run(params, tokens).data())).toEqual(Array.from(first));
});

test("wrong tokens and lengths are named", () => {
  const [, config] = variants[0];
  const model = new Transformer(config);
  const params = initializeParameters(config, 3).tensors;
  expect(() => model.hidden(params, tensor([[1, 2]]))).toThrow(/tokens of dtype u32/);
  expect(() => model.hidden(params, tensor([1, 2], { dtype: "u32" }))).toThrow(/tokens\[B, T\]/);
  expect(() => model.hidden(params, ids([new Array(13).fill(1)]))).toThrow(/maxPositions=12/);
  // Rows that begin later are no shorter for it, unless the caller says so.
  const [long, start] = [ids([new Array(13).fill(1)]), tensor([4], { dtype: "u32" })];
  for (const options of [{ start }, { rowsFit: true }]) {
    expect(() => model.hidden(params, long, options)).toThrow(/maxPositions=12 tokens .* got 13\. .*rowsFit/);
  }
  expect(model.hidden(params, long, { start, rowsFit: true }).shape).toEqual([1, 13, 16]);
  expect(() => model.hidden({}, ids([[1]]))).toThrow(/model.embed_tokens.weight/);
  expect(() => model.hidden(params, ids([[1, 2]]), { start: tensor([0, 0], { dtype: "u32" }) })).toThrow(
    /start u32\[B=1\]/,
  );
  expect(() => tokenLogProbs(model, params, ids([[1]]))).toThrow(/from/);
});

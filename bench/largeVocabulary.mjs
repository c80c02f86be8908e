/**
 * The output layer of a real vocabulary under a 128 MiB binding: log-probabilities, entropies and gradients of a few tokens
 * with 151,936 rows of 896 (Qwen2.5 0.5B), cut into blocks, compared with float64 on the host.
 *
 *     npm run build && NAYSAY_ADAPTER=lavapipe node bench/largeVocabulary.mjs [tokens] [rows] [width]
 *
 * Takes about 1.5 GiB beside the process. Prints times, planned temporaries and the memory of the process.
 */
import { accumulateGrad, compile, FlatTensors, flatLayout, init, ops, tensor } from "../dist/index.js";

const [tokens = 8, rows = 151936, width = 896] = process.argv.slice(2).map(Number);
const MIB = 2 ** 20;
const memory = () => `${Math.round(process.memoryUsage().rss / MIB)} MiB in the process`;
const timed = async (what, f) => {
  const from = performance.now();
  const result = await f();
  console.log(`${what.padEnd(34)} ${((performance.now() - from) / 1000).toFixed(2)} s, ${memory()}`);
  return result;
};

/** Numbers in [-1, 1) from an index: the same every time, and any part of them can be made alone. */
const hashed = (i) => {
  let x = Math.imul(i ^ 0x9e3779b9, 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 15), 0xc2b2ae35);
  return ((x ^ (x >>> 13)) >>> 0) / 2 ** 31 - 1;
};
const scale = 8 / Math.sqrt(width); // logits of a few units
const weightRow = (v, into, at) => {
  for (let c = 0; c < width; c++) into[at + c] = Math.fround(scale * hashed(v * width + c));
};

const backend = await init();
console.log(`${backend.describe?.() ?? "adapter"}: ${memory()} before`);
const layout = flatLayout([
  { name: "head", shape: [rows, width], byRows: true },
  { name: "hidden", shape: [tokens, width] },
]);
const params = new FlatTensors(layout, "params");
const grads = new FlatTensors(layout, "grads");
const blocks = layout.parts.filter((p) => p.whole).map((p) => p.name);
console.log(`${rows} x ${width} in ${blocks.length || 1} blocks, ${layout.segments.length} segments`);

const hidden = Float32Array.from({ length: tokens * width }, (_, i) => hashed(~i));
const ids = Array.from({ length: tokens }, (_, n) => Math.floor(((n + 0.5) * rows) / tokens));
await timed("filling the weight", async () => {
  let first = 0;
  for (const { name, shape } of layout.parts.filter((p) => p.name !== "hidden")) {
    const block = new Float32Array(shape[0] * width);
    for (let r = 0; r < shape[0]; r++) weightRow(first + r, block, r * width);
    params.write(name, block);
    first += shape[0];
  }
  params.write("hidden", hidden);
  await backend.sync();
});

const headOf = (p) => (blocks.length > 0 ? blocks.map((name) => p[name]) : p.head);
const score = compile((p, t) => ops.linearLogProbs(p.hidden, headOf(p), t), { label: "score" });
const learn = compile(
  (g, p, t) =>
    accumulateGrad(g, (q) => {
      const r = ops.linearLogProbs(q.hidden, headOf(q), t);
      return ops.add(ops.sum(r.logProbs), ops.mul(ops.sum(r.entropy), 0.5));
    })(p).value,
  { state: [0], label: "learn" },
);
const at = tensor(ids, { dtype: "u32" });
let scored;
for (const turn of ["first", "second"]) {
  scored = await timed(`forward, ${turn}`, async () => {
    const r = score(params.tensors, at);
    return { logProbs: await r.logProbs.data(), entropy: await r.entropy.data() };
  });
}
console.log(`planned temporaries of forward: ${(score.plannedBytes / MIB).toFixed(2)} MiB`);
for (const turn of ["first", "second"])
  await timed(`forward and backward, ${turn}`, async () =>
    (await learn(grads.tensors, params.tensors, at)).item(),
  );
console.log(`planned temporaries of both: ${(learn.plannedBytes / MIB).toFixed(2)} MiB`);
console.log(`tensors: ${Math.round(backend.memory().liveBytes / MIB)} MiB`);

await timed("float64 on the host", async () => {
  const z = Array.from({ length: tokens }, () => new Float64Array(rows));
  const row = new Float32Array(width);
  for (let v = 0; v < rows; v++) {
    weightRow(v, row, 0);
    for (let n = 0; n < tokens; n++) {
      let dot = 0;
      for (let c = 0; c < width; c++) dot += hidden[n * width + c] * row[c];
      z[n][v] = dot;
    }
  }
  let worst = 0;
  const dHidden = new Float64Array(tokens * width);
  const coefficients = z.map((logits, n) => {
    const top = logits.reduce((a, b) => Math.max(a, b), -Infinity);
    const total = logits.reduce((s, x) => s + Math.exp(x - top), 0);
    const logTotal = top + Math.log(total);
    const entropy = logits.reduce((s, x) => s - Math.exp(x - logTotal) * (x - logTotal), 0);
    worst = Math.max(
      worst,
      Math.abs(scored.logProbs[n] - (logits[ids[n]] - logTotal)),
      Math.abs(scored.entropy[n] - entropy),
    );
    return logits.map((x, v) => {
      const logp = x - logTotal;
      return (v === ids[n] ? 1 : 0) - Math.exp(logp) * (1 + 0.5 * (logp + entropy));
    });
  });
  for (let v = 0; v < rows; v++) {
    weightRow(v, row, 0);
    for (let n = 0; n < tokens; n++)
      for (let c = 0; c < width; c++) dHidden[n * width + c] += coefficients[n][v] * row[c];
  }
  const error = (got, want, times) => {
    const most = want.reduce((m, x) => Math.max(m, Math.abs(x)), 0);
    return got.reduce((m, x, i) => Math.max(m, Math.abs(x / times - want[i])), 0) / most;
  };
  const gotHidden = await grads.get("hidden").data();
  const name = blocks.at(-1) ?? "head";
  const last = await grads.get(name).data();
  const firstRow = rows - last.length / width;
  const wantLast = Float64Array.from(last, (_, i) => {
    const [v, c] = [firstRow + Math.floor(i / width), i % width];
    return coefficients.reduce((s, of, n) => s + of[v] * hidden[n * width + c], 0);
  });
  // Two turns were added.
  console.log(`largest error of results ${worst.toExponential(1)} nats`);
  console.log(`of the gradient in hidden ${error(gotHidden, dHidden, 2).toExponential(1)} of its largest`);
  console.log(`of the gradient in ${name} ${error(last, wantLast, 2).toExponential(1)} of its largest`);
});
process.exit(0);

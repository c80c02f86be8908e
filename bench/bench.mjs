/**
 * `npm run bench -- [words] [--json] [--tier T0] [--time 300]`: the op table's perf sizes on this adapter, with the rates
 * that its costs give. Words choose ops by name. Wall time is run and wait; GPU time comes from timestamps where the
 * adapter has them, and the rates from it.
 */

import { parseArgs } from "node:util";
import { Bench } from "tinybench";
import { planLaunch, relaunch } from "../dist/cli/launch.js";
import { compile } from "../dist/tensor/compile.js";
import { tensor } from "../dist/tensor/create.js";
import { init } from "../dist/tensor/init.js";
import { allOps } from "../dist/tensor/ops/table.js";
import { Rng } from "../dist/tensor/random.js";
import { apply } from "../dist/tensor/trace.js";

const { values: options, positionals: words } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: "boolean", default: false },
    tier: { type: "string" },
    time: { type: "string", default: "300" },
  },
});

/** Random numbers drawn; longer inputs repeat them. */
const DRAWN = 4099;

/** Elements of an input within its range; whole numbers where it is no float. */
function draw(rng, { shape, dtype = "f32", range = dtype === "bool" ? [0, 1] : [-2, 2] }) {
  const [low, high] = range;
  const n = shape.reduce((a, b) => a * b, 1);
  const drawn = Float64Array.from({ length: Math.min(n, DRAWN) }, () => {
    const x = low + rng.uniform() * (high - low);
    return dtype === "f32" ? x : Math.max(dtype === "i32" ? -Infinity : 0, Math.round(x));
  });
  return tensor(
    Float64Array.from({ length: n }, (_, i) => drawn[i % DRAWN]),
    { shape, dtype },
  );
}

const show = (shapes) => shapes.map((s) => `[${s.join(",")}]`).join(" ");

/** One row: an op at one of its perf sizes. */
async function row(backend, op, test) {
  const rng = new Rng(7, 0);
  const inputs = test.inputs.map((x) => draw(rng, x));
  const f = compile((...xs) => apply(op, xs, test.attrs ?? {}), { label: op.name });
  const run = async () => {
    for (const t of f(...inputs)) t.dispose();
    await backend.sync();
  };
  await run();
  const { profiler } = backend;
  await profiler?.finish();
  profiler?.reset();
  const bench = new Bench({
    time: Number(options.time),
    iterations: 5,
    warmupIterations: 2,
    warmupTime: 0,
    throws: true,
  });
  bench.add(op.name, run);
  const [task] = await bench.run();
  await profiler?.finish();
  const outputs = op.infer(
    test.inputs.map(({ shape, dtype = "f32" }) => ({ shape, dtype })),
    test.attrs ?? {},
  );
  const types = test.inputs.map(({ shape, dtype = "f32" }) => ({ shape, dtype }));
  const cost = op.cost?.(types, outputs, test.attrs ?? {}) ?? null;
  const totals = profiler ? [...profiler.totals.values()] : [];
  const runs = Math.max(1, ...totals.map((t) => t.count));
  const gpuMs = totals.length > 0 ? totals.reduce((sum, t) => sum + t.ms, 0) / runs : null;
  const wallMs = task.result.latency.p50;
  const ms = gpuMs || wallMs;
  for (const t of inputs) t.dispose();
  f.dispose();
  return {
    op: op.name,
    shapes: show(test.inputs.map((x) => x.shape)),
    attrs: test.attrs ?? {},
    samples: task.result.latency.samplesCount,
    wallMs,
    gpuMs,
    gflops: cost ? cost.flops / ms / 1e6 : null,
    gbs: cost ? cost.bytes / ms / 1e6 : null,
  };
}

const plan = await planLaunch();
if (Object.keys(plan.env).length > 0) process.exit(await relaunch(plan.env));
const backend = await init({ timestamps: true, ...(options.tier ? { tier: options.tier } : {}) });
const chosen = allOps().filter((op) => op.perf && (words.length === 0 || words.includes(op.name)));
if (!options.json) console.log(`${backend.device.describe()}\n`);
const number = (x, digits = 2) => (x === null ? "-" : x.toFixed(digits)).padStart(9);
if (!options.json) console.log("  wall ms    GPU ms   GFLOP/s      GB/s  op");
const rows = [];
for (const op of chosen) {
  for (const test of op.perf) {
    const r = await row(backend, op, test);
    rows.push(r);
    if (!options.json) {
      console.log(
        `${number(r.wallMs)} ${number(r.gpuMs)} ${number(r.gflops)} ${number(r.gbs)}  ${r.op} ${r.shapes}${Object.keys(r.attrs).length > 0 ? ` ${JSON.stringify(r.attrs)}` : ""}`,
      );
    }
  }
}
if (options.json) {
  console.log(JSON.stringify({ adapter: backend.device.info, node: process.version, rows }, null, 2));
}
backend.destroy();

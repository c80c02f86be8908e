/** The steps of a report, each with its limit in seconds. A step gives `ok`, or why not, and whatever it found. */

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { repeatTraining } from "./repeat.mjs";

/** A command whose stdout is one JSON object; what it gave, beside how it ended. */
async function asJson({ runLimited, node, app, env, seconds }, args, codes = [0]) {
  const { stdout, ...said } = await runLimited([node, ...args], { seconds, env, cwd: app, whole: true });
  const ended = { ...said, stderr: said.stderr.slice(-4000) };
  try {
    const result = JSON.parse(stdout);
    const ok = codes.includes(said.code);
    return { ok, ...(ok ? {} : { why: `exit code ${said.code}` }), ...ended, result };
  } catch {
    const why = said.timedOut
      ? `its ${seconds.toFixed(0)} s were over`
      : `no JSON came (exit code ${said.code}, ${said.signal})`;
    return { ok: false, why, ...ended, stdout: stdout.slice(-4000) };
  }
}

const cli = ({ app }) => join(app, "dist/cli/main.js");

async function doctor(context) {
  const part = await asJson(context, [cli(context), "doctor", "--json"]);
  return { ...part, adapter: part.result?.adapter };
}

/** Every tier that the adapter reaches without being asked for by name, one below the other in one report. */
const check = (context) => checked(context, context.quick ? ["--ops", "add,exp,matmul,sum"] : []);

async function checked(context, words) {
  const part = await asJson(context, [cli(context), "check", "--json", ...words], [0, 1]);
  if (!part.result) return part;
  const { failures } = part.result;
  return { ...part, ok: failures === 0, ...(failures === 0 ? {} : { why: `${failures} failures` }) };
}

/** The engine's own tests that need no browser, by vitest. */
async function tests({ runLimited, node, app, made, env, seconds, quick }) {
  const path = join(made, "tests.json");
  const vitest = join(app, "node_modules/vitest/vitest.mjs");
  if (!existsSync(vitest)) return { ok: true, skipped: true, why: "packed with --no-tests" };
  const command = [node, vitest, "run", "--config", "scripts/host/vitest.config.ts"];
  command.push("--reporter=json", `--outputFile=${path}`);
  if (quick) command.push("test/tiny.test.ts", "test/tensor/handles.test.ts");
  const said = await runLimited(command, { seconds, env, cwd: app });
  const ended = { ...said, stdout: said.stdout.slice(-4000), stderr: said.stderr.slice(-4000) };
  if (!existsSync(path))
    return { ok: false, why: said.timedOut ? "its time was over" : "no result came", ...ended };
  const result = JSON.parse(readFileSync(path, "utf8"));
  const failed = result.testResults.flatMap((file) => {
    const name = file.name.slice(app.length);
    const wrong = file.assertionResults.filter(({ status }) => status === "failed");
    const whole =
      file.status === "failed" && wrong.length === 0
        ? [{ file: name, test: "the file", message: file.message }]
        : [];
    return [
      ...whole,
      ...wrong.map((t) => ({
        file: name,
        test: t.fullName,
        message: t.failureMessages.join("\n").slice(0, 1500),
      })),
    ];
  });
  const { numPassedTests: passed, numPendingTests: skipped } = result;
  const ok = failed.length === 0 && passed > 0 && said.code === 0;
  const why = `${failed.length} of ${passed + failed.length} tests failed`;
  return { ok, ...(ok ? {} : { why }), passed, skippedTests: skipped, failed, ...ended };
}

/** Ceilings, W1 to W5, every op's perf sizes: as far as it came, where its time is over. Then the ways to compute products. */
const bench = (context) => measure(context, "bench", ["--tune"]);

/** The workloads once more, with the kernels that were fastest. */
const tuned = (context) => {
  const software = context.report.steps.doctor?.adapter?.software !== false;
  return measure(context, "tuned", ["w1", "w2", "w3", "w4", ...(software ? [] : ["w5"])]);
};

async function measure({ runLimited, node, app, made, env, seconds, quick }, name, words) {
  const path = join(made, `${name}.json`);
  const command = [node, join(app, "bench/bench.mjs"), "--out", path, ...words];
  if (quick) command.push("--quick", "--time", "50");
  // What is tuned here stays here.
  const tuning = { XDG_CACHE_HOME: join(made, "cache"), NAYSAY_TUNING: "auto" };
  const said = await runLimited(command, { seconds, env: { ...env, ...tuning }, cwd: app });
  const ended = { ...said, stdout: said.stdout.slice(-8000), stderr: said.stderr.slice(-4000) };
  if (!existsSync(path)) return { ok: false, why: `no result came (exit code ${said.code})`, ...ended };
  const result = JSON.parse(readFileSync(path, "utf8"));
  const ok = result.finished && result.errors.length === 0 && said.code === 0;
  const why = result.finished
    ? `${result.errors.length} rows failed`
    : `ended after ${result.rows.length} rows`;
  return { ok, ...(ok ? {} : { why }), ...ended, result };
}

/** T4, where the adapter has it: ops that multiply matrices beside float64 and T0, then the products of W1 and a training step. */
async function matrices(context) {
  const { reached, what } = context.report.steps.doctor?.result?.named?.T4 ?? {
    what: "the doctor did not say",
  };
  if (!reached) return { ok: true, skipped: true, why: what };
  const begun = performance.now();
  const beside = await checked(context, ["--tier", "T4", "--ops", "matmul,unpackHalf"]);
  const seconds = context.seconds - (performance.now() - begun) / 1000;
  if (seconds < 1) return { ok: false, why: "no time was left for the bench", check: beside };
  const bench = await measure({ ...context, seconds }, "matrices", ["--tier", "T4", "--tune", "w1", "w2"]);
  const why = beside.ok ? bench.why : beside.why;
  return { ok: beside.ok && bench.ok, ...(why ? { why } : {}), check: beside, bench };
}

/** Time against width, depth, context, batch and samples a prompt, with lines over the operations. */
async function curves({ runLimited, node, app, made, env, seconds, quick }) {
  const out = join(made, "curves");
  const command = [node, join(app, "bench/bench.mjs"), "curves", "--out", out];
  if (quick) command.push("--quick", "--time", "20");
  const said = await runLimited(command, { seconds, env, cwd: app });
  const ended = { ...said, stdout: said.stdout.slice(-8000), stderr: said.stderr.slice(-4000) };
  if (!existsSync(`${out}.json`))
    return { ok: false, why: `no result came (exit code ${said.code})`, ...ended };
  const result = JSON.parse(readFileSync(`${out}.json`, "utf8"));
  const why = `${result.failures.length} sizes could not be measured`;
  return { ok: said.code === 0, ...(said.code === 0 ? {} : { why }), ...ended, result };
}

/** The same work by PyTorch, where this host's Python has one that sees the GPU; and the two side by side. */
async function torch(context) {
  const { runLimited, app, made, seconds, quick, report } = context;
  const python = process.env.NAYSAY_PYTHON ?? "python3";
  const asks = "import sys, torch; sys.exit(0 if torch.cuda.is_available() else 3)";
  const has = await runLimited([python, "-c", asks], { seconds: Math.min(seconds, 120) });
  if (has.code !== 0) {
    const why = has.code === 3 ? "its PyTorch sees no GPU" : "no Python with PyTorch here";
    return { ok: true, skipped: true, why, said: (has.failure ?? has.stderr).slice(-500) };
  }
  const out = join(made, "torch");
  const command = [
    python,
    join(app, "bench/torch/torch_bench.py"),
    "--out",
    out,
    ...(quick ? ["--quick"] : []),
  ];
  const said = await runLimited(command, { seconds, cwd: made });
  const { compareResults } = await import("../../dist/bench/compare.js");
  const own = report.steps.bench?.result;
  const results = {};
  for (const mode of ["eager", "compile"]) {
    const path = `${out}-${mode}.json`;
    if (!existsSync(path)) continue;
    const result = JSON.parse(readFileSync(path, "utf8"));
    // Ratios are naysay's time over PyTorch's.
    results[mode] = { result, comparison: own ? compareResults(result, own) : null };
  }
  const why = said.timedOut ? "its time was over" : `exit code ${said.code}`;
  const ended = { ...said, stdout: said.stdout.slice(-8000), stderr: said.stderr.slice(-4000) };
  return { ok: said.code === 0, ...(said.code === 0 ? {} : { why }), ...ended, ...results };
}

async function repeat(context) {
  return repeatTraining(context);
}

/** In their order. */
export const STEPS = [
  { name: "doctor", seconds: 120, does: "adapter, tier, limits", run: doctor },
  { name: "check", seconds: 2400, does: "every op and whole programs on every tier", run: check },
  { name: "repeat", seconds: 1200, does: "the same training twice, bit for bit", run: repeat },
  { name: "bench", seconds: 3600, does: "ceilings, W1 to W5, every op", run: bench },
  { name: "tuned", seconds: 1800, does: "the workloads with the fastest kernels", run: tuned },
  {
    name: "matrices",
    seconds: 1800,
    does: "products by subgroup matrices (T4), where there are any",
    run: matrices,
  },
  { name: "curves", seconds: 1800, does: "time against sizes, lines over operations", run: curves },
  { name: "torch", seconds: 2400, does: "the same work by PyTorch", run: torch },
  { name: "tests", seconds: 2400, does: "the engine's tests that need no browser", run: tests },
];

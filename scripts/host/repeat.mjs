/**
 * Identity and repeatability: the same training in two processes must leave the same bits in every arm's weights and every
 * metric that is no time; on an adapter whose bits are known, those.
 */

import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runLimited } from "./processes.mjs";

/** The first eight digits of the weights' SHA-256, arm by arm, of the quick preset at seed 1: `npm start`. */
const KNOWN = [
  { adapter: /SwiftShader/, tier: "T2", whole: ["32445a9f", "85269ccd", "14ff357d", "ffebcdd2", "66202116"] },
];

const OTHER = "other bits than known";

/** The quick preset with few and small steps. */
const SHORT = {
  train: { steps: 10, promptsPerStep: 4, numGenerations: 4, microBatchRows: 16 },
  evaluation: { prompts: 4, samples: 8, entropySamples: 2 },
  rows: 16,
  scoreRows: 16,
};

/** What of a run must be the same: hashes of weights, and metrics without times. */
function bitsOf(folder) {
  const summary = JSON.parse(readFileSync(join(folder, "summary.json"), "utf8"));
  const metrics = readFileSync(join(folder, "metrics.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => {
      const { step_time: _s, rollout_time: _r, ...rest } = JSON.parse(line);
      return rest;
    });
  return {
    adapter: summary.adapter,
    weights: Object.fromEntries(summary.arms.map((arm) => [arm.name, arm.weightsSha256])),
    metrics,
  };
}

/** Whether a whole run's weights are those that this adapter is known to give. */
export function identityOf({ adapter, weights }, quick) {
  const known = KNOWN.find((row) => row.adapter.test(adapter.description) && row.tier === adapter.tier);
  if (quick || !known) return quick ? "a shortened run" : "an adapter whose bits are not known";
  const found = Object.values(weights).map((sha) => sha.slice(0, 8));
  return known.whole.every((sha, i) => sha === found[i]) ? "as known" : OTHER;
}

/** Trains twice. `seconds` is for both together. */
export async function repeatTraining({ node, app, made, env, seconds, quick }) {
  const begun = performance.now();
  const changes = join(made, "short.json");
  mkdirSync(made, { recursive: true });
  writeFileSync(changes, JSON.stringify(SHORT));
  const runs = [];
  for (const name of ["first", "second"]) {
    const out = join(made, `repeat-${name}`);
    rmSync(out, { recursive: true, force: true });
    const left = seconds - (performance.now() - begun) / 1000;
    const command = [node, join(app, "dist/cli/main.js"), "experiment", "--preset", "quick", "--out", out];
    if (quick) command.push("--config", changes);
    const said = await runLimited(command, { seconds: Math.max(1, left), env });
    runs.push({ ...said, stdout: said.stdout.slice(-2000), stderr: said.stderr.slice(-2000) });
    if (said.code !== 0) return { ok: false, why: `the ${name} run did not end well`, runs };
    Object.assign(runs.at(-1), { bits: bitsOf(out) });
  }
  const [a, b] = runs.map((run) => run.bits);
  for (const run of runs) delete run.bits;
  const same = JSON.stringify(a) === JSON.stringify(b);
  const identity = identityOf(a, quick);
  return {
    ok: same && identity !== OTHER,
    same,
    identity,
    adapter: a.adapter,
    weights: a.weights,
    ...(same ? {} : { weightsOfSecond: b.weights }),
    steps: a.metrics.length,
    runs,
  };
}

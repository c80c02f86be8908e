/**
 * W4: one whole step of NSR (rollout of 64 problems x 8 samples, rewards, scores, update) of the quick preset's policy, from
 * its shipped base. Every timed step begins at the same checkpoint, so each does the same work.
 *
 * Where its time goes: `rollout` within the generator, `scoring` within the scorer, `update` from the first micro-batch to
 * the last result, `host` the rest (problems, verdicts, packing, plans, metrics).
 */

import { readFileSync } from "node:fs";
import { assetPath } from "../dist/cli/assets.js";
import { decodeCheckpoint, parametersFrom } from "../dist/model/checkpoint.js";
import { experimentConfig } from "../dist/rl/presets.js";
import { makeTask } from "../dist/rl/taskTable.js";
import { sharedPrograms, Trainer } from "../dist/rl/trainer.js";
import { measure } from "./measure.mjs";
import { countWork } from "./programs.mjs";

const FULL = { promptsPerStep: 64, numGenerations: 8 };
const QUICK = { promptsPerStep: 2, numGenerations: 2, microBatchRows: 4 };

/** Adds the time spent in `object[name]` to `spent[key]`; what it gives stays. */
function timed(object, name, spent, key) {
  const wrapped = Object.create(object);
  wrapped[name] = async (...args) => {
    const begun = performance.now();
    try {
      return await object[name](...args);
    } finally {
      spent[key] += performance.now() - begun;
    }
  };
  return wrapped;
}

/** Shares of rollout, scoring, update and host in the time of all steps, given in ms. */
export function shares(steps) {
  const sum = (key) => steps.reduce((n, step) => n + step[key], 0);
  const [total, rollout, scoring, update] = ["total", "rollout", "scoring", "update"].map(sum);
  return {
    rollout: rollout / total,
    scoring: scoring / total,
    update: update / total,
    host: (total - rollout - scoring - update) / total,
  };
}

/** The row of W4. */
export async function* nsrRows(backend, { time, quick }) {
  const sizes = quick ? QUICK : FULL;
  const config = experimentConfig("quick", { train: sizes, ...(quick ? { rows: 4, scoreRows: 4 } : {}) });
  const base = decodeCheckpoint(readFileSync(assetPath(config.base)));
  const shared = sharedPrograms(base.config, config);
  const spent = { rollout: 0, scoring: 0, update: 0 };
  let updating = 0;
  const trainer = new Trainer({
    task: makeTask(config.task),
    algorithm: "nsr",
    config: config.train,
    seed: 1,
    params: parametersFrom(base),
    shared: {
      model: shared.model,
      generator: timed(shared.generator, "generate", spent, "rollout"),
      scorer: timed(shared.scorer, "score", spent, "scoring"),
    },
    observer: {
      beforeUpdate() {
        updating = performance.now();
      },
      afterUpdate() {
        spent.update += performance.now() - updating;
      },
    },
  });
  try {
    const start = decodeCheckpoint(await trainer.checkpoint());
    const steps = [];
    let metrics;
    const run = async () => {
      Object.assign(spent, { rollout: 0, scoring: 0, update: 0 });
      const begun = performance.now();
      metrics = await trainer.step();
      await backend.sync();
      steps.push({ ...spent, total: performance.now() - begun });
    };
    const before = async () => {
      trainer.restore(start);
      await backend.sync();
    };
    await before();
    await run();
    await before();
    const work = await countWork(backend, run);
    // The shares are those of the steps that the wall's clock timed: the profiler's passes would change them.
    const untimed = steps.length;
    const { wall, gpu, kernels } = await measure(backend, run, { time, warmup: 0, before });
    const parts = shares(steps.slice(untimed, untimed + wall.samples));
    yield {
      group: "w4",
      name: `w4 NSR step: ${sizes.promptsPerStep} problems x ${sizes.numGenerations} samples, the quick preset's policy`,
      time: "wall",
      wall,
      gpu,
      flops: kernels?.flops ?? null,
      bytes: kernels?.bytes ?? null,
      details: [
        { name: "rollout", value: parts.rollout, unit: "share" },
        { name: "scoring", value: parts.scoring, unit: "share" },
        { name: "update", value: parts.update, unit: "share" },
        { name: "host", value: parts.host, unit: "share" },
        { name: "rows learned from", value: metrics.trained_rows },
        { name: "completion tokens", value: metrics.num_tokens },
        { name: "mean reward", value: metrics.reward },
        { name: "dispatches", value: work.dispatches },
        { name: "submissions", value: work.submits },
      ],
    };
  } finally {
    trainer.dispose();
    shared.dispose();
  }
}

/**
 * W4: one whole step of NSR (rollout of 64 problems x 8 samples, rewards, scores, update) of the quick preset's policy, from
 * its shipped base. Every timed step begins at the same checkpoint, so each does the same work.
 *
 * Where its time goes: `rollout` within the generator, `scoring` within the scorer, `update` from the first micro-batch to
 * the last result, `host` the rest (problems, verdicts, packing, plans, metrics).
 */

import { decodeCheckpoint, parametersFrom } from "../model/checkpoint.ts";
import { experimentConfig } from "../rl/presets.ts";
import { makeTask } from "../rl/taskTable.ts";
import { sharedPrograms, Trainer } from "../rl/trainer.ts";
import { ConfigError } from "../tensor/errors.ts";
import type { WebGpuBackend } from "../tensor/webgpu.ts";
import { measure } from "./measure.ts";
import { countWork } from "./programs.ts";
import type { MeasuredRow, MeasureOptions } from "./result.ts";

/** ms of one step and of its parts; what is in no part is the host's. */
export interface StepTimes {
  rollout: number;
  scoring: number;
  update: number;
  total: number;
}

const FULL = { promptsPerStep: 64, numGenerations: 8 };
const QUICK = { promptsPerStep: 2, numGenerations: 2, microBatchRows: 4 };

/** Tells `add` the time spent in `object[name]`, ms; what it gives stays. */
function timed<T extends object, K extends keyof T>(object: T, name: K, add: (ms: number) => void): T {
  const wrapped = Object.create(object) as T;
  const call = (object[name] as (...args: unknown[]) => Promise<unknown>).bind(object);
  const timing = async (...args: unknown[]): Promise<unknown> => {
    const begun = performance.now();
    try {
      return await call(...args);
    } finally {
      add(performance.now() - begun);
    }
  };
  wrapped[name] = timing as T[K];
  return wrapped;
}

/** Shares of rollout, scoring, update and host in the time of all steps, given in ms. */
export function shares(
  steps: readonly StepTimes[],
): Record<"rollout" | "scoring" | "update" | "host", number> {
  const sum = (key: keyof StepTimes): number => steps.reduce((n, step) => n + step[key], 0);
  const [total, rollout, scoring, update] = (["total", "rollout", "scoring", "update"] as const).map(sum);
  return {
    rollout: rollout / total,
    scoring: scoring / total,
    update: update / total,
    host: (total - rollout - scoring - update) / total,
  };
}

/** The row of W4. */
export async function* nsrRows(
  backend: WebGpuBackend,
  { time, quick, signal, loadBase }: MeasureOptions,
): AsyncGenerator<MeasuredRow> {
  const sizes = quick ? QUICK : FULL;
  const config = experimentConfig("quick", { train: sizes, ...(quick ? { rows: 4, scoreRows: 4 } : {}) });
  if (!loadBase || !config.base) {
    throw new ConfigError(
      "bench: the bytes of the quick preset's base expected for w4, got none. Pass `loadBase`.",
    );
  }
  const base = decodeCheckpoint(await loadBase(config.base));
  const shared = sharedPrograms(base.config, { rows: config.rows, scoreRows: config.scoreRows });
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
      generator: timed(shared.generator, "generate", (ms) => {
        spent.rollout += ms;
      }),
      scorer: timed(shared.scorer, "score", (ms) => {
        spent.scoring += ms;
      }),
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
    const steps: StepTimes[] = [];
    let metrics = null as Awaited<ReturnType<Trainer["step"]>> | null;
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
    const { wall, gpu, kernels } = await measure(backend, run, { time, signal, warmup: 0, before });
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
        { name: "rows learned from", value: metrics?.trained_rows ?? 0 },
        { name: "completion tokens", value: metrics?.num_tokens ?? 0 },
        { name: "mean reward", value: metrics?.reward ?? 0 },
        { name: "dispatches", value: work.dispatches },
        { name: "submissions", value: work.submits },
      ],
    };
  } finally {
    trainer.dispose();
    shared.dispose();
  }
}

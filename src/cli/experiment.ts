/** `naysay experiment`: trains every arm from one base and measures it. The work is `runExperiment`; here are flags and text. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { renderTable } from "../eval/table.ts";
import { runExperiment } from "../rl/experiment.ts";
import type { ProgressEvent } from "../rl/experimentProgress.ts";
import { armName, type ExperimentChanges, experimentConfig, PRESETS } from "../rl/presets.ts";
import { ConfigError } from "../tensor/errors.ts";
import { init } from "../tensor/init.ts";
import { argHelp, readArgs } from "./args.ts";
import { assetPath } from "./assets.ts";
import { files } from "./files.ts";
import { adapterSummary, versions } from "./record.ts";
import { StatusLine } from "./statusLine.ts";

const FLAGS = {
  preset: { kind: "text", help: "what to run", default: "quick", choices: Object.keys(PRESETS) },
  seed: { kind: "integer", help: "of every random number", default: 1, min: 0 },
  out: {
    kind: "text",
    help: "folder of the run (default runs/<preset>; runs/<preset>-seed-<n> for another seed than 1)",
    takes: "folder",
  },
  arms: {
    kind: "text",
    help: "base, psr, nsr, w-reinforce:0.1, grpo; -flipped turns the sign",
    takes: "a,b",
  },
  updates: { kind: "integer", help: "rollouts of each arm, an update each", min: 0 },
  config: { kind: "text", help: "JSON file with changes to the preset", takes: "file" },
  base: { kind: "text", help: "checkpoint to start from instead of the preset's", takes: "file" },
  "from-scratch": { kind: "flag", help: "pretrain the base instead of loading the shipped one" },
  json: { kind: "flag", help: "print summary.json instead of the table" },
  help: { kind: "flag", help: "print this help" },
} as const;

/** Runs the command; exit code 0 when summary.json is written. */
export async function run(argv: readonly string[]): Promise<number> {
  const args = readArgs(argv, FLAGS);
  if (args.help) {
    console.log(`naysay experiment\n${argHelp(FLAGS)}`);
    return 0;
  }
  const changes = readChanges(args.config);
  if (args.arms !== undefined) changes.arms = args.arms.split(",").map((arm) => arm.trim());
  if (args.base !== undefined) {
    if (args["from-scratch"]) {
      throw new ConfigError("--base: no --from-scratch beside it expected, got both. Choose one.");
    }
    changes.base = args.base;
  }
  if (args.updates !== undefined) changes.train = { ...changes.train, steps: args.updates };
  const config = experimentConfig(args.preset, changes);
  const out = args.out ?? defaultFolder(args.preset, args.seed);
  const finished = isFinished(
    out,
    config.arms.map((arm) => armName(arm, config)),
  );
  const { device, destroy } = await open();
  const status = new StatusLine(process.stderr);
  const abort = abortOnSignals();
  try {
    const summary = await runExperiment({
      config,
      preset: args.preset,
      seed: args.seed,
      files,
      out,
      adapter: adapterSummary(device),
      command: ["naysay experiment", ...argv].join(" "),
      versions: versions(),
      loadBase: args["from-scratch"]
        ? undefined
        : (name) => files.readFile(args.base === undefined ? assetPath(name) : name),
      signal: abort.signal,
      onProgress: (event) =>
        status.show(progressText(event), event.phase === "arm" || event.warnings.length > 0),
    });
    status.clear();
    if (finished) {
      console.error(`${out} is finished: shown from its files; remove it or choose --out to run again`);
    }
    console.log(args.json ? JSON.stringify(summary, null, 2) : renderTable(summary.arms));
    if (!args.json) console.log(`\n${out}/report.html`);
    return 0;
  } finally {
    status.clear();
    abort.off();
    destroy();
  }
}

/** Where a run goes that was given no folder: one for each seed. */
export function defaultFolder(preset: string, seed: number): string {
  return join("runs", seed === 1 ? preset : `${preset}-seed-${seed}`);
}

/** Whether the folder's run has every arm. One that cannot be read is not finished: `runExperiment` says why. */
function isFinished(folder: string, arms: readonly string[]): boolean {
  try {
    const record = JSON.parse(readFileSync(join(folder, "run.json"), "utf8")) as { arms: object };
    return arms.every((arm) => Object.hasOwn(record.arms, arm));
  } catch {
    return false;
  }
}

async function open() {
  const backend = await init();
  return { device: backend.device, destroy: () => backend.destroy() };
}

function readChanges(path: string | undefined): ExperimentChanges {
  if (path === undefined) return {};
  try {
    return JSON.parse(readFileSync(path, "utf8")) as ExperimentChanges;
  } catch (cause) {
    throw new ConfigError(`--config: a JSON file expected, got ${path}. Check the path and its commas.`, {
      cause,
    });
  }
}

/** Ctrl-C ends the run between steps; what is finished stays. */
function abortOnSignals(): { signal: AbortSignal; off(): void } {
  const controller = new AbortController();
  const stop = () =>
    controller.abort(new ConfigError("experiment: stopped. Run the same command again to go on."));
  process.once("SIGINT", stop);
  process.once("SIGTERM", stop);
  return {
    signal: controller.signal,
    off: () => {
      process.off("SIGINT", stop).off("SIGTERM", stop);
    },
  };
}

/** Seconds as a person says them. */
export function duration(seconds: number): string {
  const whole = Math.round(seconds);
  if (whole < 90) return `${whole} s`;
  return whole < 5400 ? `${Math.round(whole / 60)} min` : `${(whole / 3600).toFixed(1)} h`;
}

/** One line for a progress event. */
export function progressText(event: ProgressEvent): string {
  const { phase, arm, done, total, secondsLeft, values, warnings, summary } = event;
  const numbers = Object.entries(values).map(([name, value]) => `${name} ${value.toFixed(3)}`);
  const left = secondsLeft === null ? "" : `about ${duration(secondsLeft)} left`;
  const parts =
    phase === "arm" && summary
      ? [
          `${arm}: done (${done} of ${total} arms)`,
          ...numbers,
          `entropy ${summary.entropy.toFixed(3)}`,
          `${duration(summary.trainSeconds + summary.rolloutSeconds + (summary.evaluationSeconds ?? 0))}`,
        ]
      : [`${arm ?? "base"}: ${phase} ${done}/${total}`, ...numbers];
  const lines = [[...parts, left].filter((part) => part !== "").join(" · ")];
  return [...lines, ...warnings.map((warning) => `  warning: ${warning}`)].join("\n");
}

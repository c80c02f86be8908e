/** `naysay experiment`: trains every arm from one base and measures it. The work is `runExperiment`; here are flags and text. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type ArmSummary, adapterSummary } from "../eval/summary.ts";
import { renderTable } from "../eval/table.ts";
import { runExperiment } from "../rl/experiment.ts";
import { armName, experimentConfig, mergeChanges, PRESETS } from "../rl/presets.ts";
import { isStudy, STUDIES, type StudyChanges, studyConfig } from "../rl/studyConfig.ts";
import { makeTask } from "../rl/taskTable.ts";
import { writeTensorboard } from "../rl/tensorboardFolder.ts";
import { ConfigError } from "../tensor/errors.ts";
import { argHelp, readArgs } from "./args.ts";
import { assetPath } from "./assets.ts";
import { HELP } from "./commonFlags.ts";
import { files } from "./files.ts";
import { madeFrom, readJsonObject } from "./jsonFile.ts";
import { progressText } from "./progressText.ts";
import { versions } from "./record.ts";
import { abortOnSignals, openIn } from "./running.ts";
import { StatusLine } from "./statusLine.ts";
import { studyCommand } from "./study.ts";

const FLAGS = {
  preset: {
    kind: "text",
    help: "quick; gpu: larger; tiny: a smoke test that measures nothing; controls, hard, maze: studies of seeds and controls",
    default: "quick",
    choices: [...Object.keys(PRESETS), ...Object.keys(STUDIES)],
  },
  seed: { kind: "integer", help: "of every random number (default 1)", min: 0 },
  seeds: { kind: "text", help: "of a study: every arm once for each", takes: "1,2,3" },
  out: {
    kind: "text",
    help: "folder of the run (default runs/<preset>; runs/<preset>-seed-<n> for another seed than 1)",
    takes: "folder",
  },
  arms: {
    kind: "text",
    help: "base, psr, nsr, w-reinforce:0.1, grpo, ppo ... (docs/algorithms.md); -flipped turns the sign",
    takes: "a,b",
  },
  updates: {
    kind: "integer",
    help: "rollouts of each arm, an update each or one for every mini-batch",
    min: 0,
  },
  config: { kind: "text", help: "JSON file with changes to the preset", takes: "file" },
  base: { kind: "text", help: "checkpoint to start from instead of the preset's", takes: "file" },
  "from-scratch": { kind: "flag", help: "pretrain the base instead of loading the shipped one" },
  tensorboard: { kind: "flag", help: "write event files to <out>/tensorboard/ after each arm" },
  json: { kind: "flag", help: "print summary.json instead of the table" },
  help: HELP,
} as const;

/** Runs the command; exit code 0 when summary.json is written. */
export async function run(argv: readonly string[]): Promise<number> {
  const args = readArgs(argv, FLAGS);
  if (args.help) {
    console.log(`naysay experiment\n${argHelp(FLAGS)}`);
    return 0;
  }
  const others = flagChanges(args);
  const changes = args.config === undefined ? others : mergedChanges(args.config, others);
  const checked = <T>(make: (changes: StudyChanges) => T): T =>
    madeFrom("--config", args.config, { changes, others }, make);
  const loadBase = (name: string) => files.readFile(args.base === undefined ? assetPath(name) : name);
  if (isStudy(args.preset, changes)) {
    if (args.seed !== undefined) {
      throw new ConfigError(`--seed: none expected for a study, got ${args.seed}. Use --seeds ${args.seed}.`);
    }
    if (args.tensorboard) {
      throw new ConfigError(
        "--tensorboard: one run expected, got a study of many. Run one of its seeds as an experiment.",
      );
    }
    const config = checked((given) => {
      const found = studyConfig(args.preset, given);
      makeTask(found.experiment.task);
      return found;
    });
    const command = ["naysay experiment", ...argv].join(" ");
    return studyCommand({ config, preset: args.preset, out: args.out, command, loadBase, json: args.json });
  }
  const seed = args.seed ?? 1;
  const config = checked((given) => {
    const found = experimentConfig(args.preset, given);
    makeTask(found.task);
    return found;
  });
  const out = args.out ?? defaultFolder(args.preset, seed);
  const finished = isFinished(
    out,
    config.arms.map((arm) => armName(arm, config)),
  );
  const { device, tuning, destroy } = await openIn(out);
  const status = new StatusLine(process.stderr);
  const abort = abortOnSignals();
  try {
    const summary = await runExperiment({
      config,
      preset: args.preset,
      seed,
      files,
      out,
      adapter: adapterSummary(device.info),
      command: ["naysay experiment", ...argv].join(" "),
      versions: versions(tuning),
      loadBase,
      signal: abort.signal,
      observer: args.tensorboard ? { arm: async () => void (await writeTensorboard(files, out)) } : undefined,
      onProgress: (event) =>
        status.show(progressText(event), event.phase === "arm" || event.warnings.length > 0),
    });
    status.clear();
    if (finished) {
      console.error(`${out} is finished: shown from its files; remove it or choose --out to run again`);
    }
    if (args.tensorboard) await writeTensorboard(files, out);
    console.log(args.json ? JSON.stringify(summary, null, 2) : renderTable(summary.arms));
    if (!args.json) console.log(`\n${weightsLine(summary.arms)}\n${out}/report.html`);
    if (!args.json && args.tensorboard) console.log(`tensorboard --logdir ${out}/tensorboard`);
    return 0;
  } finally {
    status.clear();
    abort.off();
    destroy();
  }
}

/** What to compare with another run, on the page say. */
function weightsLine(arms: readonly ArmSummary[]): string {
  const heads = arms.map(({ weightsSha256 }) => weightsSha256.slice(0, 8));
  return `SHA-256 of the weights, arm by arm: ${heads.join(" ")}`;
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

function seedOf(text: string): number {
  if (/^\d{1,15}$/.test(text.trim())) return Number(text);
  throw new ConfigError(
    `--seeds: whole numbers from 0 on with commas expected, got "${text.slice(0, 60)}". Write --seeds 1,2,3.`,
  );
}

/** The changes that flags make. */
function flagChanges(args: {
  arms?: string;
  base?: string;
  "from-scratch": boolean;
  updates?: number;
  seeds?: string;
}): StudyChanges {
  if (args.base !== undefined && args["from-scratch"]) {
    throw new ConfigError("--base: no --from-scratch beside it expected, got both. Choose one.");
  }
  return {
    ...(args.arms === undefined ? {} : { arms: args.arms.split(",").map((arm) => arm.trim()) }),
    ...(args.base === undefined ? {} : { base: args.base }),
    ...(args["from-scratch"] ? { base: null } : {}),
    ...(args.updates === undefined ? {} : { train: { steps: args.updates } }),
    ...(args.seeds === undefined ? {} : { seeds: args.seeds.split(",").map(seedOf) }),
  };
}

/** A file's changes with those of flags over them. */
function mergedChanges(path: string, others: StudyChanges): StudyChanges {
  const found = readJsonObject("--config", path, '{ "train": { "steps": 40 } }');
  const merged = mergeChanges(found, others);
  // What is no object is refused later, and not lost under a flag's.
  const { train } = found;
  if ("train" in found && (typeof train !== "object" || train === null || Array.isArray(train)))
    merged.train = train;
  return merged;
}

/**
 * `naysay tune`: measures on this adapter the ways to compute the products of a preset's policy, and keeps the fastest for
 * every later run. No result changes by it: only ways with equal bits are taken, unless the level is `fast`, whose table only
 * runs of that level use.
 */

import { dirname } from "node:path";
import { alignColumns } from "../eval/table.ts";
import { initializeParameters } from "../model/parameters.ts";
import { taskModel } from "../rl/makeBase.ts";
import { experimentConfig, PRESETS } from "../rl/presets.ts";
import { makeTask } from "../rl/taskTable.ts";
import { sharedPrograms, Trainer } from "../rl/trainer.ts";
import { flags } from "../tensor/flags.ts";
import { init } from "../tensor/init.ts";
import type { TunedClass } from "../tensor/tune.ts";
import type { TuningTable } from "../tensor/tuning.ts";
import { argHelp, readArgs } from "./args.ts";
import { DETERMINISM, determinismOf, HELP } from "./commonFlags.ts";
import { files } from "./files.ts";
import { abortOnSignals } from "./running.ts";
import { StatusLine } from "./statusLine.ts";
import { gainOf, tuneAndKeep } from "./tuneAndKeep.ts";

const FLAGS = {
  preset: {
    kind: "text",
    help: "whose policy: one rollout and one update say what it multiplies",
    default: "quick",
    choices: Object.keys(PRESETS),
  },
  time: {
    kind: "integer",
    help: "ms to measure each shape class, beside compiling its kernels",
    default: 1000,
    min: 1,
  },
  again: { kind: "flag", help: "measure what is known already, too" },
  out: {
    kind: "text",
    help: "write the table to a file as well, to ship: init({ tuning: table })",
    takes: "file",
  },
  json: { kind: "flag", help: "print what was measured as JSON" },
  determinism: DETERMINISM,
  help: HELP,
} as const;

/** Runs the command; exit code 0 when the table is stored. */
export async function run(argv: readonly string[]): Promise<number> {
  const args = readArgs(argv, FLAGS);
  if (args.help) {
    console.log(`naysay tune\n${argHelp(FLAGS)}`);
    return 0;
  }
  const determinism = determinismOf(args.determinism);
  const abort = abortOnSignals("tune: stopped. What was measured before is kept.");
  const status = new StatusLine(process.stderr);
  const backend = await init({ determinism, tuning: args.again ? "off" : flags().tuning });
  const known = backend.tuning.size;
  try {
    // Before minutes of measuring.
    if (args.out !== undefined) await files.mkdirp(dirname(args.out));
    status.show(`tune: one rollout and one update of the preset ${args.preset}`);
    await meetProducts(args.preset, abort.signal);
    const classes = backend.tuning.missing.size;
    let done = 0;
    const { measured, keep } = await tuneAndKeep(backend, {
      time: args.time,
      signal: abort.signal,
      onClass: ({ shapeClass, untuned, chosen }) =>
        status.show(`tune ${++done}/${classes} · ${shapeClass}: ${chosen ?? untuned}`),
    });
    status.clear();
    console.log(
      args.json
        ? JSON.stringify({ known, measured, table: backend.tuning.table() }, null, 2)
        : text(measured, known),
    );
    if (args.out !== undefined) await writeTable(args.out, backend.tuning.table());
    // Last, so that what was measured is shown and written where it cannot be stored.
    await keep();
    if (!args.json && measured.length > 0) console.log(`Kept for later starts: ${backend.tuning.storedAt}`);
    return 0;
  } finally {
    status.clear();
    abort.off();
    backend.destroy();
  }
}

function writeTable(path: string, table: TuningTable): Promise<void> {
  return files.writeFileAtomic(path, new TextEncoder().encode(`${JSON.stringify(table, null, 2)}\n`));
}

/** Builds the programs of rollout, scoring and update, by running each once on weights from nothing. */
async function meetProducts(preset: string, signal: AbortSignal): Promise<void> {
  // Weights from nothing answer wrong nearly always, and a wrong answer is what NSR learns from.
  const config = experimentConfig(preset, { train: { steps: 1 } });
  const task = makeTask(config.task);
  const model = taskModel(task, config.model);
  const shared = sharedPrograms(model, { rows: config.rows, scoreRows: config.scoreRows });
  const trainer = new Trainer({
    task,
    algorithm: "nsr",
    config: config.train,
    seed: 1,
    params: initializeParameters(model, 1),
    shared,
  });
  try {
    await trainer.step(signal);
  } finally {
    trainer.dispose();
    shared.dispose();
  }
}

function text(measured: readonly TunedClass[], known: number): string {
  if (measured.length === 0) return `All ${known} shape classes are known. --again measures them anew.`;
  const ms = (x: number): string => (x < 10 ? x.toFixed(2) : x.toFixed(1));
  const rows = measured.map((tuned) => [
    tuned.shapeClass,
    tuned.chosen ?? tuned.untuned,
    ms(tuned.ms[tuned.untuned]),
    ms(tuned.ms[tuned.chosen ?? tuned.untuned]),
    gainOf(tuned).toFixed(2),
    String(Object.keys(tuned.refused).length),
  ]);
  const head = ["shape class", "way", "untuned ms", "ms", "gain", "refused"];
  return alignColumns([head, ...rows]);
}

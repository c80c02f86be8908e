/**
 * `npm run bench`: the adapter's ceilings, the workloads W1 to W5 and the op table's perf sizes on this adapter; two results
 * side by side; cost curves. `--help` prints what it takes, README.md beside this file says how to read what it gives.
 */

import { accessSync, constants, readFileSync, renameSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { dirname } from "node:path";
import { compareResults, comparisonLines } from "../dist/bench/compare.js";
import { ceilingLines, detailLines, HEADING, line } from "../dist/bench/format.js";
import { benchNames, chosenBy, runBench } from "../dist/bench/run.js";
import { argHelp, readArgs } from "../dist/cli/args.js";
import { assetPath } from "../dist/cli/assets.js";
import { DETERMINISM, determinismOf, HELP, TIER } from "../dist/cli/commonFlags.js";
import { planLaunch, relaunch } from "../dist/cli/launch.js";
import { gainOf, tuneAndKeep } from "../dist/cli/tuneAndKeep.js";
import { ConfigError, NaysayError } from "../dist/tensor/errors.js";
import { init } from "../dist/tensor/init.js";
import { coldStart } from "./coldStart.mjs";
import { curves } from "./curves.mjs";
import { readResult } from "./readResult.mjs";

const FLAGS = {
  json: { kind: "flag", help: "print the result as one JSON object, and nothing else on stdout" },
  out: {
    kind: "text",
    takes: "file",
    help: "write the result, anew after every row; of curves: the files' beginning",
  },
  quick: { kind: "flag", help: "tiny sizes: shows that it works, not what it gives" },
  tier: { ...TIER, help: "take another tier than the adapter's highest below T4" },
  determinism: DETERMINISM,
  time: { kind: "number", takes: "ms", help: "measure each row for so long", default: 300 },
  tune: { kind: "flag", help: "measure the ways to compute the products then, for later runs" },
  help: HELP,
};

function help() {
  const { workloads } = benchNames();
  return `npm run bench -- [words] [flags]      measures; no words: everything
npm run bench -- compare a.json b.json [--json]
npm run bench -- curves [flags]       fits time against size

Words: ${workloads.join(", ")} (workloads), ops (all of them), names of ops, ceilings (nothing else).
What is made of ops (softmax) is timed as a function of your own (bench/README.md).

Flags:
${argHelp(FLAGS)}

Examples:
  npm run bench -- w2 matmul --time 1000
  npm run --silent bench -- w1 --json > a.json
  npm run bench -- compare a.json b.json

Exit code: 0 done, 1 where a row failed or there is no device, 2 where the words, the flags or a file are not understood.`;
}

function commandLine() {
  const { rest: words, ...values } = readArgs(process.argv.slice(2), FLAGS, Number.POSITIVE_INFINITY);
  if (!(values.time > 0)) {
    throw new ConfigError(`bench: --time: milliseconds above 0 expected, got ${values.time}. Leave it out.`);
  }
  return { ...values, determinism: determinismOf(values.determinism), words };
}

function compare(paths, json) {
  if (paths.length !== 2) {
    throw new ConfigError(
      `bench: compare: two result files expected, got ${paths.length}. Write them with --json > a.json.`,
    );
  }
  const [a, b] = paths.map(readResult);
  if (json) console.log(JSON.stringify(compareResults(a, b), null, 2));
  else console.log(comparisonLines(a, b).join("\n"));
}

/** Throws `ConfigError` where `keep` could not write, before anything is measured. */
function requireWritable(path) {
  if (path === undefined) return;
  try {
    accessSync(dirname(path), constants.W_OK);
  } catch (cause) {
    throw new ConfigError(
      `bench: --out: a file in a folder that is there expected, got ${path} (${cause.message}). Make the folder, or take another.`,
      { cause },
    );
  }
}

/** Writes a file that is whole at every moment: what is done outlives a driver that hangs. */
function keep(path, result) {
  if (path === undefined) return;
  writeFileSync(`${path}.part`, `${JSON.stringify(result, null, 2)}\n`);
  renameSync(`${path}.part`, path);
}

async function run({ words, json, out, quick, tier, determinism, time, tune: tunes }) {
  chosenBy(words);
  requireWritable(out);
  const plan = await planLaunch();
  if (Object.keys(plan.env).length > 0) return relaunch(plan.env);
  const backend = await init({ timestamps: true, tier, determinism });
  const print = (...lines) => {
    if (!json) console.log(lines.join("\n"));
  };
  const { size } = backend.tuning;
  print(`${backend.device.describe()}${size > 0 ? `; ${size} kernels chosen by measurement` : ""}`);
  const result = await runBench(backend, {
    words,
    quick,
    time,
    machine: { processors: cpus().length, model: cpus()[0]?.model ?? "" },
    loadBase: async (name) => new Uint8Array(readFileSync(assetPath(name))),
    coldStart: () => coldStart({ quick, tier, determinism }),
    onCeilings: (ceilings) => print(...ceilingLines(ceilings), "", HEADING),
    onRow: (row) => print(line(row), ...detailLines(row)),
    onFailure: ({ name, message }) => print(`failed: ${name}: ${message}`),
    onProgress: (sofar) => keep(out, sofar),
  });
  keep(out, result);
  if (json) console.log(JSON.stringify(result, null, 2));
  if (tunes) {
    print("", `tuning ${backend.tuning.missing.size} shape classes`);
    const { keep } = await tuneAndKeep(backend, {
      time,
      onClass: (tuned) => {
        const way = tuned.chosen && `${tuned.chosen}, ${gainOf(tuned).toFixed(2)} times as fast as untuned`;
        print(`  ${tuned.shapeClass}: ${way ?? tuned.untuned}`);
      },
    });
    await keep();
  }
  backend.destroy();
  return result.errors.length > 0 ? 1 : 0;
}

try {
  const options = commandLine();
  const [first, ...rest] = options.words;
  if (options.help) console.log(help());
  else if (first === "compare") compare(rest, options.json);
  else if (first === "curves" && rest.length > 0) {
    throw new ConfigError(`bench: curves: no more words expected, got "${rest.join(" ")}". Leave them out.`);
  } else if (first === "curves") process.exitCode = await curves(options);
  else process.exitCode = await run(options);
} catch (error) {
  // What the user can mend is a line; anything else is a fault with its place.
  console.error(error instanceof NaysayError ? error.message : error);
  process.exitCode = error instanceof ConfigError ? 2 : 1;
}

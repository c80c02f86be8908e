/**
 * `npm run bench -- [words] [--json] [--out file] [--quick] [--tier T0] [--time 300] [--tune]`: the adapter's ceilings, the workloads
 * W1 to W5 and the op table's perf sizes on this adapter. Words choose workloads and ops; `--tune` then measures the ways to compute
 * their products, for later runs. `npm run bench -- compare a.json b.json` sets
 * two results side by side; `npm run bench -- curves` fits time against size. README.md beside this file says how to read them.
 */

import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { compareResults, comparisonLines } from "../dist/bench/compare.js";
import { ceilingLines, detailLines, HEADING, line } from "../dist/bench/format.js";
import { chosenBy, runBench } from "../dist/bench/run.js";
import { assetPath } from "../dist/cli/assets.js";
import { planLaunch, relaunch } from "../dist/cli/launch.js";
import { NaysayError } from "../dist/tensor/errors.js";
import { init } from "../dist/tensor/init.js";
import { tune } from "../dist/tensor/tune.js";
import { coldStart } from "./coldStart.mjs";
import { curves } from "./curves.mjs";
import { readResult } from "./readResult.mjs";

function commandLine() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      json: { type: "boolean", default: false },
      out: { type: "string" },
      quick: { type: "boolean", default: false },
      tier: { type: "string" },
      time: { type: "string", default: "300" },
      tune: { type: "boolean", default: false },
    },
  });
  const time = Number(values.time);
  if (!(time > 0 && Number.isFinite(time))) {
    throw new Error(`bench: --time: milliseconds above 0 expected, got "${values.time}". Leave it out.`);
  }
  return { ...values, time, words: positionals };
}

function compare(paths, json) {
  if (paths.length !== 2) {
    throw new Error(
      `bench: compare: two result files expected, got ${paths.length}. Write them with --json > a.json.`,
    );
  }
  const [a, b] = paths.map(readResult);
  if (json) console.log(JSON.stringify(compareResults(a, b), null, 2));
  else console.log(comparisonLines(a, b).join("\n"));
}

/** Writes a file that is whole at every moment: what is done outlives a driver that hangs. */
function keep(path, result) {
  if (path === undefined) return;
  writeFileSync(`${path}.part`, `${JSON.stringify(result, null, 2)}\n`);
  renameSync(`${path}.part`, path);
}

async function run({ words, json, out, quick, tier, time, tune: tunes }) {
  chosenBy(words);
  const plan = await planLaunch();
  if (Object.keys(plan.env).length > 0) return relaunch(plan.env);
  const backend = await init({ timestamps: true, ...(tier ? { tier } : {}) });
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
    coldStart: () => coldStart({ quick, tier }),
    onCeilings: (ceilings) => print(...ceilingLines(ceilings), "", HEADING),
    onRow: (row) => print(line(row), ...detailLines(row)),
    onFailure: ({ name, message }) => print(`failed: ${name}: ${message}`),
    onProgress: (sofar) => keep(out, sofar),
  });
  keep(out, result);
  if (tunes) {
    print("", `tuning ${backend.tuning.missing.size} shape classes`);
    await tune(backend, {
      time,
      onClass: ({ shapeClass, chosen, ms }) => {
        const gain = (ms.default / ms[chosen ?? "default"]).toFixed(2);
        print(
          `  ${shapeClass}: ${chosen ? `${chosen}, ${gain} times as fast as the default` : "the default"}`,
        );
      },
    });
    await backend.tuning.save();
  }
  if (json) console.log(JSON.stringify(result, null, 2));
  backend.destroy();
  return result.errors.length > 0 ? 1 : 0;
}

try {
  const options = commandLine();
  const [first, ...rest] = options.words;
  if (first === "compare") compare(rest, options.json);
  else if (first === "curves" && rest.length > 0) {
    throw new Error(`bench: curves: no more words expected, got "${rest.join(" ")}". Leave them out.`);
  } else if (first === "curves") process.exitCode = await curves(options);
  else process.exitCode = await run(options);
} catch (error) {
  // What the user can mend is a line; anything else is a fault with its place.
  const told =
    error instanceof NaysayError ||
    error.message.startsWith("bench:") ||
    error.code?.startsWith("ERR_PARSE_ARGS");
  console.error(told ? error.message : error);
  process.exitCode = 1;
}

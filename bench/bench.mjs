/**
 * `npm run bench -- [words] [--json] [--quick] [--tier T0] [--time 300]`: the adapter's ceilings, the workloads W1 to W4 and
 * the op table's perf sizes on this adapter. Words choose workloads and ops. `npm run bench -- compare a.json b.json` sets two
 * results side by side. README.md beside this file says how to read them.
 */

import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { planLaunch, relaunch } from "../dist/cli/launch.js";
import { NaysayError } from "../dist/tensor/errors.js";
import { init } from "../dist/tensor/init.js";
import { allOps, opByName } from "../dist/tensor/ops/table.js";
import { measureCeilings } from "./ceilings.mjs";
import { compareResults, comparisonLines, readResult } from "./compare.mjs";
import { ceilingLines, detailLines, HEADING, line } from "./format.mjs";
import { opRow } from "./opRows.mjs";
import { withRates } from "./rates.mjs";
import { choose } from "./selection.mjs";
import { WORKLOADS } from "./workloads.mjs";

function commandLine() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      json: { type: "boolean", default: false },
      quick: { type: "boolean", default: false },
      tier: { type: "string" },
      time: { type: "string", default: "300" },
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

/** Rows of what was chosen, one after the other. */
async function* rowsOf(backend, { workloads, ops }, options) {
  for (const name of workloads) yield* WORKLOADS[name](backend, options);
  for (const name of ops) {
    const op = opByName(name);
    for (const test of op.perf) yield await opRow(backend, op, test, options);
  }
}

async function run(options) {
  const timed = allOps().filter((op) => op.perf?.length > 0);
  const names = (list) => list.map((op) => op.name);
  const chosen = choose(options.words, Object.keys(WORKLOADS), names(allOps()), names(timed));
  const plan = await planLaunch();
  if (Object.keys(plan.env).length > 0) return relaunch(plan.env);
  const { json, quick, tier, time } = options;
  const backend = await init({ timestamps: true, ...(tier ? { tier } : {}) });
  const print = (...lines) => {
    if (!json) console.log(lines.join("\n"));
  };
  print(backend.device.describe());
  const ceilings = await measureCeilings(backend.device, { time, quick });
  print(...ceilingLines(ceilings), "", HEADING);
  const rows = [];
  for await (const measured of rowsOf(backend, chosen, { time, quick, tier })) {
    const row = withRates(measured, ceilings);
    rows.push(row);
    print(line(row), ...detailLines(row));
  }
  const [{ model }] = cpus();
  const machine = { processors: cpus().length, model };
  const facts = { node: process.version, adapter: backend.device.info, machine, quick, time };
  if (json) console.log(JSON.stringify({ format: "naysay-bench-1", ...facts, ceilings, rows }, null, 2));
  backend.destroy();
  return 0;
}

try {
  const options = commandLine();
  const [first, ...rest] = options.words;
  if (first === "compare") compare(rest, options.json);
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

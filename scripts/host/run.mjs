/**
 * `run.sh [out.json] [--quick] [--only check,bench] [--skip tests] [--minutes 60] [--dry]`: everything that naysay says of a
 * host, in one JSON file. Each step is a process of its own with a limit of time; one that fails or hangs leaves its part of
 * the file, and the rest goes on. The file is written anew after every step, so that what is done outlives this process.
 */

import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { chooseDriver } from "./drivers.mjs";
import { machineFacts } from "./machine.mjs";
import { runLimited } from "./processes.mjs";
import { STEPS } from "./steps.mjs";

const app = fileURLToPath(new URL("../..", import.meta.url));
const node = process.execPath;
/** Seconds that a way to a driver may take to answer: a broken one hangs. */
const PROBE_SECONDS = 60;

const HELP = `run.sh [out.json] [--quick] [--only a,b] [--skip a,b] [--minutes n] [--dry]

  out.json      where the report goes (naysay-host.json)
  --quick       small sizes and few cases: shows that everything works
  --only, --skip  of the steps ${STEPS.map(({ name }) => name).join(", ")}
  --minutes     most for all steps together; what finds no time left says so
  --dry         finds the driver, prints the plan, runs no step

Environment: VK_DRIVER_FILES names a driver's manifest to use; NAYSAY_HOST_WORK the folder to unpack into.
`;

class Usage extends Error {}

function commandLine() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      quick: { type: "boolean", default: false },
      dry: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
      only: { type: "string" },
      skip: { type: "string", default: "" },
      minutes: { type: "string", default: "240" },
    },
  });
  const minutes = Number(values.minutes);
  if (!(minutes > 0))
    throw new Usage(`run.sh: --minutes: a number above 0 expected, got "${values.minutes}".`);
  if (positionals.length > 1) throw new Usage(`run.sh: one file expected, got ${positionals.join(" ")}.`);
  const names = STEPS.map(({ name }) => name);
  const list = (text) => text.split(",").filter(Boolean);
  for (const name of [...list(values.only ?? ""), ...list(values.skip)]) {
    if (!names.includes(name))
      throw new Usage(`run.sh: a step of ${names.join(", ")} expected, got "${name}".`);
  }
  const chosen = STEPS.filter(
    ({ name }) =>
      (values.only === undefined || list(values.only).includes(name)) && !list(values.skip).includes(name),
  );
  return { ...values, minutes, chosen, out: resolve(positionals[0] ?? "naysay-host.json") };
}

/** What was packed; null where this is no unpacked bundle but a checkout. */
function bundleFacts() {
  try {
    return JSON.parse(readFileSync(join(app, "bundle.json"), "utf8"));
  } catch {
    return null;
  }
}

function write(path, report) {
  writeFileSync(`${path}.part`, `${JSON.stringify(report, null, 2)}\n`);
  renameSync(`${path}.part`, path);
}

async function main() {
  const options = commandLine();
  if (options.help) {
    console.log(HELP);
    return 0;
  }
  const { quick, dry, chosen, out } = options;
  const end = performance.now() + options.minutes * 60_000;
  const made = join(app, "made");
  rmSync(made, { recursive: true, force: true });
  mkdirSync(made, { recursive: true });
  const say = (text) => console.log(text);
  const machine = await machineFacts();
  const { way, tried } = await chooseDriver({ node, app, made, seconds: PROBE_SECONDS });
  for (const { how, adapter, code } of tried)
    say(`driver: ${how}: ${adapter?.description ?? `no adapter (exit code ${code})`}`);
  say(`driver: taken: ${way.how}`);
  const report = {
    format: "naysay-host-1",
    bundle: bundleFacts(),
    command: ["run.sh", ...process.argv.slice(2)].join(" "),
    begun: new Date().toISOString(),
    quick,
    node: process.version,
    machine,
    driver: { taken: way.how, env: way.env, tried },
    adapter: null,
    ok: false,
    finished: false,
    steps: {},
  };
  write(out, report);
  for (const step of chosen) {
    const seconds = Math.min(step.seconds, (end - performance.now()) / 1000);
    if (dry) {
      say(`${step.name}: ${step.does} (at most ${step.seconds} s)`);
      continue;
    }
    say(`${step.name}: ${step.does}`);
    const begun = performance.now();
    let part;
    if (seconds < 1) part = { ok: false, why: "no time was left" };
    else {
      try {
        part = await step.run({ node, app, made, env: way.env, seconds, quick, report, runLimited });
      } catch (error) {
        part = { ok: false, why: error.stack };
      }
    }
    const took = (performance.now() - begun) / 1000;
    report.steps[step.name] = { does: step.does, limit: seconds, took, ...part };
    if (part.adapter) report.adapter ??= part.adapter;
    write(out, report);
    say(
      `${step.name}: ${part.ok ? "ok" : part.skipped ? `skipped: ${part.why}` : `FAILED: ${part.why}`}, ${took.toFixed(0)} s`,
    );
  }
  const parts = Object.values(report.steps);
  report.finished = !dry;
  report.ok = !dry && parts.every((part) => part.ok || part.skipped);
  write(out, report);
  say(`${out}: ${dry ? "driver and plan only" : report.ok ? "all ok" : "not all ok"}`);
  return dry || report.ok ? 0 : 1;
}

try {
  process.exitCode = await main();
} catch (error) {
  const told = error instanceof Usage || error.code?.startsWith("ERR_PARSE_ARGS");
  console.error(told ? `${error.message}\n\n${HELP}` : error);
  process.exitCode = 2;
}

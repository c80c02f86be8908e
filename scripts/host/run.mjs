/**
 * What run.sh starts: everything that naysay says of a host, in one JSON file. Each step is a process of its own with a limit of
 * time; one that fails or hangs leaves its part of the file, and the rest goes on. The file is written anew after every step, so
 * that what is done outlives this process.
 */

import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { argHelp, readArgs } from "../../dist/cli/args.js";
import { ConfigError } from "../../dist/tensor/errors.js";
import { didYouMean } from "../../dist/tensor/suggest.js";
import { chooseDriver } from "./drivers.mjs";
import { machineFacts } from "./machine.mjs";
import { runLimited } from "./processes.mjs";
import { STEPS } from "./steps.mjs";

const app = fileURLToPath(new URL("../..", import.meta.url));
const node = process.execPath;
/** Seconds that a way to a driver may take to answer: a broken one hangs. */
const PROBE_SECONDS = 60;

const NAMES = STEPS.map(({ name }) => name);

const FLAGS = {
  quick: { kind: "flag", help: "small sizes and few cases: shows that everything works" },
  only: { kind: "text", takes: "a,b", help: `of the steps ${NAMES.join(", ")}` },
  skip: { kind: "text", takes: "a,b", help: "of them" },
  minutes: {
    kind: "number",
    help: "most for all steps together; what finds no time left says so",
    default: 240,
  },
  dry: { kind: "flag", help: "finds the driver, prints the plan, runs no step" },
  help: { kind: "flag", help: "print this help" },
};

const HELP = `run.sh [out.json] [flags]    everything that naysay says of this host, in out.json (naysay-host.json)

${argHelp(FLAGS)}

Example:
  run.sh report.json --quick --only check,bench

Environment: VK_DRIVER_FILES names a driver's manifest to use; NAYSAY_HOST_WORK the folder to unpack into.
Exit code: 0 where every step went well, 1 where one did not, 2 where the words or flags are not understood.
`;

function commandLine() {
  const args = readArgs(
    process.argv.slice(2).map((word) => (word === "-h" ? "--help" : word)),
    FLAGS,
    1,
  );
  if (!(args.minutes > 0))
    throw new ConfigError(`--minutes: expected a number above 0, got ${args.minutes}. Leave it out.`);
  const list = (text = "") => text.split(",").filter(Boolean);
  for (const name of [...list(args.only), ...list(args.skip)]) {
    if (!NAMES.includes(name)) {
      throw new ConfigError(`steps: expected ${NAMES.join(", ")}, got "${name}". ${didYouMean(name, NAMES)}`);
    }
  }
  const chosen = STEPS.filter(
    ({ name }) =>
      (args.only === undefined || list(args.only).includes(name)) && !list(args.skip).includes(name),
  );
  return { ...args, chosen, out: resolve(args.rest[0] ?? "naysay-host.json") };
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
  console.error(error instanceof ConfigError ? `run.sh: ${error.message}\n\n${HELP}` : error);
  process.exitCode = error instanceof ConfigError ? 2 : 1;
}

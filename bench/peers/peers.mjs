/**
 * `npm run bench:peers -- [w1 w2 w3] [--rounds 7] [--peers jax-js,tfjs-webgpu] [--quick] [--json]`: naysay and other libraries
 * from npm on the same adapter through the same Dawn, taking turns in one process. A peer's result is checked against naysay's
 * before it is timed; one that cannot do the work, or does other work, gets a row that says why.
 */

import { parseArgs } from "node:util";
import { number, percent, wobble } from "../../dist/bench/format.js";
import { planLaunch, relaunch } from "../../dist/cli/launch.js";
import { didYouMean } from "../../dist/tensor/suggest.js";
import { compareOn } from "./contest.mjs";
import { pretendPage } from "./page.mjs";
import { workloads } from "./workloads.mjs";

const PEERS = { "jax-js": "./jaxPeer.mjs", "tfjs-webgpu": "./tfjsPeer.mjs" };

function known(what, given, names) {
  for (const name of given) {
    if (!names.includes(name)) {
      throw new Error(
        `bench:peers: ${what}: one of ${names.join(", ")} expected, got "${name}". ${didYouMean(name, names)}`,
      );
    }
  }
  return given;
}

function commandLine() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      json: { type: "boolean", default: false },
      quick: { type: "boolean", default: false },
      rounds: { type: "string", default: "7" },
      peers: { type: "string", default: Object.keys(PEERS).join(",") },
    },
  });
  const rounds = Number(values.rounds);
  if (!(Number.isInteger(rounds) && rounds >= 1)) {
    throw new Error(`bench:peers: --rounds: a whole number above 0 expected, got "${values.rounds}".`);
  }
  const groups = ["w1", "w2", "w3"];
  const words = known("workload", positionals, groups);
  const peers = known("--peers", values.peers.split(","), Object.keys(PEERS));
  return { ...values, rounds, peers, groups: words.length > 0 ? words : groups };
}

/**
 * The library behind a peer's name, or why there is none. `errors` gets what WebGPU reports beside its calls: work that was
 * refused takes no time.
 */
async function openPeer(name) {
  try {
    const { open } = await import(PEERS[name]);
    const library = await open();
    const errors = [];
    library.device.addEventListener("uncapturederror", (event) => {
      event.preventDefault();
      errors.push(event.error.message);
    });
    return { name, library, errors };
  } catch (error) {
    const missing = error.code === "ERR_MODULE_NOT_FOUND" || error.code === "MODULE_NOT_FOUND";
    const why = missing ? "not installed: npm ci --prefix bench/peers" : error.message;
    return { name, why };
  }
}

function line(row) {
  if (row.why) return `                                ${row.peer.padEnd(12)} ${row.workload}: ${row.why}`;
  const { wall, ratio } = row;
  const tokens = row.tokensPerSecond ? `, ${number(row.tokensPerSecond).trim()} tokens a second` : "";
  const range = `${ratio.low.toFixed(2)}..${ratio.high.toFixed(2)}`;
  return `${number(wall.ms)} ${percent(wobble(wall))}  ${ratio.median.toFixed(2).padStart(5)} ${range.padStart(10)}  ${row.peer.padEnd(12)} ${row.workload}${tokens} (${row.checked})`;
}

async function run({ json, quick, rounds, peers, groups }) {
  const plan = await planLaunch();
  if (Object.keys(plan.env).length > 0) return relaunch(plan.env);
  await pretendPage();
  const naysay = await (await import("./naysayPeer.mjs")).open();
  const libraries = [{ name: "naysay", library: naysay }];
  for (const name of peers) libraries.push(await openPeer(name));
  const versions = Object.fromEntries(libraries.map(({ name, library }) => [name, library?.version ?? null]));
  const print = (text) => {
    if (!json) console.log(text);
  };
  print(`${naysay.adapter}\n${JSON.stringify(versions)}\n`);
  print("  wall ms    ±  ratio   quarters  library      work (ratio: time over naysay's, round by round)");
  const rows = [];
  for (const workload of workloads(quick).filter((w) => groups.includes(w.group))) {
    const found = await compareOn(workload, libraries, rounds);
    rows.push(...found);
    for (const row of found) print(line(row));
  }
  const facts = { adapter: naysay.adapter, node: process.version, versions, rounds, quick };
  if (json) console.log(JSON.stringify({ format: "naysay-bench-peers-1", ...facts, rows }, null, 2));
  for (const { library } of libraries) library?.close();
  return 0;
}

try {
  process.exit(await run(commandLine()));
} catch (error) {
  console.error(error.message.startsWith("bench:peers") ? error.message : error);
  process.exit(1);
}

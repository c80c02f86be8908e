/**
 * Where the time of an experiment goes: generation, scoring, updates and all the rest (start, tasks, verdicts, packing, metrics,
 * files), in percent of the process from its start, as a line on stderr. Takes the flags of `naysay experiment`.
 *
 *     npm run build && NAYSAY_ADAPTER=lavapipe node bench/experimentShares.mjs --out runs/shares
 */
import { run } from "../dist/cli/experiment.js";
import { planLaunch, relaunch } from "../dist/cli/launch.js";
import { Generator } from "../dist/model/generate.js";
import { Scorer } from "../dist/model/scoring.js";
import { Learner } from "../dist/rl/learner.js";
import { ConfigError, NaysayError } from "../dist/tensor/errors.js";

/** None of them waits for another, so their times do not overlap. */
const TIMED = [
  ["generation", Generator.prototype, "generate"],
  ["scoring", Scorer.prototype, "score"],
  ["updates", Learner.prototype, "update"],
];

/** Milliseconds by name, filled as the methods return. */
function timeMethods() {
  const spent = {};
  for (const [name, prototype, method] of TIMED) {
    const untimed = prototype[method];
    spent[name] = 0;
    prototype[method] = async function (...args) {
      const from = performance.now();
      try {
        return await untimed.apply(this, args);
      } finally {
        spent[name] += performance.now() - from;
      }
    };
  }
  return spent;
}

async function measure(argv) {
  const spent = timeMethods();
  const code = await run(argv);
  // performance.now() counts from the start of the process.
  const all = performance.now();
  const shares = Object.entries(spent);
  const timed = shares.reduce((sum, [, ms]) => sum + ms, 0);
  // Help, or a run that was finished before: nothing to divide.
  if (timed === 0) return code;
  shares.push(["rest", all - timed]);
  const text = shares.map(([name, ms]) => `${name} ${((100 * ms) / all).toFixed(1)} %`);
  console.error(`${text.join(", ")} of ${(all / 1000).toFixed(1)} s`);
  return code;
}

try {
  const plan = await planLaunch();
  process.exitCode =
    Object.keys(plan.env).length > 0 ? await relaunch(plan.env) : await measure(process.argv.slice(2));
} catch (error) {
  console.error(error instanceof NaysayError ? error.message : error);
  process.exitCode = error instanceof ConfigError ? 2 : 1;
}

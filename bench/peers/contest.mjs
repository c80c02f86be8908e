/** One workload on several libraries: who does the work at all, and then who takes how long. */

import { summarize } from "../../dist/bench/stats.js";
import { interleave, ratioOf } from "./interleave.mjs";

/** What WebGPU reported since it was last asked, as a reason; undefined for nothing. */
function refusal(errors) {
  const [first] = errors?.splice(0) ?? [];
  return first && `WebGPU refused it: ${first.split("\n")[0]}`;
}

/** A library's work, checked against naysay's signature (`own`, which naysay itself gives) and warm. Throws why not. */
async function prepared(workload, given, { name, library, errors }, own) {
  const work = await library[workload.kind](given);
  try {
    const signature = await workload.signature(work);
    const { good, text } = workload.check(own ?? signature, signature);
    await work.run();
    const why = refusal(errors) ?? (good ? undefined : `other work: ${text}`);
    if (why) throw new Error(why);
    return { name, work, errors, signature, checked: text, run: work.run };
  } catch (error) {
    work.dispose();
    throw error;
  }
}

/**
 * Rows of one workload: each library is checked, then those that passed are timed in turns. The first of `libraries` is naysay,
 * whose failure ends it all; another's is a row.
 */
export async function compareOn(workload, libraries, rounds) {
  const given = await workload.given();
  const rowOf = (peer, facts) => ({ group: workload.group, workload: workload.name, peer, ...facts });
  const ready = [];
  const rows = [];
  for (const entry of libraries) {
    try {
      if (!entry.library) throw new Error(entry.why);
      ready.push(await prepared(workload, given, entry, ready[0]?.signature));
    } catch (error) {
      if (ready.length === 0) throw error;
      rows.push(rowOf(entry.name, { why: error.message }));
    }
  }
  const times = await interleave(ready, rounds);
  for (const [i, { name, work, errors, checked }] of ready.entries()) {
    const why = refusal(errors);
    const wall = summarize(times[i]);
    const tokens = workload.tokens && { tokensPerSecond: (1000 * workload.tokens) / wall.ms };
    const ratio = ratioOf(times[i], times[0]);
    rows.push(rowOf(name, why ? { why } : { wall, ratio, checked, ...tokens }));
    work.dispose();
  }
  return rows;
}

/** Runs that take turns, A B A B, so that whatever else the machine does falls on all alike. */

import { summarize } from "../../dist/bench/stats.js";

/** A sample covers at least this many ms. */
const LEAST_MS = 10;
/** And at most this many runs. */
const MOST_RUNS = 1000;

/** How many runs make a sample, from how long one takes, ms. */
export function runsPerSample(ms) {
  return Math.min(MOST_RUNS, Math.max(1, Math.ceil(LEAST_MS / Math.max(ms, 1e-3))));
}

/**
 * Times of the contestants' `run`, ms a run: `rounds` samples each, one of each contestant in every round. `clock` is
 * performance.now, but for tests.
 */
export async function interleave(contestants, rounds, clock = () => performance.now()) {
  const times = contestants.map(() => []);
  const runs = [];
  for (const { run } of contestants) {
    const begun = clock();
    await run();
    runs.push(runsPerSample(clock() - begun));
  }
  for (let round = 0; round < rounds; round++) {
    for (const [i, { run }] of contestants.entries()) {
      const begun = clock();
      for (let r = 0; r < runs[i]; r++) await run();
      times[i].push((clock() - begun) / runs[i]);
    }
  }
  return times;
}

/** The ratio of two contestants' times round by round: its median and quartiles. */
export function ratioOf(times, base) {
  const { ms, low, high } = summarize(times.map((t, i) => t / base[i]));
  return { median: ms, low, high };
}

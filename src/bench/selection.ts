/** What the words of a command line, or of a page, choose. */

import { ConfigError } from "../tensor/errors.ts";
import { notAnOp } from "../tensor/ops/compositions.ts";

export interface Chosen {
  workloads: string[];
  ops: string[];
}

/**
 * Workloads and ops that `words` name; without words all of them. `workloads` are names like "w1"; `ops` are names of
 * ops, with `timed` those that have perf sizes. The word `ops` is all of the latter, `ceilings` nothing but the ceilings.
 */
export function choose(
  words: readonly string[],
  workloads: readonly string[],
  ops: readonly string[],
  timed: readonly string[],
): Chosen {
  if (words.length === 0) return { workloads: [...workloads], ops: [...timed] };
  const known = ["ceilings", "ops", ...workloads, ...timed];
  const chosen: Chosen = { workloads: [], ops: [] };
  for (const word of words) {
    const name = word.toLowerCase();
    const op = ops.find((o) => o.toLowerCase() === name);
    if (name === "ceilings") continue;
    if (name === "ops") chosen.ops.push(...timed);
    else if (workloads.includes(name)) chosen.workloads.push(name);
    else if (op !== undefined && timed.includes(op)) chosen.ops.push(op);
    else if (op !== undefined) {
      throw new ConfigError(
        `bench: an op with perf sizes expected, got ${op}, which has none. Add \`perf\` to its object.`,
      );
    } else {
      throw new ConfigError(
        `bench: an op, ${workloads[0]} to ${workloads.at(-1)}, ops or ceilings expected, got ${notAnOp(word, known)}`,
      );
    }
  }
  return {
    workloads: workloads.filter((w) => chosen.workloads.includes(w)),
    ops: timed.filter((o) => chosen.ops.includes(o)),
  };
}

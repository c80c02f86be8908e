/**
 * Rates of a row beside the adapter's measured ceilings:
 *
 *     least time = max(flops / best multiply-add rate, bytes / copy bandwidth)
 *     of limit   = least time / measured time
 *
 * Source: the roofline model, Williams, Waterman and Patterson 2009, https://doi.org/10.1145/1498765.1498785.
 */

import type { MeasuredRow, Rates, TimedRow } from "./result.ts";
import type { Timing } from "./stats.ts";

/** The rates that shares are of; those of operations are of the fastest multiply-adds there are, matrices' included. */
export interface CeilingRates {
  copy: { gbs: number };
  fma: { gflops: number };
  matrix?: { gflops: number } | null;
}

/** The time that rates and comparisons come from, ms: the GPU's where the row says so and it is known, else the wall's. */
export function timeOf(row: Omit<TimedRow, "name">): Timing {
  return row.time === "gpu" && row.gpu ? row.gpu : row.wall;
}

/** A row with GFLOP/s, GB/s and their shares of the ceilings; a time below what the clock shows gives no rate. */
export function withRates<T extends TimedRow & Pick<MeasuredRow, "flops" | "bytes">>(
  row: T,
  ceilings: CeilingRates | null,
): T & Rates {
  const { ms } = timeOf(row);
  const per = (amount: number | null): number | null =>
    amount === null || !(ms > 0) ? null : amount / ms / 1e6;
  const gflops = per(row.flops);
  const gbs = per(row.bytes);
  const most = ceilings ? Math.max(ceilings.fma.gflops, ceilings.matrix?.gflops ?? 0) : undefined;
  const ofFma = share(gflops, most);
  const ofCopy = share(gbs, ceilings?.copy.gbs);
  const ofLimit = ofFma === null && ofCopy === null ? null : Math.max(ofFma ?? 0, ofCopy ?? 0);
  const limit = ofLimit === null ? null : ofLimit === ofFma ? "fma" : "copy";
  return { ...row, gflops, gbs, ofFma, ofCopy, ofLimit, limit };
}

function share(rate: number | null, ceiling: number | undefined): number | null {
  return rate === null || ceiling === undefined || !(ceiling > 0) ? null : rate / ceiling;
}

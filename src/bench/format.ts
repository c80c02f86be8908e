/** Rows as text: medians with half the distance of their quartiles in percent, rates, and the share of the limit. */

import type { Ceiling, Ceilings } from "./ceilings.ts";
import type { MeasuredRow, Rates, TimedRow } from "./result.ts";
import { spread, type Timing } from "./stats.ts";

/** A number in at most `width` columns with about three digits that mean something; "-" for none. */
export function number(x: number | null | undefined, width = 9): string {
  if (x === null || x === undefined) return "-".padStart(width);
  const size = Math.abs(x);
  const digits = size >= 100 || size === 0 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : size >= 0.1 ? 3 : 4;
  return x.toFixed(digits).padStart(width);
}

/** Bytes as text. */
export function bytes(n: number): string {
  if (n >= 2 ** 30) return `${(n / 2 ** 30).toFixed(2)} GiB`;
  if (n >= 2 ** 20) return `${(n / 2 ** 20).toFixed(1)} MiB`;
  return n >= 2 ** 10 ? `${(n / 2 ** 10).toFixed(1)} KiB` : `${n} B`;
}

/** A share as whole percent. */
export function percent(share: number | null | undefined, width = 4): string {
  return (share === null || share === undefined ? "-" : `${(100 * share).toFixed(0)}%`).padStart(width);
}

/** Half the distance of the quartiles over the median: the ± of a timing. */
export function wobble(timing: Timing | null | undefined): number | null {
  return timing && timing.ms > 0 ? spread(timing) / 2 / timing.ms : null;
}

export const HEADING = "  wall ms    ±    GPU ms    ±   GFLOP/s      GB/s  of limit   row";

/** One row under `HEADING`. */
export function line(row: TimedRow & Rates): string {
  const timing = (t: Timing | null): string => `${number(t?.ms)} ${percent(wobble(t))}`;
  const limit = `${percent(row.ofLimit)} ${(row.limit ?? "").padEnd(4)}`;
  return `${timing(row.wall)} ${timing(row.gpu)} ${number(row.gflops)} ${number(row.gbs)} ${limit}   ${row.name}`;
}

/** The ceilings, a line each. */
export function ceilingLines({ copy, fma, matrix }: Ceilings): string[] {
  const text = (c: Ceiling, rate: number, unit: string): string =>
    `${number(rate)} ${unit} (samples ±${percent(wobble(c)).trim()}; the best of ${c.others.length + 1} ways: ${c.how})`;
  return [
    `copy         ${text(copy, copy.gbs, "GB/s")}`,
    `multiply-add ${text(fma, fma.gflops, "GFLOP/s")}`,
    ...(matrix ? [`matrices     ${text(matrix, matrix.gflops, "GFLOP/s")}`] : []),
  ];
}

/** What a workload reports besides time, indented under its row. */
export function detailLines(row: Pick<MeasuredRow, "details">): string[] {
  return (row.details ?? []).map(({ name, value, unit }) => {
    const text =
      unit === "bytes"
        ? bytes(value)
        : unit === "share"
          ? percent(value).trim()
          : `${typeof value === "number" && !Number.isInteger(value) ? number(value).trim() : value}${unit ? ` ${unit}` : ""}`;
    return `           ${name}: ${text}`;
  });
}

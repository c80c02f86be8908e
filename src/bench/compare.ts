/**
 * Two result files row by row: the ratio of medians, and a mark where they differ by more than the distance of the
 * quartiles of both. Two files are two moments: on a machine with other work a mark is a reason to run A B A B.
 */

import { number } from "./format.ts";
import { timeOf } from "./rates.ts";
import type { BenchResult, TimedRow } from "./result.ts";
import { spread, type Timing } from "./stats.ts";

/** What of a result is compared; a library that is not naysay says who it is. */
export interface Comparable {
  adapter: Pick<BenchResult["adapter"], "description" | "driver" | "tier"> & {
    vendor?: string;
    /** Without it `repeatable`, which all results were before there was another. */
    determinism?: string;
  };
  machine: BenchResult["machine"];
  node: string;
  quick: boolean;
  rows: readonly TimedRow[];
  library?: string;
}

export interface ComparedRow {
  name: string;
  a: number;
  b: number;
  /** b / a. */
  ratio: number;
  /** By more than the distance of the quartiles of either. */
  differs: boolean;
}

export interface Comparison {
  rows: ComparedRow[];
  onlyA: string[];
  onlyB: string[];
}

/** The timings of a row in both files: the GPU's only where both have it, and more of it than its clock's tick. */
function timings(a: TimedRow, b: TimedRow): [Timing, Timing] {
  const timed = ({ gpu }: TimedRow): boolean => gpu !== null && gpu.ms > 0;
  const same = a.time === b.time && (a.time !== "gpu" || (timed(a) && timed(b)));
  return same ? [timeOf(a), timeOf(b)] : [a.wall, b.wall];
}

/** Rows that both results have: times, ratio b / a, and whether they differ by more than either spread. */
export function compareResults(a: Pick<Comparable, "rows">, b: Pick<Comparable, "rows">): Comparison {
  const before = new Map(a.rows.map((row) => [row.name, row]));
  const rows = b.rows.flatMap((row) => {
    const old = before.get(row.name);
    if (!old) return [];
    const [x, y] = timings(old, row);
    const differs = Math.abs(y.ms - x.ms) > Math.max(spread(x), spread(y));
    return [{ name: row.name, a: x.ms, b: y.ms, ratio: y.ms / x.ms, differs }];
  });
  const names = new Set(b.rows.map((row) => row.name));
  return {
    rows,
    onlyA: a.rows.filter((row) => !names.has(row.name)).map((row) => row.name),
    onlyB: b.rows.filter((row) => !before.has(row.name)).map((row) => row.name),
  };
}

/** Facts of two results whose difference makes ratios say something else than the code's speed. */
export function unlike(a: Comparable, b: Comparable): string[] {
  const facts: Record<string, (result: Comparable) => string> = {
    library: ({ library }) => library ?? "naysay",
    adapter: ({ adapter }) => `${adapter.description || adapter.vendor} ${adapter.driver}`.trim(),
    tier: ({ adapter }) => adapter.tier,
    determinism: ({ adapter }) => adapter.determinism ?? "repeatable",
    processor: ({ machine }) => `${machine.processors} x ${machine.model}`,
    node: ({ node }) => node,
    sizes: ({ quick }) => (quick ? "quick" : "full"),
  };
  return Object.entries(facts)
    .filter(([, of]) => of(a) !== of(b))
    .map(([name, of]) => `${name}: ${of(a)} | ${of(b)}`);
}

/** The comparison as text. */
export function comparisonLines(a: Comparable, b: Comparable): string[] {
  const { rows, onlyA, onlyB } = compareResults(a, b);
  const lines = unlike(a, b).map((fact) => `not alike: ${fact}`);
  lines.push("     a ms      b ms     b / a     row");
  for (const r of rows) {
    const mark = !r.differs ? " " : r.ratio < 1 ? "<" : ">";
    lines.push(`${number(r.a)} ${number(r.b)} ${r.ratio.toFixed(3).padStart(9)} ${mark}   ${r.name}`);
  }
  if (onlyA.length > 0) lines.push(`only in a: ${onlyA.join("; ")}`);
  if (onlyB.length > 0) lines.push(`only in b: ${onlyB.join("; ")}`);
  const marked = rows.filter((r) => r.differs).length;
  lines.push(`${marked} of ${rows.length} rows differ by more than both spreads (< faster, > slower).`);
  return lines;
}

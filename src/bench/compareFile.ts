/**
 * A result file as `compare` reads it: whatever JSON holds, checked down to the numbers that are compared. Files come from
 * `--json`, `--out`, the page and torch_bench.py, and through editors, merges and writers that were killed.
 */

import { ConfigError } from "../tensor/errors.ts";
import { show } from "../tensor/validate.ts";
import type { Comparable } from "./compare.ts";
import type { BenchResult } from "./result.ts";

/** The format's word, the same for every library that is compared. */
export const FORMAT: BenchResult["format"] = "naysay-bench-1";

const REMEDY = "Write the file again with --json.";

type Fields = Record<string, unknown>;

class Reader {
  private readonly file: string;

  constructor(file: string) {
    this.file = file;
  }

  refuse(path: string, expected: string, got: unknown, remedy = REMEDY): never {
    // A file's name and a row's may hold what ends a line.
    const text = `bench: compare: ${this.file}: ${path}: ${expected} expected, got ${got === undefined ? "none" : show(got)}. ${remedy}`;
    throw new ConfigError(text.replace(/\s+/g, " "));
  }

  object(value: unknown, path: string): Fields {
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Fields;
    return this.refuse(path, "an object", value);
  }

  list(value: unknown, path: string): readonly unknown[] {
    return Array.isArray(value) ? value : this.refuse(path, "a list", value);
  }

  text(value: unknown, path: string): void {
    if (typeof value !== "string") this.refuse(path, "a text", value);
  }

  /** ms; JSON writes NaN and infinities as null, and reads 1e999 as one. */
  ms(value: unknown, path: string, above: boolean): number {
    if (typeof value === "number" && Number.isFinite(value) && (above ? value > 0 : value >= 0)) return value;
    return this.refuse(path, above ? "a number of ms above 0" : "a number of ms, 0 or more,", value);
  }

  /** `above`: whether 0 is refused. A timestamp's clock may show no time for a short kernel, the wall's does not. */
  timing(value: unknown, path: string, above: boolean): void {
    const fields = this.object(value, path);
    const ms = this.ms(fields.ms, `${path}.ms`, above);
    const low = this.ms(fields.low, `${path}.low`, false);
    const high = this.ms(fields.high, `${path}.high`, false);
    // Quartiles are weighted means, and may pass the median by their rounding.
    if (low > ms * (1 + 1e-9)) this.refuse(`${path}.low`, `at most the median ${ms}`, low);
    if (high < ms * (1 - 1e-9)) this.refuse(`${path}.high`, `at least the median ${ms}`, high);
  }

  row(value: unknown, path: string): string {
    const row = this.object(value, path);
    this.text(row.name, `${path}.name`);
    if (row.time !== "gpu" && row.time !== "wall") this.refuse(`${path}.time`, '"gpu" or "wall"', row.time);
    this.timing(row.wall, `${path}.wall`, true);
    if (row.gpu !== null) this.timing(row.gpu, `${path}.gpu`, false);
    return row.name as string;
  }
}

/** What a file holds, as a result to compare. Throws `ConfigError` with the first place that is not one; `file` names it. */
export function checkComparable(read: unknown, file: string): Comparable {
  const reader = new Reader(file);
  const result = reader.object(read, "the file");
  if (result.format !== FORMAT) reader.refuse("format", `"${FORMAT}"`, result.format);
  const rows = reader.list(result.rows, "rows");
  const adapter = reader.object(result.adapter, "adapter");
  for (const key of ["description", "driver", "tier"]) reader.text(adapter[key], `adapter.${key}`);
  if (adapter.vendor !== undefined) reader.text(adapter.vendor, "adapter.vendor");
  const machine = reader.object(result.machine, "machine");
  if (typeof machine.processors !== "number")
    reader.refuse("machine.processors", "a number", machine.processors);
  reader.text(machine.model, "machine.model");
  reader.text(result.node, "node");
  if (typeof result.quick !== "boolean") reader.refuse("quick", "true or false", result.quick);
  if (result.library !== undefined) reader.text(result.library, "library");
  const places = new Map<string, number>();
  rows.forEach((row, i) => {
    const name = reader.row(row, `rows[${i}]`);
    const before = places.get(name);
    if (before !== undefined) {
      reader.refuse(
        `rows[${i}].name`,
        "a row of its own",
        name,
        `rows[${before}] has it too: leave one of them.`,
      );
    }
    places.set(name, i);
  });
  return read as Comparable;
}

/**
 * What was measured on an adapter: for each shape class of products the way that is fastest there. Only ways with equal
 * bits are ever entered (tune.ts), so a table changes no result, whoever made it and whether or not it is used.
 */
import { readCached, writeCached } from "#host";
import type { MatmulProduct } from "./codegen/matmulTiles.ts";
import type { Device } from "./device.ts";
import { ConfigError } from "./errors.ts";

/** A table as it is stored and shipped: plain JSON. */
export interface TuningTable {
  /** What it was measured on; entries of another adapter are not used. */
  adapter: string;
  /** Variant by shape class. */
  choices: Record<string, string>;
}

/** `"auto"` uses what is stored for the adapter, `"off"` nothing; a table is used where it is of this adapter. */
export type TuningOption = "auto" | "off" | TuningTable;

/** The adapter, driver and tier, as far as a device tells: tables of others say nothing of this one. */
export function tuningKey(device: Device): string {
  const { vendor, architecture, description, driver, backend, tier } = device.info;
  return [vendor, architecture, description, driver, backend, tier].join(" · ");
}

/** Throws `ConfigError` for what is no table. */
export function parseTuning(text: string, name: string): TuningTable {
  let read: unknown;
  try {
    read = JSON.parse(text);
  } catch {
    throw new ConfigError(
      `${name}: a tuning table in JSON expected, got other text. Make one with naysay tune.`,
    );
  }
  const { adapter, choices } = (read ?? {}) as Partial<TuningTable>;
  const texts = typeof choices === "object" && choices !== null ? Object.values(choices) : [0];
  if (typeof adapter !== "string" || !texts.every((c) => typeof c === "string")) {
    throw new ConfigError(
      `${name}: a tuning table {adapter, choices} expected, got something else. Make one with naysay tune.`,
    );
  }
  return { adapter, choices: { ...(choices as Record<string, string>) } };
}

/** The table of a device, and the classes that programs asked for in vain. */
export class Tuning {
  readonly key: string;
  private readonly choices = new Map<string, string>();
  /** A product of each shape class that was met and has no entry. */
  readonly missing = new Map<string, MatmulProduct>();

  constructor(key: string) {
    this.key = key;
  }

  /** Takes over the entries of a table of this adapter; returns how many. */
  add(table: TuningTable): number {
    if (table.adapter !== this.key) return 0;
    for (const [shapeClass, variant] of Object.entries(table.choices)) this.set(shapeClass, variant);
    return Object.keys(table.choices).length;
  }

  set(shapeClass: string, variant: string): void {
    this.choices.set(shapeClass, variant);
    this.missing.delete(shapeClass);
  }

  /** The entry of a class, noting it as missing where there is none. */
  choose(shapeClass: string, product: MatmulProduct): string | undefined {
    const choice = this.choices.get(shapeClass);
    if (choice === undefined && !this.missing.has(shapeClass)) this.missing.set(shapeClass, product);
    return choice;
  }

  get size(): number {
    return this.choices.size;
  }

  table(): TuningTable {
    const sorted = [...this.choices].sort(([a], [b]) => (a < b ? -1 : 1));
    return { adapter: this.key, choices: Object.fromEntries(sorted) };
  }

  /** Keeps the table for later starts: a file in Node, the browser's storage in a page. */
  async save(): Promise<void> {
    await writeCached(cacheName(this.key), `${JSON.stringify(this.table(), null, 2)}\n`);
  }
}

const cacheName = (key: string): string => `tuning-${key.replace(/[^A-Za-z0-9.]+/g, "-").slice(0, 160)}.json`;

/** The tuning of a device; a stored table that cannot be read is none, and a line on stderr says so. */
export async function loadTuning(device: Device, option: TuningOption): Promise<Tuning> {
  const tuning = new Tuning(tuningKey(device));
  if (option === "off") return tuning;
  if (option !== "auto") {
    tuning.add(option);
    return tuning;
  }
  const name = cacheName(tuning.key);
  const text = await readCached(name);
  if (text === null) return tuning;
  try {
    tuning.add(parseTuning(text, name));
  } catch (error) {
    console.error(`${(error as Error).message} It is not used.`);
  }
  return tuning;
}

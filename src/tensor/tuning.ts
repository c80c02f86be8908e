/**
 * What was measured on an adapter: for each shape class of products the way that is fastest there. Only ways with equal
 * bits are ever entered (tune.ts), so a table changes no result, whoever made it and whether or not it is used.
 */
import { cachedAt, readCached, writeCached } from "#host";
import { isMatmulVariant, type MatmulProduct } from "./codegen/matmulTiles.ts";
import type { Device } from "./device.ts";
import { ConfigError } from "./errors.ts";
import { VERSION } from "./version.ts";

/** A table as it is stored and shipped: plain JSON. */
export interface TuningTable {
  /** What it was measured on; entries of another adapter are not used. */
  adapter: string;
  /** Variant by shape class. */
  choices: Record<string, string>;
}

/** `"auto"` uses what is stored for the adapter, `"off"` nothing; a table is used where it is of this adapter. */
export type TuningOption = "auto" | "off" | TuningTable;

/** naysay's version, adapter, driver and tier, as far as a device tells: tables of others say nothing of this one. */
export function tuningKey(device: Device): string {
  const { vendor, architecture, description, driver, backend, tier } = device.info;
  return [tier, VERSION, vendor, architecture, description, driver, backend].join(" · ");
}

/** A table from its text. Throws `ConfigError` for what is none; `name` stands in the message. */
export function parseTuning(text: string, name: string): TuningTable {
  let read: unknown;
  try {
    read = JSON.parse(text);
  } catch {
    throw new ConfigError(
      `${name}: a tuning table in JSON expected, got other text. Make one with naysay tune.`,
    );
  }
  return checkTable(read, name);
}

function checkTable(read: unknown, name: string): TuningTable {
  const { adapter, choices } = (read ?? {}) as Partial<TuningTable>;
  const isRecord = typeof choices === "object" && choices !== null && !Array.isArray(choices);
  if (typeof adapter !== "string" || !isRecord || Object.values(choices).some((c) => typeof c !== "string")) {
    throw new ConfigError(
      `${name}: a tuning table {adapter, choices} expected, got something else. Make one with naysay tune.`,
    );
  }
  return { adapter, choices: { ...choices } };
}

function tryParse(text: string, name: string): TuningTable | null {
  try {
    return parseTuning(text, name);
  } catch {
    return null;
  }
}

/** The table of a device, and the classes that programs asked for in vain. */
export class Tuning {
  readonly key: string;
  /** Where the table comes from that is in use; null where there was none at the start. */
  source: string | null = null;
  private readonly choices = new Map<string, string>();
  /** A product of each shape class that was met and has no entry. */
  readonly missing = new Map<string, MatmulProduct>();

  constructor(key: string) {
    this.key = key;
  }

  /** Takes over the entries of a table of this adapter; returns how many. */
  add(table: TuningTable): number {
    if (table.adapter !== this.key) return 0;
    // A way that this version does not know is none: its class is measured again.
    const known = Object.entries(table.choices).filter(([, variant]) => isMatmulVariant(variant));
    for (const [shapeClass, variant] of known) this.set(shapeClass, variant);
    return known.length;
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

  /**
   * Keeps the table for later starts, beside what is stored of other classes: a file in Node, the browser's storage in a page.
   * Rejects with `ConfigError` where nothing can be written.
   */
  async save(): Promise<void> {
    const kept = new Tuning(this.key);
    const stored = await readCached(cacheName(this.key));
    if (stored !== null) kept.add(tryParse(stored, this.key) ?? this.table());
    kept.add(this.table());
    try {
      await writeCached(cacheName(this.key), `${JSON.stringify(kept.table(), null, 2)}\n`);
    } catch (error) {
      throw new ConfigError(
        `tuning: a place to write was expected, got ${(error as Error).message}. Set XDG_CACHE_HOME, or pass the table to init().`,
        { cause: error },
      );
    }
  }
}

const cacheName = (key: string): string => `tuning-${key.replace(/[^A-Za-z0-9.]+/g, "-").slice(0, 160)}.json`;

/** The tuning of a device; a stored table that cannot be read is none, and a line on stderr says so. */
export async function loadTuning(device: Device, option: TuningOption): Promise<Tuning> {
  const tuning = new Tuning(tuningKey(device));
  if (option === "off") return tuning;
  if (option !== "auto") {
    if (tuning.add(checkTable(option, "init: tuning")) > 0) tuning.source = "init({ tuning })";
    return tuning;
  }
  const name = cacheName(tuning.key);
  const text = await readCached(name);
  if (text === null) return tuning;
  try {
    if (tuning.add(parseTuning(text, name)) > 0) tuning.source = cachedAt(name);
  } catch (error) {
    console.error(`${(error as Error).message} It is not used.`);
  }
  return tuning;
}

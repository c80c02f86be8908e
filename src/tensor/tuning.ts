/**
 * What was measured on an adapter: for each shape class of products the way that is fastest there. At the level `repeatable`
 * only ways with equal bits are ever entered (tune.ts), so a table changes no result, whoever made it and whether or not it is
 * used. At `fast` others are, too: such a table is refused everywhere else.
 */
import { atEnd, cachedAt, readCached, writeCached } from "#host";
import { preferredWay } from "./codegen/matmulPreferred.ts";
import { isMatmulVariant, isSplitVariant, type MatmulProduct } from "./codegen/matmulTiles.ts";
import { type Determinism, parseDeterminism } from "./determinism.ts";
import type { Device } from "./device.ts";
import { ConfigError } from "./errors.ts";
import { isPlain } from "./tree.ts";
import { VERSION } from "./version.ts";

/** A table as it is stored and shipped: plain JSON. */
export interface TuningTable {
  /** What it was measured on; entries of another adapter are not used. */
  adapter: string;
  /** The level that it was measured for; without it `repeatable`. */
  determinism?: Determinism;
  /** Variant by shape class. */
  choices: Record<string, string>;
}

/** `"auto"` uses what is stored for the adapter, `"off"` nothing; a table is used where it is of this adapter. */
export type TuningOption = "auto" | "off" | TuningTable;

/**
 * naysay's version, adapter, driver, tier and level of determinism, as far as a device tells: tables of others say nothing of
 * this one.
 */
export function tuningKey(device: Device): string {
  const { vendor, architecture, description, driver, backend, tier, determinism } = device.info;
  const parts = [tier, VERSION, vendor, architecture, description, driver, backend];
  return (determinism === "fast" ? ["fast", ...parts] : parts).join(" · ");
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
  const { adapter, determinism, choices } = (read ?? {}) as Partial<TuningTable>;
  if (
    typeof adapter !== "string" ||
    !isPlain(choices) ||
    Object.values(choices).some((c) => typeof c !== "string")
  ) {
    throw new ConfigError(
      `${name}: a tuning table {adapter, choices} expected, got something else. Make one with naysay tune.`,
    );
  }
  const level = determinism === undefined ? {} : { determinism: parseDeterminism(determinism, name) };
  return { adapter, ...level, choices: { ...choices } };
}

/** The table of a device, and the classes that programs asked for in vain. */
export class Tuning {
  readonly key: string;
  readonly determinism: Determinism;
  /** Where the table comes from that is in use; null where there was none at the start. */
  source: string | null = null;
  private readonly choices = new Map<string, string>();
  /** A product of each shape class that was met and has no entry. */
  readonly missing = new Map<string, MatmulProduct>();
  /** Shape classes whose entry a program took. */
  readonly used = new Set<string>();
  /** What is taken of a class without an entry; without this, or where it knows none, the default. */
  private readonly prefer?: (product: MatmulProduct) => string | undefined;

  constructor(key: string, determinism: Determinism = "repeatable", prefer?: Tuning["prefer"]) {
    this.key = key;
    this.determinism = determinism;
    this.prefer = prefer;
  }

  /**
   * Takes over the entries of a table of this adapter and level; returns how many. Throws `ConfigError` at `repeatable` for a
   * table of `fast`, of whatever adapter, and for an entry that only such a table has.
   */
  add(table: TuningTable): number {
    if (this.determinism === "repeatable" && table.determinism === "fast") {
      throw new ConfigError(
        `tuning: a table of determinism repeatable expected, got one of fast for ${table.adapter}. Make one with naysay tune, or choose determinism fast.`,
      );
    }
    if (table.adapter !== this.key) return 0;
    // A way that this version does not know is none: its class is measured again.
    const known = Object.entries(table.choices).filter(([, variant]) => isMatmulVariant(variant));
    for (const [shapeClass, variant] of known) this.requireAdmitted(shapeClass, variant);
    for (const [shapeClass, variant] of known) this.set(shapeClass, variant);
    return known.length;
  }

  /** Takes over what a stored text has; what is no table of this level is written anew. */
  private tryAdd(text: string): void {
    try {
      this.add(parseTuning(text, this.key));
    } catch {}
  }

  /** Enters a way. Throws `ConfigError` for one that the level does not admit. */
  set(shapeClass: string, variant: string): void {
    this.requireAdmitted(shapeClass, variant);
    this.choices.set(shapeClass, variant);
    this.missing.delete(shapeClass);
  }

  private requireAdmitted(shapeClass: string, variant: string): void {
    if (this.determinism === "fast" || !isSplitVariant(variant)) return;
    throw new ConfigError(
      `tuning: a way with the default's bits expected at determinism repeatable, got ${variant} for ${shapeClass}. Tune again, or choose determinism fast.`,
    );
  }

  /** The entry of a class, noting it as missing where there is none, and what is taken then. */
  choose(shapeClass: string, product: MatmulProduct): string | undefined {
    const choice = this.choices.get(shapeClass);
    if (choice !== undefined) this.used.add(shapeClass);
    else if (!this.missing.has(shapeClass)) this.missing.set(shapeClass, product);
    return choice ?? this.prefer?.(product);
  }

  /** Where `save` keeps the table. */
  get storedAt(): string {
    return cachedAt(cacheName(this.key));
  }

  get size(): number {
    return this.choices.size;
  }

  table(): TuningTable {
    const sorted = [...this.choices].sort(([a], [b]) => (a < b ? -1 : 1));
    const level = this.determinism === "repeatable" ? {} : { determinism: this.determinism };
    return { adapter: this.key, ...level, choices: Object.fromEntries(sorted) };
  }

  /**
   * Keeps the table for later starts, beside what is stored of other classes: a file in Node, the browser's storage in a page.
   * Rejects with `ConfigError` where nothing can be written.
   */
  async save(): Promise<void> {
    const kept = new Tuning(this.key, this.determinism);
    const stored = await readCached(cacheName(this.key));
    if (stored !== null) kept.tryAdd(stored);
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

/**
 * The tuning of a device. A stored table that cannot be read is none, and a line on stderr says so; as it does of a table that
 * was given and has nothing for this adapter, or by the end of the device or process nothing that a program took.
 */
export async function loadTuning(device: Device, option: TuningOption): Promise<Tuning> {
  const { determinism, architecture } = device.info;
  if (option === "off") return new Tuning(tuningKey(device), determinism);
  const tuning = new Tuning(tuningKey(device), determinism, (product) => preferredWay(architecture, product));
  if (option !== "auto") {
    const table = checkTable(option, "init: tuning");
    if (tuning.add(table) > 0) {
      tuning.source = "init({ tuning })";
      watch(tuning, device);
    } else sayUseless(table, tuning.key);
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

/** What was said: a page that makes a device again and again shall not hear it each time. */
const said = new Set<string>();

function sayOnce(line: string): void {
  if (said.has(line)) return;
  said.add(line);
  console.error(line);
}

/** A table may be shipped for other adapters than this: no error, but whoever made it for this one wants to know. */
function sayUseless({ adapter, choices }: TuningTable, key: string): void {
  const count = Object.keys(choices).length;
  if (count === 0) return;
  sayOnce(
    adapter === key
      ? `init: tuning: ways that this version knows expected, got none among ${count}. The table is not used: make one with naysay tune.`
      : `init: tuning: a table of this adapter, ${key}, expected, got one of ${adapter}. It is not used: make one here with naysay tune.`,
  );
}

const watched = new Set<Tuning>();
let waiting = false;

/** Says when the device ends, or the process, that a table was of no use to it. */
function watch(tuning: Tuning, { gpu }: Device): void {
  watched.add(tuning);
  // A page that makes a device again and again shall not keep the tables of all.
  void gpu.lost.then(() => report(tuning));
  if (waiting) return;
  waiting = true;
  const rest = (): void => watched.forEach(report);
  atEnd(async () => rest(), rest);
}

function report(tuning: Tuning): void {
  const { used, missing, size } = tuning;
  if (!watched.delete(tuning) || used.size > 0 || missing.size === 0) return;
  const [first] = missing.keys();
  sayOnce(
    `init: tuning: entries for the products of this device expected, such as ${first}, got ${size} for others. None was used: tune the programs that you run.`,
  );
}

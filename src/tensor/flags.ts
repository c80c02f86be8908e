/**
 * The debug flags, all in this table. In Node they are environment variables; in a browser they are query parameters
 * of the page (`?DEBUG=2`) or entries of `globalThis.NAYSAY_FLAGS`, which win.
 */

import { type Determinism, parseDeterminism } from "./determinism.ts";
import { ConfigError } from "./errors.ts";
import { nearest } from "./suggest.ts";
import { parseTier, type Tier } from "./tiers.ts";
import { show } from "./validate.ts";

/** Names of the compile passes that may be left out. */
export const OPTIONAL_PASSES = ["simplify", "cse", "fuse", "inplace", "reuse"] as const;

/** Throws `ConfigError` where names of passes to leave out are no list, or one of them is no optional pass. */
export function checkPasses(where: string, names: unknown): void {
  const known: readonly string[] = OPTIONAL_PASSES;
  const wanted = `${where}: some of ${known.join(", ")} expected`;
  if (!Array.isArray(names))
    throw new ConfigError(`${wanted}, got ${show(names)}. Write them as a list: ["${known[0]}"].`);
  for (const name of names) {
    if (known.includes(name)) continue;
    const near = typeof name === "string" ? nearest(name, known) : undefined;
    const remedy = near === undefined ? "Other passes always run." : `Did you mean "${near}"?`;
    throw new ConfigError(`${wanted}, got ${show(name)}. ${remedy}`);
  }
}

/** The flags as values. */
export interface Flags {
  /** 0 quiet, 1 device and builds, 2 kernel table with GPU ms and GB/s, 3 resolved WGSL, 4 graph after each pass. */
  debug: 0 | 1 | 2 | 3 | 4;
  /** Name the first op with a non-finite output. */
  nan: boolean;
  /** Path of a trace file that Perfetto opens, or `null`. */
  profile: string | null;
  /** Tier to use, or `null` for the highest that the adapter has below T4. */
  tier: Tier | null;
  /** What may be traded for speed. */
  determinism: Determinism;
  /** Names of compile passes to leave out. */
  passesOff: readonly string[];
  /** Dawn toggles to switch on (Node only). */
  toggles: readonly string[];
  /** Whether kernels are chosen by what was measured and stored for the adapter. */
  tuning: "auto" | "off";
}

/** One row of the table: the variable, what it takes, what it does, and where its value goes. */
interface FlagRow {
  name: string;
  takes: string;
  does: string;
  read(text: string, into: Flags): void;
}

/** Every flag that the engine reads. `naysay help` prints this table. */
export const FLAG_TABLE: readonly FlagRow[] = [
  {
    name: "DEBUG",
    takes: "0..4",
    does: "1 device and builds, 2 kernel table, 3 resolved WGSL, 4 graph after each pass",
    read(text, into) {
      const level = Number(text);
      // Other programs use DEBUG for patterns ("vite:*"): not ours, so no error.
      if (Number.isNaN(level)) return;
      if (level !== 0 && level !== 1 && level !== 2 && level !== 3 && level !== 4) {
        throw new ConfigError(`DEBUG: a level from 0 to 4 expected, got "${text}". DEBUG=4 shows most.`);
      }
      into.debug = level;
    },
  },
  {
    name: "NAN",
    takes: "0|1",
    does: "name the first op with a non-finite output",
    read(text, into) {
      if (text !== "0" && text !== "1") throw new ConfigError(`NAN: expected 0 or 1, got "${text}".`);
      into.nan = text === "1";
    },
  },
  {
    name: "PROFILE",
    takes: "path",
    does: "write a trace that Perfetto opens",
    read(text, into) {
      into.profile = text;
    },
  },
  {
    name: "NAYSAY_TIER",
    takes: "T0..T4",
    does: "use this capability tier, at most what the adapter has; T4 (other bits) only where it is named",
    read(text, into) {
      into.tier = parseTier(text);
    },
  },
  {
    name: "NAYSAY_DETERMINISM",
    takes: "repeatable|fast",
    does: "the same bits whatever was tuned (default), or whatever naysay tune found quickest",
    read(text, into) {
      into.determinism = parseDeterminism(text, "NAYSAY_DETERMINISM");
    },
  },
  {
    name: "NAYSAY_PASSES_OFF",
    takes: "a,b",
    does: "leave out these compile passes",
    read(text, into) {
      into.passesOff = list(text);
      checkPasses("NAYSAY_PASSES_OFF", into.passesOff);
    },
  },
  {
    name: "NAYSAY_TOGGLES",
    takes: "a,b",
    does: "switch on these Dawn toggles (Node only)",
    read(text, into) {
      into.toggles = list(text);
    },
  },
  {
    name: "NAYSAY_TUNING",
    takes: "auto|off",
    does: "choose kernels by what naysay tune has stored for this adapter (default), or not",
    read(text, into) {
      if (text !== "auto" && text !== "off") {
        throw new ConfigError(`NAYSAY_TUNING: expected auto or off, got "${text}".`);
      }
      into.tuning = text;
    },
  },
];

/** Reads the flags from a look-up function. Throws `ConfigError` for a value that a flag does not take. */
export function readFlags(lookUp: (name: string) => string | undefined): Flags {
  const into: Flags = {
    debug: 0,
    nan: false,
    profile: null,
    tier: null,
    determinism: "repeatable",
    passesOff: [],
    toggles: [],
    tuning: "auto",
  };
  for (const row of FLAG_TABLE) {
    const text = lookUp(row.name);
    if (text !== undefined && text !== "") row.read(text, into);
  }
  return into;
}

let current: Flags | undefined;

/** The flags of this process or page, read once. */
export function flags(): Flags {
  current ??= readFlags(lookUpHere);
  return current;
}

/** Overrides flags of this process or page (tests, the command line). */
export function setFlags(changes: Partial<Flags>): void {
  current = { ...flags(), ...changes };
}

/** What `flags` reads from, seen without Node's or the DOM's types: either may be absent. */
interface FlagHost {
  NAYSAY_FLAGS?: Record<string, string | number | undefined>;
  process?: { env?: Record<string, string | undefined> };
  location?: { search?: string };
}

function lookUpHere(name: string): string | undefined {
  const host = globalThis as unknown as FlagHost;
  const own = host.NAYSAY_FLAGS?.[name];
  if (own !== undefined) return String(own);
  const query = host.location?.search;
  return new URLSearchParams(query ?? "").get(name) ?? host.process?.env?.[name];
}

function list(text: string): string[] {
  return text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
}

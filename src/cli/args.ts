/** Command-line flags from one table per command: parsed, checked, and printed as help. */

import { parseArgs } from "node:util";
import { ConfigError } from "../tensor/errors.ts";
import { didYouMean } from "../tensor/suggest.ts";

/** One flag. `choices` narrows a string; numbers must be finite. */
export type ArgSpec =
  | { kind: "flag"; help: string }
  | { kind: "text"; help: string; takes?: string; default?: string; choices?: readonly string[] }
  | {
      kind: "integer" | "number";
      help: string;
      takes?: string;
      default?: number;
      min?: number;
      max?: number;
    };

/** The flags of a command, by long name (`--name`). */
export type ArgTable = Record<string, ArgSpec>;

type ValueOf<S extends ArgSpec> = S extends { kind: "flag" }
  ? boolean
  : S extends { kind: "text" }
    ? S extends { default: string }
      ? string
      : string | undefined
    : S extends { default: number }
      ? number
      : number | undefined;

/** Parsed flags, typed after their table; `rest` holds what is no flag. */
export type Args<T extends ArgTable> = { [K in keyof T]: ValueOf<T[K]> } & { rest: string[] };

/**
 * Parses `argv` after `table`. Throws `ConfigError` for an unknown flag (with a suggestion), a missing or superfluous
 * value, a number out of range, or more than `maxRest` words that are no flags.
 */
export function readArgs<const T extends ArgTable>(argv: readonly string[], table: T, maxRest = 0): Args<T> {
  const options: Record<string, { type: "boolean" | "string" }> = {};
  for (const [name, spec] of Object.entries(table)) {
    options[name] = { type: spec.kind === "flag" ? "boolean" : "string" };
  }
  const { tokens } = parseArgs({ args: joinNegatives(argv), options, strict: false, tokens: true });
  const values: Record<string, unknown> = { rest: [] as string[] };
  for (const [name, spec] of Object.entries(table)) {
    values[name] = spec.kind === "flag" ? false : spec.default;
  }
  const rest: string[] = [];
  for (const token of tokens) {
    if (token.kind === "positional") rest.push(token.value);
    if (token.kind !== "option") continue;
    const spec = Object.hasOwn(table, token.name) ? table[token.name] : undefined;
    if (spec === undefined) {
      const known = Object.keys(table).map((name) => `--${name}`);
      throw new ConfigError(`${token.rawName}: expected a known flag. ${didYouMean(token.rawName, known)}`);
    }
    values[token.name] = readValue(token.rawName, token.value, spec);
  }
  if (rest.length > maxRest) {
    throw new ConfigError(`arguments: expected at most ${maxRest} words, got "${rest[maxRest]}".`);
  }
  return { ...values, rest } as Args<T>;
}

function readValue(name: string, text: string | undefined, spec: ArgSpec): string | number | boolean {
  if (spec.kind === "flag") {
    if (text !== undefined) throw new ConfigError(`${name}: expected no value, got "${text}".`);
    return true;
  }
  if (text === undefined || text === "") throw new ConfigError(`${name}: expected a value. ${spec.help}`);
  if (spec.kind === "text") {
    if (spec.choices && !spec.choices.includes(text)) {
      throw new ConfigError(
        `${name}: expected ${spec.choices.join(", ")}, got "${text}". ${didYouMean(text, spec.choices)}`,
      );
    }
    return text;
  }
  const value = Number(text);
  const { min = -Infinity, max = Infinity } = spec;
  if (!Number.isFinite(value) || (spec.kind === "integer" && !Number.isSafeInteger(value))) {
    throw new ConfigError(
      `${name}: expected ${spec.kind === "integer" ? "an integer" : "a number"}, got "${text}".`,
    );
  }
  if (value < min || value > max) {
    throw new ConfigError(`${name}: expected a value from ${min} to ${max}, got ${text}.`);
  }
  return value;
}

/** `--x -1` means the value -1 and not a flag called 1. */
function joinNegatives(argv: readonly string[]): string[] {
  const joined: string[] = [];
  for (const word of argv) {
    const before = joined.at(-1);
    if (/^-[\d.]/.test(word) && before?.startsWith("--") && !before.includes("="))
      joined.push(`${joined.pop()}=${word}`);
    else joined.push(word);
  }
  return joined;
}

/** The flags of a table as lines of help. */
export function argHelp(table: ArgTable): string {
  const rows = Object.entries(table).map(([name, spec]) => {
    if (spec.kind === "flag") return [`--${name}`, spec.help];
    const choices = spec.kind === "text" ? spec.choices?.join("|") : undefined;
    const takes = spec.takes ?? choices ?? spec.kind;
    return [
      `--${name} <${takes}>`,
      spec.help + (spec.default === undefined ? "" : ` (default ${spec.default})`),
    ];
  });
  const width = Math.max(0, ...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`).join("\n");
}

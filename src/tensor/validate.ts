/**
 * Checks configuration, `naysay/validate`: a rule takes any value and gives it back typed, or throws a ConfigError that
 * names the key. For apps that read settings from a form, a link or a file and want to answer as the library does.
 *
 *     const rules = object({ learningRate: number({ above: 0 }), seed: withDefault(integer({ min: 0 }), 0) });
 *     type Config = Infer<typeof rules>;
 *     const config = validate("trainer", rules, JSON.parse(text));
 */

import { ConfigError } from "./errors.ts";
import { didYouMean } from "./suggest.ts";

export { didYouMean } from "./suggest.ts";

/** `path` reads like `trainer: optimizer.betas[1]`. */
export type Rule<T> = (value: unknown, path: string) => T;
export type Infer<R> = R extends Rule<infer T> ? T : never;

export interface NumberLimits {
  min?: number;
  max?: number;
  /** The value must be greater than this. */
  above?: number;
  /** The value must be less than this. */
  below?: number;
}

/** A value as an error shows it: short, and NaN, -0 and functions as what they are. */
export function show(value: unknown): string {
  if (typeof value === "string")
    return JSON.stringify(value.length > 60 ? `${value.slice(0, 57)}...` : value);
  if (Object.is(value, -0)) return "-0";
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "function") return "a function";
  if (Array.isArray(value)) return `an array of ${value.length}`;
  if (typeof value === "object" && value !== null) return "an object";
  return String(value);
}

function fail(path: string, expected: string, value: unknown, remedy: string): never {
  const where = path.replace(/:$/, ""); // the whole value has no key
  throw new ConfigError(`${where}: ${expected} expected, got ${show(value)}. ${remedy}`);
}

function limitText(kind: string, { min, max, above, below }: NumberLimits): string {
  const low = above !== undefined ? `(${above}` : min !== undefined ? `[${min}` : "";
  const high = below !== undefined ? `${below})` : max !== undefined ? `${max}]` : "";
  if (low && high) return `${kind} in ${low}, ${high}`;
  if (low) return `${kind} ${above !== undefined ? `> ${above}` : `>= ${min}`}`;
  if (high) return `${kind} ${below !== undefined ? `< ${below}` : `<= ${max}`}`;
  return kind;
}

function checkNumber(value: unknown, path: string, kind: string, limits: NumberLimits): number {
  const { min = -Infinity, max = Infinity, above = -Infinity, below = Infinity } = limits;
  if (
    typeof value !== "number" ||
    !Number.isFinite(value) ||
    (kind !== "a number" && !Number.isSafeInteger(value))
  ) {
    fail(path, limitText(kind, limits), value, "Give a finite value, without quotes.");
  }
  if (value < min || value > max || value <= above || value >= below) {
    fail(path, limitText(kind, limits), value, "Choose a value in the range.");
  }
  return value;
}

/** A finite number within limits; NaN and infinities are refused. */
export function number(limits: NumberLimits = {}): Rule<number> {
  return (value, path) => checkNumber(value, path, "a number", limits);
}

/** An integer within limits, exact in float64. */
export function integer(limits: NumberLimits = {}): Rule<number> {
  return (value, path) => checkNumber(value, path, "an integer", limits);
}

export function boolean(): Rule<boolean> {
  return (value, path) =>
    typeof value === "boolean" ? value : fail(path, "true or false", value, "Give it without quotes.");
}

export function string(): Rule<string> {
  return (value, path) =>
    typeof value === "string" ? value : fail(path, "text", value, "Put it in quotes.");
}

/** One of the given names. */
export function oneOf<const T extends string>(...names: T[]): Rule<T> {
  return (value, path) => {
    const found = names.find((name) => name === value);
    if (found !== undefined) return found;
    const remedy = typeof value === "string" ? didYouMean(value, names) : "Put it in quotes.";
    return fail(path, `one of ${names.join(", ")}`, value, remedy);
  };
}

/** An array whose elements follow `rule`, of `min` to `max` elements. */
export function list<T>(rule: Rule<T>, { min = 0, max = 1_000_000 } = {}): Rule<T[]> {
  return (value, path) => {
    if (!Array.isArray(value)) return fail(path, "an array", value, "Write [a, b, ...].");
    if (value.length < min || value.length > max) {
      fail(
        path,
        min === max ? `${min} elements` : `${min} to ${max} elements`,
        value,
        "Change their number.",
      );
    }
    return Array.from(value, (element, i) => rule(element, `${path}[${i}]`));
  };
}

/** A rule for a key that may be missing (or undefined). */
export function optional<T>(rule: Rule<T>): Rule<T | undefined> {
  return (value, path) => (value === undefined ? undefined : rule(value, path));
}

/** A rule for a value that may be null. */
export function nullable<T>(rule: Rule<T>): Rule<T | null> {
  return (value, path) => (value === null ? null : rule(value, path));
}

/** A rule for a key that has a default. */
export function withDefault<T>(rule: Rule<T>, fallback: T): Rule<T> {
  return (value, path) => (value === undefined ? fallback : rule(value, path));
}

const join = (path: string, key: string): string =>
  path.endsWith(":") ? `${path} ${key}` : `${path}.${key}`;

/** A rule for every key of T. */
export type Rules<T> = { readonly [K in keyof T]-?: Rule<T[K]> };

/**
 * An object with these keys and no others; an unknown key is refused with the nearest known one. `object<T>` of an
 * interface holds the two together, and T's comments are what an editor shows: those above rules do not reach it.
 */
export function object<T extends object>(fields: Rules<T>): Rule<T> {
  const rules = fields as Readonly<Record<string, Rule<unknown>>>;
  const known = Object.keys(fields);
  return (value, path) => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      return fail(path, "an object", value, `Keys: ${known.join(", ")}.`);
    }
    const given = value as Record<string, unknown>;
    for (const key of Object.keys(given)) {
      if (!Object.hasOwn(fields, key)) {
        throw new ConfigError(
          `${join(path, key.slice(0, 60))}: a known key expected, got an unknown one. ${didYouMean(key, known)}`,
        );
      }
    }
    const checked: Record<string, unknown> = {};
    for (const key of known) {
      const present = Object.hasOwn(given, key) ? given[key] : undefined;
      checked[key] = rules[key](present, join(path, key));
    }
    return checked as T;
  };
}

/** An object whose `kind` is one of these, with the keys of that kind and no others. */
export function variant<T extends { readonly kind: string }>(
  kinds: {
    readonly [K in T["kind"]]: Rules<Omit<Extract<T, { readonly kind: K }>, "kind">>;
  },
): Rule<T> {
  const rules = kinds as Readonly<Record<string, object>>;
  const names = Object.keys(kinds);
  return (value, path) => {
    if (typeof value !== "object" || value === null) {
      return fail(path, "an object", value, `Write { kind: "${names[0]}", ... }.`);
    }
    const given = Object.hasOwn(value, "kind") ? (value as { kind: unknown }).kind : undefined;
    const kind = oneOf(...names)(given, join(path, "kind"));
    return object({ kind: string(), ...rules[kind] })(value, path) as unknown as T;
  };
}

/** Checks `value` against `rule`; errors begin with the name of the operation. */
export function validate<T>(op: string, rule: Rule<T>, value: unknown): T {
  return rule(value, `${op}:`);
}

/**
 * A JSON reader for files that nobody vouches for. What `JSON.parse` hides, this refuses: names given twice (the last
 * would win) and deep nesting. Objects become Maps, so that no name can reach a prototype.
 *
 * Source: RFC 8259.
 */

import { CheckpointError } from "../tensor/errors.ts";

export type JsonValue = null | boolean | number | string | JsonValue[] | Map<string, JsonValue>;

const MAX_DEPTH = 32;
const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;
const NUMBER_CHARACTERS = "+-.0123456789Ee";
const LONGEST_NUMBER = 40;

/** The value of a JSON text; throws a CheckpointError that begins with `op` and names the place. */
export function parseStrictJson(text: string, op: string): JsonValue {
  let at = 0;

  function fail(expected: string): never {
    const got = at < text.length ? JSON.stringify(text.slice(at, at + 12)) : "the end";
    throw new CheckpointError(
      `${op}: ${expected} expected at character ${at} of the JSON, got ${got}. Get the file again.`,
    );
  }

  // characters one by one: a regular expression over a hostile string can overflow the engine's stack
  function skip(): void {
    while (text[at] === " " || text[at] === "\n" || text[at] === "\t" || text[at] === "\r") at++;
  }

  function string(expected: string): string {
    const start = at;
    if (text[at] !== '"') fail(expected);
    at++;
    while (at < text.length && text[at] !== '"') at += text[at] === "\\" ? 2 : 1;
    at++;
    try {
      return JSON.parse(text.slice(start, at)) as string; // one literal: its escapes and control characters
    } catch {
      at = start;
      return fail("a valid string");
    }
  }

  function number(): number {
    let end = at;
    while (end < text.length && NUMBER_CHARACTERS.includes(text[end]) && end - at <= LONGEST_NUMBER) end++;
    const digits = text.slice(at, end);
    if (!NUMBER.test(digits) || digits.length > LONGEST_NUMBER) fail("a value");
    at = end;
    return Number(digits);
  }

  /** Reads what stands between separators up to `close`. */
  function sequence(close: string, item: () => void): void {
    at++;
    skip();
    if (text[at] === close) {
      at++;
      return;
    }
    for (;;) {
      item();
      skip();
      if (text[at] === close) {
        at++;
        return;
      }
      if (text[at] !== ",") fail(`"," or "${close}"`);
      at++;
      skip();
    }
  }

  function value(depth: number): JsonValue {
    if (depth > MAX_DEPTH) fail(`nesting of at most ${MAX_DEPTH}`);
    skip();
    const first = text[at];
    if (first === "{") {
      const entries = new Map<string, JsonValue>();
      sequence("}", () => {
        const start = at;
        const name = string("a name in quotes");
        if (entries.has(name)) {
          at = start;
          fail("a name not given before");
        }
        skip();
        if (text[at] !== ":") fail('":"');
        at++;
        entries.set(name, value(depth + 1));
      });
      return entries;
    }
    if (first === "[") {
      const items: JsonValue[] = [];
      sequence("]", () => items.push(value(depth + 1)));
      return items;
    }
    if (first === '"') return string("a string");
    for (const [word, constant] of [
      ["true", true],
      ["false", false],
      ["null", null],
    ] as const) {
      if (text.startsWith(word, at)) {
        at += word.length;
        return constant;
      }
    }
    return number();
  }

  const result = value(0);
  skip();
  if (at !== text.length) fail("nothing more");
  return result;
}

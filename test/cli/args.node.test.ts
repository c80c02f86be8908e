/** Flags from tables: values, defaults, and what is refused. */

import { expect, test } from "vitest";
import { argHelp, readArgs } from "../../src/cli/args.ts";

const TABLE = {
  json: { kind: "flag", help: "print JSON" },
  preset: { kind: "text", help: "which preset", default: "quick", choices: ["quick", "full"] },
  out: { kind: "text", help: "folder", takes: "path" },
  seed: { kind: "integer", help: "seed", default: 1, min: 0 },
  lambda: { kind: "number", help: "weight" },
} as const;

test("defaults", () => {
  expect(readArgs([], TABLE)).toEqual({
    json: false,
    preset: "quick",
    out: undefined,
    seed: 1,
    lambda: undefined,
    rest: [],
  });
});

test("values, with = and without, negative and scientific numbers, words", () => {
  const got = readArgs(
    ["--json", "--preset=full", "--seed", "7", "--lambda", "-1e-1", "a", "--", "--b"],
    TABLE,
    2,
  );
  expect(got).toMatchObject({ json: true, preset: "full", seed: 7, lambda: -0.1, rest: ["a", "--b"] });
});

test.each([
  [["--pre", "x"], "--pre: expected a known flag."],
  [["--preste", "full"], 'Did you mean "--preset"?'],
  [["--constructor"], "expected a known flag"],
  [["--preset", "ful"], 'Did you mean "full"?'],
  [["--seed", "1.5"], '--seed: expected an integer, got "1.5"'],
  [["--seed", "1e400"], "expected an integer"],
  [["--lambda", "NaN"], '--lambda: expected a number, got "NaN"'],
  [["--seed", "-1"], "--seed: expected a value from 0"],
  [["--seed"], "--seed: expected a value"],
  [["--json=yes"], "--json: expected no value"],
  [["stray"], 'expected at most 0 words, got "stray"'],
])("refuses %j", (argv, message) => {
  expect(() => readArgs(argv, TABLE)).toThrow(expect.objectContaining({ name: "ConfigError" }));
  expect(() => readArgs(argv, TABLE)).toThrow(message);
});

test("help lists every flag with its default", () => {
  const help = argHelp(TABLE);
  expect(help).toContain("--preset <quick|full>  which preset (default quick)");
  expect(help.split("\n")).toHaveLength(5);
});

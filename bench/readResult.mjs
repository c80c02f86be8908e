/** Files that `--json` or `--out` wrote. */

import { readFileSync } from "node:fs";
import { checkComparable } from "../dist/bench/compareFile.js";
import { ConfigError } from "../dist/tensor/errors.js";

/** Reads a result. Throws `ConfigError` where there is none to compare. */
export function readResult(path) {
  let read;
  try {
    read = JSON.parse(readFileSync(path, "utf8"));
  } catch (cause) {
    // The parser quotes the file, whose lines are no lines of the message.
    const got = cause.message.replace(/\s+/g, " ");
    throw new ConfigError(
      `bench: compare: a result file expected at ${path}, got "${got}". Write one with --json.`,
      { cause },
    );
  }
  return checkComparable(read, path);
}

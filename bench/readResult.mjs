/** Files that `--json` or `--out` wrote. */

import { readFileSync } from "node:fs";

/** Reads a result. */
export function readResult(path) {
  let result;
  try {
    result = JSON.parse(readFileSync(path, "utf8"));
  } catch (cause) {
    throw new Error(
      `bench: a result file expected at ${path}, got "${cause.message}". Write one with --json.`,
      { cause },
    );
  }
  if (result?.format !== "naysay-bench-1" || !Array.isArray(result.rows)) {
    throw new Error(
      `bench: format "naysay-bench-1" expected in ${path}, got ${JSON.stringify(result?.format)}. Write the file again with --json.`,
    );
  }
  return result;
}

/** `#host` in Node: what happens when the process ends, and files for what the debug flags gather. */

import { writeFileSync } from "node:fs";

/**
 * Calls `finish` once when nothing is left to do; where the process is ended earlier (`process.exit`), `last` instead,
 * which cannot wait.
 */
export function atEnd(finish: () => Promise<void>, last: () => void): void {
  let begun = false;
  let done = false;
  process.on("beforeExit", () => {
    if (begun) return;
    begun = true;
    void finish().finally(() => {
      done = true;
    });
  });
  process.on("exit", () => {
    if (!done) last();
  });
}

/** Writes a text file; where that fails, says so on stderr: a debug aid must not end a run. */
export function writeText(path: string, text: string): void {
  try {
    writeFileSync(path, text);
  } catch (error) {
    console.error(`PROFILE: a writable path was expected, got ${path}: ${(error as Error).message}.`);
  }
}

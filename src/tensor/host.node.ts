/** `#host` in Node: what happens when the process ends, and files for what the debug flags gather. */

import { writeFileSync } from "node:fs";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";

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

/** Writes a text file; where that fails, says so on stderr and returns false: a debug aid must not end a run. */
export function writeText(path: string, text: string): boolean {
  try {
    writeFileSync(path, text);
    return true;
  } catch (error) {
    console.error(`PROFILE: a writable path was expected, got ${path}: ${(error as Error).message}.`);
    return false;
  }
}

/** Folder of what is kept between runs: `$XDG_CACHE_HOME/naysay`, by default `~/.cache/naysay`. */
export function cacheFolder(): string {
  return join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "naysay");
}

/** Where a text of this name is kept. */
export function cachedAt(name: string): string {
  return join(cacheFolder(), name);
}

/** What was kept under a name; null where there is nothing that can be read, or no home to look in. */
export async function readCached(name: string): Promise<string | null> {
  try {
    return await readFile(cachedAt(name), "utf8");
  } catch {
    return null;
  }
}

let written = 0;

/** Keeps a text under a name, whole or not at all. */
export async function writeCached(name: string, text: string): Promise<void> {
  const path = cachedAt(name);
  const fresh = `${path}.${process.pid}-${written++}.tmp`;
  await mkdir(cacheFolder(), { recursive: true });
  try {
    await writeFile(fresh, text);
    await rename(fresh, path);
  } catch (error) {
    await rm(fresh, { force: true });
    throw error;
  }
}

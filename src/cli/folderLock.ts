/** One process at a run's folder: two would write every line of metrics.jsonl twice. */
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ConfigError } from "../tensor/errors.ts";

/**
 * Marks the folder as this process's; what it returns takes the mark away. The mark of a process that has ended, killed
 * ones too, is taken over. Throws `ConfigError` where another process is at work in the folder. A folder that cannot be
 * written is left to the run, which says why.
 */
export function lockFolder(folder: string): () => void {
  const path = join(folder, ".lock");
  for (let tries = 0; tries < 2; tries++) {
    try {
      mkdirSync(folder, { recursive: true });
      writeFileSync(path, String(process.pid), { flag: "wx" });
      return () => rmSync(path, { force: true });
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      // Of a folder that cannot be made whoever writes to it says so.
      if (code !== "EEXIST" || !statSync(folder, { throwIfNoEntry: false })?.isDirectory()) return () => {};
    }
    const owner = ownerOf(path);
    if (owner !== null && owner !== process.pid && isAlive(owner)) {
      throw new ConfigError(
        `--out: a folder that no other process works in expected, got ${folder} of process ${owner}. Wait for it, choose another folder, or remove ${path} where that process is something else.`,
      );
    }
    rmSync(path, { force: true });
  }
  return () => {};
}

function ownerOf(path: string): number | null {
  try {
    const text = readFileSync(path, "utf8");
    return /^\d{1,10}$/.test(text) ? Number(text) : null;
  } catch {
    return null; // Gone meanwhile.
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !isZombie(pid);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** Whether a process has ended and only its parent has not asked yet: in a container without an init it stays so for ever. */
function isZombie(pid: number): boolean {
  try {
    // The state comes after the name, which may itself hold brackets.
    return /^.*\) [ZX] /s.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false; // No such files on this system.
  }
}

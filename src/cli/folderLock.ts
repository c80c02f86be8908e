/** One process at a run's folder: two would write every line of metrics.jsonl twice. */
import { linkSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ConfigError } from "../tensor/errors.ts";

/** Takeovers after which the run goes on without a mark: each means that another process came between. */
const TRIES = 8;
/** So long a mark may be empty while it is written, ms, and how often it is looked at. */
const WRITING = { most: 1000, each: 20 };

/**
 * Marks the folder as this process's; what it returns takes the mark away. The mark of a process that has ended, killed
 * ones too, is taken over. Throws `ConfigError` where another process is at work in the folder. A folder that cannot be
 * written is left to the run, which says why. Processes are told apart by their numbers on this machine: of those of other
 * machines or containers that share the folder nothing can be told.
 */
export function lockFolder(folder: string): () => void {
  const path = join(folder, ".lock");
  for (let tries = 0; tries < TRIES; tries++) {
    try {
      mark(path);
      removeLeftovers(folder);
      return () => {
        if (ownerOf(path) === process.pid) rmSync(path, { force: true });
      };
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      // Of a folder that cannot be written whoever writes to it says so.
      if (code !== "EEXIST" || !isFolder(folder)) return () => {};
    }
    if (isFolder(path)) {
      throw new ConfigError(
        `--out: a folder for a run expected, got ${folder} with a folder .lock. Choose another folder.`,
      );
    }
    const owner = ownerOf(path);
    if (isOther(owner)) {
      throw new ConfigError(
        `--out: a folder that no other process works in expected, got ${folder} of process ${owner}. Wait for it, choose another folder, or remove ${path} where that process is something else.`,
      );
    }
    removeDead(path);
  }
  return () => {};
}

const isFolder = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;

/** Makes the file with this process's number in it, at once; throws EEXIST where there is one. */
function mark(path: string): void {
  const own = `${path}.${process.pid}`;
  try {
    writeFileSync(own, String(process.pid));
    linkSync(own, path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EEXIST") throw error;
    // A file system without links: empty for a moment.
    writeFileSync(path, String(process.pid), { flag: "wx" });
  } finally {
    rmSync(own, { force: true });
  }
}

/**
 * Removes the mark of a process that has ended. Only who holds a second mark does: else one could look at a dead mark, and
 * remove the living one that another has put there meanwhile.
 */
function removeDead(path: string): void {
  const removing = `${path}.removing`;
  try {
    mark(removing);
  } catch {
    const owner = ownerOf(removing);
    if (isOther(owner)) pause();
    else if (owner !== undefined) rmSync(removing, { force: true }); // Of one that was killed in here.
    return;
  }
  try {
    const owner = ownerOf(path);
    // Where it is gone, whoever comes first may mark the folder, now.
    if (owner !== undefined && !isOther(owner)) rmSync(path, { force: true });
  } finally {
    rmSync(removing, { force: true });
  }
}

/** Removes what processes that were killed in here have left beside the mark, as far as that is allowed. */
function removeLeftovers(folder: string): void {
  try {
    for (const name of readdirSync(folder)) {
      const pid = /^\.lock(?:\.removing)?\.(\d{1,10})$/.exec(name)?.[1];
      if (pid !== undefined && !isAlive(Number(pid))) rmSync(join(folder, name), { force: true });
    }
  } catch {
    // Someone else's: they are in nobody's way.
  }
}

/** The number that a mark says; null where it says none, undefined where there is no mark any more. */
function ownerOf(path: string): number | null | undefined {
  try {
    const text = written(path);
    return /^\d{1,10}$/.test(text) ? Number(text) : null;
  } catch {
    return undefined;
  }
}

/** What a mark says, once it says something: without links it is empty for a moment. */
function written(path: string): string {
  const begun = Date.now();
  for (;;) {
    const text = readFileSync(path, "utf8");
    const now = Date.now();
    // The clock of a shared folder may be ahead of this one.
    if (text !== "" || now - Math.min(begun, statSync(path).mtimeMs) > WRITING.most) return text;
    pause();
  }
}

const pause = (): unknown => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, WRITING.each);

/** Whether the number is that of another process that lives. */
const isOther = (owner: number | null | undefined): boolean =>
  owner != null && owner !== process.pid && isAlive(owner);

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

/** One process at a run's folder: two would write every line of metrics.jsonl twice. */
import {
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { ConfigError } from "../tensor/errors.ts";

/** Takeovers after which the run goes on without a mark: each means that another process took the folder and ended. */
const TRIES = 8;
/** So long a mark may be empty while it is written, ms, and how often it is looked at. */
const WRITING = { most: 1000, each: 20 };

/**
 * Marks the folder as this process's; what it returns takes the mark away. The mark of a process that has ended, killed
 * ones too, is taken over. Throws `ConfigError` where another process is at work in the folder. A folder that cannot be
 * written is left to the run, which says why. Processes are told apart by their numbers on this machine: those of other machines or
 * containers that share the folder are taken for dead.
 */
export function lockFolder(folder: string): () => void {
  const path = join(folder, ".lock");
  for (let tries = 0; tries < TRIES; tries++) {
    try {
      mkdirSync(folder, { recursive: true });
      removeLeftovers(folder);
      mark(path);
      return () => {
        if (ownerOf(path) === process.pid) rmSync(path, { force: true });
      };
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      // Of a folder that cannot be made whoever writes to it says so.
      if (code !== "EEXIST" || !isFolder(folder)) return () => {};
    }
    if (isFolder(path)) {
      throw new ConfigError(
        `--out: a folder for a run expected, got ${folder} with a folder .lock. Choose another folder.`,
      );
    }
    refuseLiving(folder, path);
    takeAway(folder, path);
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

function refuseLiving(folder: string, path: string): void {
  const owner = ownerOf(path);
  if (owner === null || owner === process.pid || !isAlive(owner)) return;
  throw new ConfigError(
    `--out: a folder that no other process works in expected, got ${folder} of process ${owner}. Wait for it, choose another folder, or remove ${join(folder, ".lock")} where that process is something else.`,
  );
}

/** Takes a dead process's mark away; what another has put there meanwhile goes back. */
function takeAway(folder: string, path: string): void {
  const taken = `${path}.${process.pid}.old`;
  try {
    renameSync(path, taken);
  } catch {
    return; // Another was faster.
  }
  try {
    refuseLiving(folder, taken);
  } catch (error) {
    putBack(taken, path);
    throw error;
  } finally {
    rmSync(taken, { force: true });
  }
}

/** Not over a mark that a third process has made meanwhile. */
function putBack(taken: string, path: string): void {
  try {
    linkSync(taken, path);
  } catch {
    if (!existsSync(path)) renameSync(taken, path);
  }
}

/** Removes what processes that were killed in here have left beside the mark. */
function removeLeftovers(folder: string): void {
  for (const name of readdirSync(folder)) {
    const pid = /^\.lock\.(\d{1,10})(\.old)?$/.exec(name)?.[1];
    if (pid !== undefined && !isAlive(Number(pid))) rmSync(join(folder, name), { force: true });
  }
}

function ownerOf(path: string): number | null {
  try {
    const text = written(path);
    return /^\d{1,10}$/.test(text) ? Number(text) : null;
  } catch {
    return null; // Gone meanwhile.
  }
}

/** What a mark says, once it says something: without links it is empty for a moment. */
function written(path: string): string {
  for (;;) {
    const text = readFileSync(path, "utf8");
    if (text !== "" || Date.now() - statSync(path).mtimeMs > WRITING.most) return text;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, WRITING.each);
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

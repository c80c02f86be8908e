/** One process at a run's folder: two would write every line of metrics.jsonl twice. */
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ConfigError } from "../tensor/errors.ts";

/** What a mark says: its process looks whether others are there, or has the folder. */
const COMES = "comes";
const WORKS = "works";
/** Between two looks at the marks of processes that come at the same time, and for how long at most, ms. */
const LOOK = { each: 2, most: 2000 };

/**
 * Marks the folder, which is there, as this process's; what it returns takes the mark away. The mark of a process that has ended,
 * killed ones too, counts for nothing. Throws `ConfigError` where another process is at work in the folder. A folder that cannot be
 * written or read is left to the run, which says why. Processes are told apart by their numbers on this machine: of those of other
 * machines or containers that share the folder nothing can be told.
 *
 * Each process has a mark of its own, `.lock.<number>`, and none is taken over. A process has the folder once it has looked, its mark made,
 * and seen no other's: of two that came at once the second to make its mark sees the first's. Of those that see each other the one of the
 * lowest number waits, and the others step back; after `LOOK.most` each gives up.
 */
export function lockFolder(folder: string): () => void {
  const own = markOf(folder, process.pid);
  const unlock = (): void => rmSync(own, { force: true });
  const begun = Date.now();
  for (;;) {
    try {
      writeFileSync(own, COMES);
    } catch {
      return () => {};
    }
    const others = living(folder);
    if (others.length === 0) break;
    const owner =
      others.find((pid) => says(folder, pid) === WORKS) ??
      (Date.now() - begun > LOOK.most ? others[0] : null);
    if (owner !== null || others.some((pid) => pid < process.pid)) unlock();
    if (owner !== null) {
      throw new ConfigError(
        `--out: a folder that no other process works in expected, got ${folder} of process ${owner}. Wait for it, choose another folder, or remove ${markOf(folder, owner)} where that process is something else.`,
      );
    }
    pause();
  }
  writeFileSync(own, WORKS);
  return unlock;
}

const markOf = (folder: string, pid: number): string => join(folder, `.lock.${pid}`);

/** The numbers of other processes that live and have a mark here; marks of those that have ended are removed, where that is allowed. */
function living(folder: string): number[] {
  const found = namesIn(folder).flatMap((name) => /^\.lock\.(\d{1,10})$/.exec(name)?.[1] ?? []);
  const others = found.map(Number).filter((pid) => pid !== process.pid);
  return others.filter((pid) => {
    if (isAlive(pid)) return true;
    try {
      rmSync(markOf(folder, pid), { force: true });
    } catch {
      // Someone else's: it is in nobody's way.
    }
    return false;
  });
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // Whoever lists it next says why that fails.
  }
}

function says(folder: string, pid: number): string {
  try {
    return readFileSync(markOf(folder, pid), "utf8");
  } catch {
    return ""; // Gone meanwhile.
  }
}

const pause = (): unknown => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LOOK.each);

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

/** Files on disk: `#fs` in Node. See `files.ts` for what each function promises. */

import { randomUUID } from "node:crypto";
import * as fs from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { CheckpointError } from "../tensor/errors.ts";
import type { Files } from "./files.ts";

const REMEDIES: Record<string, [expected: string, remedy: string]> = {
  ENOSPC: ["room on the disk", "Free some space and run again; what was saved before is intact."],
  EDQUOT: ["room in the quota", "Free some space and run again; what was saved before is intact."],
  EACCES: ["the right to do this", "Choose another folder or change its permissions."],
  EPERM: ["the right to do this", "Choose another folder or change its permissions."],
  EROFS: ["a file system that can be written", "Choose a folder on another disk."],
  ENOTDIR: [
    "folders along the path",
    "A part of the path is a file or leads nowhere: rename it or choose another path.",
  ],
  EEXIST: [
    "folders along the path",
    "A part of the path is a file or leads nowhere: rename it or choose another path.",
  ],
  EISDIR: ["a file", "The path is a folder: choose a file name in it."],
  ENOENT: ["a file or folder that exists", "Check the path, or make its folder first."],
  EMFILE: ["a free file handle", "Close other files or raise the limit (ulimit -n)."],
  ENAMETOOLONG: ["a shorter path", "Shorten the run's name."],
  EIO: ["a disk that works", "The disk reports an error: try another."],
};

function named(op: string, path: string, cause: unknown): CheckpointError {
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "an error";
  const [expected, remedy] = REMEDIES[code] ?? ["success", "See the cause."];
  return new CheckpointError(`${op}: ${expected} expected for ${path}, got ${code}. ${remedy}`, { cause });
}

async function attempt<T>(op: string, path: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (cause) {
    throw named(op, path, cause);
  }
}

/** Makes a rename last through a power cut; file systems that cannot sync a folder say so, and need not. */
async function syncFolder(folder: string): Promise<void> {
  let handle: fs.FileHandle | undefined;
  try {
    handle = await fs.open(folder, "r");
    await handle.sync();
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : "";
    if (code === "EIO" || code === "ENOSPC") throw error;
  } finally {
    await handle?.close();
  }
}

export const writeFileAtomic: Files["writeFileAtomic"] = (path, bytes) =>
  attempt("writeFileAtomic", path, async () => {
    const temporary = join(dirname(path), `.${basename(path)}.${randomUUID()}.tmp`);
    try {
      const handle = await fs.open(temporary, "wx");
      try {
        await handle.writeFile(bytes);
        await handle.sync();
      } finally {
        await handle.close();
      }
      await fs.rename(temporary, path);
    } catch (error) {
      await fs.rm(temporary, { force: true }).catch(() => {}); // the first error is the one to report
      throw error;
    }
    await syncFolder(dirname(path));
  });

export const readFile: Files["readFile"] = (path) =>
  attempt("readFile", path, async () => new Uint8Array(await fs.readFile(path)));

export const appendLine: Files["appendLine"] = (path, line) =>
  attempt("appendLine", path, () => fs.appendFile(path, `${line}\n`));

/** Node's own (`recursive`) never ends where a folder takes no folders (/proc), and says ENOENT of a disk that cannot be written. */
async function makeFolders(path: string): Promise<void> {
  const make = (): Promise<string | null> =>
    fs.mkdir(path).then(
      () => null,
      async (error: NodeJS.ErrnoException) => {
        const { code } = error;
        if (code === "ENOENT" && dirname(path) !== path) return code;
        if (code === "EEXIST" && (await fs.stat(path).catch(() => null))?.isDirectory()) return code;
        throw error;
      },
    );
  if ((await make()) !== "ENOENT") return;
  await makeFolders(dirname(path));
  if ((await make()) === "ENOENT") throw Object.assign(new Error(`no folder ${path}`), { code: "EACCES" });
}

export const mkdirp: Files["mkdirp"] = (path) => attempt("mkdirp", path, () => makeFolders(resolve(path)));

export const exists: Files["exists"] = (path) =>
  fs.access(path).then(
    () => true,
    () => false,
  );

export const list: Files["list"] = (path) =>
  attempt("list", path, async () => (await fs.readdir(path)).sort());

export const remove: Files["remove"] = (path) =>
  attempt("remove", path, () => fs.rm(path, { recursive: true, force: true }));

/** Where files go here: on disk. */
export async function storageKind(): Promise<"persistent" | "memory"> {
  return "persistent";
}

/**
 * Files in the browser: `#fs` there. The origin private file system where the page may use it, else memory, which is
 * gone with the page. See `files.ts` for what each function promises.
 */

import { CheckpointError } from "../tensor/errors.ts";
import type { Files } from "./files.ts";

const REMEDIES: Record<string, [expected: string, remedy: string]> = {
  QuotaExceededError: [
    "room in the browser's storage",
    "Free some of this site's data; what was saved is intact.",
  ],
  NotAllowedError: ["the right to do this", "Allow this site to store data."],
  NoModificationAllowedError: ["a file that nobody holds open", "Close the other tab that writes it."],
  TypeMismatchError: ["folders along the path and a file at its end", "Choose another path."],
  NotFoundError: ["a file or folder that exists", "Check the path, or make its folder first."],
};

function named(op: string, path: string, cause: unknown): CheckpointError {
  const name = cause instanceof Error || cause instanceof DOMException ? cause.name : "an error";
  const [expected, remedy] = REMEDIES[name] ?? ["success", "See the cause."];
  return new CheckpointError(`${op}: ${expected} expected for ${path}, got ${name}. ${remedy}`, { cause });
}

/** The parts of a path, `.` and empty ones dropped, `..` resolved. */
function split(path: string): string[] {
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return parts;
}

/** Whether a file can be given another name: Chromium 110, Firefox 111, Safari 15.2. TypeScript's types lack it. */
const canMove = (): boolean => "move" in FileSystemFileHandle.prototype;

/**
 * Gives a whole file its name, over whatever has it. A name that another writer is giving at this moment is locked, for a
 * millisecond or so; one that stays locked is an error.
 */
async function rename(file: FileSystemFileHandle, name: string): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      await (file as FileSystemFileHandle & { move(name: string): Promise<void> }).move(name);
      return;
    } catch (error) {
      if ((error as Error).name !== "NoModificationAllowedError" || tries === 100) throw error;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}

/** Files over the origin private file system below `root`. */
export function opfsFiles(root: FileSystemDirectoryHandle): Files {
  async function folder(parts: string[], create = false): Promise<FileSystemDirectoryHandle> {
    let handle = root;
    for (const part of parts) handle = await handle.getDirectoryHandle(part, { create });
    return handle;
  }

  async function attempt<T>(op: string, path: string, action: (parts: string[]) => Promise<T>): Promise<T> {
    try {
      return await action(split(path));
    } catch (cause) {
      throw named(op, path, cause);
    }
  }

  /**
   * A writable's content appears all at once when it is closed: that is the rename. A file that is made for it is empty up
   * to then, and stays so where the page goes meanwhile: it gets its name when it is whole.
   */
  async function write(parts: string[], bytes: Uint8Array, keep: boolean): Promise<void> {
    const parent = await folder(parts.slice(0, -1));
    const name = parts[parts.length - 1] ?? "";
    const before = await found(parts);
    const apart = !before && !keep && canMove();
    const made = apart ? `.${name}.${globalThis.crypto.randomUUID()}.tmp` : name;
    const file = await parent.getFileHandle(made, { create: true });
    try {
      const writable = await file.createWritable({ keepExistingData: keep });
      try {
        if (keep) await writable.seek((await file.getFile()).size);
        await writable.write(bytes as Uint8Array<ArrayBuffer>);
        await writable.close();
      } catch (error) {
        await writable.abort().catch(() => {});
        throw error;
      }
      if (apart) await rename(file, name);
    } catch (error) {
      // the first error is the one to report; a file that was not there goes again
      if (!before) await parent.removeEntry(made).catch(() => {});
      throw error;
    }
  }

  /** Whether something is there; without another name to write under, an empty file is one that never came to be. */
  async function found(parts: string[], emptyToo = canMove()): Promise<boolean> {
    if (parts.length === 0) return true;
    try {
      const parent = await folder(parts.slice(0, -1));
      const last = parts[parts.length - 1];
      const file = await parent.getFileHandle(last).catch(() => null);
      if (file === null) await parent.getDirectoryHandle(last);
      return file === null || emptyToo || (await file.getFile()).size > 0;
    } catch {
      return false;
    }
  }

  return {
    writeFileAtomic: (path, bytes) => attempt("writeFileAtomic", path, (parts) => write(parts, bytes, false)),
    appendLine: (path, line) =>
      attempt("appendLine", path, (parts) => write(parts, new TextEncoder().encode(`${line}\n`), true)),
    readFile: (path) =>
      attempt("readFile", path, async (parts) => {
        const parent = await folder(parts.slice(0, -1));
        const file = await (await parent.getFileHandle(parts[parts.length - 1] ?? "")).getFile();
        return new Uint8Array(await file.arrayBuffer());
      }),
    mkdirp: (path) => attempt("mkdirp", path, async (parts) => void (await folder(parts, true))),
    exists: (path) => found(split(path)),
    list: (path) =>
      attempt("list", path, async (parts) => {
        const handle = (await folder(parts)) as FileSystemDirectoryHandle & { keys(): AsyncIterable<string> };
        const names: string[] = [];
        for await (const name of handle.keys()) names.push(name);
        return names.sort();
      }),
    remove: (path) =>
      attempt("remove", path, async (parts) => {
        if (!(await found(parts, true))) return;
        const parent = await folder(parts.slice(0, -1));
        await parent.removeEntry(parts[parts.length - 1] ?? "", { recursive: true });
      }),
  };
}

/** Files in memory, with the same errors. */
export function memoryFiles(): Files {
  const files = new Map<string, Uint8Array<ArrayBuffer>>();
  const folders = new Set<string>([""]);
  const problem = (op: string, path: string, name: string) => named(op, path, new DOMException("", name));

  function place(op: string, path: string): string {
    const parts = split(path);
    const parent = parts.slice(0, -1).join("/");
    for (let i = 1; i < parts.length; i++) {
      if (files.has(parts.slice(0, i).join("/"))) throw problem(op, path, "TypeMismatchError");
    }
    const at = parts.join("/");
    if (folders.has(at)) throw problem(op, path, "TypeMismatchError");
    if (!folders.has(parent)) throw problem(op, path, "NotFoundError");
    return at;
  }

  return {
    async writeFileAtomic(path, bytes) {
      files.set(place("writeFileAtomic", path), new Uint8Array(bytes));
    },
    async appendLine(path, line) {
      const at = place("appendLine", path);
      const before = files.get(at) ?? new Uint8Array(0);
      const added = new TextEncoder().encode(`${line}\n`);
      const joined = new Uint8Array(before.length + added.length);
      joined.set(before);
      joined.set(added, before.length);
      files.set(at, joined);
    },
    async readFile(path) {
      const bytes = files.get(place("readFile", path));
      if (bytes === undefined) throw problem("readFile", path, "NotFoundError");
      return new Uint8Array(bytes);
    },
    async mkdirp(path) {
      const parts = split(path);
      for (let i = 1; i <= parts.length; i++) {
        const at = parts.slice(0, i).join("/");
        if (files.has(at)) throw problem("mkdirp", path, "TypeMismatchError");
        folders.add(at);
      }
    },
    async exists(path) {
      const at = split(path).join("/");
      return files.has(at) || folders.has(at);
    },
    async list(path) {
      const at = split(path).join("/");
      if (!folders.has(at))
        throw problem("list", path, files.has(at) ? "TypeMismatchError" : "NotFoundError");
      const names = [...files.keys(), ...folders].filter(
        (name) => name !== "" && split(name).slice(0, -1).join("/") === at,
      );
      return names.map((name) => split(name).pop()!).sort();
    },
    async remove(path) {
      const at = split(path).join("/");
      for (const name of [...files.keys()]) if (name === at || name.startsWith(`${at}/`)) files.delete(name);
      for (const name of [...folders])
        if (name !== "" && (name === at || name.startsWith(`${at}/`))) folders.delete(name);
    },
  };
}

/** Whether files outlive the page. */
export type StorageKind = "persistent" | "memory";

let chosen: Promise<{ files: Files; kind: StorageKind }> | undefined;

/** The private file system if this page may write there (some modes offer it and refuse), else memory. */
async function choose(): Promise<{ files: Files; kind: StorageKind }> {
  try {
    const root = await (await navigator.storage.getDirectory()).getDirectoryHandle("naysay", {
      create: true,
    });
    // A name of its own: two pages that start together must not trip over each other.
    const name = `.probe-${globalThis.crypto.randomUUID()}`;
    const probe = await root.getFileHandle(name, { create: true });
    await (await probe.createWritable()).close();
    await root.removeEntry(name).catch(() => {});
    return { files: opfsFiles(root), kind: "persistent" };
  } catch {
    return { files: memoryFiles(), kind: "memory" };
  }
}

async function files(): Promise<Files> {
  chosen ??= choose();
  return (await chosen).files;
}

/** Where files go here. */
export async function storageKind(): Promise<StorageKind> {
  chosen ??= choose();
  return (await chosen).kind;
}

export const writeFileAtomic: Files["writeFileAtomic"] = async (...args) =>
  (await files()).writeFileAtomic(...args);
export const readFile: Files["readFile"] = async (...args) => (await files()).readFile(...args);
export const appendLine: Files["appendLine"] = async (...args) => (await files()).appendLine(...args);
export const mkdirp: Files["mkdirp"] = async (...args) => (await files()).mkdirp(...args);
export const exists: Files["exists"] = async (...args) => (await files()).exists(...args);
export const list: Files["list"] = async (...args) => (await files()).list(...args);
export const remove: Files["remove"] = async (...args) => (await files()).remove(...args);

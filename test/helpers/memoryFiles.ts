/** Files in memory: the same in Node and in a page, and able to fail on demand. */
import type { Files } from "../../src/model/files.ts";
import { CheckpointError } from "../../src/tensor/errors.ts";

export interface MemoryFiles extends Files {
  readonly content: Map<string, Uint8Array<ArrayBuffer>>;
  text(path: string): string;
  /** Rejects writes of paths that match, as a full disk would. */
  failOn: RegExp | null;
}

export function memoryFiles(): MemoryFiles {
  const content = new Map<string, Uint8Array<ArrayBuffer>>();
  const files: MemoryFiles = {
    content,
    failOn: null,
    text: (path) => new TextDecoder().decode(content.get(path)),
    async writeFileAtomic(path, bytes) {
      if (files.failOn?.test(path))
        throw new CheckpointError(`writeFileAtomic: room expected for ${path}, got ENOSPC.`);
      content.set(path, new Uint8Array(bytes));
    },
    async readFile(path) {
      const bytes = content.get(path);
      if (!bytes) throw new CheckpointError(`readFile: a file expected, got none at ${path}.`);
      return bytes.slice();
    },
    async appendLine(path, line) {
      if (files.failOn?.test(path))
        throw new CheckpointError(`appendLine: room expected for ${path}, got ENOSPC.`);
      const old = content.get(path) ?? new Uint8Array();
      const more = new TextEncoder().encode(`${line}\n`);
      const both = new Uint8Array(old.length + more.length);
      both.set(old);
      both.set(more, old.length);
      content.set(path, both);
    },
    async mkdirp(path) {
      if (files.failOn?.test(path))
        throw new CheckpointError(`mkdirp: the right expected for ${path}, got EACCES.`);
    },
    async exists(path) {
      return content.has(path) || [...content.keys()].some((name) => name.startsWith(`${path}/`));
    },
    async list(path) {
      const inside = [...content.keys()].filter((name) => name.startsWith(`${path}/`));
      return [...new Set(inside.map((name) => name.slice(path.length + 1).split("/")[0]))].sort();
    },
    async remove(path) {
      for (const name of [...content.keys()]) {
        if (name === path || name.startsWith(`${path}/`)) content.delete(name);
      }
    },
  };
  return files;
}

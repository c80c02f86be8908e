/** Reads a ustar archive: enough of the format for the one archive that the launcher unpacks. */

import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join, normalize, sep } from "node:path";

/** One member of an archive. */
export interface TarEntry {
  name: string;
  kind: "file" | "folder" | "link";
  /** Permission bits. */
  mode: number;
  /** Target of a link, else "". */
  target: string;
  data: Uint8Array;
}

const BLOCK = 512;

/** Lists the members of an uncompressed ustar archive. Throws a plain `Error` for one that is cut short. */
export function* readTar(archive: Uint8Array): Generator<TarEntry> {
  for (let at = 0; at + BLOCK <= archive.length; ) {
    const header = archive.subarray(at, at + BLOCK);
    if (header[0] === 0) return;
    const size = Number.parseInt(field(header, 124, 12), 8);
    const prefix = field(header, 345, 155);
    const name = field(header, 0, 100);
    const data = archive.subarray(at + BLOCK, at + BLOCK + size);
    if (!(size >= 0) || data.length !== size) throw new Error(`tar: ${name} is cut short`);
    const type = String.fromCharCode(header[156]);
    const kind = type === "5" ? "folder" : type === "2" ? "link" : "file";
    // Extended headers (x, g, L) do not occur in these archives; skip them rather than write them out.
    if (type === "0" || type === "\0" || kind !== "file") {
      const mode = Number.parseInt(field(header, 100, 8), 8) & 0o777;
      yield { name: prefix ? `${prefix}/${name}` : name, kind, mode, target: field(header, 157, 100), data };
    }
    at += BLOCK + Math.ceil(size / BLOCK) * BLOCK;
  }
}

/** Writes the members of an archive under `folder`. Refuses names and links that lead out of it. */
export function unpackTar(archive: Uint8Array, folder: string): void {
  const inside = (path: string) => path === folder || path.startsWith(folder + sep);
  for (const entry of readTar(archive)) {
    const path = normalize(join(folder, entry.name)).replace(/[/\\]$/, "");
    const reaches = entry.kind === "link" ? normalize(join(dirname(path), entry.target)) : path;
    if (!inside(path) || !inside(reaches)) throw new Error(`tar: ${entry.name} leads out of ${folder}`);
    mkdirSync(entry.kind === "folder" ? path : dirname(path), { recursive: true });
    if (entry.kind === "file") writeFileSync(path, entry.data, { mode: entry.mode });
    if (entry.kind === "link") symlinkSync(entry.target, path);
  }
}

/** A NUL- or space-terminated header field. */
function field(header: Uint8Array, at: number, length: number): string {
  const bytes = header.subarray(at, at + length);
  const end = bytes.indexOf(0);
  return Buffer.from(end < 0 ? bytes : bytes.subarray(0, end))
    .toString("latin1")
    .trim();
}

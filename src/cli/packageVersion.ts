/** Installed packages: where they are, and which version. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

/** Folder and version of a package as `from` (a file, or its URL) finds it; `null` where it is not installed. */
export function installedPackage(
  name: string,
  from: string = import.meta.url,
): { folder: string; version: string } | null {
  try {
    // Not every package exports its package.json, and an entry point lies as deep as it likes.
    let folder = dirname(createRequire(from).resolve(name));
    for (; folder !== dirname(folder); folder = dirname(folder)) {
      try {
        const data = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
        if (data.name === name) return { folder, version: data.version };
      } catch {
        // No package.json in this folder: look further up.
      }
    }
  } catch {
    // Not installed.
  }
  return null;
}

/** Installed version of a package, or `null`. */
export function packageVersion(name: string): string | null {
  return installedPackage(name)?.version ?? null;
}

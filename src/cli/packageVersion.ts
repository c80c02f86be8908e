/** Versions of installed packages. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

/** Installed version of a package, or `null`. Reads its file: not every package exports its package.json. */
export function packageVersion(name: string): string | null {
  try {
    let folder = dirname(createRequire(import.meta.url).resolve(name));
    for (; folder !== dirname(folder); folder = dirname(folder)) {
      try {
        const data = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
        if (data.name === name) return data.version;
      } catch {
        // No package.json in this folder: look further up.
      }
    }
  } catch {
    // Not installed.
  }
  return null;
}

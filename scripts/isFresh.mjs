/** Whether dist/ is whole, and the start of the build that made it later than all that it is made from. */

import { existsSync, lstatSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";

const BESIDE = [
  "tsconfig.json",
  "tsconfig.build.json",
  "package.json",
  "scripts/build.mjs",
  "scripts/bundle.mjs",
];

/** @param {string} root the repository, or a copy of it */
export function isFresh(root) {
  const built = join(root, "dist/cli/main.js");
  if (!existsSync(built) || !existsSync(join(root, "dist/browser"))) return false;
  const src = join(root, "src");
  // Folders among them: theirs is the time at which a file went away.
  const inside = readdirSync(src, { recursive: true }).map((path) => join(src, String(path)));
  const beside = BESIDE.map((path) => join(root, path)).filter((path) => existsSync(path));
  const { mtimeMs } = statSync(built);
  // Of a link its own time: an editor's lock leads nowhere.
  return [src, ...inside, ...beside].every((path) => lstatSync(path).mtimeMs < mtimeMs);
}

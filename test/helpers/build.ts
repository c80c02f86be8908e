/** Global set-up of the Node project: dist/ is as new as src/ before a test starts the command line or packs. */

import { spawnSync } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { root, sourceFiles } from "./sourceFiles.ts";

export function setup(): void {
  const built = join(root, "dist", "cli", "main.js");
  const inputs = [...sourceFiles("src"), join(root, "tsconfig.json"), join(root, "tsconfig.build.json")];
  const newest = Math.max(...inputs.map((path) => statSync(path).mtimeMs));
  if (existsSync(built) && statSync(built).mtimeMs > newest) return;
  spawnSync(process.execPath, [join(root, "scripts", "build.mjs")], { stdio: "inherit" });
}

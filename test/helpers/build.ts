/** Global set-up of the Node project: dist/ is as new as src/ before a test starts the command line or packs. */

import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { root } from "./sourceFiles.ts";

export function setup(): void {
  spawnSync(process.execPath, [join(root, "scripts/build.mjs"), "--if-stale"], { stdio: "inherit" });
}

/** Builds dist/ from src/. It is made under another name and swapped in, so that a running program never sees half of it. */

import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, renameSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { bundle } from "./bundle.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const fresh = `dist.${process.pid}.tmp`;
const tsc = fileURLToPath(import.meta.resolve("typescript/bin/tsc"));

process.chdir(root);
// A type error does not stop the output: `npm test` reports it, and the launcher still works.
const { status } = spawnSync(process.execPath, [tsc, "-p", "tsconfig.build.json", "--outDir", fresh], {
  stdio: "inherit",
});
if (existsSync(`${fresh}/cli/main.js`)) {
  chmodSync(`${fresh}/cli/main.js`, 0o755);
  await bundle(`${root}${fresh}`);
  rmSync("dist", { recursive: true, force: true });
  renameSync(fresh, "dist");
}
rmSync(fresh, { recursive: true, force: true });
process.exitCode = status ?? 1;

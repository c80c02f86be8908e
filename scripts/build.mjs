/**
 * Builds dist/ from src/; with `--if-stale` only where dist/ is older than what it is made from. It is made under another name
 * and swapped in, so that a running program never sees half of it.
 */

import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, renameSync, rmSync, utimesSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { isFresh } from "./isFresh.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const fresh = `dist.${process.pid}.tmp`;

async function build() {
  const tsc = fileURLToPath(import.meta.resolve("typescript/bin/tsc"));
  const { bundle } = await import("./bundle.mjs");
  process.chdir(root);
  const begun = new Date();
  // A type error does not stop the output: `npm test` reports it, and the launcher still works.
  const { status } = spawnSync(process.execPath, [tsc, "-p", "tsconfig.build.json", "--outDir", fresh], {
    stdio: "inherit",
  });
  const main = `${fresh}/cli/main.js`;
  if (existsSync(main)) {
    chmodSync(main, 0o755);
    await bundle(`${root}${fresh}`);
    // The time of what was read, for `isFresh`; what has errors is stale at once: the next build tells them again.
    const time = status === 0 ? begun : 0;
    utimesSync(main, time, time);
    rmSync("dist", { recursive: true, force: true });
    renameSync(fresh, "dist");
  }
  rmSync(fresh, { recursive: true, force: true });
  return status ?? 1;
}

if (!(process.argv.includes("--if-stale") && isFresh(root))) process.exitCode = await build();

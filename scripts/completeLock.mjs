/**
 * Adds to package-lock.json the optional packages for other platforms that a registry mirror did not know, so that
 * `npm ci` finds the file whole. Their names tell system and processor; without a checksum npm takes the registry's word.
 * Run after `npm install` where test/project/layers.node.test.ts says that the lock file has gaps.
 */

import { readFileSync, writeFileSync } from "node:fs";

const path = new URL("../package-lock.json", import.meta.url);
const lock = JSON.parse(readFileSync(path, "utf8"));

for (const entry of Object.values(lock.packages)) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    const key = `node_modules/${name}`;
    if (lock.packages[key]) continue;
    const [, os, cpu, libc] = name.match(/(android|darwin|linux|win32)-(arm64|x64)(?:-(musl))?$/) ?? [];
    if (!os)
      throw new Error(
        `${name}: expected a name that ends in a platform. Add it to package-lock.json by hand.`,
      );
    lock.packages[key] = {
      version,
      cpu: [cpu],
      ...(entry.dev ? { dev: true } : {}),
      ...(libc ? { libc: [libc] } : {}),
      optional: true,
      os: [os],
    };
    console.log(`added ${name}@${version}`);
  }
}

const byName = ([a], [b]) => (a < b ? -1 : a > b ? 1 : 0);
lock.packages = Object.fromEntries(Object.entries(lock.packages).sort(byName));
writeFileSync(path, `${JSON.stringify(lock, null, 2)}\n`);

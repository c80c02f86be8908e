/** `node scripts/build.mjs --if-stale`: when dist/ is taken as it is. */

import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { runCommand } from "../helpers/command.ts";
import { root } from "../helpers/sourceFiles.ts";

// @ts-expect-error a script without types
const { isFresh } = await import("../../scripts/isFresh.mjs");

const folder = mkdtempSync(join(tmpdir(), "naysay-build-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Writes a file, or only sets its time, in seconds. */
function at(path: string, seconds: number, text?: string): void {
  const file = join(folder, path);
  if (text !== undefined) {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
  }
  utimesSync(file, seconds, seconds);
}

test("dist/ is fresh while nothing that it is made from is newer, came or went", () => {
  at("src/a/one.ts", 100, "1");
  at("src/a/two.ts", 100, "2");
  at("tsconfig.json", 100, "{}");
  const settle = (): void => {
    for (const path of ["src", "src/a"]) at(path, 100);
  };
  settle();
  expect(isFresh(folder)).toBe(false);
  at("dist/cli/main.js", 200, "");
  expect(isFresh(folder), "half a dist/").toBe(false);
  mkdirSync(join(folder, "dist/browser"));
  expect(isFresh(folder)).toBe(true);
  symlinkSync("nobody@host.1", join(folder, "src/.#one.ts"));
  expect(isFresh(folder), "an editor's lock").toBe(false);
  rmSync(join(folder, "src/.#one.ts"));
  settle();
  expect(isFresh(folder)).toBe(true);
  for (const path of ["src/a/one.ts", "tsconfig.json"]) {
    at(path, 300);
    expect(isFresh(folder), path).toBe(false);
    at(path, 100);
  }
  at("src/a/three.ts", 100, "3");
  expect(isFresh(folder), "a file that came").toBe(false);
  settle();
  rmSync(join(folder, "src/a/two.ts"));
  expect(isFresh(folder), "a file that went").toBe(false);
  settle();
  expect(isFresh(folder)).toBe(true);
});

test("a source that is saved while dist/ is being built leaves it stale", async () => {
  const copy = mkdtempSync(join(tmpdir(), "naysay-rebuild-"));
  try {
    for (const path of ["src", "scripts", "package.json", "tsconfig.json", "tsconfig.build.json"])
      cpSync(join(root, path), join(copy, path), { recursive: true });
    symlinkSync(join(root, "node_modules"), join(copy, "node_modules"));
    const building = runCommand(process.execPath, ["scripts/build.mjs"], {}, copy);
    await new Promise((resolve) => setTimeout(resolve, 500));
    const now = new Date();
    utimesSync(join(copy, "src/index.ts"), now, now);
    const { code, stderr } = await building;
    expect([code, stderr]).toEqual([0, ""]);
    expect(isFresh(copy)).toBe(false);
    const again = await runCommand(process.execPath, ["scripts/build.mjs", "--if-stale"], {}, copy);
    expect(again.code).toBe(0);
    expect(isFresh(copy)).toBe(true);
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}, 200_000);

test("what is fresh is not built again", async () => {
  const before = statSync(join(root, "dist/cli/main.js")).mtimeMs;
  const { code, stdout, stderr } = await runCommand(process.execPath, ["scripts/build.mjs", "--if-stale"]);
  expect([code, stdout, stderr]).toEqual([0, "", ""]);
  expect(statSync(join(root, "dist/cli/main.js")).mtimeMs).toBe(before);
});

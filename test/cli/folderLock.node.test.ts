/** One process at a run's folder. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { lockFolder } from "../../src/cli/folderLock.ts";

const folder = mkdtempSync(join(tmpdir(), "naysay-lock-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const lock = join(folder, ".lock");

test("a folder that a living process works in is refused", () => {
  writeFileSync(lock, String(process.ppid));
  expect(() => lockFolder(folder)).toThrow(`got ${folder} of process ${process.ppid}`);
  expect(readFileSync(lock, "utf8")).toBe(String(process.ppid));
});

test.each([
  ["of a process that has ended", () => String(spawnSync(process.execPath, ["-e", ""]).pid)],
  ["of this process's number, from before", () => String(process.pid)],
  ["that was cut short", () => ""],
])("a mark %s is taken over, and goes at the end", (_name, owner) => {
  writeFileSync(lock, owner());
  const unlock = lockFolder(folder);
  expect(readFileSync(lock, "utf8")).toBe(String(process.pid));
  unlock();
  expect(existsSync(lock)).toBe(false);
});

test("a folder that cannot be made is left to the run", () => {
  writeFileSync(join(folder, "file"), "");
  expect(() => lockFolder(join(folder, "file", "run"))()).not.toThrow();
});

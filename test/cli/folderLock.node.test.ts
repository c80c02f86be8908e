/** One process at a run's folder. */
import { fork, spawn, spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, expect, test, vi } from "vitest";
import { lockFolder } from "../../src/cli/folderLock.ts";
import { root } from "../helpers/sourceFiles.ts";

const folder = mkdtempSync(join(tmpdir(), "naysay-lock-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const lock = join(folder, ".lock");

test("a folder that a living process works in is refused", () => {
  writeFileSync(lock, String(process.ppid));
  expect(() => lockFolder(folder)).toThrow(`got ${folder} of process ${process.ppid}`);
  expect(readFileSync(lock, "utf8")).toBe(String(process.ppid));
});

test("a file in its place is left to whoever writes there", () => {
  const file = join(folder, "file");
  writeFileSync(file, "");
  lockFolder(file)();
  expect(readFileSync(file, "utf8")).toBe("");
});

test("the end of a run takes away its own mark alone, and what killed processes left", () => {
  const run = join(folder, "mine");
  mkdirSync(run);
  for (const name of [".lock.4194305", ".lock.removing.4194306", `.lock.${process.ppid}`])
    writeFileSync(join(run, name), "");
  const unlock = lockFolder(run);
  expect(readdirSync(run).sort()).toEqual([".lock", `.lock.${process.ppid}`]);
  writeFileSync(join(run, ".lock"), String(process.ppid));
  unlock();
  expect(readFileSync(join(run, ".lock"), "utf8")).toBe(String(process.ppid));
});

test("a leftover that cannot be removed leaves the mark as it is", () => {
  const run = join(folder, "kept");
  mkdirSync(join(run, ".lock.4194305"), { recursive: true }); // rm takes no folder
  const unlock = lockFolder(run);
  expect(readFileSync(join(run, ".lock"), "utf8")).toBe(String(process.pid));
  unlock();
  writeFileSync(join(run, ".lock"), String(process.ppid));
  expect(() => lockFolder(run)).toThrow(`of process ${process.ppid}`);
});

test("a mark of a dead process is taken over after one that was killed while it did so", () => {
  const run = join(folder, "removed");
  mkdirSync(run);
  for (const name of [".lock", ".lock.removing"]) writeFileSync(join(run, name), "4194305");
  const unlock = lockFolder(run);
  expect(readFileSync(join(run, ".lock"), "utf8")).toBe(String(process.pid));
  expect(readdirSync(run)).toEqual([".lock"]);
  unlock();
});

test("an empty mark is waited for until it has a number, and by this clock no longer than a second", () => {
  const run = join(folder, "empty");
  mkdirSync(run);
  const mark = join(run, ".lock");
  writeFileSync(mark, "");
  // Its clock is an hour ahead.
  utimesSync(mark, new Date(), new Date(Date.now() + 3_600_000));
  const begun = Date.now();
  lockFolder(run)();
  expect(Date.now() - begun).toBeLessThan(2500);
  expect(Date.now() - begun).toBeGreaterThan(900);
  writeFileSync(mark, "");
  const writer = spawn("sh", ["-c", 'sleep 0.2; echo -n "$0" > "$1"', String(process.ppid), mark]);
  expect(() => lockFolder(run)).toThrow(`of process ${process.ppid}`);
  writer.kill();
});

test("without links a mark is made all the same, and refused all the same", async () => {
  vi.resetModules();
  vi.doMock("node:fs", async (original) => ({
    ...(await original<typeof import("node:fs")>()),
    linkSync: () => {
      throw Object.assign(new Error("no links here"), { code: "EPERM" });
    },
  }));
  const { lockFolder: lockWithout } = await import("../../src/cli/folderLock.ts");
  vi.doUnmock("node:fs");
  const run = join(folder, "linkless");
  mkdirSync(run);
  const unlock = lockWithout(run);
  expect(readdirSync(run)).toEqual([".lock"]);
  expect(readFileSync(join(run, ".lock"), "utf8")).toBe(String(process.pid));
  unlock();
  writeFileSync(join(run, ".lock"), String(process.ppid));
  expect(() => lockWithout(run)).toThrow(`of process ${process.ppid}`);
});

test("a folder in the mark's place is refused in words", () => {
  const run = join(folder, "run");
  mkdirSync(join(run, ".lock"), { recursive: true });
  expect(() => lockFolder(run)).toThrow("--out: a folder for a run expected, got");
});

test("of four processes that come at once one gets the folder, a dead one's mark or none", async () => {
  const built = pathToFileURL(join(root, "dist/cli/folderLock.js")).href;
  const program = join(folder, "taker.mjs");
  writeFileSync(
    program,
    `import { lockFolder } from ${JSON.stringify(built)};
    process.on("message", ({ at, folder }) => {
      while (Date.now() < at);
      let got = true;
      try { lockFolder(folder); } catch { got = false; }
      process.send(got);
    });
    process.send("up");`,
  );
  const takers = [1, 2, 3, 4].map(() => fork(program));
  const heard = () => Promise.all(takers.map((taker) => new Promise((done) => taker.once("message", done))));
  try {
    await heard();
    for (let i = 0; i < 100; i++) {
      const run = join(folder, `run${i}`);
      mkdirSync(run);
      if (i % 2 === 0) writeFileSync(join(run, ".lock"), "4194305"); // beyond Linux's largest number of a process
      const got = heard();
      for (const taker of takers) taker.send({ at: Date.now() + 3, folder: run });
      expect((await got).filter(Boolean), `folder ${i}`).toHaveLength(1);
      expect(readdirSync(run)).toEqual([".lock"]);
    }
  } finally {
    for (const taker of takers) taker.kill();
  }
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

test.skipIf(process.platform !== "linux")(
  "a mark of a process that nobody has waited for is taken over",
  async () => {
    // sleep knows nothing of the child that it takes over from the shell, which would have asked for one that ended before.
    const parent = spawn("sh", ["-c", "sleep 1 & echo $!; exec sleep 20"], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    try {
      const owner = await new Promise<string>((resolve) =>
        parent.stdout.once("data", (d) => resolve(`${d}`.trim())),
      );
      const state = (): string => readFileSync(`/proc/${owner}/stat`, "utf8");
      await expect.poll(state, { timeout: 10_000 }).toMatch(/\) Z /);
      writeFileSync(lock, owner);
      const unlock = lockFolder(folder);
      expect(readFileSync(lock, "utf8")).toBe(String(process.pid));
      unlock();
    } finally {
      parent.kill();
    }
  },
);

test("a folder that cannot be made is left to the run", () => {
  writeFileSync(join(folder, "file"), "");
  expect(() => lockFolder(join(folder, "file", "run"))()).not.toThrow();
});

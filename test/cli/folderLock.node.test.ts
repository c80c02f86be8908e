/** One process at a run's folder. */
import { fork, spawn, spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, expect, test } from "vitest";
import { lockFolder } from "../../src/cli/folderLock.ts";
import { root } from "../helpers/sourceFiles.ts";

const folder = mkdtempSync(join(tmpdir(), "naysay-lock-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const fresh = (): string => mkdtempSync(join(folder, "run-"));
const mark = (run: string, pid: number): string => join(run, `.lock.${pid}`);
const own = `.lock.${process.pid}`;
/** Beyond Linux's largest number of a process. */
const NOBODY = 4194305;

test("a folder that a living process works in is refused, and left as it is", () => {
  const run = fresh();
  writeFileSync(mark(run, process.ppid), "works");
  expect(() => lockFolder(run)).toThrow(
    `--out: a folder that no other process works in expected, got ${run} of process ${process.ppid}. Wait for it, choose another folder, or remove ${mark(run, process.ppid)} where`,
  );
  expect(readdirSync(run)).toEqual([`.lock.${process.ppid}`]);
});

test("one that comes is waited for: for good where it has the folder then, for two seconds where it says nothing", () => {
  const run = fresh();
  const other = mark(run, process.ppid);
  for (const text of ["comes", ""]) {
    writeFileSync(other, text);
    const begun = Date.now();
    expect(() => lockFolder(run)).toThrow(`of process ${process.ppid}`);
    expect(Date.now() - begun).toBeGreaterThan(1900);
    expect(Date.now() - begun).toBeLessThan(5000);
  }
  const later = (command: string) => spawn("sh", ["-c", `sleep 0.3; ${command}`, other]);
  writeFileSync(other, "comes");
  const writer = later('printf works > "$0"');
  const begun = Date.now();
  expect(() => lockFolder(run)).toThrow(`of process ${process.ppid}`);
  expect(Date.now() - begun).toBeLessThan(1500);
  writer.kill();
  writeFileSync(other, "comes");
  const remover = later('rm "$0"');
  lockFolder(run)();
  expect(readdirSync(run)).toEqual([]);
  remover.kill();
});

test.each([
  ["of a process that has ended", () => spawnSync(process.execPath, ["-e", ""]).pid],
  ["of this process's number, from before", () => process.pid],
  ["of a number that nobody has", () => NOBODY],
])("a mark %s counts for nothing and goes", (_name, owner) => {
  const run = fresh();
  writeFileSync(mark(run, owner()), "works");
  const unlock = lockFolder(run);
  expect(readdirSync(run)).toEqual([own]);
  expect(readFileSync(join(run, own), "utf8")).toBe("works");
  unlock();
  expect(readdirSync(run)).toEqual([]);
});

test("a dead mark that cannot be removed is in nobody's way; other files are left alone", () => {
  const run = fresh();
  mkdirSync(mark(run, NOBODY)); // rm takes no folder
  writeFileSync(join(run, ".lock.txt"), "");
  lockFolder(run)();
  expect(readdirSync(run).sort()).toEqual([`.lock.${NOBODY}`, ".lock.txt"]);
});

test("a folder that is none, or a file, is left to whoever writes there", () => {
  const file = join(folder, "file");
  writeFileSync(file, "");
  for (const path of [file, join(file, "run"), join(folder, "none")]) lockFolder(path)();
  expect(readFileSync(file, "utf8")).toBe("");
  expect(existsSync(join(folder, "none"))).toBe(false);
});

test("of four processes that come at once one gets the folder, always", async () => {
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
      const run = fresh();
      if (i % 2 === 0) writeFileSync(mark(run, NOBODY), "works");
      const got = heard();
      for (const taker of takers) taker.send({ at: Date.now() + 3, folder: run });
      expect((await got).filter(Boolean), `folder ${i}`).toHaveLength(1);
      expect(readdirSync(run)).toHaveLength(1);
    }
  } finally {
    for (const taker of takers) taker.kill();
  }
});

test.skipIf(process.platform !== "linux")(
  "a mark of a process that nobody has waited for counts for nothing",
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
      const run = fresh();
      writeFileSync(mark(run, Number(owner)), "works");
      lockFolder(run)();
      expect(readdirSync(run)).toEqual([]);
    } finally {
      parent.kill();
    }
  },
);

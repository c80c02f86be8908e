import { chmod, mkdtemp, readdir, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import * as disk from "../../src/model/fs.node.ts";
import { CheckpointError } from "../../src/tensor/errors.ts";
import { filesSuite } from "./filesSuite.ts";

const made: string[] = [];
async function fresh(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "naysay-fs-"));
  made.push(folder);
  return folder;
}
afterAll(async () => {
  for (const folder of made) await rm(folder, { recursive: true, force: true });
});

filesSuite("disk", async () => ({ files: disk, root: await fresh() }));

test("a path below a file is refused with the remedy", async () => {
  const root = await fresh();
  await disk.writeFileAtomic(`${root}/run`, new Uint8Array(1));
  await expect(disk.writeFileAtomic(`${root}/run/model.safetensors`, new Uint8Array(1))).rejects.toThrow(
    "writeFileAtomic: folders along the path expected for",
  );
});

test.skipIf(process.getuid?.() === 0)("a folder without write permission is refused", async () => {
  const root = await fresh();
  await chmod(root, 0o500);
  await expect(disk.writeFileAtomic(`${root}/a`, new Uint8Array(1))).rejects.toThrow(/got EACCES/);
});

test.skipIf(process.platform !== "linux")("a full disk is named, and nothing is lost", async () => {
  const root = await fresh();
  await symlink("/dev/full", `${root}/metrics.jsonl`);
  const error = await disk.appendLine(`${root}/metrics.jsonl`, "x").catch((caught: unknown) => caught);
  expect(error).toBeInstanceOf(CheckpointError);
  expect(String(error)).toMatch(/room on the disk expected for .*, got ENOSPC\. Free some space/);
});

test.skipIf(process.platform !== "linux")("a folder that takes no folders is named, at once", async () => {
  const error = await disk.mkdirp("/proc/naysay/a").catch((caught: unknown) => caught);
  expect(error).toBeInstanceOf(CheckpointError);
  expect(String(error)).toMatch(
    /the right to do this expected for \/proc\/naysay\/a, got EACCES\. Choose another/,
  );
});

test("a write that fails half-way leaves the old file and no temporary one", async () => {
  const root = await fresh();
  const path = `${root}/model.safetensors`;
  await disk.writeFileAtomic(path, new Uint8Array([1, 2]));
  // a folder at the target makes the rename fail after the temporary file was written
  await disk.mkdirp(`${root}/folder/inner`);
  await expect(disk.writeFileAtomic(`${root}/folder`, new Uint8Array(9))).rejects.toThrow(CheckpointError);
  expect(await readdir(root)).toEqual(["folder", "model.safetensors"]);
  expect(await disk.readFile(path)).toEqual(new Uint8Array([1, 2]));
});

test("twenty writers of one file leave one whole file", async () => {
  const root = await fresh();
  const path = `${root}/a`;
  await Promise.all(
    Array.from({ length: 20 }, (_, i) => disk.writeFileAtomic(path, new Uint8Array(5000).fill(i))),
  );
  const got = await disk.readFile(path);
  expect(got.length).toBe(5000);
  expect(new Set(got).size).toBe(1);
  expect(await disk.list(root)).toEqual(["a"]);
});

/** The ustar reader against archives made by hand, and against ones that mean harm. */

import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { readTar, unpackTar } from "../../src/cli/archive.ts";

const folder = mkdtempSync(join(tmpdir(), "naysay-tar-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** One member with its header and padding. */
function member(
  name: string,
  text = "",
  { type = "0", mode = "755", target = "", prefix = "" } = {},
): Buffer {
  const header = Buffer.alloc(512);
  header.write(name, 0);
  header.write(mode.padStart(7, "0"), 100);
  header.write(text.length.toString(8).padStart(11, "0"), 124);
  header.write(type, 156);
  header.write(target, 157);
  header.write("ustar", 257);
  header.write(prefix, 345);
  return Buffer.concat([header, Buffer.from(text), Buffer.alloc((512 - (text.length % 512)) % 512)]);
}

const tar = (...members: Buffer[]) => Buffer.concat([...members, Buffer.alloc(1024)]);

test("files, folders, links, modes and long names", () => {
  const archive = tar(
    member("lib/", "", { type: "5" }),
    member("lib/a", "alpha".repeat(200)),
    member("b", "beta", { prefix: "very/deep", mode: "644" }),
    member("lib/c", "", { type: "2", target: "a" }),
    member("ignored", "path=x", { type: "x" }),
  );
  expect([...readTar(archive)].map(({ name }) => name)).toEqual(["lib/", "lib/a", "very/deep/b", "lib/c"]);
  unpackTar(archive, join(folder, "good"));
  expect(readFileSync(join(folder, "good/lib/c"), "utf8")).toBe("alpha".repeat(200));
  expect(readFileSync(join(folder, "good/very/deep/b"), "utf8")).toBe("beta");
  expect(statSync(join(folder, "good/lib/a")).mode & 0o111).not.toBe(0);
  expect(statSync(join(folder, "good/very/deep/b")).mode & 0o111).toBe(0);
});

test("refuses what leads out of the folder, and what is cut short", () => {
  expect(() => unpackTar(tar(member("../escape", "x")), join(folder, "bad"))).toThrow(/leads out/);
  expect(() =>
    unpackTar(tar(member("l", "", { type: "2", target: "../../x" })), join(folder, "bad")),
  ).toThrow(/leads out/);
  expect(() => unpackTar(member("a", "x".repeat(600)).subarray(0, 700), join(folder, "bad"))).toThrow(
    /cut short/,
  );
});

import { expect, test } from "vitest";
import * as browser from "../../src/model/fs.browser.ts";
import { memoryFiles } from "../../src/model/fs.browser.ts";
import { filesSuite } from "./filesSuite.ts";

let count = 0;

filesSuite("memory", async () => {
  const files = memoryFiles();
  await files.mkdirp("runs/quick");
  return { files, root: "runs/quick" };
});

// in a browser this is the origin private file system, in Node (no navigator.storage) memory
filesSuite("browser", async () => {
  const root = `test-${count++}`;
  await browser.remove(root);
  await browser.mkdirp(root);
  return { files: browser, root };
});

test.skipIf(typeof navigator === "undefined" || !navigator.storage)(
  "a page keeps files in its own storage",
  async () => {
    await browser.mkdirp("kept");
    await browser.writeFileAtomic("kept/a", new Uint8Array([1, 2]));
    const root = await (await navigator.storage.getDirectory()).getDirectoryHandle("naysay");
    const handle = await (await root.getDirectoryHandle("kept")).getFileHandle("a");
    expect((await handle.getFile()).size).toBe(2);
    await browser.remove("kept");
  },
);

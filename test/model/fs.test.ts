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

const inPage = test.skipIf(typeof navigator === "undefined" || !navigator.storage);

/** `work` with a function of the file handles replaced. */
async function withHandles(
  name: string,
  replacement: unknown,
  work: (root: string) => Promise<void>,
): Promise<void> {
  const root = `test-${count++}`;
  await browser.remove(root);
  await browser.mkdirp(root);
  let owner: object = FileSystemFileHandle.prototype;
  while (!Object.hasOwn(owner, name)) owner = Object.getPrototypeOf(owner);
  const handles = owner as Record<string, unknown>;
  const { [name]: own } = handles;
  if (replacement === undefined) delete handles[name];
  else handles[name] = replacement;
  try {
    await work(root);
  } finally {
    handles[name] = own;
    await browser.remove(root);
  }
}

const never = () => new Promise<never>(() => {});
const soon = () => new Promise((resolve) => setTimeout(resolve, 100));

inPage("a page that goes in the middle of a write leaves no file under the name", () =>
  withHandles("createWritable", never, async (root) => {
    void browser.writeFileAtomic(`${root}/model.safetensors`, new Uint8Array(9));
    await soon();
    expect(await browser.exists(`${root}/model.safetensors`)).toBe(false);
    await expect(browser.readFile(`${root}/model.safetensors`)).rejects.toThrow(
      /a file or folder that exists/,
    );
    const [left, ...more] = await browser.list(root);
    expect(left).toMatch(/^\.model\.safetensors\..*\.tmp$/);
    expect(more).toEqual([]);
  }),
);

inPage("one that goes before the name is given leaves what was there before", () =>
  withHandles("move", never, async (root) => {
    void browser.writeFileAtomic(`${root}/new`, new Uint8Array(9));
    await soon();
    expect(await browser.exists(`${root}/new`)).toBe(false);
    // A file that is there is replaced whole, without another name.
    await browser.appendLine(`${root}/old`, "1");
    await browser.writeFileAtomic(`${root}/old`, new Uint8Array([7]));
    expect(await browser.readFile(`${root}/old`)).toEqual(new Uint8Array([7]));
  }),
);

inPage("twenty writers of one file leave one whole file", async () => {
  const root = `test-${count++}`;
  await browser.mkdirp(root);
  const writers = Array.from({ length: 20 }, (_, i) =>
    browser.writeFileAtomic(`${root}/a`, new Uint8Array(5000).fill(i)),
  );
  await Promise.all(writers);
  const got = await browser.readFile(`${root}/a`);
  expect(got.length).toBe(5000);
  expect(new Set(got).size).toBe(1);
  expect(await browser.list(root)).toEqual(["a"]);
  await browser.remove(root);
});

inPage("where files cannot be renamed, an empty one is as good as none", () =>
  withHandles("move", undefined, async (root) => {
    await browser.writeFileAtomic(`${root}/a`, new Uint8Array([1, 2]));
    expect(await browser.readFile(`${root}/a`)).toEqual(new Uint8Array([1, 2]));
    const { createWritable } = FileSystemFileHandle.prototype;
    FileSystemFileHandle.prototype.createWritable = never;
    void browser.writeFileAtomic(`${root}/b`, new Uint8Array(9));
    await soon();
    FileSystemFileHandle.prototype.createWritable = createWritable;
    expect(await browser.list(root)).toEqual(["a", "b"]);
    expect(await browser.exists(`${root}/b`)).toBe(false);
    expect(await browser.exists(`${root}/a`)).toBe(true);
    await browser.writeFileAtomic(`${root}/b`, new Uint8Array([3]));
    expect(await browser.readFile(`${root}/b`)).toEqual(new Uint8Array([3]));
    await browser.remove(`${root}/b`);
    expect(await browser.list(root)).toEqual(["a"]);
  }),
);

inPage("a page keeps files in its own storage", async () => {
  await browser.mkdirp("kept");
  await browser.writeFileAtomic("kept/a", new Uint8Array([1, 2]));
  const root = await (await navigator.storage.getDirectory()).getDirectoryHandle("naysay");
  const handle = await (await root.getDirectoryHandle("kept")).getFileHandle("a");
  expect((await handle.getFile()).size).toBe(2);
  await browser.remove("kept");
});

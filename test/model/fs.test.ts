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

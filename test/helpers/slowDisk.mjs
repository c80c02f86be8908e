/**
 * A disk that takes its time, for a process started with `--import`: every file is written in two halves with a pause between
 * them. What a kill leaves of a write is then half a file or half a line, which on a fast disk is too rare to meet.
 */
import fs from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import { setTimeout as pause } from "node:timers/promises";

const PAUSE_MS = 15;

async function inHalves(handle, content) {
  const bytes = Buffer.from(content);
  await handle.write(bytes.subarray(0, bytes.length >> 1));
  await pause(PAUSE_MS);
  await handle.write(bytes.subarray(bytes.length >> 1));
}

const some = await fs.open(new URL(import.meta.url));
Object.getPrototypeOf(some).writeFile = function (content) {
  return inHalves(this, content);
};
await some.close();

fs.appendFile = async (path, content) => {
  const handle = await fs.open(path, "a");
  try {
    await inHalves(handle, content);
  } finally {
    await handle.close();
  }
};
syncBuiltinESMExports();

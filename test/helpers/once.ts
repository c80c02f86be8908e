/** Work whose result is the same for every test file of one run of the tests, done by the first that asks. Node only. */
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { root } from "./sourceFiles.ts";

/** Names the folder of this run's results; the runner's process and those that it starts have it alike. */
const FOLDER = "NAYSAY_TESTS_ONCE";

/** Called by the runner's process: makes the folder, which goes with the process, and gives the variable that names it. */
export function startOnce(): Record<string, string> {
  let folder = process.env[FOLDER];
  if (folder === undefined) {
    const made = mkdtempSync(join(tmpdir(), "naysay-once-"));
    process.env[FOLDER] = made;
    process.on("exit", () => rmSync(made, { recursive: true, force: true }));
    folder = made;
  }
  return { [FOLDER]: folder };
}

/** What dist/ holds: while tests are watched, other sources give other results. */
function built(): string[] {
  return readdirSync(join(root, "dist"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".js"))
    .map((name) => `${name} ${statSync(join(root, "dist", name)).mtimeMs}`)
    .sort();
}

/** The JSON that `work` gives for `key`, from an earlier file of this run where there is one. */
export async function once<T>(key: unknown, work: () => Promise<T>): Promise<T> {
  const folder = process.env[FOLDER];
  if (folder === undefined) return work();
  const hash = createHash("sha256")
    .update(JSON.stringify([key, built()]))
    .digest("hex");
  const path = join(folder, `${hash}.json`);
  if (existsSync(path)) return JSON.parse(readFileSync(path, "utf8")) as T;
  const result = await work();
  writeFileSync(path, JSON.stringify(result));
  return result;
}

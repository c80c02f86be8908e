/**
 * The programs on the pages, and the example of a page, compile as they stand, against the package's types and under
 * `strict` with `noUncheckedIndexedAccess`.
 */
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runCommand } from "../helpers/command.ts";
import { root } from "../helpers/sourceFiles.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "naysay-snippets-"));
  mkdirSync(join(folder, "node_modules"));
  symlinkSync(root, join(folder, "node_modules/naysay"));
  writeFileSync(join(folder, "package.json"), '{"type":"module"}');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Blocks of TypeScript that import from the package: whole programs. */
function programs(page: string): string[] {
  const blocks = readFileSync(join(root, page), "utf8").matchAll(/^```ts\n([\s\S]*?)^```$/gm);
  return [...blocks].map(([, code]) => code).filter((code) => /^import .* from "naysay/m.test(code));
}

test("whole programs of the pages, and the examples, type-check", async () => {
  const counts = ["README.md", "docs/tasks.md", "docs/algorithms.md"].map((page) => {
    const found = programs(page);
    const stem = page.replace(/\W/g, "_");
    for (const [i, code] of found.entries())
      writeFileSync(join(folder, `${stem}_${i}.ts`), `${code}export {};\n`);
    return found.length;
  });
  expect(counts).toEqual([4, 3, 1]);
  for (const example of ["own-task.ts", "own-loss.ts"])
    copyFileSync(join(root, "examples", example), join(folder, example));
  const compilerOptions = {
    noEmit: true,
    strict: true,
    noUncheckedIndexedAccess: true,
    target: "es2022",
    lib: ["ES2023", "DOM", "DOM.Iterable", "ESNext.Disposable"],
    module: "nodenext",
    moduleResolution: "nodenext",
    types: [],
  };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["*.ts"] }));
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  const { code, stdout } = await runCommand(process.execPath, [tsc, "-p", folder]);
  expect(stdout).toBe("");
  expect(code).toBe(0);
});

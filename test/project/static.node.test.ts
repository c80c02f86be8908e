/** Biome and the type checker, as tests. */

import { join } from "node:path";
import { expect, test } from "vitest";
import { runCommand } from "../helpers/command.ts";
import { root } from "../helpers/sourceFiles.ts";

const bin = (path: string) => join(root, "node_modules", path);

test("biome check passes", async () => {
  const { code, stdout, stderr } = await runCommand(process.execPath, [
    bin("@biomejs/biome/bin/biome"),
    "check",
    "--colors=off",
    "--error-on-warnings",
    ".",
  ]);
  expect(code, stdout + stderr).toBe(0);
});

test("tsc --noEmit passes", async () => {
  const { code, stdout, stderr } = await runCommand(process.execPath, [
    bin("typescript/bin/tsc"),
    "--noEmit",
  ]);
  expect(code, stdout + stderr).toBe(0);
});

/** DEBUG=2 and PROFILE in a process of their own: what is printed and written when it ends. */

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runCommand } from "../helpers/command.ts";

const WORK = `
  const { init } = await import("./dist/tensor/init.js");
  const { tensor } = await import("./dist/tensor/create.js");
  const { ops } = await import("./dist/tensor/ops/index.js");
  await init();
  const y = ops.mul(tensor([1, 2, 3]), 2);
  await y.data();
`;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "naysay-profile-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const run = (code: string, env: Record<string, string>) =>
  runCommand(process.execPath, ["--input-type=module", "-e", WORK + code], env);

test("a process that ends by itself leaves the table and the trace", async () => {
  const path = join(folder, "trace.json");
  const { code, stderr } = await run("", { DEBUG: "2", PROFILE: path });
  expect(code, stderr).toBe(0);
  expect(stderr).toMatch(/^device: /m);
  expect(stderr).toMatch(/ms on the GPU in 1 kernels/);
  expect(stderr).toMatch(/GFLOP\/s.*GB\/s {2}mul\/map:mul/);
  const { traceEvents } = JSON.parse(readFileSync(path, "utf8"));
  const cats = new Set(traceEvents.map((e: { cat?: string }) => e.cat));
  for (const cat of ["compile", "pipelines", "encode", "read", "kernel"])
    expect(cats.has(cat), cat).toBe(true);
});

test("process.exit leaves them too, and an unwritable path is said and not thrown", async () => {
  const ended = await run("process.exit(3);", { DEBUG: "2" });
  expect(ended.code).toBe(3);
  expect(ended.stderr).toMatch(/ms on the GPU in/);
  const { code, stderr } = await run("", { PROFILE: join(folder, "none", "trace.json") });
  expect(code).toBe(0);
  expect(stderr).toMatch(/PROFILE: a writable path was expected/);
  expect(stderr).not.toMatch(/wrote/);
});

/** `naysay eval` as a user calls it. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import type { PolicyReport } from "../../src/eval/policyReport.ts";
import { naysay } from "../helpers/command.ts";
import { root } from "../helpers/sourceFiles.ts";

const folder = mkdtempSync(join(tmpdir(), "naysay-eval-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const base = join(root, "assets/quick-base.safetensors");

test("measures the shipped base, sampled beside exact", async () => {
  const args = ["eval", "--checkpoint", base, "--prompts", "4", "--samples", "32", "--exact", "--json"];
  const { code, stdout, stderr } = await naysay(args);
  expect(code, stderr).toBe(0);
  const record = JSON.parse(stdout) as PolicyReport & { task: { name: string } };
  expect(record.task.name).toBe("countdown");
  expect([record.problems, record.samples]).toEqual([4, 32]);
  const exact = record.exactPassAtK?.[1].mean ?? Number.NaN;
  // 128 samples: five standard errors of a mean of four binomials are at most .22.
  expect(Math.abs(record.passAtK[1].mean - exact)).toBeLessThan(0.22);
  expect(exact).toBeGreaterThan(0.1);
  expect(record.passHatK[32]).toBeLessThan(record.passAtK[1].mean);
  expect(record.modeCoverage).toBeGreaterThan(0.3);
}, 120_000);

const refused: [string, string[], RegExp][] = [
  ["no checkpoint", [], /--checkpoint: a file expected/],
  ["a file that is none", ["--checkpoint", join(folder, "none.safetensors")], /none\.safetensors/],
  [
    "another task",
    ["--checkpoint", base, "--task", "maze"],
    /a model of 31 tokens .* expected for maze, got 37/,
  ],
  ["an unknown task", ["--checkpoint", base, "--task", "mase"], /maze/],
  ["exact with top-p", ["--checkpoint", base, "--exact", "--top-p", "0.9"], /exact.*topP|topK 0 and topP 1/],
  ["temperature 0", ["--checkpoint", base, "--temperature", "0"], /temperature/],
  [
    "a broken task file",
    ["--checkpoint", base, "--task-config", join(folder, "broken.json")],
    /--task-config/,
  ],
];

test.each(refused)("refuses %s", async (_name, args, message) => {
  writeFileSync(join(folder, "broken.json"), "{");
  const { code, stdout, stderr } = await naysay(["eval", ...args]);
  expect(stdout).toBe("");
  expect(code).not.toBe(0);
  expect(stderr).toMatch(message);
  expect(stderr).not.toMatch(/\n\s+at /); // no stack
});

test("a truncated checkpoint is refused by name", async () => {
  const path = join(folder, "cut.safetensors");
  writeFileSync(path, readFileSync(base).subarray(0, 5000));
  const { code, stderr } = await naysay(["eval", "--checkpoint", path]);
  expect(code).toBe(1);
  expect(stderr).toMatch(/CheckpointError/);
});

/** `naysay eval` as a user calls it. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import type { PolicyReport } from "../../src/eval/policyReport.ts";
import { makeTask } from "../../src/rl/taskTable.ts";
import { naysay } from "../helpers/command.ts";
import { root } from "../helpers/sourceFiles.ts";

const folder = mkdtempSync(join(tmpdir(), "naysay-eval-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const base = join(root, "assets/quick-base.safetensors");

test("measures the shipped base, sampled beside exact", async () => {
  const args = ["eval", "--checkpoint", base, "--prompts", "4", "--samples", "32", "--exact", "--json"];
  const { code, stdout, stderr } = await naysay(args);
  expect(code, stderr).toBe(0);
  const record = JSON.parse(stdout) as PolicyReport & { task: { name: string }; checkpoint: string };
  expect([record.task.name, record.checkpoint]).toEqual(["countdown", base]);
  expect([record.problems, record.samples]).toEqual([4, 32]);
  const exact = record.exactPassAtK?.[1].mean ?? Number.NaN;
  // 128 samples: five standard errors of a mean of four binomials are at most .22.
  expect(Math.abs(record.passAtK[1].mean - exact)).toBeLessThan(0.22);
  expect(exact).toBeGreaterThan(0.1);
  expect(record.passHatK[32]).toBeLessThan(record.passAtK[1].mean);
  expect(record.modeCoverage).toBeGreaterThan(0.3);
  // Probabilities say what 256 samples would do, 32 samples do not.
  expect(record.passAtK).not.toHaveProperty("64");
  expect(record.exactPassAtK?.[256].mean).toBeGreaterThan(record.exactPassAtK?.[32].mean ?? 1);
}, 120_000);

test("a task of few problems is measured on all of them, and the text says what was measured", async () => {
  // The tiny preset's numbers are so few that fewer than 32 problems are held out.
  const path = join(folder, "tiny.safetensors");
  await naysay(["pretrain", "--preset", "tiny", "--steps", "1", "--out", path]);
  const few = ["--checkpoint", path, "--samples", "2"];
  const { code, stdout, stderr } = await naysay(["eval", ...few]);
  expect(code, stderr).toBe(0);
  const all = makeTask({ name: "countdown", config: { numbers: [1, 4], targets: [1, 9] } }).count?.(
    "heldOut",
  );
  expect(all).toBeLessThan(32);
  expect(stdout).toContain(`${all} problems, 2 samples each at T = 1`);
  expect(stdout.split("\n")[0]).toBe(`${path} · task countdown, numbers [1,4], targets [1,9] · seed 1`);
  const asked = await naysay(["eval", ...few, "--prompts", "32"]);
  expect(asked.code).toBe(2);
  expect(asked.stderr).toMatch(/--prompts: countdown: 0 to \d+ distinct heldOut problems expected, got 32/);
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

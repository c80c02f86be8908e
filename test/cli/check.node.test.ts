/** `naysay check` on the command line: its exit code, its text, its JSON, and the file it leaves. */

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, expect, test, vi } from "vitest";
import { run } from "../../src/cli/check.ts";
import { opByName } from "../../src/tensor/ops/table.ts";
import { VERSION } from "../../src/tensor/version.ts";
import { naysay } from "../helpers/command.ts";
import { root } from "../helpers/sourceFiles.ts";

const folder = mkdtempSync(join(tmpdir(), "naysay-check-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
afterEach(() => {
  vi.restoreAllMocks();
});

test("green: exit code 0, the report on stdout and in a file, progress on stderr", async () => {
  const out = join(folder, "report.md");
  const args = ["check", "--ops", "add, philox-stream", "--tier", "T0", "--seed", "3", "--out", out];
  const { code, stdout, stderr } = await naysay(args, { NAYSAY_ADAPTER: process.env.NAYSAY_ADAPTER });
  expect(code, stderr).toBe(0);
  expect(stdout).toMatch(/^## naysay check\n/);
  expect(stdout).toContain(`naysay ${VERSION}, Node ${process.version}`);
  expect(stdout).toMatch(/, webgpu \d/);
  expect(stdout).toMatch(/\nPASSED: all \d+ checks of those asked for on T0\.\n$/);
  expect(readFileSync(out, "utf8")).toBe(stdout);
  expect(stderr).toMatch(/check: T0 add, 1 of 2/);
});

test("failures: exit code 1, and the op is named", async () => {
  const said = vi.spyOn(console, "log").mockImplementation(() => {});
  const op = opByName("abs");
  const { reference } = op;
  let code: number;
  try {
    Object.assign(op, {
      reference: ((...args) => [
        { ...reference(...args)[0], data: reference(...args)[0].data.map((x) => x + 1) },
      ]) satisfies typeof reference,
    });
    code = await run(["--ops", "abs", "--tier", "T0", "--json", "--seed", "4"]);
  } finally {
    Object.assign(op, { reference });
  }
  expect(code).toBe(1);
  const report = JSON.parse(String(said.mock.calls[0][0]));
  expect(report).toMatchObject({ naysay: VERSION, seed: 4, tiers: [{ tier: "T0", ops: [{ name: "abs" }] }] });
  expect(report.failures).toBe(report.tiers[0].ops[0].forward.failed);
});

test("mistakes: exit code 2 and what was meant", async () => {
  const env = { NAYSAY_ADAPTER: process.env.NAYSAY_ADAPTER };
  const wrong = await naysay(["check", "--ops", "softmax"], env);
  expect(wrong.code).toBe(2);
  expect(wrong.stderr).toContain(
    'check: the name of an op or a whole program was expected, got "softmax". softmax is made of other ops: name those.',
  );
  expect((await naysay(["check", "--tier", "T8"], env)).stderr).toContain("expected T0, T1, T2, T3, T4");
});

test("a file that cannot be written is named", async () => {
  vi.spyOn(console, "log").mockImplementation(() => {});
  const out = join(folder, "nowhere", "report.md");
  await expect(run(["--ops", "neg", "--tier", "T0", "--out", out])).rejects.toThrow(
    /^--out: a file that can be written/,
  );
});

test("the version is the package's", () => {
  expect(JSON.parse(readFileSync(join(root, "package.json"), "utf8")).version).toBe(VERSION);
});

/** `npm run bench` as it is called, on its smallest sizes. */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { type Outcome, runCommand } from "../helpers/command.ts";

/** Runs the benchmark as a user would: without what the test runner has set, but on the chosen adapter. */
function bench(...args: string[]): Promise<Outcome> {
  const clean = { NAYSAY_LAUNCHED: undefined, VK_ICD_FILENAMES: undefined, VK_DRIVER_FILES: undefined };
  return runCommand(process.execPath, ["bench/bench.mjs", ...args], clean);
}

test("--json gives ceilings and rows whose rates follow from time and work", async () => {
  const { code, stdout, stderr } = await bench("w1", "sum", "--quick", "--time", "1", "--json");
  expect(code, stderr).toBe(0);
  const { format, adapter, machine, ceilings, rows } = JSON.parse(stdout);
  expect(format).toBe("naysay-bench-1");
  expect(adapter).toMatchObject({ tier: expect.any(String), software: expect.any(Boolean) });
  expect(machine.processors).toBeGreaterThan(0);
  expect(ceilings.copy).toMatchObject({ gbs: expect.any(Number), how: expect.any(String) });
  expect(ceilings.fma).toMatchObject({ gflops: expect.any(Number), how: expect.any(String) });
  // 64^3 and the transposed one: 2 m k n operations each.
  expect(rows.map((r: { name: string; flops: number }) => [r.name, r.flops])).toEqual([
    ["w1 matmul 64 x 64 x 64", 2 * 64 ** 3],
    ["w1 matmul 32 x 64 x 48, a transposed", 2 * 32 * 64 * 48],
    ['sum [7] {"axes":[0]}', 7],
  ]);
  for (const row of rows) {
    const { ms, low, high, samples } = row.gpu ?? row.wall;
    expect(low).toBeLessThanOrEqual(ms);
    expect(high).toBeGreaterThanOrEqual(ms);
    expect(samples).toBeGreaterThanOrEqual(5);
    expect(row.gflops).toBeCloseTo(row.flops / ms / 1e6, 9);
    expect(row.ofFma).toBeCloseTo(row.gflops / ceilings.fma.gflops, 9);
    expect(row.ofLimit).toBe(Math.max(row.ofFma, row.ofCopy));
  }
});

test("an unknown word, an op that is none of the table and a file in no folder are refused before any device is asked for", async () => {
  const [{ code, stdout, stderr }, made, out] = await Promise.all([
    bench("mathmul"),
    bench("softmax"),
    bench("w1", "--json", "--quick", "--out", "/nonexist/a.json"),
  ]);
  expect([code, stdout]).toEqual([2, ""]);
  expect(stderr.trim()).toBe(
    'bench: an op, w1 to w5, ops or ceilings expected, got "mathmul". Did you mean "matmul"?',
  );
  expect([made.code, made.stderr.trim()]).toEqual([
    2,
    'bench: an op, w1 to w5, ops or ceilings expected, got "softmax". softmax is made of other ops: name those.',
  ]);
  expect([out.code, out.stdout]).toEqual([2, ""]);
  expect(out.stderr.trim()).toMatch(
    /^bench: --out: a file in a folder that is there expected, got .*\/nonexist\/a\.json.*\. Make .*\.$/,
  );
});

test("--help prints what it takes and does nothing else; what it does not take is refused with what is near", async () => {
  const [help, unknown, value] = await Promise.all([
    bench("w1", "--help", "--out", "/dev/null/none"),
    bench("--quik"),
    bench("--tier", "T9"),
  ]);
  expect([help.code, help.stderr]).toEqual([0, ""]);
  for (const part of [
    "compare a.json b.json",
    "w1, w2, w3, w4, w5",
    "--quick ",
    "Examples:",
    "Exit code: 0 ",
  ]) {
    expect(help.stdout).toContain(part);
  }
  expect([unknown.code, unknown.stdout, unknown.stderr.trim()]).toEqual([
    2,
    "",
    '--quik: expected a known flag. Did you mean "--quick"?',
  ]);
  expect([value.code, value.stdout]).toEqual([2, ""]);
  expect(value.stderr).toContain('--tier: expected T0, T1, T2, T3, T4, got "T9".');
});

test("compare says what is wrong with a file in a line, and exits with 2", async () => {
  const folder = mkdtempSync(join(tmpdir(), "naysay-bench-"));
  try {
    const path = join(folder, "a.json");
    writeFileSync(path, JSON.stringify({ format: "naysay-bench-1", rows: [null] }));
    const { code, stdout, stderr } = await bench("compare", path, path);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toBe(
      `bench: compare: ${path}: adapter: an object expected, got none. Write the file again with --json.\n`,
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("the shares of an experiment's time are whole, and a run that was finished before has none", async () => {
  const out = mkdtempSync(join(tmpdir(), "naysay-shares-"));
  const shares = () =>
    runCommand(process.execPath, ["bench/experimentShares.mjs", "--preset", "tiny", "--out", out]);
  const { code, stderr } = await shares();
  expect(code, stderr).toBe(0);
  const [line, ...numbers] =
    /generation ([\d.]+) %, scoring ([\d.]+) %, updates ([\d.]+) %, rest ([\d.]+) % of ([\d.]+) s/.exec(
      stderr,
    ) ?? [];
  expect(line, stderr).toBeDefined();
  const parts = numbers.slice(0, 4).map(Number);
  for (const part of parts) expect(part).toBeGreaterThan(0);
  expect(Math.abs(parts.reduce((a, b) => a + b) - 100)).toBeLessThan(0.3);
  expect((await shares()).stderr).not.toContain("rest");
  rmSync(out, { recursive: true });
});

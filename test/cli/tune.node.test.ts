/** `naysay tune` as a user calls it: what it stores, who uses it, and that no result changes by it. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import type { Summary } from "../../src/eval/summary.ts";
import type { TunedClass } from "../../src/tensor/tune.ts";
import type { TuningTable } from "../../src/tensor/tuning.ts";
import { naysay } from "../helpers/command.ts";

const folder = mkdtempSync(join(tmpdir(), "naysay-tune-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const env = { XDG_CACHE_HOME: folder, NAYSAY_TUNING: "auto" };
const stored = (): string[] => readdirSync(join(folder, "naysay"));

interface Report {
  known: number;
  measured: TunedClass[];
  table: TuningTable;
}

const tuned = async (...args: string[]): Promise<Report> => {
  const { code, stdout, stderr } = await naysay(
    ["tune", "--preset", "tiny", "--time", "1", "--json", ...args],
    env,
  );
  expect(code, stderr).toBe(0);
  return JSON.parse(stdout) as Report;
};

/** Weights of a short run of the tiny preset, and what it records. */
async function weights(
  name: string,
  more: Record<string, string>,
): Promise<{ hashes: unknown; tuning?: string }> {
  const args = [
    "experiment",
    "--preset",
    "tiny",
    "--updates",
    "2",
    "--arms",
    "nsr",
    "--out",
    join(folder, name),
    "--json",
  ];
  const { code, stdout, stderr } = await naysay(args, { ...env, ...more });
  expect(code, stderr).toBe(0);
  const { arms, versions } = JSON.parse(stdout) as Summary;
  const hashes = arms.map((arm) => arm.weightsSha256);
  return { hashes, tuning: versions?.tuning };
}

test("a preset's products are measured once, kept, and change no bit of a run that uses them", async () => {
  const first = await tuned();
  expect(first.known).toBe(0);
  expect(first.measured.length).toBeGreaterThan(5);
  expect(first.measured.flatMap(({ refused }) => Object.values(refused))).toEqual([]);
  expect(Object.keys(first.table.choices).sort()).toEqual(first.measured.map((m) => m.shapeClass).sort());
  const [file, ...others] = stored();
  expect(others).toEqual([]);
  const path = join(folder, "naysay", file);
  expect(JSON.parse(readFileSync(path, "utf8"))).toEqual(first.table);

  const again = await tuned();
  expect([again.known, again.measured.length]).toEqual([first.measured.length, 0]);

  // Every class gets another way than the default, where one fits.
  const other = first.measured.map(({ shapeClass, ms }) => [shapeClass, Object.keys(ms).at(-1)]);
  writeFileSync(path, JSON.stringify({ ...first.table, choices: Object.fromEntries(other) }));
  const plain = await weights("plain", { NAYSAY_TUNING: "off" });
  const chosen = await weights("chosen", {});
  expect(plain.tuning).toBeUndefined();
  expect(chosen.tuning).toMatch(new RegExp(`^${first.measured.length} choices, [0-9a-f]{8}$`));
  expect(chosen.hashes).toEqual(plain.hashes);

  writeFileSync(path, "{");
  const broken = await naysay(["tune", "--help"], env);
  expect(broken.code).toBe(0);
  const { stderr } = await naysay(
    ["experiment", "--preset", "tiny", "--updates", "0", "--arms", "base", "--out", join(folder, "broken")],
    env,
  );
  expect(stderr).toMatch(/a tuning table in JSON expected, got other text.*It is not used\./);
}, 240_000);

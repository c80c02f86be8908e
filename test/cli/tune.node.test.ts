/** `naysay tune` as a user calls it: what it stores, who uses it, and that no result changes by it. */
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import type { Summary } from "../../src/eval/summary.ts";
import type { TunedClass } from "../../src/tensor/tune.ts";
import type { TuningTable } from "../../src/tensor/tuning.ts";
import { naysay, runCommand } from "../helpers/command.ts";
import { root } from "../helpers/sourceFiles.ts";

const folder = mkdtempSync(join(tmpdir(), "naysay-tune-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const env = { XDG_CACHE_HOME: folder, NAYSAY_TUNING: "auto" };
const cache = join(folder, "naysay");
/** Names of the tables that are kept. */
const stored = (): string[] =>
  existsSync(cache) ? readdirSync(cache).filter((name) => name.endsWith(".json")) : [];

interface Report {
  known: number;
  measured: TunedClass[];
  table: TuningTable;
}

/** Starts a run and kills it as soon as it has stored something. */
async function killedAtFirst(...more: string[]): Promise<void> {
  const known = stored().length;
  const args = ["dist/cli/main.js", "tune", "--preset", "tiny", "--time", "1", ...more];
  // The launcher's Node is another process: this one computes by itself, on what the test runner was started for.
  const child = spawn(process.execPath, args, {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: "ignore",
  });
  const ended = new Promise((resolve) => child.once("exit", (_, signal) => resolve(signal)));
  while (child.exitCode === null && stored().length === known) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  child.kill("SIGKILL");
  expect(await ended).toBe("SIGKILL");
}

const tuned = async (...args: string[]): Promise<Report> => {
  const { code, stdout, stderr } = await naysay(
    ["tune", "--preset", "tiny", "--time", "1", "--json", ...args],
    env,
  );
  expect(code, stderr).toBe(0);
  return JSON.parse(stdout) as Report;
};

/** What the doctor says of the table. */
async function doctor(more: Record<string, string> = {}): Promise<unknown> {
  const { code, stdout, stderr } = await naysay(["doctor", "--json"], { ...env, ...more });
  expect(code, stderr).toBe(0);
  return JSON.parse(stdout).tuning;
}

/** Weights of a short run of the tiny preset, and what it records. */
async function weights(
  name: string,
  more: Record<string, string>,
): Promise<{ hashes: unknown; tuning?: string; adapter: Summary["adapter"] }> {
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
  const { arms, versions, adapter } = JSON.parse(stdout) as Summary;
  const hashes = arms.map((arm) => arm.weightsSha256);
  return { hashes, tuning: versions?.tuning, adapter };
}

/** The level `fast` beside a run of the default: a table of its own, a run of its own, other bits. */
async function runsAtFast(other: string, { adapter, choices }: TuningTable): Promise<void> {
  const level = { NAYSAY_DETERMINISM: "fast" };
  expect(await doctor(level)).toMatchObject({ table: "none", classes: 0 });
  // A run of the default is not gone on with, before anything is computed.
  const args = ["experiment", "--preset", "tiny", "--updates", "2", "--arms", "nsr"];
  const resumed = await naysay([...args, "--out", join(folder, "plain")], { ...env, ...level });
  expect(resumed.code).toBe(2);
  expect(resumed.stderr).toMatch(/adapter.determinism: nothing there, "fast" here/);

  await killedAtFirst("--determinism", "fast");
  const mine = stored().filter((name) => join(cache, name) !== other);
  expect(mine).toEqual([expect.stringMatching(/^tuning-fast-/)]);
  const path = join(cache, mine[0]);
  const table = JSON.parse(readFileSync(path, "utf8")) as TuningTable;
  expect(table).toMatchObject({ adapter: `fast · ${adapter}`, determinism: "fast" });
  const ways = Object.keys(choices).map((shapeClass) => [shapeClass, "split4x4p4"]);
  writeFileSync(path, JSON.stringify({ ...table, choices: Object.fromEntries(ways) }));
  expect(await doctor(level)).toEqual({ table: path, classes: ways.length });
  expect(await doctor()).toMatchObject({ table: other });
  const split = await weights("fast", level);
  expect(split.adapter).toMatchObject({ determinism: "fast" });
  expect(split.hashes).not.toEqual((await weights("plain", { NAYSAY_TUNING: "off" })).hashes);
}

test("a preset's products are measured once, kept, and change no bit of a run that uses them", async () => {
  await killedAtFirst();
  const [file, ...others] = stored();
  expect(others).toEqual([]);
  const path = join(cache, file);
  const table = (): TuningTable => JSON.parse(readFileSync(path, "utf8"));
  const kept = Object.keys(table().choices);
  expect(kept.length).toBeGreaterThan(0);

  // What was measured before the kill is known; the rest is measured, and stored beside it.
  const first = await tuned();
  expect(first.known).toBe(kept.length);
  expect(first.measured.length).toBeGreaterThan(5);
  expect(first.measured.flatMap(({ refused }) => Object.values(refused))).toEqual([]);
  const measured = first.measured.map((m) => m.shapeClass);
  expect(Object.keys(first.table.choices).sort()).toEqual([...kept, ...measured].sort());
  expect(table()).toEqual(first.table);

  expect(kept.filter((shapeClass) => measured.includes(shapeClass))).toEqual([]);
  const classes = kept.length + measured.length;
  expect(await doctor()).toEqual({ table: path, classes });
  expect(await doctor({ NAYSAY_TUNING: "off" })).toEqual({
    table: "none",
    classes: 0,
    why: "NAYSAY_TUNING=off",
  });

  // Every class of these gets another way than the default, where one fits.
  const other = first.measured.map(({ shapeClass, ms }) => [shapeClass, Object.keys(ms).at(-1)]);
  writeFileSync(
    path,
    JSON.stringify({ ...first.table, choices: { ...first.table.choices, ...Object.fromEntries(other) } }),
  );
  const plain = await weights("plain", { NAYSAY_TUNING: "off" });
  const chosen = await weights("chosen", {});
  expect(plain.tuning).toBeUndefined();
  expect(chosen.tuning).toMatch(new RegExp(`^${classes} choices, [0-9a-f]{8}$`));
  expect(chosen.hashes).toEqual(plain.hashes);

  // A table that cannot be read is none, for every command alike, and is said.
  await runsAtFast(path, first.table);

  writeFileSync(path, "{");
  const broken = await naysay(["tune", "--help"], env);
  expect(broken.code).toBe(0);
  const { stdout, stderr } = await naysay(["doctor", "--json"], env);
  expect(JSON.parse(stdout).tuning).toMatchObject({
    table: "none",
    why: expect.stringContaining("nothing usable is stored"),
  });
  expect(stderr).toMatch(/a tuning table in JSON expected, got other text.*It is not used\./);
}, 240_000);

test("a table that no program took anything from is told when the device or the process ends, and one that served is not", async () => {
  const program = (shapeClass: string, last: string) => `
    import { init, ops, tensor } from "naysay";
    const { key } = (await init({ tuning: "off" })).tuning;
    const backend = await init({ tuning: { adapter: key, choices: { ${JSON.stringify(shapeClass)}: "default" } } });
    await ops.matmul(tensor([[1, 2]]), tensor([[3], [4]])).data();
    console.log([...backend.tuning.missing.keys()][0]);
    ${last}`;
  const run = async (shapeClass: string, last = "backend.destroy();") => {
    const args = ["--input-type=module", "-e", program(shapeClass, last)];
    const { code, stdout, stderr } = await runCommand(process.execPath, args, env);
    expect(code, stderr).toBe(0);
    return { met: stdout.trim(), said: stderr.split("\n").filter((line) => line.startsWith("init: ")) };
  };
  const { met, said } = await run("matmul of another program");
  expect((await run("matmul of another program", "process.exit(0);")).said).toEqual(said);
  expect(said).toEqual([
    `init: tuning: entries for the products of this device expected, such as ${met}, got 1 for others. None was used: tune the programs that you run.`,
  ]);
  expect((await run(met)).said).toEqual([]);
});

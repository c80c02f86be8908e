/** `npm run bundle:host`: what it packs, how large that is, and that it starts where there is next to nothing. */

import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { softwarePackage } from "../../src/cli/software.ts";
import { type Outcome, runCommand } from "../helpers/command.ts";

// @ts-expect-error a script without types
const { bundleHost, LIMIT } = await import("../../scripts/bundleHost.mjs");
// @ts-expect-error a script without types
const { candidates } = await import("../../scripts/host/drivers.mjs");

/** All that a bare Debian or Ubuntu has and the script uses. */
const TOOLS = ["bash", "cat", "chmod", "cp", "dirname", "gzip", "mkdir", "mktemp", "tar"];

// @ts-expect-error a script without types
const { identityOf } = await import("../../scripts/host/repeat.mjs");

let folder: string;
let packed: { bytes: number; files: { name: string; bytes: number }[]; packages: Record<string, string> };

/** Runs the packed script with an environment of its own: no home, no Node, no compiler on the path. */
function run(...args: string[]): Promise<Outcome> {
  const tools = join(folder, "tools");
  const empty = Object.fromEntries(Object.keys(process.env).map((name) => [name, undefined]));
  return runCommand(
    join(tools, "bash"),
    [join(folder, "moved", "run.sh"), ...args],
    { ...empty, PATH: tools },
    folder,
  );
}

describe.skipIf(!softwarePackage())("the host bundle", () => {
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "naysay-bundle-"));
    packed = await bundleHost(join(folder, "moved"));
    mkdirSync(join(folder, "tools"));
    for (const tool of TOOLS) {
      const { stdout } = await runCommand("/bin/sh", ["-c", `command -v ${tool}`]);
      symlinkSync(stdout.trim(), join(folder, "tools", tool));
    }
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test("is four files below its limit", () => {
    expect(packed.files.map(({ name }) => name).sort()).toEqual([
      "app.tar.br",
      "bundle.json",
      "node.gz",
      "run.sh",
    ]);
    console.log(`host bundle: ${packed.bytes} bytes of ${LIMIT}`);
    expect(packed.bytes).toBeLessThanOrEqual(60 * 2 ** 20);
    expect(Object.keys(packed.packages)).toEqual(
      expect.arrayContaining(["webgpu", "tinybench", "vitest", "fast-check"]),
    );
  });

  test("--dry unpacks, finds an adapter's variables, and writes a report with its plan", async () => {
    const { code, stdout, stderr } = await run("report.json", "--dry", "--quick");
    expect([code, stderr]).toEqual([0, ""]);
    for (const step of ["doctor", "check", "repeat", "bench", "torch", "tests"])
      expect(stdout).toMatch(`\n${step}: `);
    const report = JSON.parse(readFileSync(join(folder, "report.json"), "utf8"));
    expect(report).toMatchObject({ format: "naysay-host-1", quick: true, finished: false, steps: {} });
    expect(report.bundle.packages.webgpu).toBe(packed.packages.webgpu);
    expect(report.driver.env.LD_LIBRARY_PATH).toContain(join("moved", "unpacked", "vulkan"));
    const unpacked = (path: string) => existsSync(join(folder, "moved", "unpacked", path));
    for (const path of [
      "vulkan/libvulkan.so.1",
      "node_modules/webgpu/dist/linux-x64/dawn.node",
      "node_modules/vitest/vitest.mjs",
      "node_modules/@sparticuz/chromium/bin/swiftshader.tar.br",
      "dist/cli/main.js",
      "assets/quick-base.safetensors",
      "bench/bench.mjs",
      "test/tiny.test.ts",
    ])
      expect(unpacked(path), path).toBe(true);
    for (const path of ["node_modules/webgpu/dist/win32-x64", "node_modules/typescript", "dist/browser"]) {
      expect(unpacked(path), path).toBe(false);
    }
  });

  test("the benchmark finds all that it imports", async () => {
    const { code, stdout } = await run("bench.json", "--only", "bench", "--quick", "--minutes", "0.06");
    const { steps } = JSON.parse(readFileSync(join(folder, "bench.json"), "utf8"));
    // Its time is over before it is done; what it says by then is no module that is missing.
    expect([code, stdout.includes("bench: FAILED")]).toEqual([1, true]);
    expect(steps.bench.timedOut, JSON.stringify(steps.bench)).toBe(true);
    expect(steps.bench.stderr).not.toMatch(/ERR_MODULE_NOT_FOUND/);
  });

  test("the doctor and whatever fails are in the report; the exit code tells", async () => {
    const well = await run("well.json", "--only", "doctor");
    expect(well.code, well.stdout + well.stderr).toBe(0);
    const { ok, adapter, steps } = JSON.parse(readFileSync(join(folder, "well.json"), "utf8"));
    expect([ok, steps.doctor.ok, adapter.tier]).toEqual([true, true, steps.doctor.result.adapter.tier]);
    const late = await run("late.json", "--only", "check,doctor", "--minutes", "0.0001");
    expect(late.code).toBe(1);
    const report = JSON.parse(readFileSync(join(folder, "late.json"), "utf8"));
    expect(report).toMatchObject({
      ok: false,
      finished: true,
      steps: { check: { ok: false, why: "no time was left" } },
    });
  });

  test("a step that is none of them is a line and the help", async () => {
    const { code, stderr } = await run("--only", "chekc");
    expect(code).toBe(2);
    expect(stderr).toMatch(
      /^run\.sh: steps: expected doctor, check, .*, got "chekc"\. Did you mean "check"\?\n\nrun\.sh \[/,
    );
  });
});

test("in a checkout run.sh says what it expects, and leaves nothing behind", async () => {
  const { code, stdout, stderr } = await runCommand("bash", ["scripts/host/run.sh", "--dry"]);
  expect([code, stdout]).toEqual([2, ""]);
  expect(stderr).toMatch(
    /^run\.sh: the folder that `npm run bundle:host` packs expected, got .*scripts\/host without bundle\.json\. Pack it/,
  );
  expect(existsSync("scripts/host/unpacked")).toBe(false);
});

test("bundle:host prints its usage and packs nothing; a flag it does not know is refused with what is near", async () => {
  const out = join(tmpdir(), `naysay-none-${process.pid}`);
  const pack = (...args: string[]) =>
    runCommand(process.execPath, ["scripts/bundleHost.mjs", "--out", out, ...args]);
  const [help, unknown] = await Promise.all([pack("--help"), pack("--no-test")]);
  expect([help.code, help.stderr]).toEqual([0, ""]);
  for (const part of ["--no-tests ", "Example:", "Exit code: 0 "]) expect(help.stdout).toContain(part);
  expect([unknown.code, unknown.stdout, unknown.stderr]).toEqual([
    2,
    "",
    '--no-test: expected a known flag. Did you mean "--no-tests"?\n',
  ]);
  expect(existsSync(out)).toBe(false);
});

test("a whole run's weights are held to the bits that SwiftShader is known to give, in the order of its arms", () => {
  const adapter = { description: "SwiftShader driver 5.0.0", tier: "T2" };
  const known = ["32445a9f", "85269ccd", "14ff357d", "ffebcdd2", "66202116"].map((sha, i) => [
    `${i}`,
    `${sha}00ff`,
  ]);
  const weights = Object.fromEntries(known);
  expect(identityOf({ adapter, weights }, false)).toBe("as known");
  expect(identityOf({ adapter, weights: { ...weights, 2: "e6b3c8cf00ff" } }, false)).toBe(
    "other bits than known",
  );
  expect(identityOf({ adapter: { ...adapter, tier: "T0" }, weights }, false)).toMatch(/not known/);
  expect(identityOf({ adapter, weights }, true)).toBe("a shortened run");
});

describe("ways to an NVIDIA driver", () => {
  const place = mkdtempSync(join(tmpdir(), "naysay-driver-"));
  afterAll(() => rmSync(place, { recursive: true, force: true }));

  test("a driver without a manifest gets one, each half plain and with the carried libraries", () => {
    for (const name of ["libGLX_nvidia.so.0", "libEGL_nvidia.so.0"]) writeFileSync(join(place, name), "");
    const made = join(place, "made");
    const ways = candidates("/app", made, { LD_LIBRARY_PATH: place }) as {
      how: string;
      env: Record<string, string>;
    }[];
    const own = ways.filter(({ how }) => how.startsWith(made));
    expect(own.map(({ env }) => env.LD_LIBRARY_PATH)).toEqual([
      `/app/vulkan:${place}`,
      `/app/vulkan:${place}`,
      `/app/vulkan:/app/x11:${place}`,
      `/app/vulkan:/app/x11:${place}`,
    ]);
    expect(
      own.map(({ env }) => JSON.parse(readFileSync(env.VK_DRIVER_FILES, "utf8")).ICD.library_path),
    ).toEqual(["GLX", "EGL", "GLX", "EGL"].map((half) => join(place, `lib${half}_nvidia.so.0`)));
    for (const { env } of own) expect(env.NAYSAY_TOGGLES).toBe("vulkan_enable_f16_on_nvidia");
  });

  test("a manifest that was named is the only way", () => {
    const ways = candidates("/app", join(place, "made"), { VK_DRIVER_FILES: "/named.json" }) as {
      how: string;
    }[];
    expect(ways.map(({ how }) => how)).toEqual(["/named.json"]);
  });
});

/** The command line under Deno, where one is on the path (or `NAYSAY_DENO` names it): wgpu instead of Dawn. */

import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";
import { softwarePackage } from "../../src/cli/software.ts";
import { type Outcome, runCommand } from "../helpers/command.ts";

const deno = process.env.NAYSAY_DENO || "deno";
const there = spawnSync(deno, ["--version"]).status === 0;

/** Runs the built command line as a user would: without what the test runner has set. */
function naysay(args: readonly string[]): Promise<Outcome> {
  const clean = {
    NO_COLOR: "1",
    NAYSAY_LAUNCHED: undefined,
    VK_ICD_FILENAMES: undefined,
    VK_DRIVER_FILES: undefined,
    LD_LIBRARY_PATH: undefined,
    NAYSAY_ADAPTER: "swiftshader",
  };
  return runCommand(deno, ["run", "-A", "--unstable-webgpu", "dist/cli/main.js", ...args], clean);
}

test.runIf(there && softwarePackage())("doctor finds SwiftShader in the same process", async () => {
  const { code, stdout, stderr } = await naysay(["doctor", "--json"]);
  expect(code, stderr).toBe(0);
  const report = JSON.parse(stdout);
  expect(report.deno).toMatch(/^\d/);
  expect(report.adapter).toMatchObject({ backend: "vulkan", software: true });
  expect(report.adapter.description).toContain("SwiftShader");
  // Dawn tells a driver; what computes here is wgpu.
  expect(report.adapter.vendor).not.toBe("google");
});

test.runIf(there && softwarePackage())("check is green", async () => {
  const names = "cast,matmul,sum,gpt2-step,cache-in-place,philox-stream";
  const { code, stdout, stderr } = await naysay(["check", "--ops", names]);
  expect(code, stdout + stderr).toBe(0);
  expect(stdout).toMatch(/^- naysay .*, Deno \d/m);
  expect(stdout).toMatch(/\nPASSED: all [\d,]+ checks/);
});

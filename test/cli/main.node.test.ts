/** The command line as a user meets it: help, mistakes, the doctor on each adapter, and no adapter at all. */

import { describe, expect, test } from "vitest";
import { planLaunch } from "../../src/cli/launch.ts";
import { lavapipeEnv, softwarePackage, swiftshaderEnv } from "../../src/cli/software.ts";
import { machineFacts, mayHaveGpu, remedyFor, vulkanRemedy } from "../../src/tensor/remedy.node.ts";
import { naysay, runCommand } from "../helpers/command.ts";

describe("help and mistakes", () => {
  test.each([[[]], [["help"]], [["--help"]]])("naysay %j prints help", async (argv) => {
    const { code, stdout } = await naysay(argv);
    expect(code).toBe(0);
    for (const word of ["doctor", "NAYSAY_ADAPTER", "DEBUG=0..4", "NAYSAY_TIER"])
      expect(stdout).toContain(word);
  });

  test("an unknown command prints help and what was meant", async () => {
    const { code, stderr } = await naysay(["docter"]);
    expect(code).toBe(2);
    expect(stderr).toContain('Did you mean "doctor"?');
    expect(stderr).toContain("Commands");
  });

  test("an unknown flag names the nearest", async () => {
    const { code, stderr } = await naysay(["doctor", "--jsno"]);
    expect(code).toBe(2);
    expect(stderr).toContain('ConfigError: --jsno: expected a known flag. Did you mean "--json"?');
  });

  test("an unknown adapter names the nearest", async () => {
    const { code, stderr } = await naysay(["doctor"], { NAYSAY_ADAPTER: "swiftshadr" });
    expect(code).toBe(2);
    expect(stderr).toContain('Did you mean "swiftshader"?');
  });

  test.skipIf(process.platform !== "linux")(
    "a result that cannot be written is a failure, one of which enough was read is none",
    async () => {
      const sh = (line: string) => runCommand("sh", ["-c", `"${process.execPath}" dist/cli/main.js ${line}`]);
      expect(await sh("ops --json > /dev/full")).toEqual({
        code: 1,
        stdout: "",
        stderr: "naysay: an output that can be written expected, got ENOSPC. Write it to another place.\n",
      });
      const piped = await runCommand("bash", [
        "-c",
        `set -o pipefail; "${process.execPath}" dist/cli/main.js ops --json | head -c 1`,
      ]);
      expect([piped.code, piped.stderr]).toEqual([0, ""]);
    },
  );

  test("--version is the package's", async () => {
    expect((await naysay(["--version"])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});

describe("doctor", () => {
  test.skipIf(!softwarePackage())("on SwiftShader, said plainly on stderr", async () => {
    const { code, stdout, stderr } = await naysay(["doctor", "--json"], { NAYSAY_ADAPTER: "swiftshader" });
    expect(code, stderr).toBe(0);
    expect(stderr).toMatch(
      /^adapter: SwiftShader \(software, from the development dependency @sparticuz\/chromium\): /,
    );
    const report = JSON.parse(stdout);
    expect(report).toMatchObject({
      ok: true,
      node: process.version,
      packages: { webgpu: expect.any(String) },
    });
    expect(report.adapter).toMatchObject({ vendor: "google", tier: "T2", software: true, backend: "vulkan" });
    expect(report.notHigher).toContain("shader-f16");
    expect(report.named.T4).toMatchObject({ reached: false, what: expect.stringContaining("shader-f16") });
    expect(report.limits.maxStorageBuffersPerShaderStage).toBeGreaterThanOrEqual(10);
    expect(report.features).toContain("subgroups");
  });

  test.skipIf(!softwarePackage() || mayHaveGpu(machineFacts()))("without a GPU, by itself", async () => {
    const { code, stdout, stderr } = await naysay(["doctor"]);
    expect(code).toBe(0);
    expect(stderr).toContain("no GPU was found");
    expect(stdout).toContain("tier: T2");
  });

  test.skipIf(!lavapipeEnv())("on lavapipe", async () => {
    const { code, stdout } = await naysay(["doctor", "--json"], { NAYSAY_ADAPTER: "lavapipe" });
    expect(code).toBe(0);
    expect(JSON.parse(stdout).adapter).toMatchObject({ vendor: "mesa", software: true });
  });

  test.runIf(process.platform === "linux")("without any adapter: exit code 1 and the remedy", async () => {
    const env = {
      NAYSAY_ADAPTER: "default",
      VK_ICD_FILENAMES: "/nowhere.json",
      VK_DRIVER_FILES: "/nowhere.json",
    };
    const { code, stdout, stderr } = await naysay(["doctor", "--json"], env);
    expect(code, stderr).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({ ok: false, error: "DeviceError" });
    expect(JSON.parse(stdout).message).toMatch(/expected a GPU adapter, got none\. (Linux|WSL)/);
  });
});

describe("the launcher", () => {
  test.skipIf(!softwarePackage())("parallel first starts share one cache", async () => {
    // The package's own cache may be there already: what is tested is that any number of readers agree.
    const plans = await Promise.all([1, 2, 3].map(() => swiftshaderEnv()));
    expect(new Set(plans.map((plan) => plan?.VK_ICD_FILENAMES)).size).toBe(1);
  });

  test("goes on in a process that it started, and where the user has chosen a driver", async () => {
    expect(await planLaunch({ NAYSAY_LAUNCHED: "swiftshader", NAYSAY_ADAPTER: "swiftshader" })).toEqual({
      env: {},
      line: null,
    });
    expect(await planLaunch({ VK_ICD_FILENAMES: "/my.json" })).toEqual({ env: {}, line: null });
    expect(await planLaunch({ NAYSAY_ADAPTER: "default" })).toEqual({ env: {}, line: null });
  });

  test.skipIf(!softwarePackage())(
    "starts a process of its own for another choice than its parent's",
    async () => {
      const { env } = await planLaunch({ NAYSAY_LAUNCHED: "lavapipe", NAYSAY_ADAPTER: "swiftshader" });
      expect(env).toMatchObject({
        NAYSAY_LAUNCHED: "swiftshader",
        VK_ICD_FILENAMES: expect.stringMatching(/swiftshader_icd/),
      });
      expect(await planLaunch({ ...env, NAYSAY_ADAPTER: "swiftshader" })).toEqual({ env: {}, line: null });
    },
  );
});

describe("remedies", () => {
  const linux = {
    platform: "linux",
    wsl: false,
    container: false,
    nvidia: false,
    renderNode: false,
    manifests: [],
  };
  test.each([
    ["macOS", { ...linux, platform: "darwin" }, /Metal/],
    ["Windows", { ...linux, platform: "win32" }, /Direct3D 12/],
    ["Linux", linux, /mesa-vulkan-drivers.*vulkan-loader/],
    ["a container", { ...linux, container: true }, /--device \/dev\/dri/],
    ["WSL", { ...linux, wsl: true }, /dzn/],
    [
      "NVIDIA in a container",
      { ...linux, container: true, nvidia: true },
      /NVIDIA_DRIVER_CAPABILITIES=all.*nvidia_icd\.json/,
    ],
    ["NVIDIA", { ...linux, nvidia: true }, /nvidia-vulkan-icd/],
    ["a variable that leads nowhere", { ...linux, override: "VK_ICD_FILENAMES=/no" }, /=\/no .*unset it/],
    ["FreeBSD", { ...linux, platform: "freebsd" }, /use a browser/],
  ])("%s", (_name, facts, wanted) => expect(remedyFor(facts)).toMatch(wanted));

  test("init() advises no variable that only the command line reads", () => {
    expect(remedyFor(linux)).toMatch(/NAYSAY_ADAPTER=lavapipe/);
    expect(vulkanRemedy()).not.toMatch(/NAYSAY_ADAPTER/);
    if (process.platform === "linux") expect(vulkanRemedy()).toMatch(/Without a GPU: Mesa's lavapipe/);
  });
});

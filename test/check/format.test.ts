/** The report's text, from reports made by hand: what a reader who knows nothing needs is there, and nothing else. */

import { expect, test } from "vitest";
import { formatCheck } from "../../src/check/format.ts";
import {
  type Checked,
  type CheckReport,
  count,
  noCount,
  type TierReport,
  totals,
} from "../../src/check/report.ts";
import { runtimeName } from "../../src/check/runtime.ts";

function checked(name: string, calls: number): Checked {
  const c: Checked = {
    name,
    forward: noCount(),
    gradients: noCount(),
    repeated: noCount(),
    besideT0: { ...noCount(), equalBits: 0 },
    ownKernels: 0,
    strayWrites: [],
    errors: [],
  };
  for (let i = 0; i < calls; i++) {
    count(c.forward, 0.25, null);
    count(c.repeated, 0, null);
  }
  return c;
}

function tier(name: string, ops: Checked[]): TierReport {
  return { tier: name, ops, programs: [], fallbacks: [], seconds: 1.25 };
}

function report(tiers: TierReport[], changes: Partial<CheckReport> = {}): CheckReport {
  return {
    naysay: "1.2.3",
    runtime: "Node v20.0.0, linux-x64",
    versions: { webgpu: "0.6.2" },
    adapter: {
      vendor: "nvidia",
      architecture: "ampere",
      description: "NVIDIA RTX 3060",
      backend: "vulkan",
      driver: "nvidia 550.1",
      tier: "T1",
      determinism: "repeatable",
      software: false,
    },
    notHigher: 'T2: the adapter has no feature "subgroups"',
    subgroups: { smallest: 4, largest: 8 },
    limits: {
      maxStorageBuffersPerShaderStage: 10,
      maxComputeWorkgroupStorageSize: 32768,
      maxComputeInvocationsPerWorkgroup: 256,
      maxStorageBufferBindingSize: 128 << 20,
      maxBufferSize: 256 << 20,
    },
    features: ["shader-f16", "timestamp-query"],
    language: [],
    seed: 1,
    only: null,
    tiers,
    ended: null,
    ...totals(tiers, changes.ended ?? null),
    seconds: 2.5,
    ...changes,
  };
}

test("all green", () => {
  const above = checked("add", 700);
  for (let i = 0; i < 700; i++) count(above.besideT0, 0, null);
  above.besideT0.equalBits = 699;
  expect(formatCheck(report([tier("T0", [checked("add", 700)]), tier("T1", [above])]))).toBe(`## naysay check

Results and gradients of every op against float64, every call twice, higher tiers against T0.

- naysay 1.2.3, Node v20.0.0, linux-x64, webgpu 0.6.2
- adapter: NVIDIA RTX 3060, nvidia ampere; vulkan
- driver: nvidia 550.1
- tier: T1 (not T2: the adapter has no feature "subgroups"); features: f16, timestamps
- limits: 10 storage buffers, 32 KiB of workgroup memory, 256 invocations, bindings of 128 MiB, buffers of 256 MiB
- seed 1; 2.5 s

- T0: 700 of 700 forward, 0 of 0 gradients; 700 of 700 repeat bit for bit; largest error 0.25 times what is accepted (add); 1.3 s
- T1: 700 of 700 forward, 0 of 0 gradients; 700 of 700 repeat bit for bit; 700 of 700 agree with T0, 699 bit for bit; T0's kernels throughout; largest error 0.25 times what is accepted (add); 1.3 s

PASSED: all 3,500 checks on T0 and T1.`);
});

test("failures: each op once, with its first, on one line; a long message is cut, a long list, too", () => {
  const bad = checked("exp", 2);
  count(
    bad.forward,
    3,
    `exp(f32[3]){}: element 0 is 1, wanted 2\n  (3.00 times what is accepted) ${"x".repeat(5000)}`,
  );
  count(bad.forward, Number.POSITIVE_INFINITY, "exp(f32[4]){}: not the first");
  bad.errors.push("device: out", "device: out");
  const text = formatCheck(report([tier("T0", [checked("add", 1), bad])], { seed: 77 }));
  expect(text).toContain("- T0: 3 of 5 forward");
  expect(text).toContain("2 errors of WebGPU");
  expect(text).toContain(
    "### exp on T0\n\n- results: 2 of 4 failed, the first: exp(f32[3]){}: element 0 is 1, wanted 2 (3.00 times",
  );
  expect(text.match(/- error of WebGPU: device: out/g)?.length).toBe(1);
  expect(text).toContain("- to repeat: `npx naysay check --tier T0 --ops exp --seed 77`");
  expect(text).not.toContain("### add");
  expect(text).not.toContain("not the first");
  expect(text.length).toBeLessThan(3000);
  expect(text.endsWith("FAILED: 4 failures, 8 checks on T0.")).toBe(true);

  // The same on another tier is told once; what differs is told beside it.
  const other = checked("exp", 4);
  const twice = formatCheck(report([tier("T0", [bad]), tier("T1", [bad]), tier("T2", [other])]));
  expect(twice.match(/^### .*/gm)).toEqual(["### exp on T0 and T1"]);
  const fallbacks = ["join/sum/f32/4", "join/sum/f32/1"].map((variant) => ({
    variant,
    why: `${variant}: the bits of T0 were expected`,
    call: "sum(f32[3,400])",
    name: "sum",
  }));
  const replaced = formatCheck(report([{ ...tier("T2", [checked("sum", 1)]), fallbacks }]));
  expect(replaced.match(/^### .*/gm)).toEqual(["### sum on T2"]);
  expect(replaced).toContain(
    "join/sum/f32/4, join/sum/f32/1; the first, in sum(f32[3,400]): join/sum/f32/4: the bits",
  );
  expect(replaced).toMatch(/; 2 kernels replaced by T0's; .*\nFAILED: 2 failures/s);

  const many = Array.from({ length: 50 }, (_, i) => {
    const c = checked(`op${i}`, 0);
    count(c.gradients, 2, `op${i}: wrong`);
    return c;
  });
  expect(formatCheck(report([tier("T0", [checked("add", 0)])]))).toContain("; no error; 1.3 s");
  const long = formatCheck(report([tier("T0", many)]));
  expect(long.match(/^### /gm)?.length).toBe(20);
  expect(long).toContain("And 30 more");
});

test("an early end, and fewer tiers than the adapter has", () => {
  const ended = "T0, after add: device lost.";
  const text = formatCheck(report([tier("T0", [checked("add", 1)])], { ended }));
  expect(text).toContain("; ended early;");
  expect(text).toMatch(
    /FAILED: the check ended early\. T0, after add: device lost\. Until then 2 checks, 0 other failures\.$/,
  );
  expect(formatCheck(report([tier("T0", [checked("add", 1)])]))).toMatch(
    /PASSED: all 2 checks of those asked for on T0\.$/,
  );
});

test("a number that is none survives JSON", () => {
  const c = noCount();
  count(c, Number.POSITIVE_INFINITY, "NaN came");
  count(c, 0.5, null);
  expect(c).toEqual({ done: 2, failed: 1, worst: 0.5, first: "NaN came" });
  expect(JSON.parse(JSON.stringify(c))).toEqual(c);
});

test.each([
  [
    {
      Deno: { version: { deno: "2.9.6" }, build: { os: "linux", arch: "x86_64" } },
      process: { versions: { node: "26" } },
    },
    "Deno 2.9.6, linux-x86_64",
  ],
  [
    {
      process: { version: "v20.1.0", platform: "darwin", arch: "arm64", versions: { node: "20.1.0" } },
      navigator: { userAgent: "Node.js/20" },
    },
    "Node v20.1.0, darwin-arm64",
  ],
  [{ navigator: { userAgent: "Mozilla/5.0 Chrome/153" } }, "Mozilla/5.0 Chrome/153"],
  [{}, "unknown"],
])("runtime %#", (host, name) => expect(runtimeName(host)).toBe(name));

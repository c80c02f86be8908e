/** `runCheck` on the adapter at hand: green where all is well, and telling what is not, each kind of fault put in by hand. */

import { afterEach, describe, expect, test, vi } from "vitest";
import { formatCheck } from "../../src/check/format.ts";
import type { Checked, CheckReport } from "../../src/check/report.ts";
import { type CheckProgress, runCheck } from "../../src/check/run.ts";
import { backend as currentBackend } from "../../src/tensor/backend.ts";
import { type JoinLanes, type Lanes, lanesFor } from "../../src/tensor/codegen/lanes.ts";
import { requestAdapter, requestDevice } from "../../src/tensor/device.ts";
import { init } from "../../src/tensor/init.ts";
import { opByName } from "../../src/tensor/ops/table.ts";
import { type Tier, tierAtLeast } from "../../src/tensor/tiers.ts";
import { WebGpuBackend } from "../../src/tensor/webgpu.ts";

const best = (await requestAdapter()).info.tier;

/** Backends of a check with something done to each. */
function broken(change: (backend: WebGpuBackend) => void, options: { lanes?: Lanes } = {}) {
  return async (tier: Tier): Promise<WebGpuBackend> => {
    const backend = new WebGpuBackend(await requestDevice({ tier }), { guardWords: true, ...options });
    change(backend);
    return backend;
  };
}

/** The WGSL of every kernel rewritten on its way to the device. */
const rewritten = (rewrite: (code: string, label: string) => string) =>
  broken(({ device: { gpu } }) => {
    const make = gpu.createShaderModule.bind(gpu);
    vi.spyOn(gpu, "createShaderModule").mockImplementation((d) =>
      make({ ...d, code: rewrite(d.code, d.label ?? "") }),
    );
  });

const found = (report: CheckReport, name: string, tier = 0): Checked =>
  [...report.tiers[tier].ops, ...report.tiers[tier].programs].find((c) => c.name === name) as Checked;

afterEach(() => {
  vi.restoreAllMocks();
});

describe("all is well", () => {
  test("a few ops and whole programs on every tier", async () => {
    const mine = await init({ device: "reference" });
    const seen: CheckProgress[] = [];
    const ops = ["sum", "philox", "qwen3-step", "cache-in-place"];
    const report = await runCheck({ ops, versions: { below: "1.2" }, onProgress: (p) => seen.push(p) });
    expect(formatCheck(report)).toMatch(/\nPASSED: all [\d,]+ checks of those asked for on T0/);
    expect(report).toMatchObject({
      failures: 0,
      ended: null,
      seed: 1,
      only: ops,
      versions: { below: "1.2" },
    });
    expect(report.tiers.at(-1)?.tier).toBe(best);
    // Plain data.
    expect(JSON.parse(JSON.stringify(report))).toEqual(report);
    expect(currentBackend()).toBe(mine);
    expect(seen.length).toBe(ops.length * report.tiers.length);
    expect(seen.at(-1)).toMatchObject({ tier: best, done: seen.length, total: seen.length, failures: 0 });

    const sum = found(report, "sum");
    const cases = opByName("sum").cases.length;
    expect(sum.forward).toMatchObject({ done: cases, failed: 0, first: null });
    expect(sum.gradients.done).toBeGreaterThan(10);
    expect(sum.repeated.done).toBe(sum.forward.done + sum.gradients.done);
    expect(sum.besideT0.done).toBe(0);
    for (const name of ["sum", "qwen3-step"]) {
      // Rounding shows: an error of exactly 0 everywhere would be a comparison of something with itself.
      expect(found(report, name).forward.worst, name).toBeGreaterThan(0);
      expect(found(report, name).forward.worst, name).toBeLessThan(1);
    }
    report.tiers.slice(1).forEach((t, i) => {
      const above = found(report, "sum", i + 1);
      expect(above.besideT0.done, t.tier).toBe(sum.repeated.done);
      expect(above.besideT0.equalBits, t.tier).toBe(sum.repeated.done);
      expect(above.ownKernels > 0, t.tier).toBe(tierAtLeast(t.tier as Tier, "T2"));
    });
  });

  test("the same seed gives the same numbers, another gives others", async () => {
    const [a, b, c] = [
      await runCheck({ tier: "T0", ops: ["exp"], seed: 5 }),
      await runCheck({ tier: "T0", ops: ["exp"], seed: 5 }),
      await runCheck({ tier: "T0", ops: ["exp"], seed: 6 }),
    ].map((report) => found(report, "exp").forward.worst);
    expect(a).toBe(b);
    expect(c).not.toBe(a);
  });
});

describe("what is wrong is told with op, call and seed, and the rest goes on", () => {
  const check = (options: Parameters<typeof runCheck>[0]) =>
    runCheck({ tier: "T0", ops: ["abs", "add", "sum"], seed: 9, ...options });

  test("a reference that disagrees", async () => {
    const op = opByName("abs");
    const { reference } = op;
    let report: CheckReport;
    try {
      Object.assign(op, {
        reference: ((...args) => {
          const [result] = reference(...args);
          for (let i = 0; i < result.data.length; i++) result.data[i] *= 1.0001;
          return [result];
        }) satisfies typeof reference,
      });
      report = await check({});
    } finally {
      Object.assign(op, { reference });
    }
    const { forward, gradients } = found(report, "abs");
    expect(forward.failed).toBeGreaterThan(0);
    expect(forward.worst).toBeGreaterThan(10);
    expect(forward.first).toMatch(/^abs\(f32\[.*\]\).*element \d+ is .*, wanted .* times what is accepted/);
    expect(gradients.failed).toBe(0);
    expect(report.failures).toBe(forward.failed);
    expect(found(report, "add").forward.failed).toBe(0);
    const text = formatCheck(report);
    expect(text).toContain("### abs on T0");
    expect(text).toContain(forward.first);
    expect(text).toContain("npx naysay check --tier T0 --ops abs --seed 9");
    expect(text).toMatch(/\nFAILED: \d+ failures/);
  });

  test("a kernel that computes something else", async () => {
    const report = await check({
      backend: rewritten((code, label) => (label.startsWith("abs(") ? code.replaceAll("abs(", "(") : code)),
    });
    expect(found(report, "abs").forward.failed).toBeGreaterThan(0);
    expect(found(report, "sum").forward.failed).toBe(0);
  });

  test("a kernel that does not compile", async () => {
    const report = await check({
      backend: rewritten((code, label) => (label.startsWith("abs(") ? `${code}\nlet broken = 1;` : code)),
    });
    const { forward, gradients, repeated } = found(report, "abs");
    // Calls without an element have no kernel.
    expect(forward.failed).toBeGreaterThan(forward.done / 2);
    expect(forward.first).toMatch(/^abs\(f32.*: a kernel that compiles was expected, got /);
    expect(gradients.failed).toBe(0);
    expect(repeated.done).toBe(forward.done - forward.failed + gradients.done);
    expect(found(report, "add")).toMatchObject({ forward: { failed: 0 }, errors: [] });
    expect(report.ended).toBeNull();
  });

  test.runIf(tierAtLeast(best, "T2"))(
    "a subgroup kernel that takes every subgroup for 32 lanes",
    async () => {
      const said = vi.spyOn(console, "error").mockImplementation(() => {});
      const assumes32: JoinLanes = (a, k) => {
        k.subgroups();
        const shared = k.fresh("sh");
        k.declare(`var<workgroup> ${shared}: array<${a.type}, 64>;`);
        const own = k.name("s", `subgroupShuffleXor(${a.name}, 1u)`);
        k.line(`${shared}[lane] = ${a.combine(a.name, own)};`);
        k.line("workgroupBarrier();");
        return k.name("all", a.combine(`${shared}[0]`, `${shared}[32]`));
      };
      const sound = broken(() => {});
      const report = await check({
        tier: "T2",
        ops: ["sum"],
        backend: (tier) =>
          tier === "T2"
            ? broken(() => {}, { lanes: { ...lanesFor("T2"), join: assumes32 } })(tier)
            : sound(tier),
      });
      const [first] = report.tiers[2].fallbacks;
      expect(first).toMatchObject({ name: "sum", call: expect.stringMatching(/^(vjp of )?sum\(f32/) });
      expect(first.why).toContain("the bits of T0 were expected, got others");
      expect(report.failures).toBe(report.tiers[2].fallbacks.length);
      const text = formatCheck(report);
      expect(text).toContain("### sum on T2");
      expect(text).toContain(first.call);
      expect(text).toContain("npx naysay check --tier T2 --ops sum --seed 9");
      expect(said).toHaveBeenCalled();
    },
  );

  test("words written outside a tensor", async () => {
    const report = await check({
      backend: broken((backend) => {
        const look = backend.checkGuards.bind(backend);
        vi.spyOn(backend, "checkGuards").mockImplementationOnce(async () => {
          const [s] = backend.pool.guarded;
          backend.device.queue.writeBuffer(s.buffer, 0, new Uint32Array(1));
          return look();
        });
      }),
    });
    expect(found(report, "abs").strayWrites).toEqual([expect.stringMatching(/^naysay\.tensor word -64/)]);
    expect(report.failures).toBe(1);
    expect(formatCheck(report)).toContain("written outside a tensor: naysay.tensor word -64");
  });

  test("an error that WebGPU reports beside the calls", async () => {
    const report = await check({
      backend: broken(({ device: { gpu } }) => {
        gpu.createBuffer({ label: "nobody's", size: 16, usage: 0xffff });
      }),
    });
    expect(found(report, "abs").errors.join()).toMatch(/reported: /);
    expect(report.tiers[0].ops.map((c) => [c.forward.failed, c.gradients.failed])).toEqual([
      [0, 0],
      [0, 0],
      [0, 0],
    ]);
    expect(report.failures).toBe(1);
  });

  test("bits that differ the second time", async () => {
    const report = await check({
      ops: ["add"],
      backend: broken((backend) => {
        const read = backend.read.bind(backend);
        let reads = 0;
        vi.spyOn(backend, "read").mockImplementation(async (...args) => {
          const data = await read(...args);
          if (args[1] === "f32" && data.length > 0) new Uint32Array(data.buffer)[0] ^= ++reads % 2;
          return data;
        });
      }),
    });
    const { repeated } = found(report, "add");
    expect(repeated.failed).toBeGreaterThan(0);
    expect(repeated.first).toMatch(/^(vjp of )?add\(f32.*the same bits were expected twice, got /);
  });
});

describe("an early end", () => {
  test("a device that is destroyed in the middle ends the report, which says so", async () => {
    let device: GPUDevice | undefined;
    const report = await runCheck({
      ops: ["abs", "add", "sub", "sum"],
      backend: broken((backend) => {
        device = backend.device.gpu;
      }),
      onProgress: ({ done }) => {
        if (done === 2) device?.destroy();
      },
    });
    expect(report.tiers.map(({ tier }) => tier)).toEqual(["T0"]);
    expect(report.tiers[0].ops.map(({ name }) => name)).toEqual(["abs", "add"]);
    expect(report.ended).toMatch(/^T0, after add: device: "naysay" was (destroyed|lost)/);
    expect(report.failures).toBe(1);
    expect(formatCheck(report)).toMatch(/\nFAILED: the check ended early\. T0, after add: .* Until then/);
  });

  test("a device that no longer answers ends it, too", async () => {
    const report = await runCheck({
      ops: ["abs", "add"],
      patienceMs: 500,
      backend: broken((backend) => {
        vi.spyOn(backend, "sync").mockImplementation(() => new Promise(() => {}));
      }),
    });
    expect(report.ended).toMatch(
      /an answer from the device was expected within 0.5 s, got none, at the end of abs/,
    );
    expect(report.failures).toBe(1);
  });

  test("a signal rejects with its reason", async () => {
    const controller = new AbortController();
    const run = runCheck({
      ops: ["abs", "add"],
      signal: controller.signal,
      onProgress: () => controller.abort(new Error("enough")),
    });
    await expect(run).rejects.toThrow("enough");
  });
});

test("refuses what it does not know", async () => {
  await expect(runCheck({ ops: ["matmull"] })).rejects.toThrow(/got "matmull"\. Did you mean "matmul"\?/);
  await expect(runCheck({ seed: -1 })).rejects.toThrow(
    /^check: seed: an integer in \[0, 2\^32\) expected, got -1/,
  );
  await expect(runCheck({ tier: "T9" as Tier })).rejects.toThrow(/expected T0, T1, T2, T3 or T4/);
});

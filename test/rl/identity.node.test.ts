/** Two Node runs of the short experiment agree in every bit; another seed changes every trained policy. */
import { expect, test } from "vitest";
import { softwarePackage } from "../../src/cli/software.ts";
import { nodeExperiment } from "../helpers/nodeExperiment.ts";
import { shortRuns } from "../helpers/shortRun.ts";

test.skipIf(!softwarePackage() || process.env.NAYSAY_ADAPTER === "lavapipe")(
  "command line and library, on SwiftShader at T0",
  async () => {
    const first = await nodeExperiment(1);
    const [second, other] = await shortRuns([1, 2]);
    expect(first.tier).toBe("T0");
    expect(first.description).toMatch(/SwiftShader/);
    expect(first.arms.find((arm) => arm.name === "NSR")?.updates).toBeGreaterThanOrEqual(10);
    expect(second).toEqual(first);

    const hash = (run: typeof first) => new Map(run.arms.map((arm) => [arm.name, arm.weightsSha256]));
    for (const [name, sha] of hash(other)) {
      // The base is the shipped file, whatever the seed.
      if (name === "base") expect(sha).toBe(hash(first).get(name));
      else expect(sha).not.toBe(hash(first).get(name));
    }
    expect(other.metrics).not.toEqual(first.metrics);
  },
  400_000,
);

/** The project that runs in Node, for vitest.config.ts and for the host bundle's own configuration. */

import { fileURLToPath } from "node:url";
import type { LaunchPlan } from "../../src/cli/launch.ts";

const source = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));

/** What stands behind a conditional import. */
export const aliases = (target: "node" | "browser"): Record<string, string> => ({
  "#gpu": source(`src/tensor/gpu.${target}.ts`),
  "#host": source(`src/tensor/host.${target}.ts`),
  "#fs": source(`src/model/fs.${target}.ts`),
});

/** What examples/*.ts import, from the sources; the longest names first. */
const PACKAGE: Record<string, string> = {
  "naysay/worker/serve": source("src/worker/serve.ts"),
  "naysay/worker": source("src/worker/index.ts"),
  naysay: source("src/index.ts"),
};

/** Debug flags of this process, handed on to the tests wherever they run. */
export function flagVariables(): Record<string, string> {
  const flags = ["DEBUG", "NAN", "NAYSAY_TIER", "NAYSAY_PASSES_OFF", "NAYSAY_TOGGLES"];
  // Seed of the tests' random inputs, how many random graphs, the seed of one, how many kills.
  const names = [...flags, "NAYSAY_SEED", "NAYSAY_GRAPHS", "NAYSAY_GRAPH", "NAYSAY_OPS", "NAYSAY_KILLS"];
  const given = names.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : []));
  // Tests run the kernels of an adapter that nobody has measured, whatever is stored on this machine.
  return { ...Object.fromEntries(given), NAYSAY_TUNING: "off" };
}

/** Generous: a software adapter compiles a large kernel in about a second. */
export const SHARED = { testTimeout: 120_000, hookTimeout: 120_000, isolate: true };

/** Everything but the browser's own tests; `exclude` are further globs to leave out. */
export function nodeProject(plan: LaunchPlan, exclude: readonly string[], globalSetup: readonly string[]) {
  return {
    resolve: { alias: { ...aliases("node"), ...PACKAGE } },
    test: {
      ...SHARED,
      name: "node",
      include: ["test/**/*.test.ts"],
      exclude: ["test/**/*.browser.test.ts", ...exclude],
      // The variables stand before a worker starts, which is when Vulkan reads them.
      env: { ...plan.env, ...flagVariables() },
      globalSetup: [...globalSetup],
      pool: "forks" as const,
      maxWorkers: 2,
      sequence: { groupOrder: 0 },
    },
  };
}

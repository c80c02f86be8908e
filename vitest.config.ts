/**
 * Two projects: `node` runs everything but the browser's own tests, `chromium` runs the engine's tests again in a page.
 * Both compute on a real WebGPU implementation; on a machine without a GPU that is SwiftShader (see src/cli/launch.ts).
 */

import { fileURLToPath } from "node:url";
import { playwright } from "@vitest/browser-playwright";
import { defineConfig } from "vitest/config";
import { planLaunch } from "./src/cli/launch.ts";
import { browserCommands } from "./test/helpers/browserCommands.ts";
import { chromiumLaunch } from "./test/helpers/chromium.ts";
import { TotalsReporter } from "./test/helpers/totalsReporter.ts";

const source = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** What stands behind a conditional import. */
const aliases = (target: "node" | "browser"): Record<string, string> => ({
  "#gpu": source(`./src/tensor/gpu.${target}.ts`),
  "#host": source(`./src/tensor/host.${target}.ts`),
  "#fs": source(`./src/model/fs.${target}.ts`),
});

/** What examples/*.ts import, from the sources; the longest names first. */
const PACKAGE: Record<string, string> = {
  "naysay/worker/serve": source("./src/worker/serve.ts"),
  "naysay/worker": source("./src/worker/index.ts"),
  naysay: source("./src/index.ts"),
};

/** Debug flags of this process, handed on to the tests wherever they run. */
function flagVariables(): Record<string, string> {
  const flags = ["DEBUG", "NAN", "NAYSAY_TIER", "NAYSAY_PASSES_OFF", "NAYSAY_TOGGLES"];
  // Seed of the tests' random inputs, how many random graphs, the seed of one, how many kills.
  const names = [...flags, "NAYSAY_SEED", "NAYSAY_GRAPHS", "NAYSAY_GRAPH", "NAYSAY_OPS", "NAYSAY_KILLS"];
  const given = names.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : []));
  // Tests run the kernels of an adapter that nobody has measured, whatever is stored on this machine.
  return { ...Object.fromEntries(given), NAYSAY_TUNING: "off" };
}

export default defineConfig(async () => {
  const plan = await planLaunch();
  const shared = { testTimeout: 120_000, hookTimeout: 120_000, isolate: true };
  return {
    // Isolated pages have a clock that ticks 5 us, others 0.1 ms.
    server: {
      headers: {
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Embedder-Policy": "require-corp",
      },
    },
    // The page imports the sources; nothing is to be found and bundled in the middle of a run.
    optimizeDeps: { include: ["fast-check", "wgsl_reflect/wgsl_reflect.module.js"] },
    test: {
      reporters: ["default", new TotalsReporter(plan.line)],
      projects: [
        {
          extends: true as const,
          resolve: {
            alias: { ...aliases("node"), ...PACKAGE },
          },
          test: {
            ...shared,
            name: "node",
            include: ["test/**/*.test.ts"],
            // Pages run in Chromium, on SwiftShader whatever Node's adapter is: once is enough.
            exclude: [
              "test/**/*.browser.test.ts",
              ...(process.env.NAYSAY_ADAPTER === "lavapipe"
                ? ["test/web/**", "test/examples/**", "test/project/viteApp.node.test.ts"]
                : []),
            ],
            // The variables stand before a worker starts, which is when Vulkan reads them.
            env: { ...plan.env, ...flagVariables() },
            globalSetup: ["test/helpers/build.ts"],
            pool: "forks" as const,
            maxWorkers: 2,
            sequence: { groupOrder: 0 },
          },
        },
        {
          extends: true as const,
          resolve: {
            alias: aliases("browser"),
          },
          test: {
            ...shared,
            name: "chromium",
            // Workers are tested in Chromium by the page and the apps (test/web, test/examples, test/project).
            include: ["test/{tensor,model,rl,eval,check}/**/*.test.ts", "test/**/*.browser.test.ts"],
            exclude: ["test/**/*.node.test.ts"],
            env: flagVariables(),
            setupFiles: ["test/helpers/browserFlags.ts"],
            fileParallelism: false,
            sequence: { groupOrder: 1 },
            browser: {
              enabled: true,
              headless: true,
              screenshotFailures: false,
              commands: browserCommands,
              provider: playwright({ launchOptions: await chromiumLaunch() }),
              instances: [{ browser: "chromium" as const }],
            },
          },
        },
      ],
    },
  };
});

/**
 * Two projects: `node` runs everything but the browser's own tests, `chromium` runs the engine's tests again in a page.
 * Both compute on a real WebGPU implementation; on a machine without a GPU that is SwiftShader (see src/cli/launch.ts).
 */

import { playwright } from "@vitest/browser-playwright";
import { defineConfig } from "vitest/config";
import { planLaunch } from "./src/cli/launch.ts";
import { browserCommands } from "./test/helpers/browserCommands.ts";
import { chromiumLaunch } from "./test/helpers/chromium.ts";
import { aliases, flagVariables, nodeProject, SHARED } from "./test/helpers/nodeProject.ts";
import { startOnce } from "./test/helpers/once.ts";
import { TotalsReporter } from "./test/helpers/totalsReporter.ts";

export default defineConfig(async () => {
  const plan = await planLaunch();
  const once = startOnce();
  // Pages run in Chromium, on SwiftShader whatever Node's adapter is, and some of Node's tests say the same on every adapter:
  // once is enough.
  const adapterFree = [
    "test/web/**",
    "test/examples/**",
    "test/project/viteApp.node.test.ts",
    "test/project/hostBundle.node.test.ts",
    "test/tensor/heap.node.test.ts",
    "test/cli/tune.node.test.ts",
  ];
  const elsewhere = process.env.NAYSAY_ADAPTER === "lavapipe" ? adapterFree : [];
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
          ...nodeProject({ ...plan, env: { ...plan.env, ...once } }, elsewhere, ["test/helpers/build.ts"]),
        },
        {
          extends: true as const,
          resolve: {
            alias: aliases("browser"),
          },
          test: {
            ...SHARED,
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

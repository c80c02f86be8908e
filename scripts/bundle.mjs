/**
 * Bundles dist/ for pages without a bundler: dist/browser/naysay.js (the engine, models, RL, evaluation and the client of
 * a worker) and dist/browser/worker.js (the worker's script), with what both need in a file beside them.
 */

import { writeFileSync } from "node:fs";
import { build } from "vite";

const PAGE = "virtual:naysay-page";

/** @param {string} dist absolute path of the compiled package */
export async function bundle(dist) {
  await build({
    root: dist,
    configFile: false,
    logLevel: "warn",
    plugins: [
      {
        name: "naysay-page",
        resolveId: (id) => (id === PAGE ? id : undefined),
        load: (id) =>
          id === PAGE
            ? `export * from ${JSON.stringify(`${dist}/index.js`)};
               export * from ${JSON.stringify(`${dist}/worker/index.js`)};`
            : undefined,
      },
    ],
    resolve: {
      // package.json's conditional imports stand for the dist/ in place, not for one under another name.
      alias: {
        "#gpu": `${dist}/tensor/gpu.browser.js`,
        "#host": `${dist}/tensor/host.browser.js`,
        "#fs": `${dist}/model/fs.browser.js`,
      },
    },
    build: {
      outDir: `${dist}/browser`,
      target: "es2022",
      minify: true,
      rollupOptions: {
        input: { naysay: PAGE, worker: `${dist}/worker/entry.js` },
        preserveEntrySignatures: "strict",
        output: { format: "es", entryFileNames: "[name].js", chunkFileNames: "engine-[hash].js" },
      },
    },
  });
  const types = ["../index.js", "../worker/index.js"].map((from) => `export * from "${from}";\n`);
  writeFileSync(`${dist}/browser/naysay.d.ts`, types.join(""));
}

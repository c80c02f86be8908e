/** The page: plain static files with relative paths, to be hosted anywhere. The engine goes into a worker of its own. */
import { fileURLToPath } from "node:url";
import { defineConfig, type Plugin } from "vite";

const source = (path: string) => fileURLToPath(new URL(`../src/${path}`, import.meta.url));

/** What the built page may load: its own files and nothing else. The development server needs more, so only there. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "worker-src 'self'",
  "connect-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "base-uri 'none'",
  "form-action 'none'",
].join("; ");

const contentPolicy: Plugin = {
  name: "content-policy",
  apply: "build",
  transformIndexHtml: () => [
    {
      tag: "meta",
      attrs: { "http-equiv": "Content-Security-Policy", content: POLICY },
      injectTo: "head-prepend",
    },
  ],
};

export default defineConfig({
  root: fileURLToPath(new URL(".", import.meta.url)),
  base: "./",
  resolve: {
    alias: {
      "#gpu": source("tensor/gpu.browser.ts"),
      "#host": source("tensor/host.browser.ts"),
      "#fs": source("model/fs.browser.ts"),
    },
  },
  plugins: [contentPolicy],
  worker: { format: "es" },
  build: { target: "es2022", outDir: "dist", emptyOutDir: true, chunkSizeWarningLimit: 1000 },
  // The shipped base lies beside web/.
  server: { fs: { allow: [fileURLToPath(new URL("..", import.meta.url))] } },
});

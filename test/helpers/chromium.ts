/** Headless Chromium with WebGPU: the development dependency's, on SwiftShader; elsewhere the installed Chrome. */

import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";
import type { LaunchOptions } from "playwright-core";
import { softwareChromium } from "../../src/cli/software.ts";

/** Arguments that keep a browser to itself; WebGPU is not among them. */
export const QUIET = [
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  // Pages under test are not in front: without these Chromium slows their timers down.
  "--disable-background-timer-throttling",
  "--disable-renderer-backgrounding",
  "--disable-backgrounding-occluded-windows",
];

/** What Playwright launches. */
export async function chromiumLaunch(): Promise<LaunchOptions> {
  const webgpu = ["--enable-unsafe-webgpu", "--enable-webgpu-developer-features"];
  const found = await softwareChromium();
  if (!found) return { channel: "chrome", args: [...QUIET, ...webgpu] };
  return {
    executablePath: found.executable,
    env: { ...(process.env as Record<string, string>), ...found.env },
    args: ["--no-sandbox", "--use-webgpu-adapter=swiftshader", ...QUIET, ...webgpu],
  };
}

const TYPES: Record<string, string> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".json": "application/json",
  ".svg": "image/svg+xml",
};

/** Serves a folder's files on localhost, which is a secure context; `close` ends it. */
export async function serveFolder(folder: string): Promise<{ url: string; close(): Promise<void> }> {
  const server: Server = createServer((request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url ?? "/", "http://localhost").pathname));
    try {
      const file = join(folder, path.endsWith("/") ? `${path}index.html` : path);
      const body = readFileSync(file);
      const type = TYPES[extname(file)] ?? "application/octet-stream";
      response.writeHead(200, { "content-type": type }).end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://localhost:${port}/`,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

/** Headless Chromium with WebGPU: the development dependency's, on SwiftShader; elsewhere the installed Chrome. */
import type { LaunchOptions } from "playwright-core";
import { softwareChromium } from "../../src/cli/software.ts";

const QUIET = [
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
const WEBGPU = ["--enable-unsafe-webgpu", "--enable-webgpu-developer-features"];

/** What Playwright needs to launch it. */
export async function chromiumOptions(): Promise<LaunchOptions> {
  const found = await softwareChromium();
  if (!found) return { channel: "chrome", args: [...QUIET, ...WEBGPU] };
  return {
    executablePath: found.executable,
    env: { ...(process.env as Record<string, string>), ...found.env },
    args: ["--no-sandbox", "--use-webgpu-adapter=swiftshader", ...QUIET, ...WEBGPU],
  };
}

/**
 * `#gpu` in Node: Dawn, from the npm package `webgpu`.
 *
 * The package is an optional peer: a web app that depends on naysay must not download Dawn's binaries. Where it is
 * missing, `requestGpu` below says so and names the command that adds it.
 */

import { DeviceError } from "./errors.ts";
import { pollGently } from "./pollGently.node.ts";
import { vulkanRemedy } from "./remedy.node.ts";

export { BufferUsage, MapMode, ShaderStage } from "./gpuConstants.ts";

/** Where this build runs. */
export const platform: "node" | "browser" | "deno" = "node";

/**
 * What `create()` returned, by toggles, for the life of the process: once such an object is collected, Node crashes.
 * Never put one on `navigator`.
 */
const created = new Map<string, GPU>();

/**
 * Dawn's GPU entry point, created once per set of toggles. Throws `DeviceError` where the package `webgpu` is missing
 * or has no binary for this platform.
 */
export async function requestGpu(toggles: readonly string[] = []): Promise<GPU> {
  const key = [...toggles].sort().join(",");
  const known = created.get(key);
  if (known) return known;
  let create: (options: string[]) => GPU;
  try {
    ({ create } = await import("webgpu"));
  } catch (cause) {
    throw missingPackage(cause);
  }
  pollGently();
  // Two first calls at once must still share one object.
  const gpu = created.get(key) ?? create(key === "" ? [] : [`enable-dawn-features=${key}`]);
  created.set(key, gpu);
  return gpu;
}

/** What to install or set on this machine where there is no adapter. */
export async function noAdapterRemedy(): Promise<string> {
  return vulkanRemedy();
}

function missingPackage(cause: unknown): DeviceError {
  const { code, message } = cause as { code?: string; message?: string };
  if (code === "ERR_MODULE_NOT_FOUND" && message?.includes("'webgpu'")) {
    return new DeviceError(
      "device: expected the package webgpu (Dawn for Node), got none. Run `npm install webgpu@0.6`.",
      { cause },
    );
  }
  return new DeviceError(
    `device: expected the package webgpu to load on ${process.platform}-${process.arch}, got "${message}". ` +
      "It has binaries for macOS, Linux (x64, arm64; glibc 2.34 and libstdc++ 12 or newer) and Windows; " +
      "webgpu@0.6.2 needs the oldest libraries.",
    { cause },
  );
}

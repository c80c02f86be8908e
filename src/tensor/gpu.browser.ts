/** `#gpu` in browsers (and wherever `navigator.gpu` exists): the platform's own WebGPU. */

import { DeviceError } from "./errors.ts";

export { BufferUsage, MapMode, ShaderStage } from "./gpuConstants.ts";

/** Where this build runs. */
export const platform: "node" | "browser" | "deno" = "browser";

/** The GPU entry point. `toggles` are Node's and ignored here. Throws `DeviceError` where the page has no WebGPU. */
export async function requestGpu(_toggles: readonly string[] = []): Promise<GPU> {
  const gpu = globalThis.navigator?.gpu;
  if (!gpu) throw new DeviceError(`device: expected WebGPU, got a page without navigator.gpu. ${remedy()}`);
  return gpu;
}

/** What a visitor can do where there is no adapter. */
export async function noAdapterRemedy(): Promise<string> {
  return remedy();
}

function remedy(): string {
  if (globalThis.isSecureContext === false) {
    return "WebGPU needs a secure context: serve the page over https, or from localhost.";
  }
  return (
    "Use Chrome or Edge 113 or newer, Safari 26 or newer or Firefox 141 or newer, with hardware acceleration on; " +
    "on Linux, Chrome may need --enable-unsafe-webgpu --enable-features=Vulkan. See chrome://gpu."
  );
}

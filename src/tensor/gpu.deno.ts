/** `#gpu` in Deno: its own WebGPU (wgpu), which Deno 2 has behind a flag. Dawn is not loaded, installed or not. */

import { DeviceError } from "./errors.ts";
import { vulkanRemedy } from "./remedy.node.ts";

export { BufferUsage, MapMode, ShaderStage } from "./gpuConstants.ts";

/** Where this build runs. */
export const platform: "node" | "browser" | "deno" = "deno";

/** The GPU entry point. `toggles` are Dawn's and ignored here. Throws `DeviceError` where Deno was started without WebGPU. */
export async function requestGpu(_toggles: readonly string[] = []): Promise<GPU> {
  const gpu = globalThis.navigator?.gpu;
  if (gpu) return gpu;
  throw new DeviceError(
    "device: expected WebGPU, got a Deno without navigator.gpu. Start it with `deno run --unstable-webgpu`.",
  );
}

/** What to install or set on this machine where there is no adapter. */
export async function noAdapterRemedy(): Promise<string> {
  return vulkanRemedy();
}

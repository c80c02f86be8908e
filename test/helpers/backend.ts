/** The backend that tests run on: one place to choose it, and the errors to expect of it. */
import { type InitOptions, init } from "../../src/tensor/init.ts";
import type { WebGpuBackend } from "../../src/tensor/webgpu.ts";

export interface TestBackend {
  kind: "reference" | "webgpu";
  /** The tolerance to use: `f64` where arithmetic is float64, else `f32`. */
  tolerance(f64: number, f32: number): number;
}

/** Makes the reference interpreter current, in float64. */
export async function useReference(): Promise<TestBackend> {
  await init({ device: "reference" });
  return { kind: "reference", tolerance: (f64) => f64 };
}

/** Makes a WebGPU device current; call it in `beforeAll`. */
export async function useBackend(
  options: InitOptions & { device?: "webgpu" } = {},
): Promise<TestBackend & { backend: WebGpuBackend }> {
  const backend = await init(options);
  return { kind: "webgpu", tolerance: (_f64, f32) => f32, backend };
}

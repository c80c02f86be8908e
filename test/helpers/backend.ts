/** The backend that tests run on: one place to choose it, and the errors to expect of it. */
import { init } from "../../src/tensor/init.ts";

export interface TestBackend {
  kind: "reference" | "webgpu";
  /** The tolerance to use: `f64` where arithmetic is float64, else `f32`. */
  tolerance(f64: number, f32: number): number;
}

/** Makes a backend current; call it in `beforeAll`. */
export async function useBackend(kind: "reference" | "webgpu" = "webgpu"): Promise<TestBackend> {
  await (kind === "reference" ? init({ device: "reference" }) : init());
  return { kind, tolerance: (f64, f32) => (kind === "reference" ? f64 : f32) };
}

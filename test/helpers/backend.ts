/** The backend that tests run on: one place to choose it, and the errors to expect of it. */
import { setBackend } from "../../src/tensor/backend.ts";
import { ReferenceBackend } from "../../src/tensor/reference.ts";

export interface TestBackend {
  kind: "reference" | "webgpu";
  /** The tolerance to use: `f64` where arithmetic is float64, else `f32`. */
  tolerance(f64: number, f32: number): number;
}

/** Makes the backend current; call it in `beforeAll`. */
export async function useBackend(): Promise<TestBackend> {
  setBackend(new ReferenceBackend());
  return { kind: "reference", tolerance: (f64) => f64 };
}

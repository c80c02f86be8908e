/** Choosing the device that tensors live on. */
import { type Backend, setBackend } from "./backend.ts";
import { eagerRunner } from "./compile.ts";
import { type DeviceOptions, requestDevice } from "./device.ts";
import { flags } from "./flags.ts";
import { Profiler } from "./profiler.ts";
import { ReferenceBackend } from "./reference.ts";
import { reportAtEnd } from "./report.ts";
import { setEagerRunner } from "./trace.ts";
import { loadTuning, type TuningOption } from "./tuning.ts";
import { WebGpuBackend, type WebGpuOptions } from "./webgpu.ts";

export interface InitOptions extends DeviceOptions, WebGpuOptions {
  /** "webgpu" (default), or "reference": plain JavaScript in float64, an oracle and never a silent fallback. */
  device?: "webgpu" | "reference";
  /** Measured choices of kernels: those stored for the adapter (default), none, or a table. They change no bit. */
  tuning?: TuningOption;
}

/**
 * Makes a device current and returns its backend. Throws `DeviceError` with this platform's remedy where there is no
 * adapter.
 */
export async function init(options: InitOptions & { device: "reference" }): Promise<ReferenceBackend>;
export async function init(options?: InitOptions): Promise<WebGpuBackend>;
export async function init(options: InitOptions = {}): Promise<Backend> {
  setEagerRunner(eagerRunner);
  if (options.device === "reference") {
    const reference = new ReferenceBackend();
    setBackend(reference);
    return reference;
  }
  const device = await requestDevice(options);
  const backend = new WebGpuBackend(device, options);
  backend.tuning = await loadTuning(device, options.tuning ?? flags().tuning);
  const timed = options.timestamps ?? (flags().profile !== null || flags().debug >= 2);
  if (timed && device.features.has("timestamp-query")) {
    backend.profiler = new Profiler(device, { keepTimes: flags().profile !== null });
  }
  reportAtEnd(device.describe(), backend.profiler);
  setBackend(backend);
  return backend;
}

/** Choosing the device that tensors live on. */
import { type Backend, setBackend } from "./backend.ts";
import { eagerRunner } from "./compile.ts";
import { parseDeterminism } from "./determinism.ts";
import { type DeviceOptions, requestDevice } from "./device.ts";
import { ConfigError } from "./errors.ts";
import { checkPasses, flags } from "./flags.ts";
import { Profiler } from "./profiler.ts";
import { ReferenceBackend } from "./reference.ts";
import { reportAtEnd } from "./report.ts";
import { didYouMean, requireKnown } from "./suggest.ts";
import { setEagerRunner } from "./trace.ts";
import { loadTuning, type TuningOption } from "./tuning.ts";
import { show } from "./validate.ts";
import { WebGpuBackend, type WebGpuOptions } from "./webgpu.ts";

export interface InitOptions extends DeviceOptions, WebGpuOptions {
  /** "webgpu" (default), or "reference": plain JavaScript in float64, an oracle and never a silent fallback. */
  device?: "webgpu" | "reference";
  /**
   * Measured choices of kernels: those stored for the adapter (default), none, or a table. They change no bit, unless
   * `determinism` is "fast".
   */
  tuning?: TuningOption;
}

/** Every key, and nothing else: tsc holds the two together. */
const OPTIONS: Readonly<Record<keyof InitOptions, true>> = {
  device: true,
  tuning: true,
  tier: true,
  determinism: true,
  powerPreference: true,
  label: true,
  toggles: true,
  timestamps: true,
  memoryBudget: true,
  maxGroups: true,
  submitFlops: true,
  guardWords: true,
  spareBytes: true,
  passesOff: true,
  lanes: true,
};

/**
 * Makes a device current and returns its backend. Throws `DeviceError` with this platform's remedy where there is no
 * adapter, `ConfigError` for an option that it does not know.
 */
export async function init(options: InitOptions & { device: "reference" }): Promise<ReferenceBackend>;
export async function init(options?: InitOptions): Promise<WebGpuBackend>;
export async function init(options: InitOptions = {}): Promise<Backend> {
  requireKnown("init", options, Object.keys(OPTIONS));
  if (options.device !== undefined && options.device !== "webgpu" && options.device !== "reference") {
    throw new ConfigError(
      `init: device: "webgpu" or "reference" expected, got ${show(options.device)}. Leave it out for a GPU.`,
    );
  }
  if (options.determinism !== undefined) parseDeterminism(options.determinism, "init: determinism");
  if (options.passesOff !== undefined) checkPasses("init: passesOff", options.passesOff);
  const { tuning } = options;
  if (typeof tuning === "string" && tuning !== "auto" && tuning !== "off") {
    throw new ConfigError(
      `init: tuning: "auto", "off" or a table expected, got ${show(tuning)}. ${didYouMean(tuning, ["auto", "off"])}`,
    );
  }
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

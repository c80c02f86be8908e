/**
 * A WebGPU device with a named tier and errors that arrive as rejected promises. WebGPU reports failures beside the
 * calls that caused them (`uncapturederror`, `device.lost`): `guard` brings them back to the caller's next await.
 */

/// <reference types="@webgpu/types" preserve="true" />

import { noAdapterRemedy, platform, requestGpu } from "#gpu";
import { type Determinism, parseDeterminism } from "./determinism.ts";
import { DeviceError, DeviceLostError, NaysayError, ShaderError } from "./errors.ts";
import { flags } from "./flags.ts";
import {
  type AdapterFacts,
  bestTier,
  hasImmediates,
  MATRIX_TOGGLE,
  type MatrixConfig,
  type MatrixSizes,
  matrixConfig,
  parseTier,
  TIERS,
  type Tier,
  tierAtLeast,
  tierGaps,
  tierRequest,
} from "./tiers.ts";

/** What to ask of `requestDevice`. */
export interface DeviceOptions {
  /**
   * Use exactly this tier. Default: the flag NAYSAY_TIER, else the highest that the adapter reaches, but for T4, whose
   * results have other bits (products round their operands to f16).
   */
  tier?: Tier;
  /** What may be traded for speed. Default: the flag NAYSAY_DETERMINISM, else "repeatable". */
  determinism?: Determinism;
  /** Default "high-performance". */
  powerPreference?: GPUPowerPreference;
  /** Label of the GPUDevice, named in errors. Default "naysay". */
  label?: string;
  /** Dawn toggles (Node only). Default: the flag NAYSAY_TOGGLES. */
  toggles?: readonly string[];
  /** Ask for `timestamp-query` where the adapter has it. Default: where PROFILE is set or DEBUG is 2 or more. */
  timestamps?: boolean;
}

/** Who computes, as recorded in results. Strings are empty where a browser keeps them to itself. */
export interface AdapterInfo {
  vendor: string;
  architecture: string;
  description: string;
  /** "vulkan", "metal", "d3d12" in Node, where the platform tells; "browser" in a browser. */
  backend: string;
  /** Name and version of the driver, as far as the description tells. */
  driver: string;
  tier: Tier;
  determinism: Determinism;
  /** True for an adapter that computes on the CPU (SwiftShader, lavapipe, WARP). */
  software: boolean;
}

/** An adapter, and all that is to be known about it before a device is made. */
export interface AdapterReport {
  adapter: GPUAdapter;
  facts: AdapterFacts;
  info: AdapterInfo;
  /** What keeps the adapter out of each tier, `null` where nothing does. */
  gaps: Record<Tier, string | null>;
}

/** The tier that is asked for by name, or null. */
function namedTier(options: DeviceOptions): Tier | null {
  return options.tier === undefined ? flags().tier : parseTier(options.tier);
}

/**
 * Finds an adapter and its highest tier. Throws `ConfigError` for an unknown level of determinism, `DeviceError` with this
 * platform's remedy where there is no adapter. What T4 needs is seen only where T4 is named: Dawn hides it behind a toggle that
 * also lets unsafe things through.
 */
export async function requestAdapter(options: DeviceOptions = {}): Promise<AdapterReport> {
  const determinism =
    options.determinism === undefined ? flags().determinism : parseDeterminism(options.determinism);
  const toggles = options.toggles ?? flags().toggles;
  const unsafe = namedTier(options) === "T4" && !toggles.includes(MATRIX_TOGGLE);
  const gpu = await requestGpu(unsafe ? [...toggles, MATRIX_TOGGLE] : toggles);
  // Never `forceFallbackAdapter`: Dawn answers null to it even where a software adapter is all there is.
  const adapter = await gpu.requestAdapter({
    powerPreference: options.powerPreference ?? "high-performance",
  });
  if (!adapter) throw new DeviceError(`device: expected a GPU adapter, got none. ${await noAdapterRemedy()}`);
  const limits: Record<string, number> = {};
  // Limits are getters on a prototype: neither spread nor Object.keys sees them.
  for (const name in adapter.limits) {
    const value = (adapter.limits as unknown as Record<string, unknown>)[name];
    if (typeof value === "number") limits[name] = value;
  }
  const facts: AdapterFacts = {
    limits,
    features: new Set(adapter.features),
    language: new Set(gpu.wgslLanguageFeatures ?? []),
    subgroups: subgroupSizes(adapter.info),
    matrices: matrixSizes(adapter.info),
  };
  const info = adapterInfo(adapter.info, bestTier(facts), determinism);
  return { adapter, facts, info, gaps: tierGaps(facts) };
}

/**
 * A device of the wanted tier. Throws `ConfigError` for an unknown tier or level of determinism, `DeviceError` where there is no adapter, where
 * the adapter does not reach the tier, or where the platform refuses the device.
 */
export async function requestDevice(options: DeviceOptions = {}): Promise<Device> {
  const forced = namedTier(options);
  const report = await requestAdapter(options);
  const tier = forced ?? report.info.tier;
  const gap = report.gaps[tier];
  if (gap !== null) {
    throw new DeviceError(
      `device: expected tier ${tier}, got an adapter of ${report.info.tier} (${report.info.description || report.info.vendor}): ${gap}. ` +
        `Ask for ${TIERS.filter((t) => report.gaps[t] === null).join(", ")}, or leave the tier out.`,
    );
  }
  const label = options.label ?? "naysay";
  const timestamps = options.timestamps ?? (flags().profile !== null || flags().debug >= 2);
  let gpu: GPUDevice;
  try {
    gpu = await report.adapter.requestDevice({ label, ...tierRequest(tier, report.facts, timestamps) });
  } catch (cause) {
    const { message } = cause as Error;
    throw new DeviceError(`device: expected a device of tier ${tier}, got "${message}". Try tier T0.`, {
      cause,
    });
  }
  gpu.label = label;
  const matrix = tierAtLeast(tier, "T4") ? (matrixConfig(report.facts) as MatrixConfig) : null;
  const device = new Device(gpu, { ...report.info, tier }, hasImmediates(tier, report.facts), matrix);
  if (flags().debug >= 1) console.error(`device: ${device.describe()}`);
  return device;
}

/** A GPU device, its tier, and its first failure. Made by `requestDevice`. */
export class Device {
  readonly gpu: GPUDevice;
  readonly queue: GPUQueue;
  readonly label: string;
  readonly tier: Tier;
  readonly limits: GPUSupportedLimits;
  readonly features: ReadonlySet<string>;
  readonly info: AdapterInfo;
  /** Lanes in a subgroup: at least and at most; 0 below T2. Never assume a size: 4, 8, 16, 32, 64 and 128 exist. */
  readonly subgroupMinSize: number;
  readonly subgroupMaxSize: number;
  /** True where kernels may use `var<immediate>` (64 bytes). */
  readonly immediates: boolean;
  /** The subgroup matrices that products use; null below T4. */
  readonly matrix: MatrixConfig | null;
  #failure: Error | null = null;
  #destroyed = false;
  readonly #listeners = new Set<(error: Error) => void>();

  constructor(gpu: GPUDevice, info: AdapterInfo, immediates: boolean, matrix: MatrixConfig | null = null) {
    this.gpu = gpu;
    this.queue = gpu.queue;
    this.label = gpu.label;
    this.tier = info.tier;
    this.limits = gpu.limits;
    this.features = gpu.features;
    this.info = info;
    const subgroups = tierAtLeast(info.tier, "T2");
    this.subgroupMinSize = subgroups ? (gpu.adapterInfo.subgroupMinSize ?? 4) : 0;
    this.subgroupMaxSize = subgroups ? (gpu.adapterInfo.subgroupMaxSize ?? 128) : 0;
    this.immediates = immediates;
    this.matrix = matrix;
    gpu.addEventListener("uncapturederror", (event) => {
      event.preventDefault();
      this.#fail(gpuError(event.error, this.label));
    });
    void gpu.lost.then((lost) => this.#fail(lostError(lost, this.label)));
  }

  /** The first failure that has been seen, or `null`. It stays: what a failed submission left in buffers is unknown. */
  get failure(): Error | null {
    return this.#failure;
  }

  /** Calls `listener` at the first failure (at once if it has happened). Returns a function that takes it off. */
  onFailure(listener: (error: Error) => void): () => void {
    if (this.#failure) listener(this.#failure);
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Awaits `promise`, but rejects as soon as the device fails, and even where the promise itself was kept. Rejects with
   * `DeviceLostError`, `ShaderError` or `DeviceError`; naysay's own errors pass through unchanged.
   */
  guard<T>(promise: Promise<T>): Promise<T> {
    // By hand and not Promise.race: a race against a promise that never settles keeps every result alive.
    return new Promise<T>((resolve, reject) => {
      if (this.#failure) {
        promise.catch(() => {});
        reject(this.#failure);
        return;
      }
      const off = this.onFailure(reject);
      promise.then(
        (value) => {
          off();
          if (this.#failure) reject(this.#failure);
          else resolve(value);
        },
        (error) => {
          if (error instanceof NaysayError) {
            off();
            reject(error);
            return;
          }
          // A map that a lost device aborted may reject just before `lost` resolves: the loss is the better answer.
          setTimeout(() => {
            off();
            reject(gpuError(error, this.label));
          }, LOSS_GRACE_MS);
        },
      );
    });
  }

  /**
   * Forgets and returns an uncaptured error, for a caller that has dealt with it (a test, a fallback to another kernel).
   * The loss of the device is returned and stays.
   */
  takeFailure(): Error | null {
    const failure = this.#failure;
    if (!(failure instanceof DeviceLostError)) this.#failure = null;
    return failure;
  }

  /** Releases the device and all its buffers. Later guards reject with `DeviceLostError`. */
  destroy(): void {
    this.#destroyed = true;
    this.gpu.destroy();
  }

  /** One line: who computes, at which tier; and the level of determinism where it is not the default. */
  describe(): string {
    const { description, vendor, backend, tier, determinism, software } = this.info;
    const more = `${software ? ", software" : ""}${determinism === "fast" ? ", fast" : ""}`;
    return `${description || vendor || "unnamed adapter"}, ${backend}, tier ${tier}${more}`;
  }

  #fail(error: Error): void {
    if (flags().debug >= 1 && !this.#destroyed) console.error(`${error.name}: ${error.message}`);
    const replaces = this.#failure === null || error instanceof DeviceLostError;
    if (!replaces) return;
    this.#failure = error;
    const listeners = [...this.#listeners];
    for (const listener of listeners) listener(error);
  }
}

/** How long a rejected promise waits for the news that the device was lost, ms. */
const LOSS_GRACE_MS = 20;

function lostError(lost: GPUDeviceLostInfo, label: string): DeviceLostError {
  const how = lost.reason === "destroyed" ? "was destroyed" : "was lost";
  const detail = lost.message ? ` (${lost.message.trim()})` : "";
  return new DeviceLostError(
    `device: "${label}" ${how}${detail}. Request a fresh device and continue from the last checkpoint.`,
  );
}

/** A named error for what WebGPU reported. Its classes are told by name: Node has no globals for them. */
function gpuError(error: unknown, label: string): Error {
  const { message = String(error) } = error as Error;
  const kind = (error as object | null)?.constructor?.name ?? "";
  const said = message.trim();
  if (kind === "GPUOutOfMemoryError") {
    return new DeviceError(`device: "${label}" is out of memory: ${said}. Use smaller micro-batches.`, {
      cause: error,
    });
  }
  if (kind === "GPUPipelineError" || /ShaderModule|ComputePipeline|WGSL|\bTint\b|parsing/i.test(said)) {
    return new ShaderError(`device: "${label}" refused a kernel: ${said}`, { cause: error });
  }
  return new DeviceError(`device: "${label}" reported: ${said}`, { cause: error });
}

function adapterInfo(info: GPUAdapterInfo, tier: Tier, determinism: Determinism): AdapterInfo {
  const description = info.description || info.device || "";
  const words = `${info.vendor} ${info.architecture} ${description}`.toLowerCase();
  return {
    vendor: info.vendor,
    architecture: info.architecture,
    description,
    backend: backendName(info, words),
    driver: description.match(/(\w+ driver|mesa|nvidia|radv|anv)[ :]+v?\d\S*/i)?.[0] ?? description,
    tier,
    determinism,
    software: info.isFallbackAdapter || /swiftshader|llvmpipe|software|basic render|warp/.test(words),
  };
}

function subgroupSizes(info: GPUAdapterInfo): readonly [number, number] | null {
  const { subgroupMinSize: least, subgroupMaxSize: most } = info;
  return least && most ? [least, most] : null;
}

/** What Dawn lists as `subgroupMatrixConfigs`, by its names. */
interface DawnMatrix {
  readonly M: number;
  readonly N: number;
  readonly K: number;
  readonly componentType: string;
  readonly resultComponentType: string;
}

function matrixSizes(info: GPUAdapterInfo): MatrixSizes[] {
  const { subgroupMatrixConfigs: listed } = info as { subgroupMatrixConfigs?: Iterable<DawnMatrix> };
  return [...(listed ?? [])]
    .filter((c) => c.componentType === "f16" && c.resultComponentType === "f32")
    .map(({ M: m, N: n, K: k }) => ({ m, n, k }));
}

function backendName(info: GPUAdapterInfo, words: string): string {
  const told = (info as { backend?: unknown }).backend;
  if (typeof told === "string" && told !== "") return told.toLowerCase();
  if (platform === "browser") return "browser";
  if (/swiftshader|llvmpipe|mesa/.test(words)) return "vulkan";
  const system = (globalThis as { process?: { platform?: string } }).process?.platform;
  return system === "darwin" ? "metal" : system === "win32" ? "d3d12" : "vulkan";
}

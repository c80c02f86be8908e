/**
 * Capability tiers: five named sets of limits and features, so that a kernel (and the order of its sums) depends on
 * a name and never on an adapter's raw limits. Browsers bucket limits and Node does not: the numbers that shape a
 * kernel are therefore fixed per tier, and only capacities (the size of buffers) follow the adapter.
 *
 * T0 core limits · T1 raised limits, and immediates where the language has them · T2 subgroups of any size · T3 f16 ·
 * T4 subgroup matrices, which round the operands of products to f16: taken only where it is named. There the sizes of
 * the adapter's matrices, which no two makers share, shape the kernels of products too.
 */
/// <reference types="@webgpu/types" preserve="true" />

import { ConfigError } from "./errors.ts";
import { didYouMean } from "./suggest.ts";

/** Name of a capability tier; each holds all that the tiers below it hold. */
export type Tier = "T0" | "T1" | "T2" | "T3" | "T4";

/** All tiers, lowest first. */
export const TIERS: readonly Tier[] = ["T0", "T1", "T2", "T3", "T4"];

/** The tiers that no adapter is given unless they are named: their results have other bits than T0's. */
export const NAMED_ONLY: readonly Tier[] = ["T4"];

/** Limits that WebGPU guarantees everywhere, and that T0 is held to. Sizes in bytes. */
export const CORE_LIMITS = {
  maxStorageBuffersPerShaderStage: 8,
  maxComputeInvocationsPerWorkgroup: 256,
  maxComputeWorkgroupSizeX: 256,
  maxComputeWorkgroupStorageSize: 16384,
  maxComputeWorkgroupsPerDimension: 65535,
  maxStorageBufferBindingSize: 134217728,
  maxBufferSize: 268435456,
} as const;

/** What T1 asks for beyond the core. 10 buffers and 32 KiB are what browsers' buckets give on common hardware. */
export const RAISED_LIMITS = {
  maxStorageBuffersPerShaderStage: 10,
  maxComputeWorkgroupStorageSize: 32768,
} as const;

/** Bytes of immediate data (`var<immediate>`) that are asked for from T1 on, where the language has them. */
const IMMEDIATE_BYTES = 64;

/** WebGPU's name for subgroup matrices, as Dawn has them; no standard yet. */
const MATRIX_FEATURE = "chromium-experimental-subgroup-matrix";

/** Language features that kernels with matrices use: which subgroup a thread is in, and that it is one for all its lanes. */
const MATRIX_LANGUAGE = ["subgroup_id", "subgroup_uniformity"];

/** Dawn's toggle without which it does not list the feature. */
export const MATRIX_TOGGLE = "allow_unsafe_apis";

/** Sizes of a subgroup matrix product a[m, k] @ b[k, n]. */
export interface MatrixSizes {
  readonly m: number;
  readonly n: number;
  readonly k: number;
}

/** Matrix products of f16 operands and f32 results, computed by subgroups of `lanes`. */
export interface MatrixConfig extends MatrixSizes {
  readonly lanes: number;
}

/** What an adapter offers, as plain data. */
export interface AdapterFacts {
  limits: Readonly<Record<string, number>>;
  features: ReadonlySet<string>;
  /** `navigator.gpu.wgslLanguageFeatures`. */
  language: ReadonlySet<string>;
  /** Lanes in a subgroup, at least and at most; null where the adapter does not tell. */
  subgroups: readonly [number, number] | null;
  /** Its subgroup matrices with f16 operands and f32 results. */
  matrices: readonly MatrixSizes[];
}

/** The subgroup matrices of an adapter that products use: those with the most work each. Or why there are none. */
export function matrixConfig({ subgroups, matrices }: AdapterFacts): MatrixConfig | string {
  if (matrices.length === 0) return "the adapter has no subgroup matrices with f16 operands and f32 results";
  if (subgroups === null) return "the adapter does not tell how many lanes a subgroup has";
  const [lanes, most] = subgroups;
  if (lanes !== most)
    return `subgroups have ${lanes} to ${most} lanes, and matrices need a size that is known`;
  const work = ({ m, n, k }: MatrixSizes): number => m * n * k;
  const { m, n, k } = matrices.reduce((a, b) => (work(b) > work(a) ? b : a));
  return { m, n, k, lanes };
}

/** What keeps an adapter out of each tier; `null` where nothing does. */
export function tierGaps(facts: AdapterFacts): Record<Tier, string | null> {
  const short = Object.entries(RAISED_LIMITS)
    .filter(([name, needed]) => !(facts.limits[name] >= needed))
    .map(([name, needed]) => `${name} is ${facts.limits[name]}, needs ${needed}`);
  const t1 = short.length > 0 ? short.join("; ") : null;
  const t2 = t1 ?? (facts.features.has("subgroups") ? null : 'the adapter has no feature "subgroups"');
  const t3 = t2 ?? (facts.features.has("shader-f16") ? null : 'the adapter has no feature "shader-f16"');
  return { T0: null, T1: t1, T2: t2, T3: t3, T4: t3 ?? matrixGap(facts) };
}

function matrixGap(facts: AdapterFacts): string | null {
  if (!facts.features.has(MATRIX_FEATURE)) {
    return `the adapter has no feature "${MATRIX_FEATURE}" (which Dawn lists only where T4 is asked for by name, and Chromium with --enable-unsafe-webgpu)`;
  }
  const unknown = MATRIX_LANGUAGE.find((name) => !facts.language.has(name));
  if (unknown) return `WGSL has no "${unknown}" here`;
  const config = matrixConfig(facts);
  return typeof config === "string" ? config : null;
}

/** The highest tier that an adapter reaches and is given without being asked for by name: never T4. */
export function bestTier(facts: AdapterFacts): Tier {
  const gaps = tierGaps(facts);
  const given = TIERS.filter((tier) => !NAMED_ONLY.includes(tier));
  return given.reduce((best, tier) => (gaps[tier] === null ? tier : best));
}

/** True where `tier` holds all that `needed` holds. */
export function tierAtLeast(tier: Tier, needed: Tier): boolean {
  return TIERS.indexOf(tier) >= TIERS.indexOf(needed);
}

/** True where a device of `tier` on such an adapter has immediate data. */
export function hasImmediates(tier: Tier, facts: AdapterFacts): boolean {
  return (
    tierAtLeast(tier, "T1") &&
    facts.language.has("immediate_address_space") &&
    facts.limits.maxImmediateSize >= IMMEDIATE_BYTES
  );
}

/** The limits and features to request for `tier`. `profile` adds `timestamp-query` where the adapter has it. */
export function tierRequest(
  tier: Tier,
  facts: AdapterFacts,
  profile: boolean,
): { requiredFeatures: GPUFeatureName[]; requiredLimits: Record<string, number> } {
  const requiredFeatures: GPUFeatureName[] = [];
  const requiredLimits: Record<string, number> = {};
  if (profile && facts.features.has("timestamp-query")) requiredFeatures.push("timestamp-query");
  if (tierAtLeast(tier, "T1")) {
    Object.assign(requiredLimits, RAISED_LIMITS, {
      maxStorageBufferBindingSize: facts.limits.maxStorageBufferBindingSize,
      maxBufferSize: facts.limits.maxBufferSize,
    });
    if (hasImmediates(tier, facts)) requiredLimits.maxImmediateSize = IMMEDIATE_BYTES;
  }
  if (tierAtLeast(tier, "T2")) requiredFeatures.push("subgroups");
  if (tierAtLeast(tier, "T3")) requiredFeatures.push("shader-f16");
  if (tierAtLeast(tier, "T4")) requiredFeatures.push(MATRIX_FEATURE as GPUFeatureName);
  return { requiredFeatures, requiredLimits };
}

/** Reads a tier's name. Throws `ConfigError` for an unknown one. */
export function parseTier(name: string): Tier {
  const tier = TIERS.find((known) => known === name.toUpperCase());
  if (tier === undefined) {
    throw new ConfigError(`tier: expected T0, T1, T2, T3 or T4, got "${name}". ${didYouMean(name, TIERS)}`);
  }
  return tier;
}

/**
 * Capability tiers: four named sets of limits and features, so that a kernel (and the order of its sums) depends on
 * a name and never on an adapter's raw limits. Browsers bucket limits and Node does not: the numbers that shape a
 * kernel are therefore fixed per tier, and only capacities (the size of buffers) follow the adapter.
 *
 * T0 core limits · T1 raised limits, and immediates where the language has them · T2 subgroups of any size · T3 f16.
 */
/// <reference types="@webgpu/types" preserve="true" />

import { ConfigError } from "./errors.ts";
import { didYouMean } from "./suggest.ts";

/** Name of a capability tier; each holds all that the tiers below it hold. */
export type Tier = "T0" | "T1" | "T2" | "T3";

/** All tiers, lowest first. */
export const TIERS: readonly Tier[] = ["T0", "T1", "T2", "T3"];

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

/** What an adapter offers, as plain data. */
export interface AdapterFacts {
  limits: Readonly<Record<string, number>>;
  features: ReadonlySet<string>;
  /** `navigator.gpu.wgslLanguageFeatures`. */
  language: ReadonlySet<string>;
}

/** What keeps an adapter out of each tier; `null` where nothing does. */
export function tierGaps(facts: AdapterFacts): Record<Tier, string | null> {
  const short = Object.entries(RAISED_LIMITS)
    .filter(([name, needed]) => !(facts.limits[name] >= needed))
    .map(([name, needed]) => `${name} is ${facts.limits[name]}, needs ${needed}`);
  const t1 = short.length > 0 ? short.join("; ") : null;
  const t2 = t1 ?? (facts.features.has("subgroups") ? null : 'the adapter has no feature "subgroups"');
  const t3 = t2 ?? (facts.features.has("shader-f16") ? null : 'the adapter has no feature "shader-f16"');
  return { T0: null, T1: t1, T2: t2, T3: t3 };
}

/** The highest tier that an adapter reaches. */
export function bestTier(facts: AdapterFacts): Tier {
  const gaps = tierGaps(facts);
  return TIERS.reduce((best, tier) => (gaps[tier] === null ? tier : best));
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
  return { requiredFeatures, requiredLimits };
}

/** Reads a tier's name. Throws `ConfigError` for an unknown one. */
export function parseTier(name: string): Tier {
  const tier = TIERS.find((known) => known === name.toUpperCase());
  if (tier === undefined) {
    throw new ConfigError(`tier: expected T0, T1, T2 or T3, got "${name}". ${didYouMean(name, TIERS)}`);
  }
  return tier;
}

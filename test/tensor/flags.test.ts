/** The debug flags and the tiers: plain functions. */

import { expect, test } from "vitest";
import { flags, readFlags, setFlags } from "../../src/tensor/flags.ts";
import {
  bestTier,
  hasImmediates,
  matrixConfig,
  parseTier,
  tierAtLeast,
  tierGaps,
  tierRequest,
} from "../../src/tensor/tiers.ts";

const from = (values: Record<string, string>) => readFlags((name) => values[name]);

test("flags have quiet defaults", () => {
  expect(from({})).toEqual({
    debug: 0,
    nan: false,
    profile: null,
    tier: null,
    determinism: "repeatable",
    passesOff: [],
    toggles: [],
    tuning: "auto",
  });
});

test("flags are read", () => {
  const values = {
    DEBUG: "2",
    NAN: "1",
    PROFILE: "t.json",
    NAYSAY_TIER: "t1",
    NAYSAY_DETERMINISM: "fast",
    NAYSAY_PASSES_OFF: "fuse, cse,",
    NAYSAY_TUNING: "off",
  };
  expect(from(values)).toMatchObject({
    debug: 2,
    nan: true,
    profile: "t.json",
    tier: "T1",
    determinism: "fast",
    passesOff: ["fuse", "cse"],
    tuning: "off",
  });
  expect(from({ DEBUG: "vite:*" }).debug).toBe(0);
});

test("a value that a flag does not take is a ConfigError", () => {
  expect(() => from({ NAN: "yes" })).toThrow(/NAN: expected 0 or 1/);
  expect(() => from({ DEBUG: "9" })).toThrow(/DEBUG: a level from 0 to 4 expected, got "9"/);
  expect(() => from({ DEBUG: "-1" })).toThrow(/0 to 4/);
  expect(() => from({ NAYSAY_PASSES_OFF: "cse,fuze" })).toThrow(
    /some of simplify, cse, fuse, inplace, reuse expected, got "fuze"\. Did you mean "fuse"\?/,
  );
  expect(() => from({ NAYSAY_TUNING: "on" })).toThrow(/NAYSAY_TUNING: expected auto or off/);
  expect(() => from({ NAYSAY_DETERMINISM: "quick" })).toThrow(/repeatable or fast expected, got "quick"/);
  expect(() => from({ NAYSAY_DETERMINISM: "strict" })).toThrow(/which is not built yet/);
  expect(() => from({ NAYSAY_TIER: "T7" })).toThrow(expect.objectContaining({ name: "ConfigError" }));
});

test("flags can be overridden", () => {
  const before = flags();
  setFlags({ nan: true });
  expect(flags().nan).toBe(true);
  setFlags(before);
});

const CORE = { maxStorageBuffersPerShaderStage: 8, maxComputeWorkgroupStorageSize: 16384 };
const RAISED = {
  maxStorageBuffersPerShaderStage: 12,
  maxComputeWorkgroupStorageSize: 49152,
  maxImmediateSize: 64,
};
const adapter = (limits: Record<string, number>, features: string[] = [], language: string[] = []) => ({
  limits,
  features: new Set(features),
  language: new Set(language),
  subgroups: null,
  matrices: [],
});

const T4 = {
  ...adapter(
    RAISED,
    ["subgroups", "shader-f16", "chromium-experimental-subgroup-matrix"],
    ["subgroup_id", "subgroup_uniformity"],
  ),
  subgroups: [32, 32] as const,
  matrices: [
    { m: 16, n: 8, k: 8 },
    { m: 16, n: 16, k: 16 },
    { m: 16, n: 8, k: 16 },
  ],
};

test("T4 needs subgroup matrices of f16 and f32, and subgroups of one size", () => {
  expect(tierGaps(T4)).toEqual({ T0: null, T1: null, T2: null, T3: null, T4: null });
  expect(matrixConfig(T4)).toEqual({ m: 16, n: 16, k: 16, lanes: 32 });
  expect(tierRequest("T4", T4, false).requiredFeatures).toEqual([
    "subgroups",
    "shader-f16",
    "chromium-experimental-subgroup-matrix",
  ]);
  const gap = (changes: object): string | null => tierGaps({ ...T4, ...changes }).T4;
  expect(gap({ features: new Set(["subgroups", "shader-f16"]) })).toContain("asked for by name");
  expect(gap({ features: new Set(["subgroups"]) })).toContain('no feature "shader-f16"');
  expect(gap({ subgroups: [4, 128] })).toContain("subgroups have 4 to 128 lanes");
  expect(gap({ subgroups: null })).toContain("does not tell how many lanes");
  expect(gap({ matrices: [] })).toContain("no subgroup matrices with f16 operands and f32 results");
  expect(gap({ language: new Set(["subgroup_id"]) })).toContain('WGSL has no "subgroup_uniformity"');
});

test("the tier of an adapter", () => {
  expect(bestTier(adapter(CORE, ["subgroups", "shader-f16"]))).toBe("T0");
  expect(bestTier(adapter(RAISED, ["shader-f16"]))).toBe("T1");
  expect(bestTier(adapter(RAISED, ["subgroups"]))).toBe("T2");
  expect(bestTier(adapter(RAISED, ["subgroups", "shader-f16"]))).toBe("T3");
  expect(bestTier(T4)).toBe("T3");
  expect(tierGaps(adapter(CORE)).T1).toContain("maxStorageBuffersPerShaderStage is 8, needs 10");
  expect(tierAtLeast("T2", "T1")).toBe(true);
  expect(tierAtLeast("T0", "T1")).toBe(false);
});

test("a tier asks for fixed numbers, whatever the adapter offers", () => {
  const rich = adapter({ ...RAISED, maxBufferSize: 2 ** 31 }, ["subgroups", "shader-f16", "timestamp-query"]);
  expect(tierRequest("T0", rich, false)).toEqual({ requiredFeatures: [], requiredLimits: {} });
  expect(tierRequest("T0", rich, true).requiredFeatures).toEqual(["timestamp-query"]);
  expect(tierRequest("T1", rich, false).requiredLimits).toMatchObject({
    maxStorageBuffersPerShaderStage: 10,
    maxComputeWorkgroupStorageSize: 32768,
    maxBufferSize: 2 ** 31,
  });
  expect(tierRequest("T3", rich, false).requiredFeatures).toEqual(["subgroups", "shader-f16"]);
});

test("immediates need the language feature, the limit and T1", () => {
  const has = adapter(RAISED, [], ["immediate_address_space"]);
  expect(hasImmediates("T1", has)).toBe(true);
  expect(hasImmediates("T0", has)).toBe(false);
  expect(hasImmediates("T1", adapter(RAISED))).toBe(false);
  expect(tierRequest("T1", has, false).requiredLimits.maxImmediateSize).toBe(64);
});

test("tier names are read in either case", () => expect(parseTier("t2")).toBe("T2"));

/**
 * Checks naysay on the adapter at hand, without a test runner: every case of the op table forward and backward beside
 * float64, whole programs, the same bits twice, guard words, and each capability tier beside T0.
 */

import { requestAdapter, requestDevice } from "../tensor/device.ts";
import { ConfigError, DeviceError, DeviceLostError } from "../tensor/errors.ts";
import { flags } from "../tensor/flags.ts";
import { notAnOp } from "../tensor/ops/compositions.ts";
import { parseTier, TIERS, type Tier, tierAtLeast } from "../tensor/tiers.ts";
import { VERSION } from "../tensor/version.ts";
import { WebGpuBackend } from "../tensor/webgpu.ts";
import { adapterFacts } from "./adapterFacts.ts";
import { forwardCall, gradientCall } from "./calls.ts";
import { allCases, gradInputs } from "./cases.ts";
import { type Kept, TierRun, type Unit, type UnitCall } from "./checkTier.ts";
import { WHOLE_PROGRAMS } from "./programs.ts";
import { type CheckReport, type TierReport, totals } from "./report.ts";
import { runtimeName } from "./runtime.ts";
import { Waiting } from "./waiting.ts";

export interface CheckOptions {
  /** Highest tier to check. Default: the flag NAYSAY_TIER, else the highest that the adapter reaches below T4. */
  tier?: Tier;
  /** Seed of the inputs, 32 bits. Default 1: two reports differ by their adapters alone. */
  seed?: number;
  /** Names of ops and whole programs to check. Default: all. */
  ops?: readonly string[];
  /** Called after each op and whole program. */
  onProgress?: (progress: CheckProgress) => void;
  /** Ends the check: the promise rejects with the signal's reason. */
  signal?: AbortSignal;
  /** Versions of what lies below, for the report. */
  versions?: Readonly<Record<string, string>>;
  /** How long to wait for an answer of the device, ms. Default 180,000. */
  patienceMs?: number;
  /** Makes the backend of a tier, with guard words: a seam for tests, which break it. */
  backend?: (tier: Tier) => Promise<WebGpuBackend>;
}

export interface CheckProgress {
  tier: Tier;
  /** The op or whole program that was checked. */
  name: string;
  /** Of all tiers. */
  done: number;
  total: number;
  /** Findings so far. */
  failures: number;
}

/** A driver may take a minute over a large kernel; one that takes three hangs. */
const PATIENCE_MS = 180_000;

/**
 * Runs the check on devices of its own; the current backend stays as it is. Findings, an early loss of the device among
 * them, are in the report. Throws `ConfigError` for unknown names and a seed out of range, `DeviceError` where there is
 * no adapter or it does not reach the tier.
 */
export async function runCheck(options: CheckOptions = {}): Promise<CheckReport> {
  const begun = performance.now();
  const { seed = 1, ops: only, signal, onProgress } = options;
  if (!(Number.isInteger(seed) && seed >= 0 && seed <= 0xffffffff))
    throw new ConfigError(`check: seed: an integer in [0, 2^32) expected, got ${seed}. Choose another.`);
  const units = unitsOf(seed, only);
  const found = await requestAdapter({ tier: options.tier });
  const tiers = tiersUpTo(options.tier, found.gaps);
  const waiting = new Waiting(options.patienceMs ?? PATIENCE_MS, signal);
  const makeBackend = options.backend ?? makeTierBackend;
  const kept: Kept = new Map();
  const reports: TierReport[] = [];
  let ended: string | null = null;
  let done = 0;
  for (const tier of tiers) {
    const started = performance.now();
    const report: TierReport = { tier, ops: [], programs: [], fallbacks: [], seconds: 0 };
    reports.push(report);
    let backend: WebGpuBackend | null = null;
    let where = "at its start";
    try {
      backend = await waiting.until(`the start of ${tier}`, makeBackend(tier));
      const run = new TierRun(backend, waiting, kept);
      for await (const { unit, checked } of run.check(units)) {
        where = `after ${unit.name}`;
        (unit.kind === "op" ? report.ops : report.programs).push(checked);
        report.fallbacks = run.fallbacks();
        done++;
        const { failures } = totals(reports, null);
        onProgress?.({ tier, name: unit.name, done, total: units.length * tiers.length, failures });
      }
    } catch (error) {
      if (waiting.aborted) throw signal?.reason;
      if (!isEnd(error)) throw error;
      ended = `${tier}, ${where}: ${error.message}`;
    } finally {
      backend?.destroy();
      report.seconds = (performance.now() - started) / 1000;
    }
    if (ended !== null) break;
  }
  return {
    naysay: VERSION,
    runtime: runtimeName(),
    versions: { ...options.versions },
    ...adapterFacts(found),
    seed,
    only: only ? [...only] : null,
    tiers: reports,
    ended,
    ...totals(reports, ended),
    seconds: (performance.now() - begun) / 1000,
  };
}

/** What a report ends with; anything else is a fault of the check itself. */
function isEnd(error: unknown): error is Error {
  return error instanceof DeviceLostError || error instanceof DeviceError;
}

async function makeTierBackend(tier: Tier): Promise<WebGpuBackend> {
  return new WebGpuBackend(await requestDevice({ tier, label: `naysay.check.${tier}` }), {
    guardWords: true,
  });
}

/** T0 and what lies above it up to `highest`. */
function tiersUpTo(highest: string | undefined, gaps: Readonly<Record<Tier, string | null>>): Tier[] {
  const wanted = highest === undefined ? flags().tier : parseTier(highest);
  const within = TIERS.filter((tier) => gaps[tier] === null);
  if (wanted === null) return within;
  if (gaps[wanted] !== null) {
    throw new DeviceError(
      `check: tier ${wanted} expected, got an adapter of ${within.at(-1)}: ${gaps[wanted]}. Leave the tier out.`,
    );
  }
  return within.filter((tier) => tierAtLeast(wanted, tier));
}

/** Ops in the order of their names, then whole programs. Calls are made once and serve every tier. */
function unitsOf(seed: number, only: readonly string[] | undefined): Unit[] {
  const cases = allCases();
  const opNames = [...new Set(cases.map(({ op }) => op.name))];
  const known = [...opNames, ...WHOLE_PROGRAMS.map(({ name }) => name)];
  for (const name of only ?? []) {
    if (known.includes(name)) continue;
    throw new ConfigError(
      `check: the name of an op or a whole program was expected, got ${notAnOp(name, known)}`,
    );
  }
  const callsOf = (name: string) => async (): Promise<UnitCall[]> => {
    const own = cases.filter(({ op }) => op.name === name);
    const backward = own.filter((c) => gradInputs(c).length > 0);
    return [
      ...own.map((c) => ({ call: forwardCall(c, seed), gradient: false })),
      ...backward.map((c) => ({ call: gradientCall(c, seed), gradient: true })),
    ];
  };
  const units: Unit[] = [
    ...opNames.map((name) => ({ name, kind: "op" as const, calls: once(callsOf(name)) })),
    ...WHOLE_PROGRAMS.map(({ name, call }) => ({
      name,
      kind: "program" as const,
      calls: once(async () => [{ call: await call(seed), gradient: false }]),
    })),
  ];
  return units.filter(({ name }) => only?.includes(name) ?? true);
}

function once<T>(f: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | null = null;
  return () => {
    made ??= f();
    return made;
  };
}

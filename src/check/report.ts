/** What a check found: plain data that survives JSON. */

import type { AdapterFacts } from "./adapterFacts.ts";

/** Checks of one kind. */
export interface Count {
  done: number;
  failed: number;
  /** Largest error over what is accepted, of those that gave numbers; above 1 is a failure. */
  worst: number;
  /** What the first failure says; null where there is none. */
  first: string | null;
}

/** One op, or one whole program, on one tier. */
export interface Checked {
  name: string;
  /** Results beside float64: of the op's calls, or of the program. */
  forward: Count;
  /** Gradients beside float64; none for a whole program. */
  gradients: Count;
  /** Calls done twice: equal in every bit. */
  repeated: Count;
  /** Calls beside the same on T0, as nearly as beside float64; none on T0. */
  besideT0: Count & { equalBits: number };
  /** Calls with a kernel that T0 does not have. */
  ownKernels: number;
  /** Tensors around which guard words were written over. */
  strayWrites: string[];
  /** Errors that WebGPU reported beside the calls. */
  errors: string[];
}

/** A kernel above T0 that the adapter does wrong, and that was replaced by T0's. */
export interface Fallback {
  variant: string;
  why: string;
  /** First call that has it. */
  call: string | null;
  /** Its op or whole program. */
  name: string | null;
}

export interface TierReport {
  tier: string;
  ops: Checked[];
  programs: Checked[];
  fallbacks: Fallback[];
  seconds: number;
}

export interface CheckReport extends AdapterFacts {
  /** Version of naysay. */
  naysay: string;
  /** Node, Deno or the browser, with its version. */
  runtime: string;
  /** Versions of what lies below, as the caller knows them. */
  versions: Record<string, string>;
  seed: number;
  /** The ops and whole programs that were asked for; null: all. */
  only: string[] | null;
  tiers: TierReport[];
  /** Why the check ended before its time (the device was lost, or no longer answers); null where it did not. */
  ended: string | null;
  /** Comparisons that were made. */
  checks: number;
  /** Comparisons that failed, stray writes, errors and fallbacks; and 1 for an early end. */
  failures: number;
  seconds: number;
}

/** Nothing counted yet. */
export function noCount(): Count {
  return { done: 0, failed: 0, worst: 0, first: null };
}

/** Adds one comparison. */
export function count(into: Count, worst: number, complaint: string | null): void {
  into.done++;
  // JSON has no Infinity: what gave no number stands in the complaint.
  if (Number.isFinite(worst)) into.worst = Math.max(into.worst, worst);
  if (complaint === null) return;
  into.failed++;
  into.first ??= complaint;
}

const countsOf = (c: Checked): Count[] => [c.forward, c.gradients, c.repeated, c.besideT0];

/** Findings about one op or whole program. */
export function failuresOf(c: Checked): number {
  return countsOf(c).reduce((n, { failed }) => n + failed, c.strayWrites.length + c.errors.length);
}

/** Comparisons and findings of all tiers. */
export function totals(tiers: readonly TierReport[], ended: string | null) {
  let checks = 0;
  let failures = ended === null ? 0 : 1;
  for (const { ops, programs, fallbacks } of tiers) {
    failures += fallbacks.length;
    for (const c of [...ops, ...programs]) {
      checks += countsOf(c).reduce((n, { done }) => n + done, 0);
      failures += failuresOf(c);
    }
  }
  return { checks, failures };
}

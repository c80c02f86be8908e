/** The plain data of an experiment: `summary.json` and the rows of `metrics.jsonl`. */

export interface AdapterSummary {
  vendor: string;
  description: string;
  backend: string;
  /** Capability tier the run used, `T0` to `T4`. */
  tier: string;
  /** Whether the adapter is a software renderer. */
  software: boolean;
  /** Level of determinism; left out where it is `repeatable`. */
  determinism?: string;
}

/** What of an adapter's facts stands in a run's record, and is part of its identity. */
export function adapterSummary(facts: AdapterSummary): AdapterSummary {
  const { vendor, description, backend, tier, software, determinism } = facts;
  const summary = { vendor, description, backend, tier, software };
  // Runs of the default level have the record that they had before there was another.
  return determinism === undefined || determinism === "repeatable" ? summary : { ...summary, determinism };
}

/** Pass@k by k as text: `{"1": 0.4, "2": 0.5}`. */
export type PassAtK = Record<string, number>;

export interface ArmSummary {
  name: string;
  /** On held-out prompts, in [0, 1]. */
  passAtK: PassAtK;
  /** Low and high end of each Pass@k, in [0, 1]. */
  intervals?: Record<string, [low: number, high: number]>;
  /** Whether Pass@k is exact: computed from the probabilities of all right answers. */
  exact?: boolean;
  /** Of the policy over completion tokens of held-out prompts at temperature 1, nats. */
  entropy: number;
  /** The same at the temperature of the evaluation, where that is not 1. */
  samplingEntropy?: number;
  /** Mean share of a prompt's solution modes that come, right, among the largest k of samples, in [0, 1]. */
  modeCoverage?: number;
  /** Exact Pass@k at further temperatures. */
  also?: { temperature: number; passAtK: PassAtK }[];
  /** Held-out samples on which the verifier itself failed. */
  verifierFailures?: number;
  updates: number;
  rolloutTokens: number;
  trainSeconds: number;
  rolloutSeconds: number;
  /** Drawing and judging the held-out samples. */
  evaluationSeconds?: number;
  weightsSha256: string;
}

/** A policy measured on its way: a line of `evaluations.jsonl`. Lists go by held-out prompt. */
export interface EvaluationRow {
  arm: string;
  /** Rollouts so far; 0 is the base. */
  update: number;
  passAtK: PassAtK;
  entropy: number;
  modeCoverage?: number;
  tallies?: { n: number; c: number }[];
  rightMass?: number[];
}

export interface Summary {
  adapter: AdapterSummary;
  seed: number | string;
  preset: string;
  command: string;
  seconds: number;
  arms: ArmSummary[];
  /** Probability within the intervals, 0.95 unless told. */
  level?: number;
  config?: unknown;
  versions?: Record<string, string>;
}

/** One step of one arm; names as in TRL, more keys may stand beside these. */
export interface MetricsRow {
  arm: string;
  /** Rollouts so far: the x of charts. */
  update: number;
  reward?: number;
  entropy?: number;
  grad_norm?: number | null;
  [key: string]: unknown;
}

/** The plain data of an experiment: `summary.json` and the rows of `metrics.jsonl`. */

export interface AdapterSummary {
  vendor: string;
  description: string;
  backend: string;
  /** Capability tier the run used, `T0` to `T4`. */
  tier: string;
  /** Whether the adapter is a software renderer. */
  software: boolean;
}

/** Pass@k by k as text: `{"1": 0.4, "2": 0.5}`. */
export type PassAtK = Record<string, number>;

export interface ArmSummary {
  name: string;
  /** On held-out prompts, in [0, 1]. */
  passAtK: PassAtK;
  /** Low and high end of each Pass@k, in [0, 1]. */
  intervals?: Record<string, [low: number, high: number]>;
  /** Of the policy over completion tokens of held-out prompts, nats. */
  entropy: number;
  updates: number;
  rolloutTokens: number;
  trainSeconds: number;
  rolloutSeconds: number;
  /** Drawing and judging the held-out samples. */
  evaluationSeconds?: number;
  weightsSha256: string;
}

export interface Summary {
  adapter: AdapterSummary;
  seed: number | string;
  preset: string;
  command: string;
  /** Wall time, all sittings of a run that was stopped and went on together. */
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

/**
 * What a page and its worker say to each other: plain data that structured cloning carries. This file holds types only,
 * so a page that talks to a worker loads none of the engine.
 */

import type { Ceilings } from "../bench/ceilings.ts";
import type { BenchFailure, BenchResult, BenchRow } from "../bench/result.ts";
import type { Chosen } from "../bench/selection.ts";
import type { AdapterFacts } from "../check/adapterFacts.ts";
import type { CheckReport } from "../check/report.ts";
import type { CheckOptions, CheckProgress } from "../check/run.ts";
import type { Measurement } from "../eval/measurement.ts";
import type { AdapterSummary, ArmSummary, MetricsRow, Summary } from "../eval/summary.ts";
import type { ModelConfig } from "../model/config.ts";
import type { TokenizerJson } from "../model/tokenizer.ts";
import type { AlgorithmChanges } from "../rl/algorithms.ts";
import type { ProgressEvent } from "../rl/experimentProgress.ts";
import type { ExperimentChanges, ExperimentConfig } from "../rl/presets.ts";
import type { Split, Verdict } from "../rl/task.ts";
import type { Tier } from "../tensor/tiers.ts";

/** How the worker opens its device. */
export interface WorkerOptions {
  /** Forces a lower capability tier. Default: the adapter's own. */
  tier?: Tier;
  /** Time kernels on the GPU where the adapter has timestamps: for `bench`. Work of other kinds is slower with it. Default false. */
  timestamps?: boolean;
}

/** What the worker says once its device is open. */
export interface WorkerInfo {
  adapter: AdapterSummary;
  /** naysay's version. */
  version: string;
  /**
   * Where runs are kept: `persistent` outlives the page (the origin's private file system, Node's disk), `memory` does
   * not, `custom` are the files that `serve` was given.
   */
  storage: "persistent" | "memory" | "custom";
}

// ------------------------------------------------------------ experiments

/** An experiment to run in the worker; the same fields as `naysay experiment`. */
export interface ExperimentRequest {
  /** Name of a preset: `quick`, `tiny`, `gpu`. */
  preset: string;
  /** Changes to the preset, as in the file of `--config`. */
  changes?: ExperimentChanges;
  seed: number;
  /** Folder of the run in the worker's files. A folder that holds an unfinished run of the same request goes on. Default `runs/<preset>`. */
  out?: string;
  /** Bytes of the base checkpoint. Default: the base is pretrained in the worker. */
  base?: Uint8Array;
  /** Rows of each rollout that come back with pushes and distributions. Default 0. */
  showRows?: number;
  /** Whether to wait before the first step until `resume` or `step`. Default false. */
  paused?: boolean;
  /** What a user would type, for the record. */
  command?: string;
}

/** One completion of a rollout, with what the update did to it. */
export interface ShownRow {
  prompt: string[];
  /** Text of each token of the completion, EOS included: N of them. */
  completion: string[];
  /** Their ids. */
  tokens: number[];
  reward: number;
  /** The verifier's word: `right`, or what is wrong. */
  reason: string;
  /** [N] weight w = A / Z of each token in the loss; 0 where the row took no part. */
  weights: number[];
  /** [N] log-probabilities before the update, nats. */
  logProbs: number[];
  /**
   * [N] push on each drawn token's own logit, minus the loss's gradient there, before the update: w (1 - pi), and
   * w pi (1 - pi) under the form `pi`. Source: arXiv 2506.01347, equations 7 and 8.
   */
  push: number[];
  /** [N, V] probabilities before and after the update, at temperature 1. */
  before: Float32Array;
  after: Float32Array;
}

/** A finished arm: its summary, and what it did on each held-out prompt. */
export interface FinishedArm {
  summary: ArmSummary;
  measurement: Measurement;
}

export type ExperimentEvent =
  /** The request with every default filled in; `vocab` is token text by id. */
  | {
      kind: "started";
      out: string;
      preset: string;
      seed: number;
      config: ExperimentConfig;
      arms: string[];
      vocab: string[];
      command: string;
    }
  /** Steps that an earlier run of the same folder had done. */
  | { kind: "resumedFrom"; rows: MetricsRow[] }
  | { kind: "progress"; progress: ProgressEvent }
  | { kind: "metrics"; row: MetricsRow }
  | { kind: "rollout"; arm: string; step: number; rows: ShownRow[] }
  | { kind: "arm"; arm: FinishedArm }
  | { kind: "paused" }
  | { kind: "resumed" }
  /** The device was lost; the run goes on from its last checkpoint when a fresh one is there. */
  | { kind: "deviceLost"; message: string }
  | { kind: "deviceRestored"; adapter: AdapterSummary };

/** What can be told to a running experiment. */
export type ExperimentControl = "pause" | "resume" | "step";

/** An experiment in the worker's files. */
export interface StoredRun {
  out: string;
  request: Omit<ExperimentRequest, "base" | "paused">;
  /** Finished arms of all. */
  done: number;
  total: number;
  /** Whether the run has its summary. */
  finished: boolean;
}

// ------------------------------------------------------------ one policy

/** A prompt or completion: token ids, or text where the policy has a tokenizer. */
export type TextOrTokens = string | readonly number[];

export interface PolicyRequest {
  /** Bytes of a checkpoint. */
  checkpoint: Uint8Array;
  /** Default: the one in the checkpoint's metadata, where there is one. */
  tokenizer?: TokenizerJson;
  /** Rows that decode together. Default 16. */
  rows?: number;
  /** Rows of a gradient program. Default 8. */
  microBatchRows?: number;
}

export interface PolicyInfo {
  config: ModelConfig;
  /** Number of parameters. */
  parameters: number;
  /** Token text by id; empty without a tokenizer. */
  vocab: string[];
  /** Optimizer updates so far. */
  updates: number;
}

export interface GenerateRequest {
  prompts: readonly TextOrTokens[];
  /** Most tokens of a completion, EOS included. */
  maxCompletionLength: number;
  seed: number;
  /** Samples of each prompt. Default 1. */
  numGenerations?: number;
  /** Default 1; 0 is greedy. */
  temperature?: number;
  topK?: number;
  topP?: number;
  /** Ends a row. Default: the tokenizer's; without a tokenizer none does. */
  eosTokenId?: number;
  /** Another number draws other samples. Default 0. */
  rollout?: number;
  /** Tokens between two events of the stream. Default 1. */
  streamEvery?: number;
}

/** Tokens of one row as they come; after EOS none. The texts of a row add up to the completion's. */
export interface TokensEvent {
  row: number;
  /** Position of the first of them in the completion. */
  from: number;
  tokens: number[];
  text: string;
}

export interface Completion {
  /** Index among the prompts. */
  prompt: number;
  /** EOS included where the row ended with it. */
  tokens: number[];
  text: string;
  /** Nats, under the distribution drawn from. */
  logProbs: number[];
  /** Whether it ended with EOS. */
  finished: boolean;
}

export interface LearnRequest {
  /** What was sampled and how it was judged: 1 right, 0 wrong. Ids, EOS included, or text (then EOS is added). */
  examples: readonly { prompt: TextOrTokens; completion: TextOrTokens; reward: number }[];
  /** By name, as in arms: `nsr`, `psr`, `w-reinforce:0.1`, `grpo`. Default `nsr`. */
  algorithm?: string;
  changes?: AlgorithmChanges;
  learningRate: number;
  /**
   * Samples of each prompt, which stand one after another among the examples: for algorithms that compare them, such as
   * `grpo`, which refuse 1. Default 1.
   */
  numGenerations?: number;
  /** Default 0. */
  weightDecay?: number;
  /** Default 1; null: not clipped. */
  maxGradNorm?: number | null;
}

export interface LearnResult {
  /** Optimizer updates so far. */
  updates: number;
  /** Whether there was anything to learn from. */
  learned: boolean;
  loss: number | null;
  /** Before clipping. */
  gradNorm: number | null;
}

export interface ScoreRequest {
  /** Completions as for `learn`: ids, EOS included, or text (then EOS is added). */
  examples: readonly { prompt: TextOrTokens; completion: TextOrTokens }[];
  /** Default 1. */
  temperature?: number;
}

export interface DistributionRequest {
  /** What comes before the token asked for, prompt and completion so far. */
  context: TextOrTokens;
  /** Default 1. */
  temperature?: number;
}

// ------------------------------------------------------------ tasks

/** A task by name, as in an experiment's configuration. */
export interface TaskRequest {
  name: string;
  config?: Record<string, unknown>;
}

export interface ProblemsRequest {
  task: TaskRequest;
  seed: number;
  /** Default `heldOut`. */
  split?: Split;
  /** Default 1. */
  count?: number;
}

export interface PosedProblem {
  /** Token ids, BOS first. */
  prompt: number[];
  /** The prompt without BOS. */
  text: string;
}

export interface JudgeRequest {
  task: TaskRequest;
  /** Token ids; a completion with its EOS. */
  answers: readonly { prompt: readonly number[]; completion: readonly number[] }[];
}

// ------------------------------------------------------------ the adapter

export type CheckRequest = Pick<CheckOptions, "tier" | "seed" | "ops">;

export interface CheckResult {
  report: CheckReport;
  /** The report to paste into an issue. */
  text: string;
}

export interface BenchRequest {
  /** Workloads (`w1` to `w5`), ops, `ops`, `ceilings`; none: all. */
  words?: readonly string[];
  /** Tiny sizes. Default false. */
  quick?: boolean;
  /** ms for each row. Default 300. */
  time?: number;
  /** Bytes of the quick preset's base, from which w4 starts. */
  base?: Uint8Array;
}

export type BenchEvent =
  | { kind: "adapter"; facts: AdapterFacts; timestamps: boolean }
  | { kind: "ceilings"; ceilings: Ceilings }
  | { kind: "row"; row: BenchRow }
  /** Work that could not be done here; the rest goes on. */
  | { kind: "failure"; failure: BenchFailure };

// ------------------------------------------------------------ the table of calls

/** Every call: its argument, its result and the events on the way. */
export interface Calls {
  open: { args: WorkerOptions; result: WorkerInfo; event: never };
  experiment: { args: ExperimentRequest; result: Summary; event: ExperimentEvent };
  runs: { args: null; result: StoredRun[]; event: never };
  policyOpen: { args: PolicyRequest; result: { policy: number; info: PolicyInfo }; event: never };
  policyInfo: { args: { policy: number }; result: PolicyInfo; event: never };
  policyGenerate: {
    args: { policy: number; request: GenerateRequest };
    result: Completion[];
    event: TokensEvent;
  };
  policyLearn: { args: { policy: number; request: LearnRequest }; result: LearnResult; event: never };
  /** Log-probability of each token of each completion, nats. */
  policyScore: { args: { policy: number; request: ScoreRequest }; result: number[][]; event: never };
  policyDistribution: {
    args: { policy: number; request: DistributionRequest };
    result: Float32Array;
    event: never;
  };
  /** Puts weights, moments and counters back to those of a checkpoint of the same model. */
  policyRestore: { args: { policy: number; checkpoint: Uint8Array }; result: PolicyInfo; event: never };
  policyCheckpoint: { args: { policy: number }; result: Uint8Array; event: never };
  policyClose: { args: { policy: number }; result: null; event: never };
  taskProblems: { args: ProblemsRequest; result: PosedProblem[]; event: never };
  taskJudge: { args: JudgeRequest; result: Verdict[]; event: never };
  bench: { args: BenchRequest; result: BenchResult; event: BenchEvent };
  /** What a benchmark's words may name. */
  benchNames: { args: null; result: Chosen; event: never };
  check: { args: CheckRequest; result: CheckResult; event: CheckProgress };
  readFile: { args: { path: string }; result: Uint8Array; event: never };
  writeFile: { args: { path: string; bytes: Uint8Array }; result: null; event: never };
  listFiles: { args: { path: string }; result: string[]; event: never };
  removeFile: { args: { path: string }; result: null; event: never };
  /** Loses the device on purpose: how recovery is tested. */
  loseDevice: { args: null; result: null; event: never };
}

export type CallName = keyof Calls;

/**
 * Advantages, kept rows and token weights: plain numbers in, plain numbers out, in float64 and a fixed order.
 *
 * The loss is  -sum_it w_it g(rho_it)  with  w_it = A_it mask_it / Z : the normaliser Z is data, so a rollout with any
 * number of kept rows runs the same program.
 */
import { ConfigError } from "../tensor/errors.ts";
import { type AdvantageRule, type Aggregation, type Algorithm, at, regularized } from "./algorithm.ts";

/** Mean and sample standard deviation (n - 1; 0 for one value). */
export function meanAndStd(values: readonly number[]): { mean: number; std: number } {
  let sum = 0;
  for (const value of values) sum += value;
  const mean = sum / values.length;
  let squares = 0;
  for (const value of values) squares += (value - mean) * (value - mean);
  return { mean, std: values.length > 1 ? Math.sqrt(squares / (values.length - 1)) : 0 };
}

const allEqual = (values: readonly number[]): boolean => values.every((v) => v === values[0]);

/** Advantages of one prompt's samples; groups without variance have 0 under a group rule, unless it shifts. `step` from 1. */
export function groupAdvantages(rewards: readonly number[], rule: AdvantageRule, step = 1): number[] {
  switch (rule.kind) {
    case "fixed": {
      const [right, wrong] = [at(rule.right, step), at(rule.wrong, step)];
      return rewards.map((r) => (r > 0 ? right : wrong));
    }
    case "reward":
      return [...rewards];
    case "group":
      return comparedAdvantages(rewards, rule);
    case "passAtK":
      return rule.form === "pkpo" ? pkpoAdvantages(rewards, rule.k) : passTrainingAdvantages(rewards, rule.k);
    case "gae":
      throw new ConfigError(
        "advantages: a rule over rewards expected, got gae, which needs values. Use tokenAdvantages.",
      );
  }
}

function comparedAdvantages(
  rewards: readonly number[],
  rule: Extract<AdvantageRule, { kind: "group" }>,
): number[] {
  const { baseline = "mean", scale, eps, shift = 0, virtualBest = false } = rule;
  const sample = virtualBest ? [...rewards, 1] : rewards;
  // By equality and not by std === 0: a rounded mean leaves a residue.
  if (allEqual(sample)) return rewards.map(() => shift);
  const { mean, std } = meanAndStd(sample);
  const g = rewards.length;
  const below = (r: number): number =>
    baseline === "others" ? (g > 1 ? r - (mean * g - r) / (g - 1) : 0) : r - mean;
  const divisor = scale === "std" ? std + eps : scale === "mean" ? mean + eps : 1;
  return rewards.map((r) => (below(r) + shift) / divisor);
}

/** C(n - drop, k)/C(n, k): the chance that k of n drawn without replacement miss `drop` given ones. */
function missChance(n: number, drop: number, k: number): number {
  if (k > n - drop) return 0;
  let p = 1;
  for (let j = 0; j < k; j++) p *= (n - drop - j) / (n - j);
  return p;
}

function checkK(k: number, g: number): void {
  if (!(Number.isInteger(k) && k >= 1 && k <= g)) {
    throw new ConfigError(
      `advantages: k in [1, numGenerations=${g}] expected, got ${k}. Draw more samples or lower k.`,
    );
  }
}

/**
 * R = 1 - C(Nneg,k)/C(N,k), s = sqrt(R (1 - R)); right: (1 - R)/s; wrong: (1 - R - C(Nneg-1,k-1)/C(N-1,k-1))/s.
 * Source: arXiv 2508.10751.
 */
function passTrainingAdvantages(rewards: readonly number[], k: number): number[] {
  const n = rewards.length;
  checkK(k, n);
  const right = rewards.filter((r) => r > 0).length;
  const allWrong = missChance(n, right, k);
  const s = Math.sqrt(allWrong * (1 - allWrong));
  if (s === 0) return rewards.map(() => 0);
  const stillWrong = missChance(n - 1, right, k - 1);
  return rewards.map((r) => (r > 0 ? allWrong : allWrong - stillWrong) / s);
}

/** right: k/n; wrong: (k/n)(1 - C(n-1-c,k-1)/C(n-1,k-1)). Source: arXiv 2505.15201. */
function pkpoAdvantages(rewards: readonly number[], k: number): number[] {
  const n = rewards.length;
  checkK(k, n);
  const right = rewards.filter((r) => r > 0).length;
  return rewards.map((r) => (r > 0 ? k / n : (k / n) * (1 - missChance(n - 1, right, k - 1))));
}

/**
 * Rewards cut by likelihood: r (1 - beta rank/G), rank 1 for the row of least log-probability and G for the likeliest.
 * Source: arXiv 2506.02355.
 */
export function unlikelyRewards(
  rewards: readonly number[],
  logProbs: readonly number[],
  beta: number,
): number[] {
  const order = rewards.map((_, i) => i).sort((a, b) => logProbs[a] - logProbs[b] || a - b);
  const out = [...rewards];
  order.forEach((row, i) => {
    out[row] = rewards[row] * (1 - (beta * (i + 1)) / rewards.length);
  });
  return out;
}

/** What an algorithm may need to know of a rollout's rows beside their rewards. */
export interface RowFacts {
  /** [rows] log-probability of each completion before the update, nats: for `unlikeliness`. */
  logProbs?: readonly number[];
  /** [rows] whether a completion ended by itself: for `maskTruncated`. */
  finished?: ArrayLike<number>;
  /** [rows] rewards that advantages are made from, where they are not the verifier's: less a KL term. */
  shaped?: readonly number[];
  /** [rows] whether the verifier itself failed: such a row says nothing, of itself or of its group. */
  failed?: readonly boolean[];
  /** Step of the run, from 1: for scheduled numbers. */
  step?: number;
}

/** Rows of a rollout: all samples of the first prompt, then of the second, and so on. */
export function advantages(
  rewards: readonly number[],
  numGenerations: number,
  algorithm: Pick<Algorithm, "advantage" | "flip" | "unlikeliness">,
  facts: RowFacts = {},
): number[] {
  if (!(numGenerations >= 1) || rewards.length % numGenerations !== 0) {
    throw new ConfigError(
      `advantages: whole groups of numGenerations=${numGenerations} rewards expected, got ${rewards.length}. Pass all samples of each prompt.`,
    );
  }
  const { unlikeliness } = algorithm;
  if (unlikeliness && !facts.logProbs) {
    throw new ConfigError(
      "advantages: log-probabilities expected for unlikeliness, got none. Pass logProbs.",
    );
  }
  const out = new Array<number>(rewards.length).fill(0);
  for (let from = 0; from < rewards.length; from += numGenerations) {
    const rows = Array.from({ length: numGenerations }, (_, i) => from + i).filter((i) => !facts.failed?.[i]);
    let group = rows.map((i) => rewards[i]);
    if (unlikeliness) {
      const logProbs = rows.map((i) => facts.logProbs?.[i] ?? 0);
      group = unlikelyRewards(group, logProbs, unlikeliness);
    }
    const rule = algorithm.advantage;
    if (rule.kind === "passAtK") checkK(rule.k, numGenerations);
    // Too few judged rows for a subset of k say nothing of Pass@k.
    const silent = rows.length === 0 || (rule.kind === "passAtK" && rule.k > rows.length);
    const found = silent ? group.map(() => 0) : groupAdvantages(group, rule, facts.step);
    rows.forEach((row, i) => {
      out[row] = algorithm.flip ? 0 - found[i] : found[i];
    });
  }
  return out;
}

/** Indices of the rows that an algorithm keeps. */
export function keptRows(rewards: readonly number[], keep: Algorithm["keep"]): number[] {
  return rewards.flatMap((r, i) => (keep === "all" || r > 0 === (keep === "right") ? [i] : []));
}

/** Whether each row may take part at all: masks for cut completions and groups without variance; failed verifiers. */
function unmasked(
  rewards: readonly number[],
  numGenerations: number,
  algorithm: Algorithm,
  facts: RowFacts,
): boolean[] {
  return rewards.map((_, i) => {
    if (facts.failed?.[i]) return false;
    if (algorithm.maskTruncated && facts.finished && facts.finished[i] === 0) return false;
    if (!algorithm.dropZeroVariance) return true;
    const from = Math.floor(i / numGenerations) * numGenerations;
    const group = Array.from({ length: numGenerations }, (_, j) => from + j).filter(
      (j) => !facts.failed?.[j],
    );
    return !allEqual(group.map((j) => rewards[j]));
  });
}

/** The normaliser of rows with these completion lengths; for `sequence` the number of rows, lengths count apart. */
export function normaliser(
  lengths: readonly number[],
  aggregation: Aggregation,
  maxCompletionLength: number,
): number {
  if (aggregation === "sequence") return lengths.length;
  if (aggregation === "constant") return lengths.length * maxCompletionLength;
  let tokens = 0;
  for (const n of lengths) tokens += n;
  return tokens;
}

/** What the advantage of a row's token is divided by: Z, times the row's length under `sequence`. */
export function tokenDivisor(length: number, z: number, aggregation: Aggregation): number {
  return aggregation === "sequence" ? z * length : z;
}

/** How a rollout becomes optimizer steps. */
export type MiniBatches =
  /** One update for each rollout: strictly on-policy. */
  | { readonly kind: "whole" }
  /** Mini-batches of this many rows, the last one shorter. */
  | { readonly kind: "rows"; readonly rows: number }
  /**
   * This many mini-batches, as even as they come, where there are as many rows: the same number of updates for every
   * algorithm, but for mini-batches that hold no row with a weight.
   */
  | { readonly kind: "count"; readonly count: number };

/** Rows and token weights of one optimizer step. */
export interface UpdatePlan {
  /** Rows that have a gradient, in rollout order. */
  rows: number[];
  /** Weight w = A / Z of each token of those rows; of the row's advantages under `gae`: 0. */
  weights: number[];
  /** Z, times the row's length under `sequence`: what divides a token's terms. */
  divisors: number[];
  /** Rows of this mini-batch that the normaliser counts. */
  counted: number;
}

/** Splits rows into mini-batches, in order. */
export function splitRows(rows: readonly number[], how: MiniBatches): number[][] {
  const asked = how.kind === "whole" ? 1 : how.kind === "rows" ? how.rows : how.count;
  if (!(Number.isInteger(asked) && asked >= 1)) {
    throw new ConfigError(
      `miniBatches: a whole number of rows or batches of at least 1 expected, got ${asked}. Check the configuration.`,
    );
  }
  if (rows.length === 0) return [];
  if (how.kind === "count") {
    const count = Math.min(asked, rows.length);
    const edge = (i: number): number => Math.floor((i * rows.length) / count);
    return Array.from({ length: count }, (_, i) => rows.slice(edge(i), edge(i + 1)));
  }
  const size = how.kind === "whole" ? rows.length : asked;
  return Array.from({ length: Math.ceil(rows.length / size) }, (_, i) =>
    rows.slice(i * size, (i + 1) * size),
  );
}

export interface PlanOptions {
  algorithm: Algorithm;
  numGenerations: number;
  maxCompletionLength: number;
  miniBatches: MiniBatches;
  cutFirst: boolean;
  /** Order in which rows are split. Default: as they come. */
  order?: readonly number[];
  facts?: RowFacts;
}

/**
 * The optimizer steps of a rollout. `cutFirst` (as in the paper's code) cuts the batch to the kept rows before it is
 * split, so an algorithm that keeps few rows takes few steps; else each mini-batch of the whole rollout is cut by
 * itself. A step without any row that has a gradient is left out.
 */
export function planUpdates(
  rewards: readonly number[],
  lengths: readonly number[],
  given: PlanOptions,
): UpdatePlan[] {
  const { algorithm, numGenerations, maxCompletionLength, miniBatches, cutFirst, facts = {} } = given;
  const byToken = algorithm.advantage.kind === "gae";
  const shaped = facts.shaped ?? rewards;
  const a = byToken ? rewards.map(() => 0) : advantages(shaped, numGenerations, algorithm, facts);
  const may = unmasked(rewards, numGenerations, algorithm, facts);
  const kept = new Set(keptRows(rewards, algorithm.keep).filter((i) => may[i]));
  const all = given.order ?? rewards.map((_, i) => i);
  const batches = splitRows(cutFirst ? all.filter((i) => kept.has(i)) : all, miniBatches);
  const z = (rows: readonly number[]): number =>
    normaliser(
      rows.map((i) => lengths[i]),
      algorithm.aggregation,
      maxCompletionLength,
    );
  const always = regularized(algorithm);
  return batches.flatMap((batch) => {
    // A common normaliser is the whole rollout's, shared out evenly among its mini-batches.
    const common = algorithm.normaliser === "all";
    const counted = batch.filter((i) => (common ? may[i] : kept.has(i)));
    const norm = common ? z(all.filter((i) => may[i])) / batches.length : z(counted);
    const rows = batch
      .filter((i) => kept.has(i) && (always || a[i] !== 0) && lengths[i] > 0)
      .sort((i, j) => i - j);
    if (rows.length === 0) return [];
    const divisors = rows.map((i) => tokenDivisor(lengths[i], norm, algorithm.aggregation));
    return [{ rows, weights: rows.map((i, n) => a[i] / divisors[n]), divisors, counted: counted.length }];
  });
}

/** Values and per-token rewards of a rollout: what `gae` needs. */
export interface TokenReturns {
  /** [rows, width] advantages and returns; 0 in the padding. */
  advantages: Float64Array;
  returns: Float64Array;
}

/**
 * Generalised advantage estimation, backwards over each row's tokens, the value after the last token 0:
 *
 *     delta_t = r_t + gamma V_{t+1} - V_t,   A_t = delta_t + gamma lambda A_{t+1},   R_t = A_t + V_t
 *
 * `rewards` and `values` are [rows, width]. Whitening takes mean and variance over all tokens of the rollout.
 * Source: arXiv 1506.02438.
 */
export function tokenAdvantages(
  rewards: Float64Array,
  values: ArrayLike<number>,
  lengths: readonly number[],
  rule: Extract<AdvantageRule, { kind: "gae" }>,
): TokenReturns {
  const width = rewards.length / lengths.length;
  const out: TokenReturns = {
    advantages: new Float64Array(rewards.length),
    returns: new Float64Array(rewards.length),
  };
  const drawn: number[] = [];
  lengths.forEach((length, row) => {
    let next = 0;
    for (let t = length - 1; t >= 0; t--) {
      const i = row * width + t;
      const after = t + 1 < length ? values[i + 1] : 0;
      next = rewards[i] + rule.gamma * after - values[i] + rule.gamma * rule.lambda * next;
      out.advantages[i] = next;
      out.returns[i] = next + values[i];
    }
    for (let t = 0; t < length; t++) drawn.push(row * width + t);
  });
  if (!rule.whiten || drawn.length < 2) return out;
  const { mean, std } = meanAndStd(drawn.map((i) => out.advantages[i]));
  for (const i of drawn) out.advantages[i] = (out.advantages[i] - mean) / (std + WHITEN_EPS);
  return out;
}

const WHITEN_EPS = 1e-8;

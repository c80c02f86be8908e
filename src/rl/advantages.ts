/**
 * Advantages, kept rows and token weights: plain numbers in, plain numbers out, in float64 and a fixed order.
 *
 * The loss is  -sum_it w_it g(rho_it)  with  w_it = A_i mask_it / Z : the normaliser Z is data, so a rollout with any
 * number of kept rows runs the same program.
 */
import { ConfigError } from "../tensor/errors.ts";
import type { AdvantageRule, Aggregation, Algorithm } from "./algorithms.ts";

/** Mean and sample standard deviation (n - 1; 0 for one value). */
export function meanAndStd(values: readonly number[]): { mean: number; std: number } {
  let sum = 0;
  for (const value of values) sum += value;
  const mean = sum / values.length;
  let squares = 0;
  for (const value of values) squares += (value - mean) * (value - mean);
  return { mean, std: values.length > 1 ? Math.sqrt(squares / (values.length - 1)) : 0 };
}

/** Advantages of one prompt's samples; groups without variance have 0 under a group rule. */
export function groupAdvantages(rewards: readonly number[], rule: AdvantageRule): number[] {
  if (rule.kind === "fixed") return rewards.map((r) => (r > 0 ? rule.right : rule.wrong));
  // By equality and not by std === 0: a rounded mean leaves a residue.
  if (rewards.every((r) => r === rewards[0])) return rewards.map(() => 0);
  const { mean, std } = meanAndStd(rewards);
  return rewards.map((r) => (rule.scale === "std" ? (r - mean) / (std + rule.eps) : r - mean));
}

/** Rows of a rollout: all samples of the first prompt, then of the second, and so on. */
export function advantages(
  rewards: readonly number[],
  numGenerations: number,
  algorithm: Pick<Algorithm, "advantage" | "flip">,
): number[] {
  if (!(numGenerations >= 1) || rewards.length % numGenerations !== 0) {
    throw new ConfigError(
      `advantages: whole groups of numGenerations=${numGenerations} rewards expected, got ${rewards.length}. Pass all samples of each prompt.`,
    );
  }
  const out: number[] = [];
  for (let at = 0; at < rewards.length; at += numGenerations) {
    const group = rewards.slice(at, at + numGenerations);
    for (const a of groupAdvantages(group, algorithm.advantage)) out.push(algorithm.flip ? 0 - a : a);
  }
  return out;
}

/** Indices of the rows that an algorithm keeps. */
export function keptRows(rewards: readonly number[], keep: Algorithm["keep"]): number[] {
  return rewards.flatMap((r, i) => (keep === "all" || r > 0 === (keep === "right") ? [i] : []));
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

/** Weight of each token of a row: A / Z, divided by the row's length under `sequence`. 0 for an empty row. */
export function tokenWeight(advantage: number, length: number, z: number, aggregation: Aggregation): number {
  if (length === 0 || z === 0) return 0;
  return aggregation === "sequence" ? advantage / (z * length) : advantage / z;
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
  /** Rows with a weight other than 0, in rollout order. */
  rows: number[];
  /** Weight of each token of those rows. */
  weights: number[];
  /** Rows that the normaliser counts. */
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

/**
 * The optimizer steps of a rollout. `cutFirst` (as in the paper's code) cuts the batch to the kept rows before it is
 * split, so an algorithm that keeps few rows takes few steps; else each mini-batch of the whole rollout is cut by
 * itself. A step without any row of non-zero weight is left out. `order` gives the order in which rows are split.
 */
export function planUpdates(
  rewards: readonly number[],
  lengths: readonly number[],
  given: {
    algorithm: Algorithm;
    numGenerations: number;
    maxCompletionLength: number;
    miniBatches: MiniBatches;
    cutFirst: boolean;
    order?: readonly number[];
  },
): UpdatePlan[] {
  const { algorithm, maxCompletionLength, miniBatches, cutFirst } = given;
  const a = advantages(rewards, given.numGenerations, algorithm);
  const kept = new Set(keptRows(rewards, algorithm.keep));
  const all = given.order ?? rewards.map((_, i) => i);
  const batches = splitRows(cutFirst ? all.filter((i) => kept.has(i)) : all, miniBatches);
  const z = (rows: readonly number[]): number =>
    normaliser(
      rows.map((i) => lengths[i]),
      algorithm.aggregation,
      maxCompletionLength,
    );
  return batches.flatMap((batch) => {
    // A common normaliser is the whole rollout's, shared out evenly among its mini-batches.
    const common = algorithm.normaliser === "all";
    const counted = common ? all : batch.filter((i) => kept.has(i));
    const norm = common ? z(all) / batches.length : z(counted);
    const rows = batch.filter((i) => kept.has(i) && a[i] !== 0 && lengths[i] > 0).sort((i, j) => i - j);
    if (rows.length === 0) return [];
    const weights = rows.map((i) => tokenWeight(a[i], lengths[i], norm, algorithm.aggregation));
    return [{ rows, weights, counted: counted.length }];
  });
}

/**
 * Coverage of modes: how many kinds of right answer a policy keeps, from the counts of each kind among its right samples.
 * Pass@k cannot see a policy that solves every prompt in one way only; these can.
 */
import { log } from "../tensor/math.ts";
import { EstimatorError, mean, passAtK } from "./estimators.ts";

/** The samples of one prompt: n drawn, of which `counts[m]` are right and of mode m. */
export interface ModeTally {
  n: number;
  counts: readonly number[];
}

function checkedSum(op: string, counts: readonly number[]): number {
  let sum = 0;
  for (const count of counts) {
    if (!(Number.isInteger(count) && count >= 0)) {
      throw new EstimatorError(
        `${op}: whole counts from 0 on expected, got ${count}. Count right samples by mode.`,
      );
    }
    sum += count;
  }
  return sum;
}

/** Modes that at least one right sample has: a lower bound of those with any mass, and it grows with n. */
export function modesSeen(counts: readonly number[]): number {
  checkedSum("modesSeen", counts);
  return counts.filter((count) => count > 0).length;
}

/**
 * The expected number of distinct modes among the right ones of k samples, drawn without replacement from the n:
 * sum_m (1 - C(n-c_m,k)/C(n,k)), unbiased for every k up to n. Comparable between policies at one k, whatever their n.
 * With n the number of right samples it is the number among k right samples. Throws EstimatorError as `passAtK`, and
 * where the counts exceed n.
 *
 * Source: Hurlbert 1971, The Nonconcept of Species Diversity, Ecology 52(4) (rarefaction).
 */
export function distinctModesAtK({ n, counts }: ModeTally, k: number): number {
  const right = checkedSum("distinctModesAtK", counts);
  if (right > n) {
    throw new EstimatorError(
      `distinctModesAtK: at most n=${n} right samples expected, got ${right}. Count each sample once.`,
    );
  }
  let sum = passAtK(n, 0, k); // 0; refuses a wrong n or k where there is no mode
  for (const count of counts) sum += passAtK(n, count, k);
  return sum;
}

export interface ModeEntropy {
  /** Of the observed shares, nats: -sum_m q_m ln q_m with q_m = c_m/C. Too low on average, by about (M-1)/(2C). */
  plugIn: number;
  /** The same plus (M-1)/(2C), M the modes seen: bias of order 1/C^2 where every mode is seen. */
  corrected: number;
}

/**
 * The entropy of the modes of right samples, nats; `null` where no sample is right.
 *
 * Source: Miller 1955, Note on the Bias of Information Estimates; Paninski 2003, Estimation of Entropy and Mutual
 * Information (no unbiased estimator exists).
 */
export function modeEntropy(counts: readonly number[]): ModeEntropy | null {
  const right = checkedSum("modeEntropy", counts);
  if (right === 0) return null;
  let plugIn = 0;
  for (const count of counts) if (count > 0) plugIn += (count / right) * log(right / count);
  return { plugIn, corrected: plugIn + (modesSeen(counts) - 1) / (2 * right) };
}

/**
 * The probability that two right samples have different modes, 1 - sum_m c_m (c_m - 1)/(C (C - 1)): unbiased, unlike the
 * entropy. `null` with fewer than two right samples.
 *
 * Source: Simpson 1949, Measurement of Diversity, Nature 163, p. 688.
 */
export function modeDiversity(counts: readonly number[]): number | null {
  const right = checkedSum("modeDiversity", counts);
  if (right < 2) return null;
  let same = 0;
  for (const count of counts) same += (count / right) * ((count - 1) / (right - 1));
  return 1 - same;
}

export interface ModeCoverage {
  /** Mean over prompts of the modes seen. */
  seen: number;
  /** Mean over prompts of the expected distinct modes among k samples. */
  distinct: { k: number; modes: number }[];
  /** Mean over prompts with a right sample of the corrected entropy, nats; NaN where there is none. */
  entropy: number;
  /** Mean over prompts with two right samples; NaN where there is none. */
  diversity: number;
  /** Prompts behind `entropy` and `diversity`. A policy that solves fewer prompts is measured on others. */
  prompts: { entropy: number; diversity: number };
}

/** The measures above over prompts. Throws EstimatorError for no prompts. */
export function modeCoverage(tallies: readonly ModeTally[], ks: readonly number[]): ModeCoverage {
  const present = (values: readonly (number | null)[]) => values.filter((value) => value !== null);
  const entropies = present(tallies.map(({ counts }) => modeEntropy(counts)?.corrected ?? null));
  const diversities = present(tallies.map(({ counts }) => modeDiversity(counts)));
  return {
    seen: mean(tallies.map(({ counts }) => modesSeen(counts))),
    distinct: ks.map((k) => ({ k, modes: mean(tallies.map((tally) => distinctModesAtK(tally, k))) })),
    entropy: entropies.length > 0 ? mean(entropies) : Number.NaN,
    diversity: diversities.length > 0 ? mean(diversities) : Number.NaN,
    prompts: { entropy: entropies.length, diversity: diversities.length },
  };
}

/** Counts the modes of one prompt's right samples (reward of 1 or more); those without a mode make one mode more. */
export function countModes(modes: readonly (string | null)[], rewards: readonly number[]): ModeTally {
  if (modes.length !== rewards.length) {
    throw new EstimatorError(
      `countModes: a reward for each mode expected, got ${modes.length} modes and ${rewards.length} rewards. Judge every sample.`,
    );
  }
  const counts = new Map<string | null, number>();
  modes.forEach((mode, i) => {
    if (rewards[i] >= 1) counts.set(mode, (counts.get(mode) ?? 0) + 1);
  });
  return { n: modes.length, counts: [...counts.values()] };
}

/**
 * Intervals by the bootstrap over prompts: whole prompts are drawn with replacement, never samples within a prompt
 * (that would be biased low for Pass@k). Arms are resampled together (paired), so their common prompts cancel. Runs of
 * several seeds are in bootstrapSeeds.ts.
 *
 * Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapters 13 (percentile intervals) and 8.
 */

import { Rng, Stream } from "../tensor/random.ts";
import { EstimatorError, mean } from "./estimators.ts";

export interface Interval {
  /** The statistic itself, of all prompts. */
  mean: number;
  low: number;
  high: number;
}

export interface BootstrapOptions {
  /** Resamples; 2,000 unless told. */
  resamples?: number;
  /** Probability within the interval; 0.95 unless told. */
  level?: number;
  seed?: number | bigint | string | readonly [number, number];
}

/** The q-quantile of ascending values, linear between neighbours. */
export function quantile(sorted: readonly number[], q: number): number {
  const at = q * (sorted.length - 1);
  const below = Math.floor(at);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (sorted[above] - sorted[below]) * (at - below);
}

/** Which prompts each resample draws: the same for every arm of equal length, seed and number of resamples. */
function* resample(prompts: number, resamples: number, rng: Rng): Generator<Uint32Array> {
  const drawn = new Uint32Array(prompts);
  for (let r = 0; r < resamples; r++) {
    for (let i = 0; i < prompts; i++) drawn[i] = rng.int(prompts);
    yield drawn;
  }
}

/** Options with their defaults. Throws EstimatorError for no prompts and for numbers that make no interval. */
export function checkedBootstrap(
  op: string,
  prompts: number,
  options: BootstrapOptions,
): Required<BootstrapOptions> {
  const { resamples = 2000, level = 0.95, seed = 0 } = options;
  if (prompts === 0)
    throw new EstimatorError(`${op}: at least one prompt expected, got none. Evaluate some first.`);
  if (!(Number.isInteger(resamples) && resamples >= 1 && resamples <= 1e7)) {
    throw new EstimatorError(`${op}: resamples in [1, 10^7] expected, got ${resamples}. Use about 2,000.`);
  }
  if (!(level > 0 && level < 1)) {
    throw new EstimatorError(`${op}: level in (0, 1) expected, got ${level}. Use 0.95.`);
  }
  return { resamples, level, seed };
}

/** The percentile interval of each column: `resampled[column][resample]`, sorted in place. */
export function percentileIntervals(
  centres: readonly number[],
  resampled: readonly Float64Array[],
  level: number,
): Interval[] {
  return centres.map((centre, column) => {
    const sorted = [...resampled[column].sort()];
    return {
      mean: centre,
      low: quantile(sorted, (1 - level) / 2),
      high: quantile(sorted, (1 + level) / 2),
    };
  });
}

/**
 * Percentile intervals of any statistic of prompts: `statistic` gets the numbers of the drawn prompts, repeats among
 * them, and returns one finite number for each column. Paired where it reads several arms by the same numbers: a ratio
 * of arms, a quantile, a difference at matched Pass@1. For means the faster `bootstrapMeans` draws the same prompts.
 */
export function bootstrapStatistic(
  prompts: number,
  statistic: (drawn: ArrayLike<number>) => readonly number[],
  options: BootstrapOptions = {},
): Interval[] {
  const { resamples, level, seed } = checkedBootstrap("bootstrapStatistic", prompts, options);
  const centres = statistic(Array.from({ length: prompts }, (_, i) => i));
  const resampled = centres.map(() => new Float64Array(resamples));
  let r = 0;
  for (const drawn of resample(prompts, resamples, new Rng(seed, Stream.bootstrap))) {
    keepResample("bootstrapStatistic", resampled, r++, statistic(drawn));
  }
  return percentileIntervals(centres, resampled, level);
}

/** Puts the columns of one resample in their places. Throws EstimatorError for another number of them, or NaN. */
export function keepResample(
  op: string,
  resampled: readonly Float64Array[],
  r: number,
  values: readonly number[],
): void {
  if (values.length !== resampled.length || !values.every(Number.isFinite)) {
    throw new EstimatorError(
      `${op}: ${resampled.length} finite values of the statistic expected, got [${values.slice(0, 8).join(", ")}]. Define it for every draw of prompts.`,
    );
  }
  for (const [column, value] of values.entries()) resampled[column][r] = value;
}

/**
 * Percentile intervals of the mean of several columns at once, `values[prompt][column]` (a column may be one k of
 * Pass@k). All columns use the same resamples.
 */
export function bootstrapMeans(
  values: readonly (readonly number[])[],
  options: BootstrapOptions = {},
): Interval[] {
  const { resamples, level, seed } = checkedBootstrap("bootstrapMeans", values.length, options);
  const columns = values[0].length;
  for (const row of values) {
    if (row.length !== columns || !row.every(Number.isFinite)) {
      throw new EstimatorError(
        `bootstrapMeans: ${columns} finite values for every prompt expected, got [${row.slice(0, 8).join(", ")}]. Drop or fill the prompt.`,
      );
    }
  }
  const means = Array.from({ length: columns }, () => new Float64Array(resamples));
  let r = 0;
  for (const drawn of resample(values.length, resamples, new Rng(seed, Stream.bootstrap))) {
    for (let column = 0; column < columns; column++) {
      let sum = 0;
      for (const i of drawn) sum += values[i][column];
      means[column][r] = sum / values.length;
    }
    r++;
  }
  const centres = means.map((_, column) => mean(values.map((row) => row[column])));
  return percentileIntervals(centres, means, level);
}

/** The interval of the mean of one value per prompt. */
export function bootstrapMean(values: readonly number[], options: BootstrapOptions = {}): Interval {
  return bootstrapMeans(
    values.map((value) => [value]),
    options,
  )[0];
}

/**
 * Intervals of mean(a) - mean(b), column by column, prompts paired by their place. An interval that leaves out 0 is a
 * difference at that level. Throws EstimatorError where the arms' prompts or columns differ in number.
 */
export function bootstrapDifference(
  a: readonly (readonly number[])[],
  b: readonly (readonly number[])[],
  options: BootstrapOptions = {},
): Interval[] {
  if (a.length !== b.length || a.some((row, i) => row.length !== b[i].length)) {
    throw new EstimatorError(
      `bootstrapDifference: the same prompts and columns in both arms expected, got ${a.length} x ${a[0]?.length} and ${b.length} x ${b[0]?.length}. Evaluate both on one list.`,
    );
  }
  return bootstrapMeans(
    a.map((row, i) => row.map((value, column) => value - b[i][column])),
    options,
  );
}

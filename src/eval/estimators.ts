/**
 * Unbiased estimators over n samples of which c are right. Plain numbers in, plain numbers out; imports nothing.
 */

/** A count that no estimate can be made from: k > n, c > n, a fraction, NaN, or no prompts. Shares no import. */
export class EstimatorError extends Error {
  override name = "EstimatorError";
}

function checkCount(op: string, name: string, value: number, min: number, max: number, remedy: string): void {
  if (!(Number.isInteger(value) && value >= min && value <= max)) {
    throw new EstimatorError(
      `${op}: an integer ${name} in [${min}, ${max}] expected, got ${value}. ${remedy}`,
    );
  }
}

/**
 * The probability that at least one of k samples, drawn without replacement from n of which c are right, is right.
 *
 * 1 if n - c < k, else 1 - prod_{i=n-c+1..n} (1 - k/i); exact in expectation for every n >= k. The product runs over
 * min(c, k) factors, whichever form is shorter: prod_{j=0..k-1} (n - c - j)/(n - j) is the same number.
 * Throws EstimatorError unless 0 <= c <= n and 1 <= k <= n.
 *
 * Source: Chen et al. 2021, Evaluating Large Language Models Trained on Code, equation 1.
 */
export function passAtK(n: number, c: number, k: number): number {
  checkCount("passAtK", "n", n, 1, Number.MAX_SAFE_INTEGER, "Draw at least one sample per prompt.");
  checkCount("passAtK", "c", c, 0, n, "Count right samples among the n.");
  checkCount("passAtK", "k", k, 1, n, "Draw more samples (n) or ask for a smaller k.");
  if (n - c < k) return 1;
  let allWrong = 1;
  if (c <= k) for (let i = n - c + 1; i <= n; i++) allWrong *= (i - k) / i;
  else for (let j = 0; j < k; j++) allWrong *= (n - c - j) / (n - j);
  return 1 - allWrong;
}

/** The powers of two 1, 2, 4 ... up to `max` (256 unless told), as far as n samples carry them. */
export function powersOfTwo(n: number, max = 256): number[] {
  checkCount("powersOfTwo", "n", n, 1, Number.MAX_SAFE_INTEGER, "Draw at least one sample per prompt.");
  const ks: number[] = [];
  for (let k = 1; k <= Math.min(n, max); k *= 2) ks.push(k);
  return ks;
}

/** Samples of one prompt: n drawn, c right. */
export interface Tally {
  n: number;
  c: number;
}

/** Pass@k of each prompt: [prompt][k]. */
export function passTable(tallies: readonly Tally[], ks: readonly number[]): number[][] {
  return tallies.map(({ n, c }) => ks.map((k) => passAtK(n, c, k)));
}

/** The arithmetic mean, summed in order. */
export function mean(values: readonly number[]): number {
  if (values.length === 0)
    throw new EstimatorError("mean: at least one value expected, got none. Pass some prompts.");
  let sum = 0;
  for (const value of values) sum += value;
  return sum / values.length;
}

/** Pass@k over prompts: the mean of each prompt's estimate, one number for each k (1, 2, 4 ... 256 unless told). */
export function passCurve(tallies: readonly Tally[], ks?: readonly number[]): { k: number; pass: number }[] {
  if (tallies.length === 0) {
    throw new EstimatorError(
      "passCurve: at least one prompt expected, got none. Evaluate some prompts first.",
    );
  }
  const least = tallies.reduce((smallest, { n }) => Math.min(smallest, n), Number.POSITIVE_INFINITY);
  return (ks ?? powersOfTwo(least)).map((k) => ({
    k,
    pass: mean(tallies.map(({ n, c }) => passAtK(n, c, k))),
  }));
}

/**
 * The probability that all k samples are right: C(c,k)/C(n,k). Throws as `passAtK`.
 *
 * Source: Yao et al. 2024, tau-bench (2406.12045), section 4 (pass^k).
 */
export function passHatK(n: number, c: number, k: number): number {
  checkCount("passHatK", "n", n, 1, Number.MAX_SAFE_INTEGER, "Draw at least one sample per prompt.");
  checkCount("passHatK", "c", c, 0, n, "Count right samples among the n.");
  checkCount("passHatK", "k", k, 1, n, "Draw more samples (n) or ask for a smaller k.");
  let all = 1;
  for (let j = 0; j < k && all > 0; j++) all *= Math.max(c - j, 0) / (n - j);
  return all;
}

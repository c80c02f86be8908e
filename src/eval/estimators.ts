/**
 * Unbiased estimators over n samples of which c are right, or which have graded rewards. Plain numbers in, plain numbers
 * out; imports nothing. Nothing forms a factorial: products run over ratios near 1, so n of 10,000 and more is fine.
 *
 * All of them answer "what would k samples do?" from n >= k samples by averaging over every subset of k of the n.
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

function checkCounts(op: string, n: number, c: number, k: number): void {
  checkCount(op, "n", n, 1, Number.MAX_SAFE_INTEGER, "Draw at least one sample per prompt.");
  checkCount(op, "c", c, 0, n, "Count right samples among the n.");
  checkCount(op, "k", k, 1, n, "Draw more samples (n) or ask for a smaller k.");
}

function checkFinite(op: string, name: string, values: readonly number[]): void {
  if (values.length === 0)
    throw new EstimatorError(`${op}: at least one of ${name} expected, got none. Draw some samples.`);
  const wrong = values.findIndex((value) => !Number.isFinite(value));
  if (wrong >= 0) {
    throw new EstimatorError(
      `${op}: finite ${name} expected, got ${values[wrong]} at ${wrong}. Drop or repair it.`,
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
  checkCounts("passAtK", n, c, k);
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
  checkCounts("passHatK", n, c, k);
  let all = 1;
  for (let j = 0; j < k && all > 0; j++) all *= Math.max(c - j, 0) / (n - j);
  return all;
}

/** Probabilities of `first`, `first` + 1, ... right samples; outside them the probability is 0. */
export interface CountDistribution {
  readonly first: number;
  readonly probabilities: Float64Array;
}

/**
 * How many of k samples, drawn without replacement from n of which c are right, are right:
 *
 *     P(j) = C(c,j) C(n-c,k-j) / C(n,k)   for max(0, k - (n-c)) <= j <= min(c,k)
 *
 * Weights grow from 1 at the mode by the ratio of neighbours and are divided by their sum: none overflows, and what
 * underflows is below 1e-308. k = 0 is allowed. Throws EstimatorError unless 0 <= c <= n and 0 <= k <= n.
 *
 * Source: Johnson, Kemp and Kotz 2005, Univariate Discrete Distributions, chapter 6.
 */
export function hypergeometric(n: number, c: number, k: number): CountDistribution {
  checkCount("hypergeometric", "n", n, 0, Number.MAX_SAFE_INTEGER, "Count all samples.");
  checkCount("hypergeometric", "c", c, 0, n, "Count right samples among the n.");
  checkCount("hypergeometric", "k", k, 0, n, "Draw at most all samples.");
  const wrong = n - c;
  const first = Math.max(0, k - wrong);
  const last = Math.min(c, k);
  const weights = new Float64Array(last - first + 1);
  const mode = Math.min(Math.max(Math.floor(((k + 1) * (c + 1)) / (n + 2)), first), last);
  weights[mode - first] = 1;
  for (let j = mode; j < last; j++)
    weights[j + 1 - first] = weights[j - first] * (((c - j) / (j + 1)) * ((k - j) / (wrong - k + j + 1)));
  for (let j = mode; j > first; j--)
    weights[j - 1 - first] = weights[j - first] * ((j / (c - j + 1)) * ((wrong - k + j) / (k - j + 1)));
  let total = 0;
  for (const weight of weights) total += weight;
  for (let i = 0; i < weights.length; i++) weights[i] /= total;
  return { first, probabilities: weights };
}

/** The least count that is at least a share tau of k; a product within 1e-9 of a whole number counts as that number. */
function shareOf(tau: number, k: number): number {
  return Math.max(1, Math.ceil(tau * k - 1e-9));
}

/**
 * The probability that at least a share tau of k samples is right: sum_{j >= ceil(tau k)} C(c,j) C(n-c,k-j)/C(n,k), at
 * least one whatever tau. tau = 1 is pass^k; tau up to 1/k is Pass@k. Throws as `passAtK`, and for tau outside [0, 1].
 *
 * Source: Liu et al. 2024, Are Your LLMs Capable of Stable Reasoning? (2412.13147), G-Pass@k_tau.
 */
export function gPassAtK(n: number, c: number, k: number, tau: number): number {
  checkCounts("gPassAtK", n, c, k);
  if (!(tau >= 0 && tau <= 1))
    throw new EstimatorError(`gPassAtK: tau in [0, 1] expected, got ${tau}. Use 0.5 for "at least half".`);
  const least = shareOf(tau, k);
  // The ends have products of their own, exact where the tail is a sum: G-Pass@k and its special cases agree in every bit.
  if (least === 1) return passAtK(n, c, k);
  if (least === k) return passHatK(n, c, k);
  const { first, probabilities } = hypergeometric(n, c, k);
  if (least <= first) return 1;
  let sum = 0;
  for (let i = probabilities.length - 1; i >= least - first; i--) sum += probabilities[i];
  return Math.min(sum, 1);
}

/**
 * The mean of G-Pass@k over shares above one half, (2/k) sum_{i = ceil(k/2)+1..k} G-Pass@k_{i/k}; the paper's sum for
 * 2 times the integral over tau from .5 to 1. It equals (2/k) E[max(0, j - ceil(k/2))] with j right among k. Trap: for
 * k = 1 the sum is empty and the value 0, and for odd k even a prompt with c = n scores (k-1)/k. Throws as `passAtK`.
 *
 * Source: Liu et al. 2024 (2412.13147), mG-Pass@k.
 */
export function mgPassAtK(n: number, c: number, k: number): number {
  checkCounts("mgPassAtK", n, c, k);
  const half = Math.ceil(k / 2);
  const { first, probabilities } = hypergeometric(n, c, k);
  let sum = 0;
  for (let i = probabilities.length - 1; i >= 0 && first + i > half; i--)
    sum += (first + i - half) * probabilities[i];
  return (2 / k) * sum;
}

/**
 * The expected largest reward among k samples drawn without replacement from the n given: with the rewards in ascending
 * order, sum_i r_(i) C(i-1,k-1)/C(n,k). Rewards of 0 and 1 give Pass@k. Throws EstimatorError for k outside [1, n] and
 * for rewards that are not finite.
 *
 * The weight of the largest is k/n, each further one down the order (i-k)/(i-1) times the one above it.
 *
 * Source: Walder and Karkhanis 2025, Pass@K Policy Optimization (2505.15201), max_g@k.
 */
export function maxAtK(rewards: readonly number[], k: number): number {
  checkFinite("maxAtK", "rewards", rewards);
  const n = rewards.length;
  checkCount("maxAtK", "k", k, 1, n, "Draw more samples (n) or ask for a smaller k.");
  const ascending = Float64Array.from(rewards).sort();
  let weight = k / n;
  let sum = 0;
  for (let i = n; i >= k; i--) {
    sum += weight * ascending[i - 1];
    weight *= (i - k) / (i - 1);
  }
  return sum;
}

export interface MeanEstimate {
  /** Mean over prompts of each prompt's mean reward. */
  mean: number;
  /** Of the mean, prompts taken as drawn from a population; NaN for one prompt. */
  standardError: number;
  /** Of the mean for these very prompts: what drawing other samples would move; NaN where a prompt has one sample. */
  samplingError: number;
}

/**
 * mean@k (avg@k): the mean reward of the k samples of each prompt, averaged over m prompts, `rewards[prompt][sample]`.
 *
 *     standardError = sqrt(var_prompts(mean_i) / m)     samplingError = sqrt(sum_i var_samples(r_i) / k_i) / m
 *
 * Samples of one prompt are no independent evidence about other prompts, so the first is the one to report; the
 * variances are divided by one less than their number. Throws EstimatorError for no prompts, no samples, or NaN.
 *
 * Source: Miller 2024, Adding Error Bars to Evals (2411.00640): clustered standard errors, resampling.
 */
export function meanAtK(rewards: readonly (readonly number[])[]): MeanEstimate {
  if (rewards.length === 0)
    throw new EstimatorError("meanAtK: at least one prompt expected, got none. Evaluate some prompts first.");
  const means: number[] = [];
  let within = 0;
  for (const samples of rewards) {
    checkFinite("meanAtK", "rewards", samples);
    means.push(mean(samples));
    within += variance(samples) / samples.length;
  }
  return {
    mean: mean(means),
    standardError: Math.sqrt(variance(means) / means.length),
    samplingError: Math.sqrt(within) / means.length,
  };
}

/** The sample variance, divided by one less than the number of values; NaN for a single value. */
export function variance(values: readonly number[]): number {
  const centre = mean(values);
  let sum = 0;
  for (const value of values) sum += (value - centre) * (value - centre);
  return sum / (values.length - 1);
}

/**
 * The probability that k independent samples hold a right one where each is right with probability p: 1 - (1-p)^k.
 *
 * Joined by u(a+b) = u(a) + (1 - u(a)) u(b) along the binary digits of k: no difference of near numbers, so a p of
 * 1e-300 keeps all its digits. Throws EstimatorError for p outside [0, 1] and for k that is no whole number from 1 on.
 */
export function passOfProbability(p: number, k: number): number {
  if (!(p >= 0 && p <= 1)) {
    throw new EstimatorError(
      `passOfProbability: a probability in [0, 1] expected, got ${p}. Check what was summed.`,
    );
  }
  checkCount("passOfProbability", "k", k, 1, Number.MAX_SAFE_INTEGER, "Ask for at least one sample.");
  let some = 0;
  let power = p; // the probability of a right one among 1, 2, 4 ... samples
  for (let left = k; left > 0; left = Math.floor(left / 2)) {
    if (left % 2 === 1) some += (1 - some) * power;
    power *= 2 - power;
  }
  return Math.min(some, 1);
}

/** Exact Pass@k from each prompt's probability of a right completion (`rightMass`): the mean of 1 - (1-p)^k. */
export function exactPassAtK(probabilities: readonly number[], k: number): number {
  return mean(probabilities.map((p) => passOfProbability(p, k)));
}

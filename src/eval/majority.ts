/**
 * maj@k: how well a majority vote over k final answers does, in expectation over every subset of k of the n samples.
 *
 *     maj@k = E[ mean value of the answers with most votes ]      k of n samples, drawn without replacement
 *
 * The rule for ties: each answer with most votes is as likely to win. A sample without an answer does not vote; where
 * nobody votes, the value is 0.
 *
 * Source: Wang et al. 2022, Self-Consistency (2203.11171); Lewkowycz et al. 2022, Minerva (2206.14858), maj1@k.
 */
import { Rng, Stream } from "../tensor/random.ts";
import { EstimatorError, hypergeometric, mean, variance } from "./estimators.ts";

/** The samples of one prompt that gave one answer. */
export interface AnswerVotes {
  /** How many gave it. */
  count: number;
  /** What the vote is worth where it wins: 1 for a right answer, 0 for a wrong one, or a graded reward. */
  value: number;
}

export interface MajorityOptions {
  /** Samples that gave no answer; 0 unless told. */
  abstained?: number;
  /** Steps that the exact sum may take, about 2e8 a second; 2e8 unless told. Above it, subsets are drawn. */
  work?: number;
  /** Subsets drawn where the exact sum is too long; 4,096 unless told. */
  draws?: number;
  seed?: number | bigint | string | readonly [number, number];
}

export interface MajorityEstimate {
  value: number;
  /** Whether `value` is the whole sum; else an unbiased estimate of it from drawn subsets. */
  exact: boolean;
  /** Of `value` about the whole sum; 0 where it is exact. */
  standardError: number;
}

/**
 * maj@k of one prompt from the counts of its distinct answers. Throws EstimatorError for a count that is no whole number,
 * a value that is not finite, and k outside [1, n], n all samples, those without an answer included.
 *
 * Exact: for each number m of votes that may win, a sum over answers with at least m votes in descending order, state
 * (votes given, answers at m), steps the hypergeometric probabilities of what remains; answers with fewer votes can
 * neither win nor tie and are one pool. About k^2 sum_a min(count_a, k) steps.
 */
export function majAtK(
  answers: readonly AnswerVotes[],
  k: number,
  options: MajorityOptions = {},
): MajorityEstimate {
  const { abstained = 0, work = 2e8, draws = 4096, seed = 0 } = options;
  const n = checkedTotal(answers, abstained);
  if (!(Number.isInteger(k) && k >= 1 && k <= n)) {
    throw new EstimatorError(
      `majAtK: an integer k in [1, ${n}] expected, got ${k}. Draw more samples (n) or ask for a smaller k.`,
    );
  }
  if (!(Number.isInteger(draws) && draws >= 2))
    throw new EstimatorError(`majAtK: draws of at least 2 expected, got ${draws}. Use about 4,096.`);
  const voted = answers.filter(({ count }) => count > 0).sort((a, b) => b.count - a.count);
  const steps = k * k * voted.reduce((sum, { count }) => sum + Math.min(count, k), 0);
  if (steps <= work) return { value: wholeSum(voted, n, k), exact: true, standardError: 0 };
  const shares = drawnShares(voted, n, k, draws, new Rng(seed, Stream.bootstrap, 1));
  return { value: mean(shares), exact: false, standardError: Math.sqrt(variance(shares) / draws) };
}

function checkedTotal(answers: readonly AnswerVotes[], abstained: number): number {
  let n = abstained;
  for (const { count, value } of answers) {
    if (!(Number.isInteger(count) && count >= 0 && Number.isFinite(value))) {
      throw new EstimatorError(
        `majAtK: whole counts and finite values expected, got count ${count}, value ${value}. Count each answer once.`,
      );
    }
    n += count;
  }
  if (!(Number.isInteger(abstained) && abstained >= 0)) {
    throw new EstimatorError(
      `majAtK: a whole number abstained expected, got ${abstained}. Count samples without an answer.`,
    );
  }
  return n;
}

/** `voted` in descending order of counts. */
function wholeSum(voted: readonly AnswerVotes[], n: number, k: number): number {
  // [answer][votes left to give]: how many of them the answer gets, all before it being settled.
  let left = n;
  const shares = voted.map(({ count }) => {
    const rest = left;
    left -= count;
    return Array.from({ length: Math.min(k, rest) + 1 }, (_, votes) => hypergeometric(rest, count, votes));
  });
  let sum = 0;
  const most = Math.min(k, voted[0]?.count ?? 0);
  for (let m = 1; m <= most; m++) {
    const width = Math.floor(k / m) + 1; // answers that can be at m, and none
    // [votes given][answers at m]: probability, and probability times the sum of the values at m.
    let chance = new Float64Array((k + 1) * width);
    let worth = new Float64Array((k + 1) * width);
    chance[0] = 1;
    for (let a = 0; a < voted.length && voted[a].count >= m; a++) {
      const nextChance = new Float64Array(chance.length);
      const nextWorth = new Float64Array(worth.length);
      for (let given = 0; given <= k; given++) {
        if (k - given >= shares[a].length) continue; // more votes left than samples: cannot be reached
        const { first, probabilities } = shares[a][k - given];
        const end = Math.min(first + probabilities.length - 1, m);
        for (let tied = 0; tied < width && tied * m <= given; tied++) {
          const from = given * width + tied;
          if (chance[from] === 0) continue;
          for (let j = first; j <= end; j++) {
            const p = probabilities[j - first];
            const to = (given + j) * width + tied + (j === m ? 1 : 0);
            nextChance[to] += p * chance[from];
            nextWorth[to] += p * (worth[from] + (j === m ? voted[a].value * chance[from] : 0));
          }
        }
      }
      chance = nextChance;
      worth = nextWorth;
    }
    for (let given = 0; given <= k; given++)
      for (let tied = 1; tied < width; tied++) sum += worth[given * width + tied] / tied;
  }
  return sum;
}

/** The value of the vote of each of `draws` random subsets. */
function drawnShares(voted: readonly AnswerVotes[], n: number, k: number, draws: number, rng: Rng): number[] {
  const answerOf = new Int32Array(n).fill(-1);
  let at = 0;
  voted.forEach(({ count }, a) => {
    answerOf.fill(a, at, at + count);
    at += count;
  });
  return Array.from({ length: draws }, () => {
    const votes = new Int32Array(voted.length);
    for (let i = 0; i < k; i++) {
      const j = i + rng.int(n - i);
      [answerOf[i], answerOf[j]] = [answerOf[j], answerOf[i]];
      if (answerOf[i] >= 0) votes[answerOf[i]]++;
    }
    return voteValue(voted, votes);
  });
}

/** The mean value of the answers with most votes; 0 without a vote. */
function voteValue(voted: readonly AnswerVotes[], votes: Int32Array): number {
  let [most, tied, worth] = [1, 0, 0];
  for (let a = 0; a < votes.length; a++) {
    if (votes[a] < most) continue;
    if (votes[a] > most) [most, tied, worth] = [votes[a], 0, 0];
    tied++;
    worth += voted[a].value;
  }
  return tied === 0 ? 0 : worth / tied;
}

/**
 * The votes behind one prompt's samples: answers by first appearance, each worth the mean reward of its samples; `null`
 * is no answer.
 */
export function countVotes(
  answers: readonly (string | null)[],
  rewards: readonly number[],
): { votes: AnswerVotes[]; abstained: number } {
  if (answers.length !== rewards.length) {
    throw new EstimatorError(
      `countVotes: a reward for each answer expected, got ${answers.length} answers and ${rewards.length} rewards. Judge every sample.`,
    );
  }
  const sums = new Map<string, AnswerVotes>();
  let abstained = 0;
  answers.forEach((answer, i) => {
    if (answer === null) {
      abstained++;
      return;
    }
    const known = sums.get(answer) ?? { count: 0, value: 0 };
    sums.set(answer, { count: known.count + 1, value: known.value + rewards[i] });
  });
  const votes = [...sums.values()].map(({ count, value }) => ({ count, value: value / count }));
  return { votes, abstained };
}

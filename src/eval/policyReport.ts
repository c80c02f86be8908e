/** Every estimate of one policy from its judged samples, as plain data. */
import { bootstrapMeans, type Interval } from "./bootstrap.ts";
import {
  gPassAtK,
  type MeanEstimate,
  maxAtK,
  mean,
  meanAtK,
  passHatK,
  passOfProbability,
  powersOfTwo,
} from "./estimators.ts";
import type { JudgedSamples } from "./harness.ts";
import { countVotes, majAtK } from "./majority.ts";
import { type Measurement, modeCoverageAtK, passRows } from "./measurement.ts";

/** Means over problems, by k as text, in [0, 1]. */
export type ByK = Record<string, number>;

export interface PolicyReport {
  problems: number;
  samples: number;
  /** Unbiased Pass@k with intervals by bootstrap over problems. */
  passAtK: Record<string, Interval>;
  /** From the probabilities of all right answers; absent where the task does not list them. */
  exactPassAtK?: Record<string, Interval>;
  /** That all of k samples are right. */
  passHatK: ByK;
  /** That at least this share of k samples is right. */
  gPassAtK: Record<string, ByK>;
  /** That the majority of k samples is right. */
  majAtK: ByK;
  /** Expected best reward of k samples; only where a verifier grades. */
  maxAtK?: ByK;
  /** Mean reward of a sample. */
  meanAtK: MeanEstimate;
  /** Share of a problem's solution modes that come among all samples; absent where the task tells no modes. */
  modeCoverage?: number;
  /** Nats per token, at temperature 1 and at that of the samples. */
  entropy: number;
  samplingEntropy: number;
  verifierFailures: number;
}

/** Largest k; of samples it is at most their number. */
const MOST = 256;
const TAUS = [0.25, 0.5, 0.75];

/** The whole sum where it takes milliseconds, else drawn subsets (a standard error of .016 for one problem at most). */
function majorityOf({ votes, abstained }: ReturnType<typeof countVotes>, k: number): number {
  return majAtK(votes, k, { abstained, work: 5e6, draws: 1024 }).value;
}

/** Throws EstimatorError for no problems or no samples. `exact` is a measurement of the same problems. */
export function policyReport(
  sampled: Measurement,
  judged: readonly JudgedSamples[],
  exact?: Measurement,
): PolicyReport {
  const tallies = sampled.tallies ?? [];
  const n = tallies[0]?.n ?? 0;
  const ks = powersOfTwo(n, MOST);
  const byK = (of: (problem: number, k: number) => number): ByK =>
    Object.fromEntries(ks.map((k) => [k, mean(tallies.map((_, i) => of(i, k)))]));
  const exactKs = powersOfTwo(MOST, MOST);
  const intervalsOf = (rows: number[][], by: readonly number[]): Record<string, Interval> => {
    const found = bootstrapMeans(rows);
    return Object.fromEntries(by.map((k, column) => [k, found[column]]));
  };
  const votes = judged.map(({ answers, rewards }) => countVotes(answers, rewards));
  const graded = judged.some(({ rewards }) => rewards.some((reward) => reward !== 0 && reward !== 1));
  const coverage = modeCoverageAtK(sampled, n);
  return {
    problems: tallies.length,
    samples: n,
    passAtK: intervalsOf(passRows(sampled, ks), ks),
    ...(exact?.rightMass
      ? {
          exactPassAtK: intervalsOf(
            exact.rightMass.map((p) => exactKs.map((k) => passOfProbability(p, k))),
            exactKs,
          ),
        }
      : {}),
    passHatK: byK((i, k) => passHatK(n, tallies[i].c, k)),
    gPassAtK: Object.fromEntries(TAUS.map((tau) => [tau, byK((i, k) => gPassAtK(n, tallies[i].c, k, tau))])),
    majAtK: byK((i, k) => majorityOf(votes[i], k)),
    ...(graded ? { maxAtK: byK((i, k) => maxAtK(judged[i].rewards, k)) } : {}),
    meanAtK: meanAtK(judged.map(({ rewards }) => rewards)),
    ...(coverage === undefined ? {} : { modeCoverage: coverage }),
    entropy: sampled.entropy,
    samplingEntropy: sampled.samplingEntropy ?? sampled.entropy,
    verifierFailures: sampled.verifierFailures ?? 0,
  };
}

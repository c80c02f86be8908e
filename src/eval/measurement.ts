/** What was measured of one policy, as plain data, and what follows from it. */
import { mean, passOfProbability, passTable, type Tally } from "./estimators.ts";
import { distinctModesAtK } from "./modes.ts";

/** One policy on a list of problems; every list goes by problem. Plain data. */
export interface Measurement {
  /** Right samples; absent where the measurement is exact. */
  tallies?: Tally[];
  /** Exact probability of a right answer at the evaluation's temperature; absent where it is sampled. */
  rightMass?: number[];
  /**
   * Of each mode that the problem accepts, in the order of `problem.modes`: the probability of its answers (exact), or how
   * many samples were right in it. Absent where the task tells no modes.
   */
  modes?: number[][];
  /** Exact probabilities at further temperatures. */
  also?: { temperature: number; rightMass: number[] }[];
  /** Of the policy at temperature 1 over completion tokens that it drew, nats. */
  entropy: number;
  /** The same at the evaluation's temperature, where that is not 1. */
  samplingEntropy?: number;
  /** Samples on which the verifier itself failed; they count as wrong. Absent where there are none. */
  verifierFailures?: number;
}

/** Pass@k of every problem, [problem][k]: exact, or unbiased from its samples. */
export function passRows({ tallies, rightMass }: Measurement, ks: readonly number[]): number[][] {
  if (rightMass) return rightMass.map((p) => ks.map((k) => passOfProbability(p, k)));
  return passTable(tallies ?? [], ks);
}

/**
 * Of each problem the share of its modes that come among k samples, right: the expected number of distinct modes (exact,
 * or unbiased from the samples) over the number that it accepts; `null` where it accepts none. `undefined` without modes.
 */
export function modeCoverageRows({ modes, tallies }: Measurement, k: number): (number | null)[] | undefined {
  return modes?.map((values, i) => {
    if (values.length === 0) return null;
    const expected = tallies
      ? distinctModesAtK({ n: tallies[i].n, counts: values }, k)
      : values.reduce((sum, q) => sum + passOfProbability(Math.min(q, 1), k), 0);
    return expected / values.length;
  });
}

/** The mean of `modeCoverageRows` over problems that have modes; `undefined` where none has. */
export function modeCoverageAtK(measurement: Measurement, k: number): number | undefined {
  const shares = (modeCoverageRows(measurement, k) ?? []).filter((share) => share !== null);
  return shares.length > 0 ? mean(shares) : undefined;
}

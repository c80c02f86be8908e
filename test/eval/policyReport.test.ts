/** The estimates of one policy, from samples whose numbers are known. */
import { describe, expect, test } from "vitest";
import { gPassAtK, passAtK, passHatK } from "../../src/eval/estimators.ts";
import type { JudgedSamples } from "../../src/eval/harness.ts";
import type { Measurement } from "../../src/eval/measurement.ts";
import { modeCoverageAtK, passRows } from "../../src/eval/measurement.ts";
import { policyReport } from "../../src/eval/policyReport.ts";

const samples = (rewards: number[], answers: string[]): JudgedSamples => ({
  rewards,
  answers,
  modes: rewards.map(() => null),
});

describe("two problems of four samples", () => {
  // The right answer of the first is the favourite; that of the second is not.
  const judged = [samples([1, 1, 1, 0], ["a", "a", "a", "b"]), samples([1, 0, 0, 0], ["a", "b", "b", "b"])];
  const measurement: Measurement = {
    tallies: [
      { n: 4, c: 3 },
      { n: 4, c: 1 },
    ],
    modes: [
      [2, 1],
      [1, 0, 0],
    ],
    entropy: 0.5,
  };
  const report = policyReport(measurement, judged, { rightMass: [0.75, 0.25], entropy: 0.5 });

  test("each estimate is the mean over problems", () => {
    for (const k of [1, 2, 4]) {
      const mean = (of: (c: number) => number) => (of(3) + of(1)) / 2;
      expect(report.passAtK[k].mean).toBeCloseTo(
        mean((c) => passAtK(4, c, k)),
        12,
      );
      expect(report.passHatK[k]).toBeCloseTo(
        mean((c) => passHatK(4, c, k)),
        12,
      );
      expect(report.gPassAtK[0.5][k]).toBeCloseTo(
        mean((c) => gPassAtK(4, c, k, 0.5)),
        12,
      );
    }
    expect(report.meanAtK.mean).toBe(0.5);
  });

  test("a majority helps the favourite and hurts the rest", () => {
    expect(report.majAtK[1]).toBeCloseTo(0.5, 12);
    expect(report.majAtK[4]).toBeCloseTo(0.5, 12); // right for the first, wrong for the second
  });

  test("exact Pass@k is that of the probabilities", () => {
    expect(report.exactPassAtK?.[2].mean).toBeCloseTo((1 - 0.0625 + 1 - 0.5625) / 2, 12);
  });

  test("binary rewards have no max@k, graded ones have", () => {
    expect(report.maxAtK).toBeUndefined();
    const graded = policyReport({ tallies: [{ n: 2, c: 0 }], entropy: 0 }, [samples([0.2, 0.6], ["a", "b"])]);
    expect(graded.maxAtK).toEqual({ "1": 0.4, "2": 0.6 });
    expect(graded.modeCoverage).toBeUndefined();
  });

  test("coverage counts what each problem accepts", () => {
    // All four samples: both modes of the first, one of three of the second.
    expect(report.modeCoverage).toBeCloseTo((1 + 1 / 3) / 2, 12);
    expect(modeCoverageAtK({ rightMass: [1], modes: [[0.5, 0.5]], entropy: 0 }, 2)).toBeCloseTo(0.75, 12);
    expect(modeCoverageAtK({ rightMass: [1], modes: [[]], entropy: 0 }, 2)).toBeUndefined();
  });

  test("rows are exact where the measurement is", () => {
    expect(passRows({ rightMass: [0.5], entropy: 0 }, [1, 2])).toEqual([[0.5, 0.75]]);
    expect(passRows({ tallies: [{ n: 2, c: 1 }], entropy: 0 }, [1, 2])).toEqual([[0.5, 1]]);
  });
});

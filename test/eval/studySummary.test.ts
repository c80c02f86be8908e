/** Studies in numbers and sentences, from cells whose truth is known. No device. */
import { describe, expect, test } from "vitest";
import { findings, points, withInterval } from "../../src/eval/findings.ts";
import { studyMarkdown } from "../../src/eval/studyMarkdown.ts";
import { renderStudyReport } from "../../src/eval/studyReport.ts";
import { type StudyCell, type StudyCellArm, summarizeStudy } from "../../src/eval/studySummary.ts";
import type { EvaluationRow } from "../../src/eval/summary.ts";
import { studyConfig, studySetting } from "../../src/rl/studyConfig.ts";
import { Rng, Stream } from "../../src/tensor/random.ts";

const KS = [1, 4, 16];
const FACTS = {
  preset: "p",
  command: "naysay experiment",
  adapter: { vendor: "v", description: "d", backend: "b", tier: "T0", software: true },
  config: {},
  ks: KS,
  focus: "NSR",
  prompts: "shared" as const,
};

function arm(name: string, rightMass: number[], curve: EvaluationRow[] = []): StudyCellArm {
  return {
    name,
    summary: {
      name,
      passAtK: {},
      entropy: 0.5,
      updates: 10,
      rolloutTokens: 0,
      trainSeconds: 0,
      rolloutSeconds: 0,
      weightsSha256: name,
    },
    measurement: { rightMass, modes: rightMass.map((p) => [p / 2, p / 2]), entropy: 0.5 },
    curve,
  };
}

/** Cells in which NSR is `gain[control]` above PSR on every problem but for noise. */
function cells(gain: Record<string, number>, { seeds = 5, prompts = 40, noise = 0.01 } = {}): StudyCell[] {
  const rng = new Rng(7, Stream.data);
  const hard = Array.from({ length: prompts }, () => 0.2 + 0.4 * rng.uniform());
  const near = (shift: number) =>
    hard.map((p) => Math.min(Math.max(p + shift + noise * rng.normal(), 1e-6), 1));
  return Array.from({ length: seeds }, (_, s) => s + 1).flatMap((seed) => [
    { control: null, seed, seconds: 1, arms: [arm("base", near(-0.05))] },
    ...Object.entries(gain).map(([control, shift]) => ({
      control,
      seed,
      seconds: 2,
      arms: [arm("PSR", near(0)), arm("NSR", near(shift)), arm("GRPO", near(0))],
    })),
  ]);
}

const summaryOf = (gain: Record<string, number>, options = {}) =>
  summarizeStudy(cells(gain, options), {
    ...FACTS,
    controls: Object.fromEntries(Object.keys(gain).map((name) => [name, ""])),
  });

describe("a difference that is there", () => {
  const summary = summaryOf({ native: 0.05, matched: 0 });
  const [native, matched] = summary.controls;
  const of = (control: typeof native, b: string) =>
    control.comparisons.find((one) => one.a === "NSR" && one.b === b);

  test("is found where it is and not where it is not", () => {
    const there = of(native, "PSR")?.passAtK[1];
    expect(there?.mean).toBeCloseTo(0.05, 2);
    expect(there?.low).toBeGreaterThan(0.04);
    const gone = of(matched, "PSR")?.passAtK[1];
    expect(gone?.low).toBeLessThan(0);
    expect(gone?.high).toBeGreaterThan(0);
    expect(matched.against.find(({ b }) => b === "PSR")?.passAtK[1].high).toBeLessThan(-0.04);
    expect(native.against).toEqual([]);
  });

  test("is said where it is and not where it is not", () => {
    const said = findings(summary);
    const under = (about: string) => said.find((one) => one.about === about)?.sentences.join(" ") ?? "";
    expect(under("Under native")).toContain("NSR is above PSR at k = 1 to 16");
    expect(under("Under native")).toContain("Modes: more (+");
    expect(under("Under matched")).toContain("Modes: not told from 0");
    expect(under("Under matched")).toContain("NSR is not told from PSR at any k");
    expect(under("Under matched")).not.toContain("is above");
    expect(under("What the controls change")).toMatch(
      /matched moves NSR minus PSR of native by −(4\.9|5\.\d) /,
    );
  });

  test("seconds and seeds are those of the cells", () => {
    expect(summary.seconds).toBe(5 * (1 + 2 * 2));
    expect(summary.seeds).toEqual([1, 2, 3, 4, 5]);
    expect(summary.prompts).toBe(40);
  });
});

test("below, and above at other k, are told apart", () => {
  const two = cells({ native: 0 }, { noise: 0 });
  // NSR wins at k = 1 and loses at k = 16: it solves half of the problems better and the rest hardly at all.
  for (const cell of two) {
    for (const one of cell.arms) {
      if (one.name === "NSR")
        one.measurement.rightMass = one.measurement.rightMass?.map((_, i) => (i % 2 ? 0.9 : 0.02));
      if (one.name !== "NSR") one.measurement.rightMass = one.measurement.rightMass?.map(() => 0.3);
    }
  }
  const summary = summarizeStudy(two, { ...FACTS, controls: { native: "" } });
  const [first] = findings(summary)[0].sentences;
  expect(first).toMatch(/^NSR is above PSR at k = 1 and below it at k = 4 to 16 \(/);
});

test("one seed has intervals over problems, and says so", () => {
  const summary = summaryOf({ native: 0.05 }, { seeds: 1 });
  const found = summary.controls[0].comparisons[0].passAtK[1];
  expect(found.high - found.low).toBeGreaterThan(0);
  expect(renderStudyReport(summary)).toContain("of this one seed alone");
  expect(studyMarkdown(summary)).toContain("of this one seed alone");
});

test("equal runs are equal, in numbers and words", () => {
  const same = cells({ native: 0 }, { noise: 0 });
  const summary = summarizeStudy(same, { ...FACTS, controls: { native: "" } });
  expect(summary.controls[0].comparisons[0].passAtK[16]).toMatchObject({ mean: 0, low: 0, high: 0 });
  expect(findings(summary)[0].sentences[0]).toContain(
    "NSR and PSR are equal on every problem of every seed.",
  );
});

test("curves meet at a common Pass@1", () => {
  const list = cells({ native: 0 }, { noise: 0.002 });
  const row = (name: string, update: number, p: number, spread: number): EvaluationRow => ({
    arm: name,
    update,
    passAtK: { "1": p, "4": p, "16": p },
    entropy: 0.5,
    modeCoverage: 0.5,
    // The same mean, unequally shared out: less at large k.
    rightMass: Array.from({ length: 40 }, (_, i) => (i % 2 ? p + spread : p - spread)),
  });
  for (const cell of list) {
    for (const one of cell.arms) {
      const spread = one.name === "NSR" ? 0.05 : 0.25;
      if (one.name !== "base")
        one.curve = [1, 2, 3].map((update) => row(one.name, update, 0.35 + 0.05 * update, spread));
    }
  }
  const { matched } = summarizeStudy(list, { ...FACTS, controls: { native: "" } }).controls[0];
  const psr = matched.find(({ b }) => b === "PSR");
  expect(psr?.pass1).toBeCloseTo(0.5, 6);
  expect(psr?.passAtK[1].mean).toBeCloseTo(0, 6);
  expect(psr?.passAtK[4].low).toBeGreaterThan(0.02);
  const summary = summarizeStudy(list, { ...FACTS, controls: { native: "" } });
  const [row4, row16] = [psr?.passAtK[4], psr?.passAtK[16]].map(
    (one) => one && withInterval(one).replace(/[[\]]/g, "\\$&"),
  );
  expect(studyMarkdown(summary)).toContain(`| NSR − PSR | 50.0 | ${row4} | ${row16} |`);
});

test("a report says what was run: task, model, rates, other temperatures, kind of interval, what modes are", () => {
  const list = cells({ native: 0.05 }, { seeds: 2 });
  for (const { seed, arms } of list) {
    for (const one of arms)
      one.summary.also = [{ temperature: 0.6, passAtK: { "1": 0.1 * seed, "4": 0.2, "16": 0.7 } }];
  }
  const setting = studySetting(studyConfig("controls"));
  const summary = summarizeStudy(list, { ...FACTS, setting, controls: { native: "" } });
  for (const text of [studyMarkdown(summary), renderStudyReport(summary)]) {
    expect(text).toMatch(/countdown: numbers (\\?\[)1,15/);
    expect(text).toContain("hiddenSize 32, numLayers 2");
    expect(text).toContain("pretrained: 1200 steps of 64 traces, learning rate 0.005");
    expect(text).toContain("60 rollouts of 16 problems x 8 samples at T = 1, mini-batches of 32 rows");
    expect(text).toContain("learning rate 0.0003, gradients clipped to a norm of 1");
    expect(text).toContain("t intervals over seeds and problems");
    expect(text).toContain("Modes: the mean share of the ways to solve a problem");
  }
  // The mean over two seeds at k = 1.
  expect(studyMarkdown(summary)).toContain(
    "| arm | Pass@1 at T = 0.6 | Pass@4 at T = 0.6 | Pass@16 at T = 0.6 |\n| --- | ---: | ---: | ---: |\n| base | 15.0 | 20.0 | 70.0 |",
  );
});

test("cells without a base are refused", () => {
  const facts = { ...FACTS, controls: { native: "" } };
  expect(() => summarizeStudy([], facts)).toThrow(/^summarizeStudy: cells: .* expected, got no cells/);
  const list = cells({ native: 0 }).filter(({ control, seed }) => control !== null || seed !== 3);
  expect(() => summarizeStudy(list, facts)).toThrow(/got none for seed 3\. Measure the base/);
});

test("signs, and names that could be markup", () => {
  expect([points(0.0123), points(-0.0123), points(0.0004), points(0)]).toEqual([
    "+1.2",
    "−1.2",
    "0.0",
    "0.0",
  ]);
  expect(withInterval({ mean: 0.01, low: -0.02, high: 0.04 })).toBe("+1.0 [−2.0, +4.0]");
  // A bound that rounds to 0 would hide that the interval leaves it out.
  expect(withInterval({ mean: 0.001, low: 0.0003, high: 0.0017 })).toBe("+0.10 [+0.03, +0.17]");
  expect(withInterval({ mean: -0.01, low: -0.02, high: -0.000004 })).toBe("−1.0000 [−2.0000, −0.0004]");
  expect(withInterval({ mean: -0.01, low: -0.02, high: 0.0001 })).toBe("−1.0 [−2.0, 0.0]");
  expect(withInterval({ mean: -0.01, low: -0.02, high: -0.0005 })).toMatch(/−0\.0?[15]\d?\]$/);
  const summary = summaryOf({ native: 0.05 });
  summary.controls[0].name = "<img src=x onerror=alert(1)>|`";
  const text = studyMarkdown(summary);
  expect(text).not.toMatch(/(?<!\\)<img/);
  expect(text).toContain("| arm | Pass@1 | Pass@4 | Pass@16 | entropy |");
  expect(text).not.toMatch(/NaN|undefined|\[object/);
  expect(renderStudyReport(summary)).not.toContain("<img");
});

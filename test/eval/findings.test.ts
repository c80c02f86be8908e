/** Sentences of a study: true and whole for ties, one seed, one arm, one control, one k. */
import { describe, expect, test } from "vitest";
import { findings } from "../../src/eval/findings.ts";
import { renderStudyReport } from "../../src/eval/studyReport.ts";
import {
  type StudyCell,
  type StudyFacts,
  type StudySummary,
  summarizeStudy,
} from "../../src/eval/studySummary.ts";
import { Rng, Stream } from "../../src/tensor/random.ts";

/** Arms with a Pass@1 each; every seed and problem differs by `noise` from it, common to all arms but for a tenth. */
function study(
  given: { arms: Record<string, number>; seeds?: number; controls?: string[]; ks?: number[]; noise?: number },
  more: Partial<StudyFacts> = {},
) {
  const { arms, seeds = 3, controls = ["native"], ks = [1, 2, 4], noise = 0.05 } = given;
  const rng = new Rng(81, Stream.test);
  const measured = (mean: number, common: readonly number[]) => {
    const rightMass = common.map((x) => Math.min(Math.max(mean + noise * (x + 0.1 * rng.normal()), 0), 1));
    return { entropy: 0.5, rightMass };
  };
  const cells: StudyCell[] = [];
  for (let seed = 1; seed <= seeds; seed++) {
    const common = Array.from({ length: 12 }, () => rng.normal());
    const arm = (name: string, mean: number, steps: number[]) => {
      const measurement = measured(mean, common);
      const summary = { name, passAtK: {}, entropy: 0.5, updates: 1, weightsSha256: "0" };
      const whole = { ...summary, rolloutTokens: 0, trainSeconds: 0, rolloutSeconds: 0 };
      const curve = steps.map((update) => ({ arm: name, update, passAtK: {}, ...measurement }));
      return { name, summary: whole, measurement, curve };
    };
    cells.push({ control: null, seed, seconds: 1, arms: [arm("base", 0.3, [])] });
    for (const control of controls)
      cells.push({
        control,
        seed,
        seconds: 1,
        arms: Object.entries(arms).map(([name, mean]) => arm(name, mean, [1])),
      });
  }
  return summarizeStudy(cells, {
    preset: "test",
    command: "test",
    adapter: { vendor: "v", description: "d", backend: "b", tier: "T0", software: true },
    config: {},
    ks,
    focus: Object.keys(arms)[0],
    controls: Object.fromEntries(controls.map((name) => [name, ""])),
    prompts: "shared",
    ...more,
  });
}

/** Each finding as one text. */
const told = (summary: StudySummary): string[] =>
  findings(summary).map(({ about, sentences }) => `${about}: ${sentences.join(" ")}`);

test("an arm above another is said to be, with its numbers, and the other way round", () => {
  const [above] = told(study({ arms: { NSR: 0.5, PSR: 0.4 } }));
  expect(above).toMatch(
    /^Under native: NSR is above PSR at k = 1 to 4 \(\+10\.\d \[\+\d+\.\d, \+\d+\.\d\] at k = 1, /,
  );
  expect(above).toMatch(/ PSR is above base at k = 1 to 4 /);
  const [below] = told(study({ arms: { NSR: 0.4, PSR: 0.5 } }));
  expect(below).toMatch(/^Under native: NSR is below PSR at k = 1 to 4 \(−/);
});

test("arms without any difference are not told apart, whatever else is equal", () => {
  const all = told(study({ arms: { NSR: 0.3, PSR: 0.3 }, noise: 0, controls: ["native", "sgd"] }));
  expect(all[0]).toContain("NSR and PSR are equal on every problem of every seed.");
  expect(all.join("\n")).toContain("No control changes a difference of native");
  expect(all.at(-1)).toMatch(/ 0 of 6 between arms \(about 0 would/);
});

test("at matched Pass@1 what is left over is spoken of only where something is", () => {
  const summary = study({ arms: { NSR: 0.5, PSR: 0.4, GRPO: 0.4 } });
  const clear = { mean: 0.1, low: 0.05, high: 0.15 };
  const open = { mean: 0.1, low: -0.05, high: 0.25 };
  const matched = (ends: (typeof clear)[]) => {
    summary.controls[0].matched = ends.map((end, i) => ({
      a: "NSR",
      b: ["PSR", "GRPO"][i],
      pass1: 0.4,
      passAtK: { 1: open, 2: open, 4: end },
    }));
    return findings(summary)
      .find(({ about }) => about === "At matched Pass@1")
      ?.sentences.join(" ");
  };
  expect(matched([clear, clear])).toMatch(
    /Under native, at a Pass@1 of 40\.0 %, NSR is above GRPO at k = 4 \(\+10\.0 \[\+5\.0, \+15\.0\] at k = 4\)\.$/,
  );
  expect(matched([clear, open])).toMatch(/ The rest is not told from 0\.$/);
  expect(matched([open])).toMatch(/No comparison is told from 0/);
  expect(matched([])).toBeUndefined();
});

test("a ceiling is called one, and resolution is that of the k that shows least", () => {
  const pilot = {
    arms: ["PSR", "NSR"] as [string, string],
    control: "native",
    seeds: [11, 12],
    planned: { seeds: 3, prompts: 12 },
    detectable: { 1: 0.05, 4: 0.08, 64: 0.001 },
    difference: 0.06,
  };
  const all = told(study({ arms: { NSR: 0.3, PSR: 0.31 }, ks: [1, 4, 64] }, { pilot }));
  expect(all.join("\n")).toContain(
    "it sees at k = 1 and 64, and it does not see at k = 4, where a null result says little (at k = 4 it takes 8.0 points); the smallest that it sees at k = 64 is 0.1 points.",
  );
  expect(all.join("\n")).toContain(
    "At k = 64 every policy, the base among them, has a Pass@k of 99.5 % or more",
  );
  expect(told(study({ arms: { NSR: 0.3 } })).join()).not.toContain("every policy");
});

test("no interval of a Pass@k leaves [0, 1]", () => {
  const { base, controls } = study({ arms: { NSR: 0.97, PSR: 0.02 }, seeds: 2 });
  for (const { passAtK } of [base, ...controls[0].arms]) {
    for (const { low, high } of Object.values(passAtK)) {
      expect(low).toBeGreaterThanOrEqual(0);
      expect(high).toBeLessThanOrEqual(1);
    }
  }
});

describe("studies with little in them", () => {
  const cases: [string, Parameters<typeof study>[0]][] = [
    ["one seed", { arms: { NSR: 0.5, PSR: 0.4 }, seeds: 1 }],
    ["one arm, two controls", { arms: { NSR: 0.5 }, controls: ["native", "sgd"] }],
    ["one k", { arms: { NSR: 0.5, PSR: 0.4 }, ks: [1] }],
    ["all of them", { arms: { NSR: 0.3 }, seeds: 1, ks: [1], noise: 0 }],
    ["all right", { arms: { NSR: 1, PSR: 1 }, noise: 0 }],
  ];
  test.each(cases)("%s: whole sentences", (_name, given) => {
    const summary = study(given);
    const all = told(summary);
    for (const text of all) {
      expect(text).toMatch(/^[A-Z].*[^:;, ]\.$/);
      expect(text).not.toMatch(/NaN|undefined|: \.| {2}/);
    }
    expect(all.filter((text) => text.startsWith("Under "))).toHaveLength(given.controls?.length ?? 1);
    expect(renderStudyReport(summary)).not.toMatch(/undefined|>NaN/);
  });
});

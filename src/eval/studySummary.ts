/**
 * A study in numbers: for each control and arm the mean over seeds, and differences paired by seed and prompt, each with
 * the interval of `seedInterval` (one seed: the bootstrap over prompts). Pure: cells in, plain data out.
 */
import { bootstrapMean, type Interval } from "./bootstrap.ts";
import { EstimatorError, mean } from "./estimators.ts";
import { type CurvePoint, matchedHighest } from "./matched.ts";
import { type Measurement, modeCoverageAtK, modeCoverageRows, passRows } from "./measurement.ts";
import { type PromptDesign, seedInterval } from "./power.ts";
import type { AdapterSummary, ArmSummary, EvaluationRow } from "./summary.ts";

/** One arm of one cell. */
export interface StudyCellArm {
  name: string;
  summary: ArmSummary;
  measurement: Measurement;
  /** On the way, in order of updates. */
  curve: EvaluationRow[];
}

/** One seed under one control; `null` is the base, untrained. */
export interface StudyCell {
  control: string | null;
  seed: number;
  seconds: number;
  arms: StudyCellArm[];
}

/** How small a difference the study can see, from runs with other seeds than its own. */
export interface PilotOutcome {
  arms: [string, string];
  control: string;
  seeds: number[];
  planned: { seeds: number; prompts: number };
  /** By k: the smallest true difference in Pass@k that is told from 0 in four of five such studies. */
  detectable: Record<string, number>;
  /** The difference that the study is meant to see. */
  difference: number;
}

/** By k as text. */
export type Intervals = Record<string, Interval>;

export interface StudyArm {
  name: string;
  passAtK: Intervals;
  /** Exact Pass@k at further temperatures, means. */
  also: { temperature: number; passAtK: Record<string, number> }[];
  entropy: Interval;
  modeCoverage: Interval | null;
  /** Optimizer updates, mean over seeds. */
  updates: number;
  /** By seed. */
  weightsSha256: string[];
  /** Means over seeds on the way; update 0 is the base. */
  curve: { update: number; passAtK: Record<string, number>; entropy: number; modeCoverage: number | null }[];
}

/** `a` minus `b`. */
export interface Comparison {
  a: string;
  b: string;
  passAtK: Intervals;
  /** In the mode coverage at the largest k; absent where the task tells no modes. */
  modeCoverage?: Interval;
}

/** `a` minus `b` where both have the same Pass@1: in each seed the highest that its two runs meet on the way. */
export interface MatchedComparison extends Comparison {
  /** The common Pass@1, mean over seeds. */
  pass1: number;
}

export interface StudyControl {
  name: string;
  about: string;
  arms: StudyArm[];
  comparisons: Comparison[];
  matched: MatchedComparison[];
  /** The focus minus another arm, less the same under the first control; none for the first itself. */
  against: Comparison[];
}

export interface StudySummary {
  preset: string;
  command: string;
  adapter: AdapterSummary;
  versions?: Record<string, string>;
  /** Task, model, training and the rest in words: names with what they were set to. */
  setting?: Record<string, string>;
  /** Of all cells and sittings. */
  seconds: number;
  seeds: number[];
  prompts: number;
  exact: boolean;
  /** Samples of each prompt, where Pass@k is not exact. */
  samples: number | null;
  level: number;
  ks: number[];
  focus: string;
  base: StudyArm;
  controls: StudyControl[];
  pilot?: PilotOutcome;
  config: unknown;
}

export interface StudyFacts
  extends Pick<
    StudySummary,
    "preset" | "command" | "adapter" | "versions" | "setting" | "config" | "ks" | "focus" | "pilot"
  > {
  /** Names with what they hold equal, in order. */
  controls: Record<string, string>;
  prompts: PromptDesign;
}

const LEVEL = 0.95;

/** [seed][prompt][column] */
type Values = number[][][];

/** Throws EstimatorError where cells of one study differ in prompts, and where there are none or no base among them. */
export function summarizeStudy(cells: readonly StudyCell[], facts: StudyFacts): StudySummary {
  const { ks, focus, prompts: design } = facts;
  checkBases(cells);
  const seeds = [...new Set(cells.map(({ seed }) => seed))];
  const runsOf = (control: string | null, arm: string): StudyCellArm[] =>
    seeds.flatMap((seed) => {
      const cell = cells.find((one) => one.control === control && one.seed === seed);
      const found = cell?.arms.find(({ name }) => name === arm);
      return found ? [found] : [];
    });
  const baseRuns = runsOf(null, "base");
  const valuesOf = (runs: readonly StudyCellArm[]): Values =>
    runs.map(({ measurement }) => passRows(measurement, ks));
  const baseValues = valuesOf(baseRuns);
  const names = (control: string) => cells.find((cell) => cell.control === control)?.arms ?? [];
  const controls = Object.entries(facts.controls).map(([name, about]): StudyControl => {
    const arms = names(name).map((arm) => arm.name);
    const runs = new Map(arms.map((arm) => [arm, runsOf(name, arm)]));
    const values = new Map(arms.map((arm) => [arm, valuesOf(runs.get(arm) as StudyCellArm[])]));
    const of = (arm: string) => (arm === "base" ? baseValues : (values.get(arm) as Values));
    const pairs: [string, string][] = [
      ...arms
        .filter((arm) => arm !== focus && arms.includes(focus))
        .map((arm): [string, string] => [focus, arm]),
      ...arms.map((arm): [string, string] => [arm, "base"]),
    ];
    return {
      name,
      about,
      arms: arms.map((arm) => studyArm(arm, runs.get(arm) as StudyCellArm[], baseRuns, ks, design)),
      comparisons: pairs.map(([a, b]) => {
        const runsOfArm = (arm: string) => (arm === "base" ? baseRuns : (runs.get(arm) as StudyCellArm[]));
        const modeCoverage = coverageDifference(runsOfArm(a), runsOfArm(b), ks[ks.length - 1], design);
        const passAtK = intervals(minus(of(a), of(b)), ks, design);
        return { a, b, passAtK, ...(modeCoverage ? { modeCoverage } : {}) };
      }),
      matched: matchedComparisons(runs, baseRuns, focus, ks, design),
      against: [],
    };
  });
  addAgainst(controls, (control, arm) => valuesOf(runsOf(control, arm)), facts);
  const first = baseRuns[0].measurement;
  return {
    preset: facts.preset,
    command: facts.command,
    adapter: facts.adapter,
    ...(facts.versions ? { versions: facts.versions } : {}),
    ...(facts.setting ? { setting: facts.setting } : {}),
    seconds: cells.reduce((sum, { seconds }) => sum + seconds, 0),
    seeds,
    prompts: baseValues[0].length,
    exact: first.rightMass !== undefined,
    samples: first.tallies?.[0]?.n ?? null,
    level: LEVEL,
    ks: [...ks],
    focus,
    base: studyArm("base", baseRuns, baseRuns, ks, design),
    controls,
    ...(facts.pilot ? { pilot: facts.pilot } : {}),
    config: facts.config,
  };
}

/** Every seed is compared with its base. */
function checkBases(cells: readonly StudyCell[]): void {
  const seeds = new Set(cells.map(({ seed }) => seed));
  const based = (one: number) =>
    cells.some(
      ({ control, seed, arms }) =>
        control === null && seed === one && arms.some(({ name }) => name === "base"),
    );
  const without = [...seeds].find((seed) => !based(seed));
  if (seeds.size > 0 && without === undefined) return;
  throw new EstimatorError(
    `summarizeStudy: cells: one with control null and an arm "base" for every seed expected, got ${seeds.size === 0 ? "no cells" : `none for seed ${without}`}. Measure the base as well.`,
  );
}

const minus = (a: Values, b: Values): Values =>
  a.map((prompts, s) => prompts.map((row, i) => row.map((value, column) => value - b[s][i][column])));

/** Over seeds and prompts; with one seed over prompts alone. */
function interval(values: readonly (readonly number[])[], design: PromptDesign): Interval {
  if (values.length === 1) return bootstrapMean(values[0], { level: LEVEL });
  const { mean, low, high } = seedInterval(values, { level: LEVEL, prompts: design });
  return { mean, low, high };
}

/** Of the problems that have modes. */
function coverageDifference(
  a: readonly StudyCellArm[],
  b: readonly StudyCellArm[],
  k: number,
  design: PromptDesign,
): Interval | undefined {
  const rows = (runs: readonly StudyCellArm[]) =>
    runs.map(({ measurement }) => (modeCoverageRows(measurement, k) ?? []).filter((share) => share !== null));
  const [left, right] = [rows(a), rows(b)];
  // Seeds with problems of their own may have unequally many with modes, which no table of seeds and problems holds.
  const count = left[0].length;
  if (count < 2 || [...left, ...right].some((row) => row.length !== count)) return undefined;
  const differences = left.map((row, s) => row.map((share, i) => share - right[s][i]));
  return interval(differences, design);
}

function intervals(values: Values, ks: readonly number[], design: PromptDesign): Intervals {
  return Object.fromEntries(
    ks.map((k, column) => [
      k,
      interval(
        values.map((prompts) => prompts.map((row) => row[column])),
        design,
      ),
    ]),
  );
}

/** Ends within [0, 1]: a t interval knows nothing of what a share can be. */
function ofShares(found: Intervals): Intervals {
  return Object.fromEntries(
    Object.entries(found).map(([k, { mean, low, high }]) => [
      k,
      { mean, low: Math.max(low, 0), high: Math.min(high, 1) },
    ]),
  );
}

/** Of one number a seed: mean and t interval; with one seed the number itself. */
function ofSeeds(values: readonly number[]): Interval {
  if (values.length === 1) return { mean: values[0], low: values[0], high: values[0] };
  // Each seed as two equal prompts: what differs is the seeds alone.
  const { mean, low, high } = seedInterval(
    values.map((value) => [value, value]),
    { level: LEVEL, prompts: "own" },
  );
  return { mean, low, high };
}

function studyArm(
  name: string,
  runs: readonly StudyCellArm[],
  baseRuns: readonly StudyCellArm[],
  ks: readonly number[],
  design: PromptDesign,
): StudyArm {
  const most = ks[ks.length - 1];
  const coverage = runs.map(({ measurement }) => modeCoverageAtK(measurement, most));
  const further = runs[0].summary.also ?? [];
  const meanOf = (records: readonly Record<string, number>[]) =>
    Object.fromEntries(ks.map((k) => [k, mean(records.map((record) => record[k]))]));
  const start = {
    update: 0,
    ...pointOf(
      baseRuns.map(({ summary }) => summary),
      meanOf,
    ),
  };
  const steps = [...new Set(runs.flatMap(({ curve }) => curve.map(({ update }) => update)))].sort(
    (a, b) => a - b,
  );
  return {
    name,
    passAtK: ofShares(
      intervals(
        runs.map(({ measurement }) => passRows(measurement, ks)),
        ks,
        design,
      ),
    ),
    also: further.map(({ temperature }, i) => ({
      temperature,
      passAtK: meanOf(runs.map(({ summary }) => summary.also?.[i].passAtK ?? {})),
    })),
    entropy: ofSeeds(runs.map(({ summary }) => summary.entropy)),
    modeCoverage: coverage.every((one) => one !== undefined) ? ofSeeds(coverage as number[]) : null,
    updates: mean(runs.map(({ summary }) => summary.updates)),
    weightsSha256: runs.map(({ summary }) => summary.weightsSha256),
    curve: [
      ...(steps.includes(0) ? [] : [start]),
      ...steps.flatMap((update) => {
        const rows = runs.flatMap(({ curve }) => curve.filter((row) => row.update === update));
        return rows.length === runs.length ? [{ update, ...pointOf(rows, meanOf) }] : [];
      }),
    ],
  };
}

function pointOf(
  rows: readonly Pick<EvaluationRow, "passAtK" | "entropy" | "modeCoverage">[],
  meanOf: (records: readonly Record<string, number>[]) => Record<string, number>,
) {
  const coverage = rows.map(({ modeCoverage }) => modeCoverage);
  return {
    passAtK: meanOf(rows.map(({ passAtK }) => passAtK)),
    entropy: mean(rows.map(({ entropy }) => entropy)),
    modeCoverage: coverage.every((one) => one !== undefined) ? mean(coverage as number[]) : null,
  };
}

/** The focus against each arm at the highest Pass@1 that both meet, seed by seed. */
function matchedComparisons(
  runs: ReadonlyMap<string, readonly StudyCellArm[]>,
  baseRuns: readonly StudyCellArm[],
  focus: string,
  ks: readonly number[],
  design: PromptDesign,
): MatchedComparison[] {
  const curves = new Map(
    [...runs].map(([arm, own]) => [arm, own.map((run, s) => curveOf(run, baseRuns[s], ks))] as const),
  );
  const focused = curves.get(focus);
  if (!focused || focused.some((run) => run.length < 2)) return [];
  const found: MatchedComparison[] = [];
  for (const [arm, other] of curves) {
    if (arm === focus) continue;
    const { targets, differences } = matchedHighest(focused, other);
    found.push({
      a: focus,
      b: arm,
      pass1: mean(targets),
      passAtK: intervals(differences, ks, design),
    });
  }
  return found;
}

function curveOf(run: StudyCellArm, base: StudyCellArm, ks: readonly number[]): CurvePoint[] {
  const start = { step: 0, values: passRows(base.measurement, ks) };
  const rows = run.curve.map((row) => ({ step: row.update, values: passRows(row, ks) }));
  return [start, ...rows];
}

/** What each control does to the differences of the first. */
function addAgainst(
  controls: StudyControl[],
  valuesOf: (control: string, arm: string) => Values,
  { ks, focus, prompts }: StudyFacts,
): void {
  const [first, ...others] = controls;
  for (const control of others) {
    for (const { name } of control.arms) {
      if (name === focus || !first.arms.some((arm) => arm.name === name)) continue;
      if (!control.arms.some((arm) => arm.name === focus)) continue;
      const gap = (where: string) => minus(valuesOf(where, focus), valuesOf(where, name));
      const passAtK = intervals(minus(gap(control.name), gap(first.name)), ks, prompts);
      control.against.push({ a: focus, b: name, passAtK });
    }
  }
}

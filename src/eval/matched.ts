/**
 * Pass@k at matched Pass@1: two ways of training compared where they are equally good at one sample, so that what differs
 * is what the other samples add. An arm is a curve over training; between checkpoints Pass@k is taken as linear in Pass@1.
 *
 *     w = (target - Pass@1[i]) / (Pass@1[i+1] - Pass@1[i])      first i whose segment holds the target
 *     Pass@k(target) = (1 - w) Pass@k[i] + w Pass@k[i+1]
 *
 * The first crossing, since a curve may rise and fall again. Checkpoints have to lie close: a straight line across a wide
 * gap is an assumption, and among many noisy checkpoints the first above the target tends to be a lucky one.
 */
import type { Interval } from "./bootstrap.ts";
import { bootstrapSeedStatistic, type SeedBootstrapOptions, type SeedDraw } from "./bootstrapSeeds.ts";
import { EstimatorError } from "./estimators.ts";

/** One checkpoint of one run: `values[prompt][k]` as of `passTable`, the first column Pass@1. */
export interface CurvePoint {
  /** Updates done, or any other number that grows over training. */
  step: number;
  values: readonly (readonly number[])[];
}

/** The runs of an arm by seed, each a list of checkpoints in order of steps. */
export type ArmCurves = readonly (readonly CurvePoint[])[];

/** A checkpoint's means over prompts; the first is Pass@1. */
export interface MeanPoint {
  step: number;
  means: readonly number[];
}

export interface Matched {
  /** Where the target was met, between two checkpoints. */
  step: number;
  /** Pass@k of each column at the target; the first is the target. */
  values: number[];
  /** False where the curve never meets the target: the checkpoint nearest to it stands in. */
  reached: boolean;
}

interface Crossing {
  /** The checkpoint before it. */
  from: number;
  /** How far on the way to the next; 0: at the checkpoint itself. */
  weight: number;
}

/** Where Pass@1 first equals `target`; null where it never does. */
function crossing(curve: readonly MeanPoint[], target: number): Crossing | null {
  for (const [from, { means }] of curve.entries()) {
    const here = means[0];
    if (here === target) return { from, weight: 0 };
    const next = curve[from + 1]?.means[0];
    if (next === undefined || here < target !== next > target) continue;
    return { from, weight: (target - here) / (next - here) };
  }
  return null;
}

/** The curve at the first point where Pass@1 equals `target`. Throws EstimatorError for no checkpoints. */
export function atPass1(curve: readonly MeanPoint[], target: number): Matched {
  if (curve.length === 0 || !Number.isFinite(target)) {
    throw new EstimatorError(
      `atPass1: at least one checkpoint and a finite target expected, got ${curve.length} and ${target}. Measure some checkpoints.`,
    );
  }
  const met = crossing(curve, target);
  if (met) {
    const { step, means } = curve[met.from];
    if (met.weight === 0) return { step, values: [...means], reached: true };
    const next = curve[met.from + 1];
    const between = (a: number, b: number) => a + met.weight * (b - a);
    const values = means.map((mean, column) => between(mean, next.means[column]));
    return { step: between(step, next.step), values, reached: true };
  }
  const nearest = curve.reduce((best, point) =>
    Math.abs(point.means[0] - target) < Math.abs(best.means[0] - target) ? point : best,
  );
  return { step: nearest.step, values: [...nearest.means], reached: false };
}

/**
 * The Pass@1 that every curve meets, from the highest of their minima to the lowest of their maxima; `null` where there
 * is none. The top of the range is the usual target.
 */
export function commonPass1(curves: readonly (readonly MeanPoint[])[]): { low: number; high: number } | null {
  const ends = curves.map((curve) => {
    const pass1 = curve.map(({ means }) => means[0]);
    return { low: pass1.reduce((a, b) => Math.min(a, b)), high: pass1.reduce((a, b) => Math.max(a, b)) };
  });
  if (ends.length === 0) return null;
  const low = ends.reduce((most, end) => Math.max(most, end.low), Number.NEGATIVE_INFINITY);
  const high = ends.reduce((least, end) => Math.min(least, end.high), Number.POSITIVE_INFINITY);
  return low <= high ? { low, high } : null;
}

/** A run's curve of means over the given prompts, all of them unless told. */
export function meanCurve(run: readonly CurvePoint[], prompts?: ArrayLike<number>): MeanPoint[] {
  return run.map(({ step, values }) => {
    const count = prompts?.length ?? values.length;
    const means = values[0].map((_, column) => {
      let sum = 0;
      for (let i = 0; i < count; i++) sum += values[prompts ? prompts[i] : i][column];
      return sum / count;
    });
    return { step, means };
  });
}

export interface MatchedIntervals {
  target: number;
  /** By column, as of `values`. */
  intervals: Interval[];
  /** Runs (seeds of both arms together) that meet the target with all prompts. */
  reached: number;
  runs: number;
  /** Share of resampled runs that never met the target; above a few per cent lower the target. */
  missed: number;
}

/** Intervals of an arm's Pass@k at Pass@1 = `target`: mean over seeds, seeds and prompts resampled. */
export function matchedPass(
  arm: ArmCurves,
  target: number,
  options: SeedBootstrapOptions = {},
): MatchedIntervals {
  return matched("matchedPass", [arm], target, options);
}

/**
 * Intervals of `a` minus `b` in Pass@k at Pass@1 = `target`, seeds and prompts resampled together. Column 0 is about 0 by
 * construction. Both arms need the same seeds and prompts; their checkpoints may differ.
 */
export function matchedDifference(
  a: ArmCurves,
  b: ArmCurves,
  target: number,
  options: SeedBootstrapOptions = {},
): MatchedIntervals {
  return matched("matchedDifference", [a, b], target, options);
}

export interface HighestMatched {
  /** Of each seed: the highest Pass@1 that both of its runs meet. */
  targets: number[];
  /** `[seed][prompt][column]`: what each prompt adds to `a` minus `b`; a seed's difference is the mean of its prompts. */
  differences: number[][][];
}

/**
 * `a` minus `b`, each seed at a Pass@1 of its own: the highest that both of its runs meet. Column 0 is 0 by construction.
 * Prompts decide the target and where a curve meets it, so a prompt's share is taken to first order (the influence of
 * its weight on the difference): with T = max over the lower run's checkpoints and slope = (Pass@k[i+1] - Pass@k[i]) /
 * (Pass@1[i+1] - Pass@1[i]) where a curve meets T,
 *
 *     share = (1 - w) x_k[i] + w x_k[i+1] - slope ((1 - w) x_1[i] + w x_1[i+1] - x_1 at T)
 *
 * These are values for `seedInterval`. Throws EstimatorError where the two runs of a seed have no Pass@1 in common; runs
 * that begin at one policy do. Source: the delta method (van der Vaart 1998, Asymptotic Statistics, chapters 3 and 20).
 */
export function matchedHighest(a: ArmCurves, b: ArmCurves): HighestMatched {
  const counts = checkedCounts("matchedHighest", [a, b]);
  const targets: number[] = [];
  const differences = counts.map((_, seed) => {
    const runs = [a[seed], b[seed]];
    const curves = runs.map((run) => meanCurve(run));
    const target = commonPass1(curves)?.high;
    if (target === undefined) {
      throw new EstimatorError(
        `matchedHighest: a Pass@1 that both runs of seed ${seed} meet expected, got none. Begin both curves at one policy.`,
      );
    }
    targets.push(target);
    // The run whose best checkpoint the target is, and each prompt's Pass@1 there.
    const lower = curves.findIndex((curve) => curve.every(({ means }) => means[0] <= target));
    const top = curves[lower].findIndex(({ means }) => means[0] === target);
    const atTarget = runs[lower][top].values.map(([pass1]) => pass1);
    const [x, y] = runs.map((run, i) => shares(run, curves[i], target, atTarget));
    return x.map((row, prompt) => row.map((value, column) => value - y[prompt][column]));
  });
  return { targets, differences };
}

/** What each prompt adds, to first order, to a run's Pass@k where its curve first meets the target. */
function shares(
  run: readonly CurvePoint[],
  curve: readonly MeanPoint[],
  target: number,
  atTarget: readonly number[],
): number[][] {
  const { from, weight } = crossing(curve, target) as Crossing;
  const here = run[from].values;
  // At a checkpoint itself the curve comes from the one before; the first has only what follows.
  const start = weight === 0 ? Math.max(0, from - 1) : from;
  const [low, high] = [curve[start].means, (curve[start + 1] ?? curve[start]).means];
  const rise = high[0] - low[0];
  const slopes = low.map((mean, column) => (rise === 0 ? 0 : (high[column] - mean) / rise));
  const next = weight === 0 ? here : run[from + 1].values;
  return here.map((row, prompt) => {
    const between = row.map((value, column) => value + weight * (next[prompt][column] - value));
    return between.map((value, column) =>
      column === 0 ? atTarget[prompt] : value - slopes[column] * (between[0] - atTarget[prompt]),
    );
  });
}

/** The first arm's mean over seeds, minus that of the second where there is one. */
function matched(
  op: string,
  arms: readonly ArmCurves[],
  target: number,
  options: SeedBootstrapOptions,
): MatchedIntervals {
  const counts = checkedCounts(op, arms);
  let [met, looked] = [0, 0];
  const statistic = (draws: readonly SeedDraw[]): number[] => {
    const total = new Array<number>(arms[0][0][0].values[0].length).fill(0);
    for (const [sign, arm] of arms.entries()) {
      for (const { seed, prompts } of draws) {
        const { values, reached } = atPass1(meanCurve(arm[seed], prompts), target);
        looked++;
        if (reached) met++;
        for (const [column, value] of values.entries())
          total[column] += (sign === 0 ? value : -value) / draws.length;
      }
    }
    return total;
  };
  const whole = arms.flatMap((arm) => arm.map((run) => atPass1(meanCurve(run), target)));
  const intervals = bootstrapSeedStatistic(counts, statistic, options);
  return {
    target,
    intervals,
    reached: whole.filter(({ reached }) => reached).length,
    runs: whole.length,
    missed: 1 - met / looked,
  };
}

/** Prompts of each seed. Throws EstimatorError where runs, prompts or columns do not match. */
function checkedCounts(op: string, arms: readonly ArmCurves[]): number[] {
  const counts = (arms[0] ?? []).map((run) => run[0]?.values.length ?? 0);
  const columns = arms[0]?.[0]?.[0]?.values[0]?.length ?? 0;
  for (const arm of arms) {
    const fits =
      arm.length === counts.length &&
      arm.every((run, s) =>
        run.every(
          ({ values }) => values.length === counts[s] && values.every((row) => row.length === columns),
        ),
      );
    if (!fits || columns === 0 || arm.some((run) => run.length === 0)) {
      throw new EstimatorError(
        `${op}: checkpoints of the same seeds, prompts and ${columns} columns expected, got ${arm.length} seeds of ${arm.map((run) => run.map(({ values }) => values.length).join("/")).join(", ")} prompts. Evaluate all on one list.`,
      );
    }
  }
  return counts;
}

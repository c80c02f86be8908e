/**
 * Intervals for runs of several seeds, by the hierarchical bootstrap: seeds are drawn with replacement, then prompts
 * within them; an arm's value is the mean over seeds of its statistic. Arms of a difference are paired by seed and prompt.
 *
 * It is no exact interval for few seeds. Where seeds differ most it is too narrow: the spread between m seeds comes out
 * (m-1)/m of what it is, and of 3 seeds one resample in 9 holds a single one. Where they hardly differ it is too wide: the
 * noise of prompts is in the drawn seeds and in the drawn prompts. `seedInterval` (power.ts) is for 2 to 10 seeds.
 *
 * Source: Davison and Hinkley 1997, Bootstrap Methods and their Application, section 3.8 (hierarchical data); Owen 2007,
 * The Pigeonhole Bootstrap, Annals of Applied Statistics 1(2) (seeds and prompts crossed).
 */
import { Rng, Stream } from "../tensor/random.ts";
import {
  type BootstrapOptions,
  checkedBootstrap,
  type Interval,
  keepResample,
  percentileIntervals,
} from "./bootstrap.ts";
import { EstimatorError } from "./estimators.ts";

/** `values[seed][prompt][column]`; a column may be one k of Pass@k. */
export type SeededValues = readonly (readonly (readonly number[])[])[];

/** A drawn seed and the numbers of the prompts drawn for it, repeats among them. */
export interface SeedDraw {
  seed: number;
  prompts: ArrayLike<number>;
}

export interface SeedBootstrapOptions extends BootstrapOptions {
  /**
   * `shared` (default): every seed was measured on the same list, so one draw of prompts serves all seeds of a resample
   * and the prompts' common difficulty does not average out. `own`: each seed has prompts of its own.
   */
  prompts?: "shared" | "own";
}

/**
 * Percentile intervals of any statistic of drawn seeds and prompts, one finite number for each column; `promptCounts`
 * has the number of prompts of each seed. Throws EstimatorError where shared prompts differ in number.
 */
export function bootstrapSeedStatistic(
  promptCounts: readonly number[],
  statistic: (draws: readonly SeedDraw[]) => readonly number[],
  options: SeedBootstrapOptions = {},
): Interval[] {
  const op = "bootstrapSeedStatistic";
  const { prompts = "shared", ...rest } = options;
  const fewest = promptCounts.reduce((least, count) => Math.min(least, count), promptCounts[0] ?? 0);
  const { resamples, level, seed } = checkedBootstrap(op, fewest, rest);
  if (prompts === "shared" && promptCounts.some((count) => count !== fewest)) {
    throw new EstimatorError(
      `${op}: the same prompts for every seed expected, got ${promptCounts.join(", ")} prompts. Pass prompts: "own" where each seed has its own.`,
    );
  }
  const rng = new Rng(seed, Stream.bootstrap);
  const draw = (count: number) => Uint32Array.from({ length: count }, () => rng.int(count));
  const inOrder = promptCounts.map((count, s) => ({
    seed: s,
    prompts: Array.from({ length: count }, (_, i) => i),
  }));
  const centres = statistic(inOrder);
  const resampled = centres.map(() => new Float64Array(resamples));
  for (let r = 0; r < resamples; r++) {
    const seeds = draw(promptCounts.length);
    const shared = prompts === "shared" ? draw(fewest) : null;
    const draws = Array.from(seeds, (s) => ({ seed: s, prompts: shared ?? draw(promptCounts[s]) }));
    keepResample(op, resampled, r, statistic(draws));
  }
  return percentileIntervals(centres, resampled, level);
}

function checkValues(op: string, values: SeededValues): number {
  const columns = values[0]?.[0]?.length ?? 0;
  for (const [s, prompts] of values.entries()) {
    const wrong = prompts.findIndex((row) => row.length !== columns || !row.every(Number.isFinite));
    if (wrong >= 0) {
      throw new EstimatorError(
        `${op}: ${columns} finite values for every seed and prompt expected, got [${prompts[wrong].slice(0, 8).join(", ")}] for seed ${s}, prompt ${wrong}. Drop or fill the prompt.`,
      );
    }
  }
  return columns;
}

/** Intervals of the mean over seeds of the mean over prompts, column by column. */
export function bootstrapSeeds(values: SeededValues, options: SeedBootstrapOptions = {}): Interval[] {
  const columns = checkValues("bootstrapSeeds", values);
  const sums = new Float64Array(columns);
  return bootstrapSeedStatistic(
    values.map((prompts) => prompts.length),
    (draws) => {
      sums.fill(0);
      for (const { seed, prompts } of draws) {
        for (let column = 0; column < columns; column++) {
          let sum = 0;
          for (let i = 0; i < prompts.length; i++) sum += values[seed][prompts[i]][column];
          sums[column] += sum / prompts.length;
        }
      }
      return Array.from(sums, (sum) => sum / draws.length);
    },
    options,
  );
}

/** `a` - `b`, paired by seed and prompt. Throws EstimatorError where seeds, prompts or columns differ in number. */
export function pairedDifferences(a: SeededValues, b: SeededValues): number[][][] {
  const shape = (values: SeededValues) =>
    values.map((prompts) => prompts.map((row) => row.length).join()).join(";");
  if (a.length !== b.length || shape(a) !== shape(b)) {
    const sizes = (values: SeededValues) =>
      `[${values.map((prompts) => `${prompts.length} x ${prompts[0]?.length ?? 0}`).join(", ")}]`;
    throw new EstimatorError(
      `pairedDifferences: the same prompts x columns of each seed in both arms expected, got ${sizes(a)} and ${sizes(b)}. Evaluate both on one list.`,
    );
  }
  return a.map((prompts, s) => prompts.map((row, i) => row.map((value, column) => value - b[s][i][column])));
}

/** Intervals of mean(a) - mean(b), column by column, paired by seed and prompt. */
export function bootstrapSeedsDifference(
  a: SeededValues,
  b: SeededValues,
  options: SeedBootstrapOptions = {},
): Interval[] {
  return bootstrapSeeds(pairedDifferences(a, b), options);
}

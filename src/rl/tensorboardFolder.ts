/**
 * A run for TensorBoard: `<out>/tensorboard/<arm>/events.out.tfevents.0.naysay`, an event file for each arm with what its
 * training steps and evaluations measured. It is made whole from metrics.jsonl, evaluations.jsonl and run.json each time, all
 * or nothing, so a run that goes on after a stop leaves no broken file and no step twice.
 *
 * Tags: numbers of a step under their own names (`reward`, `entropy`, `reasons/right`), measurements under `evaluation/`
 * (`evaluation/pass@8`). Rows hold no dates: a row's wall time is the seconds that the arm has trained, from 0 (TensorBoard's
 * "relative" axis), so the same run gives the same bytes.
 */
import type { ArmSummary, EvaluationRow, MetricsRow } from "../eval/summary.ts";
import type { Files } from "../model/files.ts";
import { slug } from "./experiment.ts";
import { eventFile } from "./tensorboard.ts";

const NAME = "events.out.tfevents.0.naysay";

type Scalars = Record<string, number>;

/** Writes the event files of the arms that have rows; gives their paths. A folder without a run has none. */
export async function writeTensorboard(files: Files, out: string): Promise<string[]> {
  const metrics = await rowsOf<MetricsRow>(files, `${out}/metrics.jsonl`);
  const measured = [
    ...(await rowsOf<EvaluationRow>(files, `${out}/evaluations.jsonl`)).map(measuredOnTheWay),
    ...(await finishedArms(files, `${out}/run.json`)).map(({ name, ...rest }) => ({
      arm: name,
      // After the last step; an arm that does not train has none.
      update: Math.max(0, ...metrics.filter((row) => row.arm === name).map((row) => row.update)),
      scalars: measurement(rest),
    })),
  ];
  const paths: string[] = [];
  for (const arm of new Set([...metrics, ...measured].map((row) => row.arm))) {
    const folder = `${out}/tensorboard/${slug(arm)}`;
    await files.mkdirp(folder);
    // TensorBoard would read what a killed process left of an earlier file.
    for (const name of await files.list(folder)) if (name !== NAME) await files.remove(`${folder}/${name}`);
    const path = `${folder}/${NAME}`;
    await files.writeFileAtomic(
      path,
      eventFile(
        eventRows(
          metrics.filter((row) => row.arm === arm),
          measured.filter((row) => row.arm === arm),
        ),
      ),
    );
    paths.push(path);
  }
  return paths;
}

interface Measured {
  arm: string;
  update: number;
  scalars: Scalars;
}

/** Steps in order, with the measurements of each; the last measurement of a step counts. */
function eventRows(steps: readonly MetricsRow[], measured: readonly Measured[]) {
  const scalars = new Map<number, Scalars>();
  const seconds = new Map<number, number>();
  let spent = 0;
  for (const { arm: _, update, step: __, ...rest } of [...steps].sort((a, b) => a.update - b.update)) {
    spent += typeof rest.step_time === "number" ? rest.step_time : 0;
    seconds.set(update, spent);
    scalars.set(update, numbersOf(rest));
  }
  for (const { update, scalars: more } of measured) {
    scalars.set(update, { ...scalars.get(update), ...more });
  }
  return [...scalars]
    .sort(([a], [b]) => a - b)
    .map(([step, metrics]) => ({ step, wallTime: seconds.get(step) ?? 0, metrics }));
}

/** Numbers by name; those of a record under `<name>/`. */
function numbersOf(row: Readonly<Record<string, unknown>>, prefix = ""): Scalars {
  const out: Scalars = {};
  for (const [key, value] of Object.entries(row)) {
    if (typeof value === "number") out[prefix + key] = value;
    else if (value !== null && typeof value === "object" && !Array.isArray(value))
      Object.assign(out, numbersOf(value as Record<string, unknown>, `${prefix}${key}/`));
  }
  return out;
}

function measuredOnTheWay({ arm, update, ...rest }: EvaluationRow): Measured {
  return { arm, update, scalars: measurement(rest) };
}

function measurement({ passAtK, entropy, modeCoverage }: Partial<ArmSummary>): Scalars {
  const passes = Object.entries(passAtK ?? {}).map(([k, pass]) => [`pass@${k}`, pass]);
  return numbersOf({ ...Object.fromEntries(passes), entropy, modeCoverage }, "evaluation/");
}

/** The whole lines of a file of JSON; none where there is no file. */
async function rowsOf<T>(files: Files, path: string): Promise<T[]> {
  if (!(await files.exists(path))) return [];
  const text = new TextDecoder().decode(await files.readFile(path));
  // A line that was cut short has no newline yet.
  const whole = text.split("\n").slice(0, -1);
  return whole.map((line) => JSON.parse(line) as T);
}

async function finishedArms(files: Files, path: string): Promise<ArmSummary[]> {
  if (!(await files.exists(path))) return [];
  const record = JSON.parse(new TextDecoder().decode(await files.readFile(path))) as {
    arms: Record<string, { summary: ArmSummary }>;
  };
  return Object.values(record.arms).map(({ summary }) => summary);
}

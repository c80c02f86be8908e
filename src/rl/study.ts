/**
 * A study: the same arms trained under every control and seed, each cell an experiment in a folder of its own, so that a
 * study which was stopped goes on where it was. Files:
 *
 *     study.json                    what all cells share
 *     base/seed-<n>/                the base of each seed, measured;  base/seed-<n>.safetensors
 *     pilot/seed-<n>/               runs that tell how small a difference the study can see
 *     <control>/seed-<n>/           one experiment: run.json, metrics.jsonl, evaluations.jsonl, checkpoints/, report.html
 *     summary.json, report.html, report.md
 */
import { passRows } from "../eval/measurement.ts";
import { minimalDetectable, type PromptDesign, varianceComponents } from "../eval/power.ts";
import { studyMarkdown } from "../eval/studyMarkdown.ts";
import { renderStudyReport } from "../eval/studyReport.ts";
import {
  type PilotOutcome,
  type StudyCell,
  type StudySummary,
  summarizeStudy,
} from "../eval/studySummary.ts";
import { type DecodedCheckpoint, decodeCheckpoint } from "../model/checkpoint.ts";
import { CheckpointError, ConfigError } from "../tensor/errors.ts";
import { type ExperimentOptions, runExperiment } from "./experiment.ts";
import type { ProgressEvent } from "./experimentProgress.ts";
import { makeBase } from "./makeBase.ts";
import { checkAnswers, checkMeasurable, ksOf } from "./measure.ts";
import { armName, type ExperimentConfig } from "./presets.ts";
import {
  canonical,
  decodeOwn,
  difference,
  readFinished,
  readSummary,
  removeTemporaries,
} from "./runFolder.ts";
import {
  checkStudyConfig,
  heldOutProblems,
  type RunDefaults,
  taskOf,
  withRunDefaults,
} from "./runOptions.ts";
import { cellConfig, type StudyConfig, studySetting } from "./studyConfig.ts";
import type { AnyTask } from "./task.ts";
import { clock, type SharedPrograms, sharedPrograms } from "./trainer.ts";

export interface StudyProgress {
  /** Folder of the cell: `native/seed-1`. */
  cell: string;
  /** Cells that are done, of all. */
  done: number;
  total: number;
  /** Estimate for the whole study, seconds, from the arms trained so far; `null` until a cell has trained some. */
  secondsLeft: number | null;
  /** What the cell's experiment says; absent where the cell has just ended. */
  event?: ProgressEvent;
}

/** As of an experiment, each for all cells; `out` is the study's folder. */
export interface StudyOptions
  extends RunDefaults,
    Pick<
      ExperimentOptions,
      "task" | "preset" | "out" | "versions" | "loadBase" | "observer" | "signal" | "now"
    > {
  /** As `studyConfig` makes it. */
  config: StudyConfig;
  onProgress?(event: StudyProgress): void;
  /** Once, before the study itself: how small a difference it can see. */
  onPilot?(outcome: PilotOutcome): void;
}

interface Cell {
  control: string;
  seed: number;
  path: string;
  config: ExperimentConfig;
}

interface StudyRecord {
  version: 1;
  identity: unknown;
}

const encoder = new TextEncoder();
const BASE = "base";
const PILOT = "pilot";

/**
 * Runs the cells that the folder does not have yet and writes summary.json, report.html and report.md. Throws `ConfigError`
 * for a configuration that is not whole and where the folder holds another study, `CheckpointError` where it cannot be
 * written, and the signal's reason when aborted; what was finished stays.
 */
export async function runStudy(given: StudyOptions): Promise<StudySummary> {
  checkStudyConfig(given.config);
  const options = withRunDefaults(given, "runStudy");
  const { config, files, out } = options;
  const study = new Study(options);
  await study.open();
  try {
    const pilot = await study.pilot();
    if (pilot) options.onPilot?.(pilot);
    for (const cell of study.cells) await study.run(cell);
    // A study that is only shown keeps its command and its versions.
    const { command, versions } = (study.worked ? null : await study.earlier()) ?? options;
    const summary = summarizeStudy(await study.results(), {
      preset: options.preset,
      command,
      adapter: options.adapter,
      versions,
      setting: studySetting(config),
      config,
      ks: ksOf(config.experiment.evaluation),
      focus: config.focus,
      controls: Object.fromEntries(
        Object.entries(config.controls).map(([name, { about }]) => [name, about ?? ""]),
      ),
      prompts: designOf(config),
      pilot: pilot ?? undefined,
    });
    await files.writeFileAtomic(`${out}/report.html`, encoder.encode(renderStudyReport(summary)));
    await files.writeFileAtomic(`${out}/report.md`, encoder.encode(studyMarkdown(summary)));
    await files.writeFileAtomic(
      `${out}/summary.json`,
      encoder.encode(`${JSON.stringify(summary, null, 1)}\n`),
    );
    return summary;
  } finally {
    study.dispose();
  }
}

class Study {
  readonly cells: readonly Cell[];
  private readonly options: StudyOptions & Required<RunDefaults>;
  private readonly task: AnyTask;
  private readonly pilotCells: readonly Cell[];
  private readonly bases = new Map<number, Uint8Array>();
  private readonly now: () => number;
  private record: StudyRecord | null = null;
  private shared: (SharedPrograms & { dispose(): void }) | null = null;
  private done = 0;
  /** Trained arms that are left, and that this sitting has run, with their seconds. */
  private left = 0;
  private ran = 0;
  private seconds = 0;
  /** Whether this sitting has computed anything. */
  worked = false;

  constructor(options: Study["options"]) {
    this.options = options;
    this.now = options.now ?? clock;
    const { config } = options;
    this.task = taskOf("study", options.task, config.experiment.task);
    const cell = (control: string, seed: number, given: ExperimentConfig, folder = control): Cell => ({
      control,
      seed,
      path: `${folder}/seed-${seed}`,
      config: given,
    });
    const { pilot } = config;
    this.pilotCells = pilot
      ? pilot.seeds.map((seed) =>
          cell(pilot.control, seed, { ...cellConfig(config, pilot.control), arms: pilot.arms }, PILOT),
        )
      : [];
    // Seeds innermost: a study that is stopped early has its first controls with every seed.
    this.cells = [
      ...config.seeds.map((seed) => cell(BASE, seed, { ...config.experiment, arms: ["base"] })),
      ...Object.keys(config.controls).flatMap((control) =>
        config.seeds.map((seed) => cell(control, seed, cellConfig(config, control))),
      ),
    ];
    this.left = [...this.pilotCells, ...this.cells].reduce((sum, one) => sum + trainedArms(one), 0);
  }

  private get path(): string {
    return `${this.options.out}/study.json`;
  }

  /** Reads or makes the study's record. */
  async open(): Promise<void> {
    const { files, out, config } = this.options;
    // Said before the bases are made, which may take hours.
    const { experiment, bases } = config;
    const { evaluation } = experiment;
    const { verifierTimeout } = experiment.train;
    const { task } = this;
    const { signal } = this.options;
    checkMeasurable(task, evaluation);
    for (const seed of new Set([...this.pilotCells, ...this.cells].map((one) => one.seed))) {
      const problems = heldOutProblems("study", task, evaluation, seed);
      await checkAnswers({ task, problems, evaluation, verifierTimeout, signal });
    }
    // What all cells share. Each cell knows its own control and seed, so a study may be given more of both.
    const { preset, adapter } = this.options;
    const identity = JSON.parse(canonical({ preset, adapter, bases, experiment }));
    if (await files.exists(this.path)) {
      const record = parseStudy(await files.readFile(this.path), this.path);
      if (canonical(record.identity) !== canonical(identity)) {
        throw new ConfigError(
          `study: out: a new folder or one of the same study expected, got ${out} of another (${difference(record.identity, identity)}). Choose another with --out, or remove it.`,
        );
      }
      this.record = record;
    } else {
      if ((await files.exists(`${out}/run.json`)) || (await files.exists(`${out}/summary.json`))) {
        throw new ConfigError(
          `study: out: a new folder expected, got ${out} with a run of something else. Choose another with --out.`,
        );
      }
      await files.mkdirp(out);
      this.record = { version: 1, identity };
    }
    await this.save();
    // The cells' folders are cleaned as each is opened.
    for (const folder of [out, `${out}/${BASE}`]) await removeTemporaries(files, folder);
  }

  private save(): Promise<void> {
    return this.options.files.writeFileAtomic(
      this.path,
      encoder.encode(`${JSON.stringify(this.record, null, 1)}\n`),
    );
  }

  /** The pilot's cells, and how small a difference they say the study can see. */
  async pilot(): Promise<PilotOutcome | null> {
    const { config } = this.options;
    if (!config.pilot) return null;
    for (const cell of this.pilotCells) await this.run(cell);
    const cells = await Promise.all(this.pilotCells.map((cell) => this.result(cell)));
    const { evaluation } = config.experiment;
    const { prompts } = evaluation;
    const ks = ksOf(evaluation);
    const design = designOf(config);
    const [a, b] = config.pilot.arms.map((arm) => armName(arm, this.pilotCells[0].config));
    const rows = cells.map(({ arms }) => {
      const of = (name: string) =>
        passRows((arms.find((arm) => arm.name === name) as StudyCell["arms"][number]).measurement, ks);
      const [left, right] = [of(a), of(b)];
      return left.map((row, i) => row.map((value, column) => value - right[i][column]));
    });
    const detectable = Object.fromEntries(
      ks.map((k, column) => {
        const values = rows.map((perPrompt) => perPrompt.map((row) => row[column]));
        const components = varianceComponents(values, design);
        return [k, minimalDetectable(components, { seeds: config.seeds.length, prompts, design })];
      }),
    );
    return {
      arms: [a, b],
      control: config.pilot.control,
      seeds: config.pilot.seeds,
      planned: { seeds: config.seeds.length, prompts },
      detectable,
      difference: config.pilot.difference,
    };
  }

  /** The summary that was written of this very study; null where there is none. */
  async earlier(): Promise<StudySummary | null> {
    const { files, out, config } = this.options;
    const summary = await readSummary<StudySummary>(files, out);
    return summary && canonical(summary.config) === canonical(config) ? summary : null;
  }

  /** Runs a cell, or finds it finished. */
  async run(cell: Cell): Promise<void> {
    const { options } = this;
    const bytes = await this.base(cell.seed);
    const started = this.now();
    this.shared ??= this.programs(decodeCheckpoint(bytes));
    let worked = false;
    await runExperiment({
      config: { ...cell.config, base: "base" },
      task: this.task,
      preset: options.preset,
      seed: cell.seed,
      files: options.files,
      out: `${options.out}/${cell.path}`,
      adapter: options.adapter,
      command: options.command,
      versions: options.versions,
      loadBase: async () => bytes,
      shared: this.shared,
      observer: options.observer,
      signal: options.signal,
      now: options.now,
      onProgress: (event) => {
        worked = true;
        this.tell(cell.path, event);
      },
    });
    this.done++;
    this.left -= trainedArms(cell);
    this.worked ||= worked;
    if (worked && trainedArms(cell) > 0) {
      this.ran += trainedArms(cell);
      this.seconds += this.now() - started;
    }
    this.tell(cell.path);
  }

  private tell(cell: string, event?: ProgressEvent): void {
    const total = this.cells.length + this.pilotCells.length;
    const { done, left, ran, seconds } = this;
    const secondsLeft = ran === 0 ? null : (left * seconds) / ran;
    this.options.onProgress?.({ cell, done, total, secondsLeft, event });
  }

  private programs(base: DecodedCheckpoint) {
    const { rows, scoreRows } = this.options.config.experiment;
    return sharedPrograms(base.config, { rows, scoreRows });
  }

  /** Bytes of a seed's base: shipped, of an earlier sitting, or pretrained now. */
  private async base(seed: number): Promise<Uint8Array> {
    const { config, files, out, loadBase, observer, signal } = this.options;
    const { experiment, bases, seeds } = config;
    const own = bases === "own" ? seed : seeds[0];
    const known = this.bases.get(own);
    if (known) return known;
    const keep = (bytes: Uint8Array) => {
      this.bases.set(own, bytes);
      return bytes;
    };
    if (experiment.base !== undefined && loadBase) return keep(await loadBase(experiment.base));
    const path = `${out}/${BASE}/seed-${own}.safetensors`;
    if (await files.exists(path)) {
      const bytes = await files.readFile(path);
      decodeOwn(bytes, path);
      return keep(bytes);
    }
    const { bytes } = await makeBase({
      task: this.task,
      model: experiment.model,
      pretrain: experiment.pretrain,
      seed: own,
      signal,
      gate: () => observer?.gate?.(null),
      onStep: ({ step, steps, loss }) =>
        this.tell(`${BASE}/seed-${own}`, {
          phase: "pretrain",
          arm: null,
          done: step,
          total: steps,
          secondsLeft: null,
          values: { loss },
          warnings: [],
        }),
    });
    await files.mkdirp(`${out}/${BASE}`);
    await files.writeFileAtomic(path, bytes);
    return keep(bytes);
  }

  /** What every cell found. */
  async results(): Promise<StudyCell[]> {
    const found: StudyCell[] = [];
    for (const cell of this.cells) found.push(await this.result(cell));
    return found;
  }

  private async result({ control, seed, path, config }: Cell): Promise<StudyCell> {
    const { files, out } = this.options;
    const { arms, seconds, rows } = await readFinished(files, `${out}/${path}`);
    return {
      control: control === BASE ? null : control,
      seed,
      seconds,
      arms: config.arms.map((arm) => {
        const name = armName(arm, config);
        const curve = rows.filter((row) => row.arm === name);
        const measured = updatesMeasured(config, name);
        const found = curve.map(({ update }) => update);
        if (arms[name] === undefined || found.join() !== measured.join()) {
          throw new CheckpointError(
            `study: measurements of ${name} at ${measured.join(", ") || "no"} updates expected in ${out}/${path}/evaluations.jsonl, got ${found.join(", ").slice(0, 60) || "none"}. Remove ${out}/${path} and run again.`,
          );
        }
        return { name, ...arms[name], curve };
      }),
    };
  }

  dispose(): void {
    this.shared?.dispose();
  }
}

/** Whether all seeds are measured on the same problems. */
const designOf = ({ experiment }: StudyConfig): PromptDesign =>
  experiment.evaluation.promptsSeed === undefined ? "own" : "shared";

/** Measuring a base is little beside training. */
function trainedArms({ config }: Cell): number {
  return config.arms.filter((arm) => armName(arm, config) !== "base").length;
}

/** Updates at which an experiment's arm is measured, the last one included. */
function updatesMeasured({ evaluation, train }: ExperimentConfig, name: string): number[] {
  if (evaluation.every === 0) return [];
  if (name === "base") return [0];
  const between = Math.max(0, Math.ceil(train.steps / evaluation.every) - 1);
  return [...Array.from({ length: between }, (_, i) => (i + 1) * evaluation.every), train.steps];
}

function parseStudy(bytes: Uint8Array, path: string): StudyRecord {
  try {
    const record = JSON.parse(new TextDecoder().decode(bytes)) as StudyRecord;
    if (record.version === 1 && typeof record.identity === "object") return record;
  } catch {
    // Said below.
  }
  throw new ConfigError(
    `study: a study's record expected in ${path}, got something else. Choose another --out.`,
  );
}

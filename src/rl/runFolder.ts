/**
 * The folder of a run. `run.json` says what the run is and which arms are finished; it is written first, so a folder
 * that cannot be written shows before anything is computed, and after each arm, so a stopped run goes on where it was.
 */
import type { Measurement } from "../eval/measurement.ts";
import type { ArmSummary, EvaluationRow, MetricsRow, Summary } from "../eval/summary.ts";
import { type DecodedCheckpoint, decodeCheckpoint } from "../model/checkpoint.ts";
import type { Files } from "../model/files.ts";
import { CheckpointError, ConfigError } from "../tensor/errors.ts";

/** A finished arm. */
export interface ArmRecord {
  summary: ArmSummary;
  /** By held-out prompt, for paired comparisons. */
  measurement: Measurement;
}

interface RunRecord {
  version: 2;
  /** What decides the numbers. */
  identity: unknown;
  /** Seconds of all sittings up to the last record. */
  seconds?: number;
  arms: Record<string, ArmRecord>;
  /** Of the last sitting that computed something, once it had ended. */
  made?: Made;
}

/** What made a run. */
type Made = Pick<Summary, "command" | "seconds" | "versions">;

const encoder = new TextEncoder();
const METRICS = "metrics.jsonl";
const EVALUATIONS = "evaluations.jsonl";

export class RunFolder {
  private readonly files: Files;
  private readonly folder: string;
  private readonly record: RunRecord;

  private constructor(files: Files, folder: string, record: RunRecord) {
    this.files = files;
    this.folder = folder;
    this.record = record;
  }

  /** Opens or makes the folder. Throws `ConfigError` where it holds a run of another identity. */
  static async open(files: Files, folder: string, identity: unknown): Promise<RunFolder> {
    const path = `${folder}/run.json`;
    const own = canonical(identity);
    if (await files.exists(path)) {
      const record = parseRecord(await files.readFile(path), path);
      const other = canonical(record.identity);
      if (other !== own) {
        throw new ConfigError(
          `experiment: out: a new folder or one of the same run expected, got ${folder} of another (${difference(record.identity, identity)}). Choose another with --out, or remove it.`,
        );
      }
      // Written again: a folder that has become read-only shows now.
      const open = new RunFolder(files, folder, record);
      await open.save();
      await open.clean();
      return open;
    }
    for (const name of ["summary.json", "study.json"]) {
      if (!(await files.exists(`${folder}/${name}`))) continue;
      throw new ConfigError(
        `experiment: out: a new folder expected, got ${folder} with a ${name} of something else. Choose another with --out.`,
      );
    }
    await files.mkdirp(`${folder}/checkpoints`);
    const made = new RunFolder(files, folder, { version: 2, identity: JSON.parse(own), arms: {} });
    await made.save();
    await made.clean();
    return made;
  }

  path(name: string): string {
    return `${this.folder}/${name}`;
  }

  /** A finished arm. */
  arm(name: string): ArmRecord | undefined {
    return Object.hasOwn(this.record.arms, name) ? this.record.arms[name] : undefined;
  }

  async finish(name: string, arm: ArmRecord): Promise<void> {
    this.record.arms[name] = arm;
    await this.save();
  }

  /** What made the run, where a sitting that computed something has ended. */
  get made(): Made | undefined {
    return this.record.made;
  }

  async keepMade(made: Made): Promise<void> {
    this.record.made = made;
    await this.spend(made.seconds, true);
  }

  /** Seconds that earlier sittings, and this one so far, have recorded. */
  get seconds(): number {
    return this.record.seconds ?? 0;
  }

  /** Records the seconds of all sittings; kept with the next arm, or at once. */
  async spend(seconds: number, atOnce = false): Promise<void> {
    this.record.seconds = seconds;
    if (atOnce) await this.save();
  }

  /** Writes a file of the run, all or nothing. */
  async write(name: string, content: string | Uint8Array): Promise<void> {
    await this.files.writeFileAtomic(
      this.path(name),
      typeof content === "string" ? encoder.encode(content) : content,
    );
  }

  async remove(name: string): Promise<void> {
    await this.files.remove(this.path(name));
  }

  addMetrics(row: MetricsRow): Promise<void> {
    return this.append(METRICS, row);
  }

  metrics(): Promise<MetricsRow[]> {
    return this.rows<MetricsRow>(METRICS);
  }

  addEvaluation(row: EvaluationRow): Promise<void> {
    return this.append(EVALUATIONS, row);
  }

  /** Drops an arm's metrics and evaluations after a step, before it goes on from there. */
  async keepUpTo(arm: string, step: number): Promise<void> {
    for (const name of [METRICS, EVALUATIONS]) {
      const path = this.path(name);
      if (!(await this.files.exists(path))) continue;
      const rows = await this.rows<{ arm: string; update: number }>(name);
      const kept = rows.filter((row) => row.arm !== arm || row.update <= step);
      const text = kept.map((row) => `${JSON.stringify(row)}\n`).join("");
      // Also where no row goes: a last line that was cut short would swallow the next.
      if (new TextDecoder().decode(await this.files.readFile(path)) === text) continue;
      await this.write(name, text);
    }
  }

  private append(name: string, row: object): Promise<void> {
    return this.files.appendLine(this.path(name), JSON.stringify(row));
  }

  private rows<T>(name: string): Promise<T[]> {
    return readRows<T>(this.files, this.path(name));
  }

  private async clean(): Promise<void> {
    await removeTemporaries(this.files, this.folder);
    await removeTemporaries(this.files, this.path("checkpoints"));
  }

  private save(): Promise<void> {
    return this.write("run.json", `${JSON.stringify(this.record, null, 1)}\n`);
  }
}

/** Name that `writeFileAtomic` writes under before it renames; nobody else's files look like it. */
const TEMPORARY = /^\.(.+)\.[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\.tmp$/;

/**
 * Removes what a process that was killed within `writeFileAtomic` left in a folder: up to a checkpoint's bytes each time.
 * `of`: only what was to become that file. Nobody else may be writing there.
 */
export async function removeTemporaries(files: Files, folder: string, of = ""): Promise<void> {
  if (!(await files.exists(folder))) return;
  for (const name of await files.list(folder)) {
    const target = TEMPORARY.exec(name)?.[1];
    if (target !== undefined && (of === "" || target === of)) await files.remove(`${folder}/${name}`);
  }
}

/** The rows of a file of lines, none where there is no file; a line that was cut short is left out. */
async function readRows<T>(files: Files, path: string): Promise<T[]> {
  if (!(await files.exists(path))) return [];
  const text = new TextDecoder().decode(await files.readFile(path));
  return text.split("\n").flatMap((line) => {
    try {
      const row: unknown = line === "" ? null : JSON.parse(line);
      return row !== null && typeof row === "object" ? [row as T] : [];
    } catch {
      return [];
    }
  });
}

/** The summary in a folder; null where there is none, or what is no JSON. */
export async function readSummary<T>(files: Files, folder: string): Promise<T | null> {
  const path = `${folder}/summary.json`;
  if (!(await files.exists(path))) return null;
  try {
    return JSON.parse(new TextDecoder().decode(await files.readFile(path))) as T;
  } catch {
    return null;
  }
}

/** What the folder of a finished run says. */
export async function readFinished(files: Files, folder: string) {
  const path = `${folder}/run.json`;
  const { arms, seconds = 0 } = parseRecord(await files.readFile(path), path);
  return { arms, seconds, rows: await readRows<EvaluationRow>(files, `${folder}/${EVALUATIONS}`) };
}

/** A checkpoint that a run wrote itself: an error names the file and says what to do. */
export function decodeOwn(bytes: Uint8Array, path: string): DecodedCheckpoint {
  try {
    return decodeCheckpoint(bytes);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new CheckpointError(`experiment: ${path} is damaged: remove it and run again. ${why}`, { cause });
  }
}

function parseRecord(bytes: Uint8Array, path: string): RunRecord {
  try {
    const record = JSON.parse(new TextDecoder().decode(bytes)) as RunRecord;
    const whole = (arm: Partial<ArmRecord> | null) =>
      arm?.summary !== undefined && arm.measurement !== undefined;
    const { version, arms } = record;
    if (version === 2 && typeof arms === "object" && !Array.isArray(arms) && Object.values(arms).every(whole))
      return record;
  } catch {
    // Said below.
  }
  throw new CheckpointError(
    `experiment: a run record expected in ${path}, got something else. Remove that folder to run it again, or choose another with --out.`,
  );
}

/** JSON with sorted keys: the same text for the same data. */
export function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, part) =>
    part !== null && typeof part === "object" && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
}

/** The first place where two records differ, for a message. */
export function difference(old: unknown, own: unknown, path = ""): string {
  const nested = (x: unknown): x is Record<string, unknown> => x !== null && typeof x === "object";
  if (nested(old) && nested(own)) {
    for (const key of [...new Set([...Object.keys(old), ...Object.keys(own)])].sort()) {
      const [a, b] = [old[key], own[key]];
      if (canonical(a) !== canonical(b)) return difference(a, b, path === "" ? key : `${path}.${key}`);
    }
  }
  const text = (x: unknown) => (x === undefined ? "nothing" : canonical(x).slice(0, 60));
  return `${path}: ${text(old)} there, ${text(own)} here`;
}

/**
 * Experiments in the worker: the function that the command line runs, with a gate before each step, events on the way,
 * and a fresh device where the old one was lost. What a run has done stands in its folder, so going on after a loss,
 * a reload or a crash is one and the same thing.
 */
import type { MetricsRow, Summary } from "../eval/summary.ts";
import type { Files } from "../model/files.ts";
import { runExperiment } from "../rl/experiment.ts";
import { armName, type ExperimentConfig, experimentConfig } from "../rl/presets.ts";
import { makeTask } from "../rl/taskTable.ts";
import { CheckpointError, ConfigError } from "../tensor/errors.ts";
import { seedWords } from "../tensor/random.ts";
import { BaseCache } from "./baseCache.ts";
import { adapterOf, type DeviceKeeper, isLost } from "./deviceKeeper.ts";
import { Gate } from "./gate.ts";
import type { ExperimentEvent, ExperimentRequest, StoredRun } from "./protocol.ts";
import type { CallContext } from "./rpc.ts";
import { RowWatcher } from "./shownRows.ts";

/** Losses in a row, without a step between them, after which a run gives up. */
const MOST_LOSSES = 3;

/** Folder that holds all runs. */
const RUNS = "runs";
const REQUEST_FILE = "request.json";
const BASE_FILE = "base.safetensors";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** A folder name below `runs/`: what leads out of it, or could, is refused. */
function checkOut(out: string): string {
  if (/^runs\/[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(out)) return out;
  throw new ConfigError(
    `experiment: out: a folder below runs/ with letters, digits, ".", "_" and "-" expected, got ${JSON.stringify(out.slice(0, 80))}. Write e.g. runs/quick.`,
  );
}

/** Runs `work` while no other page or worker of this origin writes the run's folder. */
async function withLock<T>(out: string, work: () => Promise<T>): Promise<T> {
  const { locks } = globalThis.navigator ?? {};
  if (!locks) return work();
  return locks.request(`naysay/worker: ${out}`, { ifAvailable: true }, (lock) => {
    if (lock) return work();
    throw new ConfigError(
      `experiment: out: a folder that nobody else writes expected, got ${out}, which another tab runs. Close that tab, or choose another folder.`,
    );
  }) as Promise<T>;
}

export class ExperimentService {
  private readonly keeper: DeviceKeeper;
  private readonly files: Files;
  private readonly version: string;
  private running = false;

  constructor(keeper: DeviceKeeper, files: Files, version: string) {
    this.keeper = keeper;
    this.files = files;
    this.version = version;
  }

  /** Runs, or goes on with, an experiment; see `ExperimentRequest`. */
  async run(request: ExperimentRequest, context: CallContext): Promise<Summary> {
    if (this.running) {
      throw new ConfigError(
        "experiment: one at a time expected, got a second. Abort the first or use another worker.",
      );
    }
    this.running = true;
    const emit = (event: ExperimentEvent): void => context.emit(event);
    // Before anything is awaited: a pause may be told at once.
    const gate = new Gate(request.paused ?? false, (paused) => emit({ kind: paused ? "paused" : "resumed" }));
    context.onTell = (word) => gate.tell(word);
    try {
      seedWords(request.seed); // a request that is no run is not kept
      const out = checkOut(request.out ?? `${RUNS}/${request.preset}`);
      const given = experimentConfig(request.preset, request.changes);
      // Bytes that are handed in are the base, whatever the preset names.
      const config = request.base && given.base === undefined ? { ...given, base: BASE_FILE } : given;
      return await withLock(out, () => this.begin(request, out, config, context, gate, emit));
    } finally {
      this.running = false;
    }
  }

  private async begin(
    request: ExperimentRequest,
    out: string,
    config: ExperimentConfig,
    context: CallContext,
    gate: Gate,
    emit: (event: ExperimentEvent) => void,
  ): Promise<Summary> {
    const command = request.command ?? "naysay/worker";
    const base = await this.keep(out, request);
    const arms = config.arms.map((arm) => armName(arm, config));
    const { vocab } = makeTask(config.task).tokenizer;
    const { preset, seed } = request;
    emit({ kind: "started", out, preset, seed, config, arms, vocab: [...vocab], command });
    const rows = await this.storedMetrics(out);
    if (rows.length > 0) emit({ kind: "resumedFrom", rows });
    return this.untilDone({ ...request, out, command, base }, config, context, gate, emit);
  }

  /** Every run in the files, in order of names. */
  async stored(): Promise<StoredRun[]> {
    const { files } = this;
    if (!(await files.exists(RUNS))) return [];
    const found: StoredRun[] = [];
    for (const name of await files.list(RUNS)) {
      const out = `${RUNS}/${name}`;
      const request = (await this.json(`${out}/${REQUEST_FILE}`)) as StoredRun["request"] | null;
      if (!request) continue;
      const record = (await this.json(`${out}/run.json`)) as { arms?: Record<string, unknown> } | null;
      let total = 0;
      try {
        total = experimentConfig(request.preset, request.changes).arms.length;
      } catch {
        continue; // A preset of another version.
      }
      const finished = await files.exists(`${out}/summary.json`);
      found.push({ out, request, done: Object.keys(record?.arms ?? {}).length, total, finished });
    }
    return found;
  }

  private async json(path: string): Promise<unknown> {
    try {
      return JSON.parse(decoder.decode(await this.files.readFile(path)));
    } catch {
      return null;
    }
  }

  /** Keeps the request, and a base that was handed in, in the run's folder; the base to use. */
  private async keep(out: string, request: ExperimentRequest): Promise<Uint8Array | undefined> {
    const { files } = this;
    const { base, paused: _, ...kept } = request;
    // A folder with a run in it keeps what that run was asked for; whether this request may go on with it shows next.
    if (await files.exists(`${out}/run.json`)) {
      if (base) return base;
      const own = `${out}/${BASE_FILE}`;
      return (await files.exists(own)) ? files.readFile(own) : undefined;
    }
    await files.mkdirp(out);
    await files.writeFileAtomic(
      `${out}/${REQUEST_FILE}`,
      encoder.encode(JSON.stringify({ ...kept, out }, null, 1)),
    );
    if (base) {
      await files.writeFileAtomic(`${out}/${BASE_FILE}`, base);
      return base;
    }
    await files.remove(`${out}/${BASE_FILE}`);
    return undefined;
  }

  private async storedMetrics(out: string): Promise<MetricsRow[]> {
    try {
      const text = decoder.decode(await this.files.readFile(`${out}/metrics.jsonl`));
      const lines = text.split("\n").filter((line) => line !== "");
      return lines.flatMap((line) => {
        try {
          return [JSON.parse(line) as MetricsRow];
        } catch {
          return []; // A last line that was cut short.
        }
      });
    } catch (error) {
      if (error instanceof CheckpointError) return [];
      throw error;
    }
  }

  private async untilDone(
    request: ExperimentRequest & { out: string; command: string },
    config: ExperimentConfig,
    context: CallContext,
    gate: Gate,
    emit: (event: ExperimentEvent) => void,
  ): Promise<Summary> {
    let losses = 0;
    for (;;) {
      const backend = await this.keeper.current();
      const watcher = new RowWatcher(request.showRows ?? 0);
      const adapter = adapterOf(backend);
      const cache = request.base
        ? null
        : new BaseCache(this.files, request.out, {
            ...config,
            seed: request.seed,
            adapter,
            version: this.version,
          });
      let kept = false;
      try {
        await cache?.fetch();
        return await runExperiment({
          config,
          preset: request.preset,
          seed: request.seed,
          files: this.files,
          out: request.out,
          adapter,
          command: request.command,
          versions: { naysay: this.version },
          loadBase: request.base ? async () => request.base as Uint8Array : undefined,
          signal: context.signal,
          onProgress: (progress) => emit({ kind: "progress", progress }),
          observer: {
            gate: async (arm) => {
              // The base is made before the first arm.
              if (!kept && arm !== null) {
                await cache?.keep();
                kept = true;
              }
              await gate.pass(context.signal);
            },
            beforeUpdate: (_, details) => (request.showRows ? watcher.beforeUpdate(details) : undefined),
            afterUpdate: async (arm, details) => {
              if (!request.showRows) return;
              emit({ kind: "rollout", arm, step: details.step, rows: await watcher.afterUpdate(details) });
            },
            metrics: (row) => {
              losses = 0;
              emit({ kind: "metrics", row });
            },
            arm: (arm) => emit({ kind: "arm", arm }),
          },
        });
      } catch (error) {
        if (!isLost(backend) || context.signal.aborted || ++losses > MOST_LOSSES) throw error;
        emit({ kind: "deviceLost", message: (backend.device.failure as Error).message });
        emit({ kind: "deviceRestored", adapter: adapterOf(await this.keeper.current()) });
      } finally {
        watcher.dispose();
      }
    }
  }
}

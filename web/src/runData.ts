/** What is known of the run on show: rows of metrics, finished arms, the latest rollouts. Filled by events, read by views. */
import type { ArmSummary, MetricsRow } from "../../src/eval/summary.ts";
import type { ProgressEvent } from "../../src/rl/experimentProgress.ts";
import type { ExperimentEvent, ShownRow } from "../../src/worker/index.ts";

/** A rollout with what its update did. */
export interface ShownRollout {
  arm: string;
  step: number;
  rows: ShownRow[];
}

/** What one event changed: views redraw by these words. */
export type Change = "arms" | "metrics" | "summaries" | "rollout" | "progress";

export class RunData {
  /** Names in the order of the run. */
  arms: string[] = [];
  /** Updates of each arm but the base. */
  updates = 0;
  /** Token text by id. */
  vocab: string[] = [];
  /** Folder in the worker's files; `null` before the first run. */
  out: string | null = null;
  progress: ProgressEvent | null = null;
  /** Tokens drawn and learned from in a second of the last update; `null` before one. */
  tokensPerSecond: number | null = null;
  readonly summaries = new Map<string, ArmSummary>();
  readonly rollouts = new Map<string, ShownRollout>();
  /** The arm of the rollout that came last. */
  latestArm: string | null = null;
  private readonly metrics = new Map<string, Map<number, MetricsRow>>();

  /** An arm's rows in order of updates. A row that comes again, after a loss, replaces the first. */
  rows(arm: string): MetricsRow[] {
    return [...(this.metrics.get(arm)?.values() ?? [])].sort((a, b) => a.update - b.update);
  }

  /** Updates that an arm has made. */
  done(arm: string): number {
    return Math.max(0, ...(this.metrics.get(arm)?.keys() ?? []));
  }

  /** Takes an event in and says what it changed. */
  take(event: ExperimentEvent): Change[] {
    switch (event.kind) {
      case "started":
        this.clear();
        this.arms = event.arms;
        this.updates = event.config.train.steps;
        this.vocab = event.vocab;
        this.out = event.out;
        return ["arms", "metrics", "summaries", "rollout", "progress"];
      case "resumedFrom":
        for (const row of event.rows) this.addRow(row);
        return ["metrics", "progress"];
      case "metrics":
        this.measureSpeed(event.row);
        this.addRow(event.row);
        return ["metrics", "progress"];
      case "progress":
        this.progress = event.progress;
        return ["progress"];
      case "rollout":
        this.rollouts.set(event.arm, { arm: event.arm, step: event.step, rows: event.rows });
        this.latestArm = event.arm;
        return ["rollout"];
      case "arm":
        this.summaries.set(event.arm.summary.name, event.arm.summary);
        return ["summaries", "progress"];
      default:
        return [];
    }
  }

  clear(): void {
    this.arms = [];
    this.updates = 0;
    this.out = null;
    this.progress = null;
    this.tokensPerSecond = null;
    this.latestArm = null;
    this.summaries.clear();
    this.rollouts.clear();
    this.metrics.clear();
  }

  private addRow(row: MetricsRow): void {
    const own = this.metrics.get(row.arm) ?? new Map<number, MetricsRow>();
    own.set(row.update, row);
    this.metrics.set(row.arm, own);
  }

  private measureSpeed(row: MetricsRow): void {
    const before = this.metrics.get(row.arm)?.get(row.update - 1)?.num_tokens ?? 0;
    const { num_tokens: tokens, step_time: seconds } = row;
    if (typeof tokens === "number" && typeof seconds === "number" && seconds > 0)
      this.tokensPerSecond = (tokens - Number(before)) / seconds;
  }
}

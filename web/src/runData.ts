/** What is known of the run on show: rows of metrics, finished arms, the latest rollouts. Filled by events, read by views. */
import type { ArmSummary, MetricsRow } from "../../src/eval/summary.ts";
import type { ProgressEvent } from "../../src/rl/experimentProgress.ts";
import type { ExperimentEvent, ShownRow } from "../../src/worker/index.ts";
import type { RunFacts } from "./comparison.ts";

/** A rollout with what its update did. */
export interface ShownRollout {
  arm: string;
  step: number;
  rows: ShownRow[];
}

/** What is kept of an update. */
export interface ShownMetrics extends Pick<MetricsRow, "update" | "reward" | "entropy" | "grad_norm"> {
  /** Completion tokens drawn so far. */
  num_tokens: number;
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
  /** What decides its numbers; `null` before the first run. */
  facts: RunFacts | null = null;
  /** Folder in the worker's files; `null` before the first run. */
  out: string | null = null;
  progress: ProgressEvent | null = null;
  /** Share of the base's pretraining that is done, in [0, 1]; `null` where none was seen. */
  pretrained: number | null = null;
  /** Tokens drawn and learned from in a second of the last update; `null` before one. */
  tokensPerSecond: number | null = null;
  readonly summaries = new Map<string, ArmSummary>();
  readonly rollouts = new Map<string, ShownRollout>();
  /** The arm of the rollout that came last. */
  latestArm: string | null = null;
  private readonly metrics = new Map<string, ShownMetrics[]>();

  /** An arm's rows in order of updates. A row that comes again, after a loss, replaces the first. */
  rows(arm: string): readonly ShownMetrics[] {
    return this.metrics.get(arm) ?? [];
  }

  /** Updates that an arm has made. */
  done(arm: string): number {
    return this.rows(arm).at(-1)?.update ?? 0;
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
        this.facts = { preset: event.preset, seed: event.seed, config: event.config };
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
        if (event.progress.phase === "pretrain") this.pretrained = event.progress.done / event.progress.total;
        else if (this.pretrained !== null) this.pretrained = 1;
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
    this.facts = null;
    this.pretrained = null;
    this.progress = null;
    this.tokensPerSecond = null;
    this.latestArm = null;
    this.summaries.clear();
    this.rollouts.clear();
    this.metrics.clear();
  }

  private addRow({ arm, update, reward, entropy, grad_norm, num_tokens }: MetricsRow): void {
    const own = this.metrics.get(arm) ?? [];
    this.metrics.set(arm, own);
    // Almost always the next: looked for from the end.
    let at = own.length;
    while (at > 0 && own[at - 1].update >= update) at--;
    const same = own[at]?.update === update ? 1 : 0;
    own.splice(at, same, { update, reward, entropy, grad_norm, num_tokens: Number(num_tokens ?? 0) });
  }

  private measureSpeed(row: MetricsRow): void {
    const before = this.rows(row.arm).findLast(({ update }) => update < row.update)?.num_tokens ?? 0;
    const { num_tokens: tokens, step_time: seconds } = row;
    if (typeof tokens === "number" && typeof seconds === "number" && seconds > 0)
      this.tokensPerSecond = (tokens - before) / seconds;
  }
}

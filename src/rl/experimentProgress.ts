/** How far an experiment is and how long it will take, from the times of what it has done so far. */
import type { ArmSummary } from "../eval/summary.ts";
import type { ExperimentConfig } from "./presets.ts";
import { armName } from "./presets.ts";
import type { PretrainStep } from "./pretrain.ts";
import type { StepMetrics } from "./stepMetrics.ts";

export interface ProgressEvent {
  phase: "pretrain" | "train" | "evaluate" | "arm";
  arm: string | null;
  /** Part of the phase, in its own units. */
  done: number;
  total: number;
  /** Estimate for the whole run, seconds; `null` until there is something to go by. */
  secondsLeft: number | null;
  /** Values worth a line: reward, entropy, loss. */
  values: Record<string, number>;
  /** What a user should hear. */
  warnings: readonly string[];
  /** The finished arm, in the phase `arm`. */
  summary?: ArmSummary;
}

/** Mean seconds of one kind of work. The first piece builds programs and says nothing about the rest. */
class Pace {
  private total = 0;
  private units = 0;
  private begun = false;

  add(seconds: number, units: number): void {
    if (this.begun) {
      this.total += seconds;
      this.units += units;
    }
    this.begun = true;
  }

  /** Seconds for a unit, `null` when nothing is known. */
  get each(): number | null {
    return this.units > 0 ? this.total / this.units : null;
  }
}

/** A trained row costs about as much as this many evaluated ones: drawn, scored, and three times as much to learn from. */
const TRAINED_ROW = 6;

export class Progress {
  private readonly config: ExperimentConfig;
  private readonly listener: ((event: ProgressEvent) => void) | undefined;
  private readonly now: () => number;
  private readonly pretrain = new Pace();
  private readonly train = new Pace();
  private readonly evaluation = new Pace();
  private stepsLeft: number;
  private evaluationsLeft: number;
  private share = 0;
  private last: number;

  constructor(
    config: ExperimentConfig,
    listener: ((event: ProgressEvent) => void) | undefined,
    now: () => number,
  ) {
    this.config = config;
    this.listener = listener;
    this.now = now;
    this.last = now();
    const trained = config.arms.filter((arm) => armName(arm, config) !== "base").length;
    this.stepsLeft = trained * config.train.steps;
    this.evaluationsLeft = config.arms.length;
  }

  pretraining(step: PretrainStep): void {
    this.pretrain.add(this.lap(), 1);
    this.emit({
      phase: "pretrain",
      arm: null,
      done: step.step,
      total: step.steps,
      values: { loss: step.loss },
    });
  }

  trained(arm: string, metrics: StepMetrics): void {
    this.lap();
    this.train.add(metrics.step_time, 1);
    this.stepsLeft--;
    const values: Record<string, number> = { reward: metrics.reward, entropy: metrics.entropy };
    if (metrics.grad_norm !== null) values.grad_norm = metrics.grad_norm;
    this.emit({
      phase: "train",
      arm,
      done: metrics.step,
      total: this.config.train.steps,
      values,
      warnings: metrics.warnings,
    });
  }

  evaluated(arm: string, share: number): void {
    this.evaluation.add(this.lap(), share - this.share);
    this.share = share;
    const total = this.config.evaluation.samples * this.config.evaluation.prompts;
    this.emit({ phase: "evaluate", arm, done: Math.round(share * total), total, values: {} });
  }

  finished(arm: string, summary: ArmSummary): void {
    this.lap();
    this.share = 0;
    this.evaluationsLeft--;
    const k = Object.keys(summary.passAtK);
    const values = Object.fromEntries(
      [k[0], k[k.length - 1]].map((at) => [`pass@${at}`, summary.passAtK[at]]),
    );
    this.emit({
      phase: "arm",
      arm,
      done: this.config.arms.length - this.evaluationsLeft,
      total: this.config.arms.length,
      values,
      summary,
    });
  }

  /** An arm that was finished in an earlier run. */
  skip(arm: string): void {
    if (arm !== "base") this.stepsLeft -= this.config.train.steps;
    this.evaluationsLeft--;
  }

  /** Seconds since the last event. */
  private lap(): number {
    const at = this.now();
    const seconds = at - this.last;
    this.last = at;
    return seconds;
  }

  private emit(event: Omit<ProgressEvent, "secondsLeft" | "warnings"> & { warnings?: string[] }): void {
    this.listener?.({ warnings: [], ...event, secondsLeft: this.secondsLeft(event) });
  }

  /** While it pretrains, of that alone: nothing is known of the rest. */
  private secondsLeft(event: Pick<ProgressEvent, "phase" | "done" | "total">): number | null {
    if (event.phase === "pretrain") {
      const { each } = this.pretrain;
      return each === null ? null : (event.total - event.done) * each;
    }
    const { train, evaluation } = this.config;
    const rows = (train.promptsPerStep * train.numGenerations) / (evaluation.prompts * evaluation.samples);
    const perArm = this.evaluation.each;
    const perStep = this.train.each ?? (perArm === null ? null : perArm * rows * TRAINED_ROW);
    const left = [
      [this.stepsLeft, perStep],
      [this.evaluationsLeft - this.share, perArm],
    ] as const;
    if (left.some(([count, each]) => count > 0 && each === null)) return null;
    return left.reduce((sum, [count, each]) => sum + count * (each ?? 0), 0);
  }
}

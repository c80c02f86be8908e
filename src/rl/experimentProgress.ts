/** How far an experiment is and how long it will take, from the times of what it has done so far. */
import type { ArmSummary } from "../eval/summary.ts";
import type { ExperimentConfig } from "./presets.ts";
import { armName } from "./presets.ts";
import type { PretrainStep } from "./pretrain.ts";
import type { StepMetrics } from "./trainer.ts";

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

/** Mean seconds of one kind of work; the first, which builds programs, counts apart. */
class Pace {
  private first = 0;
  private total = 0;
  private units = 0;
  private begun = false;

  add(seconds: number, units: number): void {
    if (!this.begun) {
      this.begun = true;
      this.first = seconds / units;
      return;
    }
    this.total += seconds;
    this.units += units;
  }

  /** Seconds for a unit, `null` when nothing is known. */
  get each(): number | null {
    if (this.units > 0) return this.total / this.units;
    return this.begun ? this.first : null;
  }
}

export class Progress {
  private readonly config: ExperimentConfig;
  private readonly listener: ((event: ProgressEvent) => void) | undefined;
  private readonly now: () => number;
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
    const seconds = this.lap();
    const rate = step.step > 1 ? seconds : 0;
    this.train.add(rate, 1);
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
    const { each } = this.train;
    const perEvaluation = this.evaluation.each;
    const secondsLeft =
      event.phase === "pretrain" || (each === null && this.stepsLeft > 0 && perEvaluation === null)
        ? pretrainLeft(event, each)
        : this.stepsLeft * (each ?? 0) + (this.evaluationsLeft - this.share) * (perEvaluation ?? 0);
    this.listener?.({ warnings: [], ...event, secondsLeft });
  }
}

function pretrainLeft(event: { done: number; total: number }, each: number | null): number | null {
  return each === null ? null : (event.total - event.done) * each;
}

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

/** Measurements of an arm up to a step, without the one at its end. */
function onTheWay({ evaluation, train }: ExperimentConfig, upTo = train.steps): number {
  if (evaluation.every === 0) return 0;
  return Math.floor(Math.min(upTo, Math.max(0, train.steps - 1)) / evaluation.every);
}

export class Progress {
  private readonly config: ExperimentConfig;
  private readonly listener: ((event: ProgressEvent) => void) | undefined;
  private readonly now: () => number;
  private readonly pretrain = new Pace();
  private readonly train = new Pace();
  private readonly evaluation = new Pace();
  private stepsLeft: number;
  private evaluationsLeft: number;
  private armsLeft: number;
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
    this.armsLeft = config.arms.length;
    this.evaluationsLeft = config.arms.length + trained * onTheWay(config);
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
    const { samples, entropySamples, prompts, exact } = this.config.evaluation;
    const total = (exact ? Math.min(entropySamples, samples) : samples) * prompts;
    this.emit({ phase: "evaluate", arm, done: Math.round(share * total), total, values: {} });
  }

  /** A policy in training was measured on its way. */
  measured(): void {
    this.lap();
    this.share = 0;
    this.evaluationsLeft--;
  }

  finished(arm: string, summary: ArmSummary): void {
    this.measured();
    this.armsLeft--;
    const k = Object.keys(summary.passAtK);
    const values = Object.fromEntries(
      [k[0], k[k.length - 1]].map((at) => [`pass@${at}`, summary.passAtK[at]]),
    );
    this.emit({
      phase: "arm",
      arm,
      done: this.config.arms.length - this.armsLeft,
      total: this.config.arms.length,
      values,
      summary,
    });
  }

  /** An arm that was finished in an earlier run. */
  skip(arm: string): void {
    this.armsLeft--;
    this.evaluationsLeft--;
    if (arm === "base") return;
    this.stepsLeft -= this.config.train.steps;
    this.evaluationsLeft -= onTheWay(this.config);
  }

  /** An arm that goes on from a step of an earlier run. */
  resume(step: number): void {
    this.stepsLeft -= step;
    this.evaluationsLeft -= onTheWay(this.config, step);
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
    const drawn = evaluation.exact ? evaluation.entropySamples : evaluation.samples;
    const rows = (train.promptsPerStep * train.numGenerations) / (evaluation.prompts * drawn);
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

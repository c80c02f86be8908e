/**
 * The run under way, as a machine of few states:
 *
 *     idle --start--> running --pause--> pausing --> paused --start--> running --> done
 *     running, paused --stop--> stopping --> stopped --start--> running
 *
 * A step is one update: the worker rests before each piece of work, so pieces that are no update are waved through.
 */
import type { Summary } from "../../src/eval/summary.ts";
import type {
  ExperimentEvent,
  ExperimentRequest,
  ExperimentRun,
  NaysayWorker,
} from "../../src/worker/index.ts";

export type RunState = "idle" | "running" | "pausing" | "paused" | "stopping" | "stopped" | "done" | "failed";

export interface SessionListener {
  state(state: RunState): void;
  event(event: ExperimentEvent): void;
  /** A run that ended by itself. */
  finished(summary: Summary): void;
  failed(error: Error): void;
}

export class Session {
  state: RunState = "idle";
  private readonly worker: NaysayWorker;
  private readonly listener: SessionListener;
  private run: ExperimentRun | null = null;
  private abort: AbortController | null = null;
  /** Resolves when the worker is free. */
  ended: Promise<void> = Promise.resolve();
  /** A step was asked for and no update has come since. */
  private stepping = false;

  constructor(worker: NaysayWorker, listener: SessionListener) {
    this.worker = worker;
    this.listener = listener;
  }

  /** Whether the worker is at it. */
  get active(): boolean {
    return this.run !== null;
  }

  /** Begins a run, or goes on with one that stands in the worker's files. `step`: one update, then rest. */
  begin(request: ExperimentRequest, { step = false } = {}): void {
    if (this.active) return;
    this.stepping = step;
    this.abort = new AbortController();
    const run = this.worker.experiment(
      { ...request, paused: step },
      { signal: this.abort.signal, onEvent: (event) => this.take(event) },
    );
    this.run = run;
    this.become("running");
    this.ended = run.result.then(
      (summary) => this.end("done", () => this.listener.finished(summary)),
      (error: Error) => {
        if (this.abort?.signal.aborted) this.end("stopped");
        else this.end("failed", () => this.listener.failed(error));
      },
    );
  }

  pause(): void {
    if (this.state !== "running") return;
    this.stepping = false;
    this.run?.pause();
    this.become("pausing");
  }

  resume(): void {
    if (this.state !== "paused" && this.state !== "pausing") return;
    this.stepping = false;
    this.run?.resume();
    this.become("running");
  }

  /** One update more, then rest; while it runs, the update under way. */
  step(): void {
    if (!this.run || this.state === "stopping") return;
    this.stepping = true;
    this.run.step();
    this.become("running");
  }

  /** Ends the run; what is done stays in its folder. Resolves when the worker is free. */
  async stop(): Promise<void> {
    if (this.run && this.state !== "stopping") {
      this.become("stopping");
      this.abort?.abort(new Error("stopped"));
    }
    await this.ended;
  }

  /** Forgets a run that has ended. */
  forget(): void {
    if (!this.active) this.become("idle");
  }

  private take(event: ExperimentEvent): void {
    if (event.kind === "metrics") this.stepping = false;
    if (event.kind === "paused" && this.state !== "stopping") {
      if (this.stepping) this.run?.step();
      else this.become("paused");
    }
    // After a quick pause and resume the word of the pause may come last of what was said before.
    if (event.kind === "resumed" && this.state === "paused") this.become("running");
    this.listener.event(event);
  }

  private end(state: RunState, then: () => void = () => {}): void {
    this.run = null;
    this.abort = null;
    this.stepping = false;
    this.become(state);
    then();
  }

  private become(state: RunState): void {
    if (state === this.state) return;
    this.state = state;
    this.listener.state(state);
  }
}

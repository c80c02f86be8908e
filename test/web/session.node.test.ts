/** The states of a run on the page, against a worker that does what the test says. */
import { beforeEach, describe, expect, test } from "vitest";
import type { MetricsRow, Summary } from "../../src/eval/summary.ts";
import type { ExperimentEvent, ExperimentRequest, NaysayWorker } from "../../src/worker/index.ts";
import { RunData } from "../../web/src/runData.ts";
import { type RunState, Session } from "../../web/src/session.ts";

const request: ExperimentRequest = { preset: "tiny", seed: 1 };

/** What the session told the worker, and ways to answer. */
class FakeWorker {
  told: string[] = [];
  paused: boolean | undefined;
  emit: (event: ExperimentEvent) => void = () => {};
  resolve: (summary: Summary) => void = () => {};
  reject: (error: Error) => void = () => {};

  experiment(given: ExperimentRequest, options: Parameters<NaysayWorker["experiment"]>[1] = {}) {
    this.paused = given.paused;
    this.emit = options.onEvent ?? this.emit;
    options.signal?.addEventListener("abort", () => this.told.push("abort"));
    return {
      result: new Promise<Summary>((resolve, reject) => {
        this.resolve = resolve;
        this.reject = reject;
      }),
      pause: () => this.told.push("pause"),
      resume: () => this.told.push("resume"),
      step: () => this.told.push("step"),
    };
  }
}

const row = (update: number, more: Partial<MetricsRow> = {}): ExperimentEvent => ({
  kind: "metrics",
  row: { arm: "NSR", update, ...more },
});

describe("a session", () => {
  let worker: FakeWorker;
  let session: Session;
  let states: RunState[];
  let errors: string[];

  beforeEach(() => {
    worker = new FakeWorker();
    states = [];
    errors = [];
    session = new Session(worker as unknown as NaysayWorker, {
      state: (state) => states.push(state),
      event: () => {},
      finished: () => {},
      failed: (error) => errors.push(error.message),
    });
  });

  test("runs, pauses when the worker rests, resumes, ends", async () => {
    session.begin(request);
    expect(worker.paused).toBe(false);
    session.pause();
    worker.emit({ kind: "paused" });
    session.resume();
    worker.emit({ kind: "resumed" });
    worker.resolve({} as Summary);
    await session.ended;
    expect(states).toEqual(["running", "pausing", "paused", "running", "done"]);
    expect(worker.told).toEqual(["pause", "resume"]);
  });

  test("a pause that is taken back before the worker rested ends in a run, whatever order the words come in", () => {
    session.begin(request);
    session.pause();
    session.resume();
    worker.emit({ kind: "paused" });
    worker.emit({ kind: "resumed" });
    expect(session.state).toBe("running");
    session.pause();
    worker.emit({ kind: "resumed" });
    expect(session.state).toBe("pausing");
    void session.stop();
    worker.emit({ kind: "resumed" });
    expect(session.state).toBe("stopping");
  });

  test("waves pieces of work through until a step has made its update", () => {
    session.begin(request, { step: true });
    expect(worker.paused).toBe(true);
    worker.emit({ kind: "paused" }); // before a call of the evaluation
    worker.emit({ kind: "paused" }); // before the update
    expect(worker.told).toEqual(["step", "step"]);
    worker.emit(row(1));
    worker.emit({ kind: "paused" });
    expect(worker.told).toEqual(["step", "step"]);
    expect(session.state).toBe("paused");
    session.step();
    expect(worker.told).toHaveLength(3);
    expect(session.state).toBe("running");
  });

  test("a pause ends a step that is still on its way", () => {
    session.begin(request, { step: true });
    worker.emit({ kind: "paused" });
    session.pause();
    worker.emit({ kind: "paused" });
    expect(worker.told).toEqual(["step", "pause"]);
    expect(session.state).toBe("paused");
  });

  test("stops once the worker has stopped, and can begin again", async () => {
    session.begin(request);
    const stopped = session.stop();
    expect(session.state).toBe("stopping");
    worker.emit({ kind: "paused" });
    expect(session.state).toBe("stopping");
    session.begin(request);
    worker.reject(new Error("aborted"));
    await stopped;
    expect(states).toEqual(["running", "stopping", "stopped"]);
    expect(errors).toEqual([]);
    session.begin(request);
    expect(session.state).toBe("running");
  });

  test("says an error that nobody asked for", async () => {
    session.begin(request);
    worker.reject(new Error("no adapter"));
    await session.ended;
    expect(session.state).toBe("failed");
    expect(errors).toEqual(["no adapter"]);
  });
});

describe("what is known of a run", () => {
  test("a row that comes again replaces the first, and rows are in order", () => {
    const data = new RunData();
    data.take({
      kind: "resumedFrom",
      rows: [
        { arm: "NSR", update: 2, reward: 0.1 },
        { arm: "NSR", update: 1 },
      ],
    });
    data.take(row(2, { reward: 0.5 }));
    expect(data.rows("NSR").map(({ update, reward }) => [update, reward])).toEqual([
      [1, undefined],
      [2, 0.5],
    ]);
    expect(data.done("NSR")).toBe(2);
    expect(data.done("PSR")).toBe(0);
  });

  test("speed counts the tokens of one update", () => {
    const data = new RunData();
    expect(data.tokensPerSecond).toBeNull();
    data.take(row(1, { num_tokens: 100, step_time: 2 }));
    expect(data.tokensPerSecond).toBe(50);
    data.take(row(2, { num_tokens: 400, step_time: 3 }));
    expect(data.tokensPerSecond).toBe(100);
  });
});

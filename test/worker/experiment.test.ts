/** Experiments through a worker's port: the same bits as the function itself, whatever happens on the way. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { MetricsRow, Summary } from "../../src/eval/summary.ts";
import { runExperiment } from "../../src/rl/experiment.ts";
import { experimentConfig } from "../../src/rl/presets.ts";
import { backend } from "../../src/tensor/backend.ts";
import { CheckpointError, ConfigError } from "../../src/tensor/errors.ts";
import { exp } from "../../src/tensor/math.ts";
import type { WebGpuBackend } from "../../src/tensor/webgpu.ts";
import { adapterOf } from "../../src/worker/deviceKeeper.ts";
import { connect, type ExperimentEvent, type NaysayWorker, type ShownRow } from "../../src/worker/index.ts";
import { serve } from "../../src/worker/serve.ts";
import { type MemoryFiles, memoryFiles } from "../helpers/memoryFiles.ts";
import { comparable } from "../helpers/shortQuick.ts";

const REQUEST = {
  preset: "tiny",
  changes: { train: { steps: 4 }, arms: ["base", "nsr"], checkpointEvery: 1 },
  seed: 3,
  command: "test",
};

interface Side {
  worker: NaysayWorker;
  files: MemoryFiles;
  close(): void;
}

async function open(files = memoryFiles()): Promise<Side> {
  const { port1, port2 } = new MessageChannel();
  const stop = serve(port2, { files });
  const worker = await connect(port1);
  return {
    worker,
    files,
    close() {
      worker.close();
      stop();
      port1.close();
      port2.close();
    },
  };
}

const rowsOf = (files: MemoryFiles, out: string): MetricsRow[] =>
  files
    .text(`${out}/metrics.jsonl`)
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));

const bitsOf = (summary: Summary, files: MemoryFiles) => comparable(summary, rowsOf(files, "runs/tiny"));

/** One worker for most tests: a fresh device would make every kernel anew. */
let shared: Side;
/** The shared worker with nothing in its files. */
function emptied(): Side {
  shared.files.content.clear();
  return shared;
}

let want: ReturnType<typeof comparable>;
beforeAll(async () => {
  shared = await open();
  // The worker's backend is this realm's current one.
  const files = memoryFiles();
  const config = experimentConfig("tiny", REQUEST.changes);
  const adapter = adapterOf(backend() as WebGpuBackend);
  const summary = await runExperiment({ ...REQUEST, config, files, out: "runs/tiny", adapter });
  want = bitsOf(summary, files);
}, 120_000);
afterAll(() => shared?.close());

test("another run from the same recipe takes the base that was made, another seed makes its own", async () => {
  const side = emptied();
  const run = async (out: string, seed: number): Promise<[steps: number, base: string]> => {
    const changes = { ...REQUEST.changes, arms: ["base"], checkpointEvery: seed };
    const experiment = side.worker.experiment({ ...REQUEST, changes, seed, out: `runs/${out}` });
    let steps = 0;
    for await (const event of experiment)
      if (event.kind === "progress" && event.progress.phase === "pretrain") steps++;
    return [steps, (await experiment.result).arms[0].weightsSha256];
  };
  const [made, sha] = await run("first", 3);
  expect([made, sha]).toEqual([4, want.arms[0].weightsSha256]);
  expect(await run("second", 3)).toEqual([0, sha]);
  const [other, otherSha] = await run("third", 4);
  expect(other).toBe(4);
  expect(otherSha).not.toBe(sha);
});

test("events tell the whole story, and the bits are those of the function itself", async () => {
  const side = emptied();
  const run = side.worker.experiment({ ...REQUEST, showRows: 3 });
  const events: ExperimentEvent[] = [];
  for await (const event of run) events.push(event);
  expect(bitsOf(await run.result, side.files)).toEqual(want);

  const kinds = (kind: string) => events.filter((e) => e.kind === kind);
  expect(events[0]).toMatchObject({ kind: "started", out: "runs/tiny", arms: ["base", "NSR"] });
  expect(kinds("metrics").map((e) => (e as { row: MetricsRow }).row.update)).toEqual([1, 2, 3, 4]);
  expect(kinds("rollout")).toHaveLength(4);
  expect(kinds("arm").map((e) => (e as { arm: { summary: { name: string } } }).arm.summary.name)).toEqual([
    "base",
    "NSR",
  ]);

  const { vocab } = events[0] as { vocab: string[] };
  for (const event of kinds("rollout") as { rows: ShownRow[] }[]) {
    expect(event.rows).toHaveLength(3);
    for (const row of event.rows) {
      const n = row.tokens.length;
      expect(row.completion).toEqual(row.tokens.map((id) => vocab[id]));
      expect([row.push.length, row.before.length, row.after.length]).toEqual([
        n,
        n * vocab.length,
        n * vocab.length,
      ]);
      // A penalty pushes down, and NSR never rewards.
      const unused = row.weights.every((w) => w === 0);
      expect(unused || row.reward === 0).toBe(true);
      for (const [t, push] of row.push.entries()) {
        const p = row.before[t * vocab.length + row.tokens[t]];
        expect(p).toBeCloseTo(exp(row.logProbs[t]), 5);
        expect(push).toBeCloseTo(row.weights[t] * (1 - p), 5);
        for (const all of [row.before, row.after]) {
          let sum = 0;
          for (const x of all.subarray(t * vocab.length, (t + 1) * vocab.length)) sum += x;
          expect(sum).toBeCloseTo(1, 4);
        }
      }
    }
  }
  const pushed = (kinds("rollout") as { rows: ShownRow[] }[])
    .flatMap((e) => e.rows)
    .filter((r) => r.weights[0] < 0);
  expect(pushed.length).toBeGreaterThan(0);
}, 120_000);

test("paused, stepped and resumed", async () => {
  const side = emptied();
  const run = side.worker.experiment({ ...REQUEST, paused: true });
  const steps: number[] = [];
  let pauses = 0;
  for await (const event of run) {
    if (event.kind === "metrics") steps.push(event.row.update);
    if (event.kind !== "paused") continue;
    pauses++;
    // The evaluation of the base has a gate before each call too: step until training has begun.
    if (steps.length < 2) run.step();
    else run.resume();
  }
  expect(pauses).toBeGreaterThanOrEqual(3);
  expect(bitsOf(await run.result, side.files)).toEqual(want);
}, 120_000);

test("a pause holds: nothing comes until it is lifted; one told at once is not lost", async () => {
  const side = emptied();
  const run = side.worker.experiment(REQUEST);
  run.pause();
  let seen = 0;
  let pauses = 0;
  for await (const event of run) {
    if (event.kind === "metrics" && ++seen === 2) run.pause();
    if (event.kind !== "paused") continue;
    pauses++;
    const before = side.files.text("runs/tiny/metrics.jsonl");
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(side.files.text("runs/tiny/metrics.jsonl")).toBe(before);
    if (pauses === 1) expect(seen).toBe(0);
    run.resume();
  }
  expect(pauses).toBe(2);
  expect(seen).toBe(4);
  expect(bitsOf(await run.result, side.files)).toEqual(want);
}, 120_000);

test("another request for a folder in use is refused and leaves the run as it was", async () => {
  const side = emptied();
  const abort = new AbortController();
  const run = side.worker.experiment(REQUEST, { signal: abort.signal });
  await expect(
    (async () => {
      for await (const event of run) if (event.kind === "metrics") abort.abort(new Error("stop"));
    })(),
  ).rejects.toThrow("stop");
  await expect(side.worker.experiment({ ...REQUEST, seed: 4 }).result).rejects.toThrow(
    /seed: 3 there, 4 here/,
  );
  const [stored] = await side.worker.runs();
  expect(stored.request.seed).toBe(3);
  expect(bitsOf(await side.worker.experiment(stored.request).result, side.files)).toEqual(want);
}, 120_000);

test("a request without a seed is refused, and nothing of it is kept", async () => {
  const side = emptied();
  const { seed: _, ...request } = REQUEST;
  await expect(side.worker.experiment(request as never).result).rejects.toThrow(
    /^seed: an integer in \[0, 2\^53\) expected, got undefined/,
  );
  expect(await side.worker.runs()).toEqual([]);
});

test("an abort while paused ends the run", async () => {
  const side = emptied();
  const abort = new AbortController();
  const run = side.worker.experiment({ ...REQUEST, paused: true }, { signal: abort.signal });
  await expect(
    (async () => {
      for await (const event of run) if (event.kind === "paused") abort.abort(new Error("stop"));
    })(),
  ).rejects.toThrow("stop");
}, 120_000);

describe("refused, by name, with nothing computed", () => {
  test.each([
    ["an unknown preset", { preset: "qiuck" }, ConfigError, /Did you mean .?quick/],
    ["an unknown key", { changes: { train: { stepz: 4 } as object } }, ConfigError, /stepz/],
    ["a number out of range", { changes: { train: { temperature: -1 } } }, ConfigError, /temperature/],
    ["a folder outside", { out: "../elsewhere" }, ConfigError, /below runs/],
    ["a folder above", { out: "runs/../.." }, ConfigError, /below runs/],
    ["a base that is none", { base: Uint8Array.of(1, 2, 3) }, CheckpointError, /safetensors/],
  ])("%s", async (_name, changes, kind, message) => {
    const side = emptied();
    const run = side.worker.experiment({ ...REQUEST, ...changes });
    await expect(run.result).rejects.toBeInstanceOf(kind);
    await expect(run.result).rejects.toThrow(message);
  });

  test("a second experiment at once", async () => {
    const side = emptied();
    const abort = new AbortController();
    const first = side.worker.experiment({ ...REQUEST, paused: true }, { signal: abort.signal });
    await expect(side.worker.experiment({ ...REQUEST, out: "runs/two" }).result).rejects.toThrow(
      /one at a time/,
    );
    abort.abort();
    await expect(first.result).rejects.toBeDefined();
  });
});

// These leave the worker, or this realm, with another device.

test("a device that a policy saw lost, while the experiment was paused, is replaced for both", async () => {
  const side = emptied();
  const run = side.worker.experiment({ ...REQUEST });
  let lost = false;
  for await (const event of run) {
    if (event.kind === "metrics" && event.row.update === 2) run.pause();
    if (event.kind !== "paused" || lost) continue;
    lost = true;
    const checkpoint = await side.worker.readFile("runs/tiny/checkpoints/base.safetensors");
    const policy = await side.worker.policy({ checkpoint });
    expect(policy.info.vocab.length, "an arm's checkpoint holds its tokenizer").toBeGreaterThan(0);
    await side.worker.loseDevice();
    expect(await policy.generate({ prompts: [[1, 5]], maxCompletionLength: 4, seed: 1 }).result).toHaveLength(
      1,
    );
    run.resume();
  }
  expect(lost).toBe(true);
  expect(bitsOf(await run.result, side.files)).toEqual(want);
}, 120_000);

test("the device lost in the middle of a step: told, and the same bits in the end", async () => {
  const side = emptied();
  const run = side.worker.experiment({ ...REQUEST, showRows: 2 });
  const told: string[] = [];
  for await (const event of run) {
    if (event.kind === "metrics" && event.row.update === 2 && told.length === 0) {
      told.push("losing");
      // Not awaited: the next step is under way.
      void side.worker.loseDevice();
    }
    if (event.kind === "deviceLost") {
      told.push(event.kind);
      expect(event.message).toMatch(/was (destroyed|lost)/);
    }
    if (event.kind === "deviceRestored") told.push(event.kind);
  }
  expect(told).toEqual(["losing", "deviceLost", "deviceRestored"]);
  expect(bitsOf(await run.result, side.files)).toEqual(want);
}, 120_000);

test("aborted in the middle, offered again, and gone on with in another worker: the same bits", async () => {
  const first = emptied();
  const abort = new AbortController();
  const run = first.worker.experiment(REQUEST, { signal: abort.signal });
  const reason = new Error("closed the tab");
  await expect(
    (async () => {
      for await (const event of run)
        if (event.kind === "metrics" && event.row.update === 2) abort.abort(reason);
    })(),
  ).rejects.toBe(reason);
  expect(await first.worker.runs()).toMatchObject([{ out: "runs/tiny", done: 1, total: 2, finished: false }]);

  const second = await open(first.files);
  const [stored] = await second.worker.runs();
  const again = second.worker.experiment(stored.request);
  const events: ExperimentEvent[] = [];
  for await (const event of again) events.push(event);
  const before = events.find((e) => e.kind === "resumedFrom") as { rows: MetricsRow[] };
  expect(before.rows.map((r) => r.update)).toEqual([1, 2]);
  expect(events.flatMap((e) => (e.kind === "metrics" ? [e.row.update] : []))).toEqual([3, 4]);
  expect(bitsOf(await again.result, second.files)).toEqual(want);
  expect(await second.worker.runs()).toMatchObject([{ finished: true }]);
  await second.worker.removeFile("runs/tiny");
  expect(await second.worker.runs()).toEqual([]);
  second.close();
}, 120_000);

/**
 * `kill -9` in the middle of `naysay experiment`, again and again, each time going on in the same folder: no file is ever
 * unreadable, and what comes out in the end is what an uninterrupted run gives, bit for bit.
 *
 * A process is killed at a random one of its writes or a random while after it, so that kills fall into writes and between
 * them alike, however fast the machine is; its disk is slow (test/helpers/slowDisk.mjs), so that half a file and half a line
 * are met. One that ends before its kill has finished a run: it is compared, and the next
 * begins. `npm run test:kill` does 50 kills; `npm test` does 8, since each is a start of Node and of a device.
 */
import { type ChildProcess, spawn } from "node:child_process";
import {
  existsSync,
  type FSWatcher,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  watch,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { MetricsRow, Summary } from "../../src/eval/summary.ts";
import { decodeCheckpoint } from "../../src/model/checkpoint.ts";
import { Rng, Stream } from "../../src/tensor/random.ts";
import { readEvents } from "../helpers/eventFileReader.ts";
import { repeat, seed, variable } from "../helpers/seed.ts";
import { root } from "../helpers/sourceFiles.ts";

const KILLS = Number(variable("NAYSAY_KILLS") ?? 8);
const STEPS = 4;
const CHANGES = {
  train: { steps: STEPS, promptsPerStep: 4, numGenerations: 4, microBatchRows: 16 },
  evaluation: { prompts: 4, samples: 8, entropySamples: 2, every: 3 },
  arms: ["base", "nsr", "w-reinforce:0.1"],
  checkpointEvery: 1,
};
/** A kill comes after at most so many changes of files; a whole run makes about a hundred. */
const MOST_CHANGES = 40;

let folder: string;
let config: string;
let wanted: Outcome;
const live = new Set<ChildProcess>();

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "naysay-kill-"));
  config = join(folder, "changes.json");
  writeFileSync(config, JSON.stringify(CHANGES));
  const { ended } = start(join(folder, "whole"));
  expect(await ended).toEqual({ code: 0, signal: null });
  wanted = outcomeOf(join(folder, "whole"));
  expect(wanted.metrics).toHaveLength(2 * STEPS);
});
afterAll(() => {
  for (const child of live) child.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
});

/** The command line in one process: the test's variables choose the adapter, so the launcher starts no other. */
function start(out: string) {
  const argv = ["dist/cli/main.js", "experiment", "--preset", "tiny", "--from-scratch", "--tensorboard"];
  const slow = pathToFileURL(join(root, "test/helpers/slowDisk.mjs")).href;
  const child = spawn(
    process.execPath,
    ["--import", slow, ...argv, "--config", config, "--seed", "3", "--out", out],
    {
      cwd: root,
      env: { ...process.env, NAYSAY_LAUNCHED: process.env.NAYSAY_ADAPTER || "auto" },
      stdio: ["ignore", "ignore", "pipe"],
    },
  );
  live.add(child);
  let stderr = "";
  child.stderr?.on("data", (chunk) => {
    stderr += chunk;
  });
  const ended = new Promise<{ code: number | null; signal: string | null }>((resolve) => {
    child.once("close", (code, signal) => {
      live.delete(child);
      resolve({ code, signal });
    });
  });
  return { child, ended, words: () => stderr };
}

interface Outcome {
  arms: unknown[];
  metrics: unknown[];
  evaluations: unknown[];
  /** Scalars that TensorBoard shows, times left out. */
  boards: unknown[];
}

const lines = (path: string): Record<string, unknown>[] =>
  readFileSync(path, "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));

/** What must be equal bit for bit: everything but times. */
function outcomeOf(out: string): Outcome {
  const summary = JSON.parse(readFileSync(join(out, "summary.json"), "utf8")) as Summary;
  const metrics = lines(join(out, "metrics.jsonl")) as unknown as MetricsRow[];
  return {
    arms: summary.arms.map(
      ({ trainSeconds: _t, rolloutSeconds: _r, evaluationSeconds: _e, ...rest }) => rest,
    ),
    metrics: metrics.map(({ step_time: _s, rollout_time: _r, ...rest }) => rest),
    evaluations: lines(join(out, "evaluations.jsonl")),
    boards: ["base", "nsr", "w-reinforce-0.1"].map((arm) => {
      const folder = join(out, "tensorboard", arm);
      const [name, ...more] = readdirSync(folder);
      expect(more).toEqual([]);
      return readEvents(new Uint8Array(readFileSync(join(folder, name)))).map(({ step, scalars }) => {
        const { step_time: _s, rollout_time: _r, ...rest } = scalars;
        return { step, rest };
      });
    }),
  };
}

/** Every file that has its final name is whole. How many checkpoints there are. */
function checkReadable(out: string): number {
  const names = readdirSync(join(out, "checkpoints")).filter((name) => !name.startsWith("."));
  for (const name of names) {
    const { config } = decodeCheckpoint(new Uint8Array(readFileSync(join(out, "checkpoints", name))));
    expect(config.hiddenSize).toBe(16);
  }
  for (const name of ["run.json", "summary.json"])
    if (existsSync(join(out, name))) JSON.parse(readFileSync(join(out, name), "utf8"));
  const boards = join(out, "tensorboard");
  for (const arm of existsSync(boards) ? readdirSync(boards) : [])
    for (const name of readdirSync(join(boards, arm)).filter((name) => !name.startsWith(".")))
      readEvents(new Uint8Array(readFileSync(join(boards, arm, name))));
  return names.length;
}

function hasCutLine(out: string): boolean {
  return ["metrics.jsonl", "evaluations.jsonl"].some((name) => {
    const path = join(out, name);
    return existsSync(path) && !readFileSync(path, "utf8").endsWith("\n");
  });
}

/** Calls back at the `n`-th change of a file of the run. */
function atChange(out: string, n: number, then: () => void): () => void {
  mkdirSync(join(out, "checkpoints"), { recursive: true });
  let seen = 0;
  const watchers: FSWatcher[] = [out, join(out, "checkpoints")].map((path) =>
    watch(path, () => {
      if (++seen === n) then();
    }),
  );
  return () => {
    for (const watcher of watchers) watcher.close();
  };
}

test(
  `${KILLS} kills`,
  async () => {
    const rng = new Rng(seed, Stream.test, 9);
    let [kills, runs, checked] = [0, 0, 0];
    /** Kills by what was there: nothing, a temporary file, a line cut short, checkpoints of unfinished arms. */
    const seen = { early: 0, torn: 0, cutLines: 0, midArm: 0 };
    while (kills < KILLS || runs === 0 || existsSync(join(folder, `run-${runs}`))) {
      const out = join(folder, `run-${runs}`);
      const { child, ended, words } = start(out);
      let timer: ReturnType<typeof setTimeout> | undefined;
      const stop =
        kills < KILLS
          ? atChange(out, 1 + rng.int(MOST_CHANGES), () => {
              // At once for most, which is within the write itself.
              if (rng.int(3) > 0) child.kill("SIGKILL");
              else timer = setTimeout(() => child.kill("SIGKILL"), rng.int(80));
            })
          : () => {};
      const { code, signal } = await ended;
      stop();
      clearTimeout(timer);
      if (signal === "SIGKILL") {
        kills++;
        const count = checkReadable(out);
        checked += count;
        const names = readdirSync(join(out, "checkpoints"));
        if (count === 0) seen.early++;
        if ([...names, ...readdirSync(out)].some((name) => name.endsWith(".tmp"))) seen.torn++;
        if (hasCutLine(out)) seen.cutLines++;
        if (names.some((name) => name.includes(".partial."))) seen.midArm++;
        continue;
      }
      expect(code, `${words()}; ${repeat}`).toBe(0);
      checkReadable(out);
      expect(outcomeOf(out), repeat).toEqual(wanted);
      const left = [...readdirSync(out), ...readdirSync(join(out, "checkpoints"))];
      expect(left.filter((name) => name.endsWith(".tmp") || name.includes(".partial."))).toEqual([]);
      rmSync(out, { recursive: true });
      runs++;
    }
    console.log(
      `${kills} kills over ${runs} runs, ${checked} checkpoints decoded; ${seen.early} before any checkpoint, ${seen.torn} within a write, ${seen.cutLines} within a line, ${seen.midArm} within an arm; ${repeat}`,
    );
    expect(checked).toBeGreaterThan(kills / 2);
  },
  60_000 + 30_000 * KILLS,
);

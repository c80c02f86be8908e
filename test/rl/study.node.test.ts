/** Studies on the device: cells, what is computed from them, going on where one was stopped. */
import { beforeAll, describe, expect, test } from "vitest";
import { studyProgressText } from "../../src/cli/study.ts";
import { passOfProbability } from "../../src/eval/estimators.ts";
import { renderStudyReport } from "../../src/eval/studyReport.ts";
import type { StudySummary } from "../../src/eval/studySummary.ts";
import type { EvaluationRow } from "../../src/eval/summary.ts";
import { defineTask } from "../../src/rl/defineTask.ts";
import type { ArmRecord } from "../../src/rl/runFolder.ts";
import { heldOutProblems } from "../../src/rl/runOptions.ts";
import { runStudy, type StudyOptions, type StudyProgress } from "../../src/rl/study.ts";
import { type StudyChanges, studyConfig } from "../../src/rl/studyConfig.ts";
import { useBackend } from "../helpers/backend.ts";
import { type MemoryFiles, memoryFiles } from "../helpers/memoryFiles.ts";
import { comparableStudy, SHORT_STUDY } from "../helpers/shortStudy.ts";

beforeAll(async () => {
  await useBackend();
});

const options = (files: MemoryFiles, more: Partial<StudyOptions> = {}): StudyOptions => ({
  config: studyConfig("tiny", SHORT_STUDY),
  preset: "tiny",
  files,
  out: "study",
  adapter: { vendor: "v", description: "d", backend: "b", tier: "T0", software: true },
  command: "test",
  now: () => 0,
  ...more,
});

describe("a study", () => {
  const files = memoryFiles();
  const heard: StudyProgress[] = [];
  let summary: StudySummary;
  beforeAll(async () => {
    summary = await runStudy(options(files, { onProgress: (event) => heard.push(event) }));
  }, 400_000);

  const record = (cell: string, arm: string): ArmRecord =>
    (JSON.parse(files.text(`study/${cell}/run.json`)) as { arms: Record<string, ArmRecord> }).arms[arm];

  test("means and differences are those of the cells' own records", () => {
    const mass = (control: string, seed: number, arm: string) =>
      record(`${control}/seed-${seed}`, arm).measurement.rightMass as number[];
    const native = summary.controls[0];
    expect(native.arms.map(({ name }) => name)).toEqual(["NSR", "PSR"]);
    for (const k of [1, 16, 256]) {
      const pass = (arm: string) =>
        [1, 2].flatMap((seed) => mass("native", seed, arm).map((p) => passOfProbability(p, k)));
      const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
      const [nsr, psr] = [mean(pass("NSR")), mean(pass("PSR"))];
      expect(native.arms[0].passAtK[k].mean).toBeCloseTo(nsr, 12);
      const difference = native.comparisons.find(({ a, b }) => a === "NSR" && b === "PSR");
      expect(difference?.passAtK[k].mean).toBeCloseTo(nsr - psr, 12);
      const base = mean(
        [1, 2].flatMap((seed) => mass("base", seed, "base").map((p) => passOfProbability(p, k))),
      );
      expect(summary.base.passAtK[k].mean).toBeCloseTo(base, 12);
      const gain = native.comparisons.find(({ a, b }) => a === "NSR" && b === "base");
      expect(gain?.passAtK[k].mean).toBeCloseTo(nsr - base, 12);
    }
    const against = summary.controls[1].against[0];
    const gap = (control: string) =>
      [1, 2].flatMap((seed) => mass(control, seed, "NSR").map((p, i) => p - mass(control, seed, "PSR")[i]));
    const change = gap("matched").map((value, i) => value - gap("native")[i]);
    expect(against.passAtK[1].mean).toBeCloseTo(change.reduce((sum, x) => sum + x, 0) / change.length, 12);
  });

  test("controls change what they say, and nothing else", () => {
    const updates = (control: string) => record(`${control}/seed-1`, "NSR").summary.updates;
    expect(updates("matched")).toBe(4);
    expect(updates("native")).not.toBe(4);
    // PSR keeps so few rows here that one mini-batch holds them under either control.
    const hashes = summary.controls.flatMap(({ arms }) => arms[0].weightsSha256);
    expect(new Set(hashes).size).toBe(4);
    expect(new Set(summary.base.weightsSha256).size).toBe(1);
  });

  test("a curve begins at the base and ends at the arm", () => {
    const rows = files
      .text("study/native/seed-1/evaluations.jsonl")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as EvaluationRow);
    expect(rows.map(({ arm, update }) => `${arm} ${update}`)).toEqual([
      ...[1, 2].map((update) => `NSR ${update}`),
      ...[1, 2].map((update) => `PSR ${update}`),
    ]);
    const { curve, passAtK } = summary.controls[0].arms[0];
    expect(curve.map(({ update }) => update)).toEqual([0, 1, 2]);
    expect(curve[0].passAtK[4]).toBeCloseTo(summary.base.passAtK[4].mean, 12);
    expect(curve[2].passAtK[4]).toBeCloseTo(passAtK[4].mean, 12);
  });

  test("the pilot comes first, with seeds of its own, and is no part of the result", () => {
    expect(heard.findIndex(({ cell }) => cell.startsWith("native"))).toBeGreaterThan(
      heard.findLastIndex(({ cell }) => cell.startsWith("pilot")),
    );
    expect(summary.seeds).toEqual([1, 2]);
    expect(summary.pilot?.planned).toEqual({ seeds: 2, prompts: 3 });
    const values = Object.values(summary.pilot?.detectable ?? {});
    expect(values).toHaveLength(9);
    for (const value of values) expect(value).toBeGreaterThan(0);
  });

  test("the report holds every control, arm and finding, and nothing unescaped or undefined", () => {
    const html = files.text("study/report.html");
    for (const text of ["native", "matched", "NSR − PSR", "exact Pass@k", "Findings", "as it is"])
      expect(html).toContain(text);
    expect(html).not.toMatch(/NaN|undefined|\[object/);
    const hostile = structuredClone(summary);
    hostile.controls[0].name = hostile.focus = "<script>alert(1)</script>";
    expect(renderStudyReport(hostile)).not.toContain("<script>");
  });

  test("stopped and gone on with, in the middle of an arm and between cells, it ends the same", async () => {
    const own = memoryFiles();
    for (const [cell, step] of [
      ["pilot/seed-12", 2],
      ["native/seed-2", 1],
    ] as const) {
      const abort = new AbortController();
      const run = runStudy(
        options(own, {
          signal: abort.signal,
          onProgress: ({ cell: at, event }) => {
            if (at === cell && event?.phase === "train" && event.done === step)
              abort.abort(new Error("stop"));
          },
        }),
      );
      await expect(run).rejects.toThrow("stop");
    }
    const again: StudyProgress[] = [];
    const resumed = await runStudy(options(own, { onProgress: (event) => again.push(event) }));
    expect(comparableStudy(resumed)).toEqual(comparableStudy(summary));
    // What was finished is not trained again.
    const trained = again.filter(({ event }) => event?.phase === "train").map(({ cell }) => cell);
    expect(trained).not.toContain("native/seed-1");
    expect(trained).not.toContain("pilot/seed-11");
  }, 400_000);

  test("a line of a finished cell's measurements that is lost is said, not left out of the curves", async () => {
    const damaged = memoryFiles();
    for (const [path, bytes] of files.content) damaged.content.set(path, bytes);
    const path = [...damaged.content.keys()].find((name) => /native.*evaluations/.test(name)) as string;
    const bytes = damaged.content.get(path) as Uint8Array;
    damaged.content.set(path, bytes.slice(0, -20));
    await expect(runStudy(options(damaged))).rejects.toThrow(
      /measurements of .* expected in study\/native\/seed-1\/evaluations\.jsonl.*Remove study\/native\/seed-1/,
    );
    const run = path.replace("evaluations.jsonl", "run.json");
    damaged.content.set(run, new TextEncoder().encode('{"version":2,"arms":{"NSR":{}}}'));
    await expect(runStudy(options(damaged))).rejects.toThrow(/a run record expected in study\/native/);
  });

  test("more held-out problems than there are is said before a base is made", async () => {
    const none = memoryFiles();
    const config = studyConfig("tiny", { ...SHORT_STUDY, evaluation: { prompts: 1000 } });
    await expect(runStudy(options(none, { config }))).rejects.toThrow(/distinct heldOut problems expected/);
    expect([...none.content.keys()]).toEqual([]);
  });

  test("one that is only shown keeps its command and its versions", async () => {
    const copy = memoryFiles();
    for (const [name, content] of files.content) copy.content.set(name, content);
    const later = { command: "later", versions: { naysay: "9" } };
    const shown = await runStudy(options(copy, later));
    expect(JSON.parse(JSON.stringify(shown))).toEqual(JSON.parse(files.text("study/summary.json")));
    copy.content.delete("study/summary.json");
    expect(await runStudy(options(copy, later))).toMatchObject(later);
  });

  test("answers of every seed's problems are put to the verifier before anything is written", async () => {
    const letters = [..."abcdefghijkl"];
    const heldOutPrompts = letters.flatMap((a) => letters.map((b) => `${a} ${b}`));
    let wrong = "";
    const task = defineTask({
      name: "echo",
      symbols: letters,
      prompts: letters,
      heldOutPrompts,
      maxCompletionLength: 3,
      trace: (_, prompt) => prompt,
      answers: (prompt) => [prompt === wrong ? "a a" : prompt],
      verify: (prompt, completion) => prompt === completion,
    });
    const config = studyConfig("tiny", {
      ...SHORT_STUDY,
      task: { name: "echo" },
      evaluation: { exact: true, prompts: 2, samples: 2, entropySamples: 1 },
    });
    const seeds = config.seeds.map((seed) =>
      heldOutProblems("test", task, config.experiment.evaluation, seed).map(({ prompt }) =>
        task.tokenizer.decode(prompt),
      ),
    );
    const [first, last] = [seeds[0], seeds.at(-1) as string[]];
    wrong = last.find((prompt) => !first.includes(prompt) && prompt !== "a a") as string;
    const none = memoryFiles();
    await expect(runStudy(options(none, { config, task }))).rejects.toThrow(
      /listed answers that earn 1 expected/,
    );
    expect([...none.content.keys()]).toEqual([]);
  });

  test("a folder of another study, or of an experiment, is left alone", async () => {
    const other: StudyChanges = { ...SHORT_STUDY, train: { ...SHORT_STUDY.train, steps: 3 } };
    await expect(runStudy(options(files, { config: studyConfig("tiny", other) }))).rejects.toThrow(
      /study: out: .*experiment\.train\.steps/,
    );
    const taken = memoryFiles();
    taken.content.set("study/run.json", new Uint8Array());
    await expect(runStudy(options(taken))).rejects.toThrow(/with a run of something else/);
    expect([...taken.content.keys()]).toEqual(["study/run.json"]);
  });
});

describe("a study of a task of one's own", () => {
  const letters = [..."abcdef"];
  const task = defineTask({
    name: "other",
    symbols: letters,
    prompts: letters.slice(0, 4),
    heldOutPrompts: letters.slice(4),
    maxCompletionLength: 2,
    verify(prompt, completion) {
      if (completion > "b") throw new Error("the judge is away");
      return completion !== prompt;
    },
    trace: (rng) => letters[rng.int(6)],
    answers: (prompt) => letters.filter((letter) => letter !== prompt),
  });
  const config = studyConfig("tiny", {
    task: { name: "other" },
    pretrain: { steps: 30, learningRate: 2e-2 }, // A letter and the end: most samples are judged.
    train: { steps: 1 },
    evaluation: { prompts: 2, exact: true, maxK: 4, entropySamples: 2 },
    arms: ["nsr"],
    seeds: [1, 2],
    controls: { native: {}, slow: { train: { learningRate: 1e-4 } } },
  });
  const files = memoryFiles();
  /** Every event takes ten seconds. */
  async function run(): Promise<{ heard: StudyProgress[]; summary: StudySummary }> {
    const heard: StudyProgress[] = [];
    const summary = await runStudy(
      options(files, {
        config,
        task,
        now: () => 10 * heard.length,
        onProgress: (event) => heard.push(event),
      }),
    );
    return { heard, summary };
  }
  const temporary = (file: string) =>
    file.replace(/([^/]+)$/, ".$1.5f2a0000-0000-4000-8000-000000000000.tmp");
  const leave = (file: string) => files.content.set(temporary(file), new Uint8Array(3));
  const temporaries = () => [...files.content.keys()].filter((name) => /-.*\.tmp$/.test(name));
  const trained = ["native/seed-1", "native/seed-2", "slow/seed-1", "slow/seed-2"];
  let first: Awaited<ReturnType<typeof run>>;
  beforeAll(async () => {
    // Killed in its very first write.
    leave("study/study.json");
    // Somebody else's.
    files.content.set("study/.notes.tmp", new Uint8Array(3));
    first = await run();
  }, 120_000);

  test("Pass@k is exact, from the answers that the task lists", () => {
    const { base } = first.summary;
    const masses = [1, 2].map((seed) => {
      const text = files.text(`study/base/seed-${seed}/run.json`);
      const { arms } = JSON.parse(text) as { arms: Record<string, ArmRecord> };
      return arms.base.measurement.rightMass as number[];
    });
    const mass = masses.flat();
    expect(mass).toHaveLength(4);
    for (const p of mass) {
      expect(p).toBeGreaterThan(0);
      expect(p).toBeLessThan(1);
    }
    const four = mass.map((p) => passOfProbability(p, 4));
    expect(base.passAtK[4].mean).toBeCloseTo(four.reduce((sum, p) => sum + p, 0) / 4, 12);
  });

  test("warnings of its runs are passed on, to the line that is shown too", () => {
    const warned = first.heard.filter(({ event }) => event && event.warnings.length > 0);
    expect(new Set(warned.map(({ cell }) => cell))).toEqual(new Set(trained));
    for (const progress of warned) {
      expect(studyProgressText(progress)).toMatch(/warning: the verifier failed on \d+ of 16 completions/);
    }
  });

  test("the time left is that of the trained arms so far for each that is to come", () => {
    const { heard } = first;
    let [seconds, ran] = [0, 0];
    for (const [i, { cell, event, secondsLeft }] of heard.entries()) {
      if (!event && trained.includes(cell)) {
        // Measured from the cell's first event; the estimate stands in its last.
        seconds += 10 * (i - heard.findIndex((other) => other.cell === cell));
        ran++;
      }
      expect(secondsLeft, `${i} ${cell}`).toBe(ran === 0 ? null : ((trained.length - ran) * seconds) / ran);
    }
    expect(ran).toBe(4);
    expect(heard.at(-1)).toMatchObject({ done: 6, total: 6, secondsLeft: 0 });
  });

  test("cells that are found finished say nothing of the time that others take", async () => {
    await files.remove("study/slow/seed-1");
    const { heard, summary } = await run();
    expect(comparableStudy(summary)).toEqual(comparableStudy(first.summary));
    const at = heard.findIndex(({ cell, event }) => cell === "slow/seed-1" && !event);
    expect(heard.slice(0, at).every(({ secondsLeft }) => secondsLeft === null)).toBe(true);
    const events = heard.filter(({ cell, event }) => cell === "slow/seed-1" && event).length;
    expect(heard[at].secondsLeft).toBe(10 * events);
    expect(heard.at(-1)?.secondsLeft).toBe(0);
  });

  test("what a killed process left half written goes", async () => {
    expect(temporaries()).toEqual([]);
    const whole = [...files.content.keys()];
    for (const file of ["study.json", "report.html", "base/seed-1.safetensors", "base/seed-1/run.json"]) {
      leave(`study/${file}`);
    }
    leave("study/native/seed-2/metrics.jsonl");
    leave("study/native/seed-2/checkpoints/nsr.safetensors");
    expect(temporaries()).toHaveLength(6);
    await run();
    expect([...files.content.keys()].sort()).toEqual(whole.sort());
  });
});

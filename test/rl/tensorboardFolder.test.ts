/**
 * The folder that `naysay experiment --tensorboard` writes, parsed. What the command writes after the preset `tiny` was read
 * once with TensorBoard 2.21.0 itself (EventAccumulator), every run, tag, step and value of it.
 */
import { expect, test } from "vitest";
import { writeTensorboard } from "../../src/rl/tensorboardFolder.ts";
import { readEvents } from "../helpers/eventFileReader.ts";
import { memoryFiles } from "../helpers/memoryFiles.ts";

const lines = (rows: object[]): Uint8Array =>
  new TextEncoder().encode(rows.map((row) => `${JSON.stringify(row)}\n`).join(""));

const NSR = "run/tensorboard/nsr/events.out.tfevents.0.naysay";
const W = "run/tensorboard/w-reinforce-0.1/events.out.tfevents.0.naysay";
const BASE = "run/tensorboard/base/events.out.tfevents.0.naysay";

async function aRun() {
  const files = memoryFiles();
  const step = (arm: string, update: number, reward: number) => ({
    arm,
    update,
    step: update,
    reward,
    loss: null,
    reasons: { right: update },
    warnings: ["none"],
    step_time: 0.5,
  });
  await files.writeFileAtomic(
    "run/metrics.jsonl",
    lines([step("NSR", 1, 0.25), step("NSR", 2, 0.5), step("W-REINFORCE 0.1", 1, 0.75)]),
  );
  // Cut short, as a killed process leaves it.
  await files.writeFileAtomic(
    "run/metrics.jsonl",
    new Uint8Array([
      ...(await files.readFile("run/metrics.jsonl")),
      ...new TextEncoder().encode('{"arm":"W-'),
    ]),
  );
  await files.writeFileAtomic(
    "run/evaluations.jsonl",
    lines([{ arm: "NSR", update: 1, passAtK: { 1: 0.5, 4: 0.75 }, entropy: 1.5, tallies: [] }]),
  );
  const summary = { passAtK: { 1: 0.25 }, entropy: 2, updates: 2, weightsSha256: "" };
  const arms = {
    base: { summary: { name: "base", ...summary } },
    NSR: { summary: { name: "NSR", ...summary } },
  };
  await files.writeFileAtomic("run/run.json", new TextEncoder().encode(JSON.stringify({ arms })));
  return files;
}

test("an event file for each arm: steps with their numbers, measurements beside them", async () => {
  const files = await aRun();
  expect((await writeTensorboard(files, "run")).sort()).toEqual([BASE, NSR, W]);
  const read = async (path: string) => readEvents(await files.readFile(path));
  expect(await read(NSR)).toEqual([
    {
      step: 1,
      wallTime: 0.5,
      scalars: {
        reward: 0.25,
        "reasons/right": 1,
        step_time: 0.5,
        "evaluation/pass@1": 0.5,
        "evaluation/pass@4": 0.75,
        "evaluation/entropy": 1.5,
      },
    },
    {
      step: 2,
      wallTime: 1,
      scalars: {
        reward: 0.5,
        "reasons/right": 2,
        step_time: 0.5,
        "evaluation/pass@1": 0.25,
        "evaluation/entropy": 2,
      },
    },
  ]);
  expect((await read(W)).map(({ step, scalars }) => [step, scalars.reward])).toEqual([[1, 0.75]]);
  expect(await read(BASE)).toEqual([
    { step: 0, wallTime: 0, scalars: { "evaluation/pass@1": 0.25, "evaluation/entropy": 2 } },
  ]);
});

test("written again it has the same bytes; what a killed process left beside it goes", async () => {
  const files = await aRun();
  await writeTensorboard(files, "run");
  const first = await files.readFile(NSR);
  await files.writeFileAtomic(
    "run/tensorboard/nsr/.events.out.tfevents.0.naysay.x.tmp",
    first.slice(0, first.length - 3),
  );
  await writeTensorboard(files, "run");
  expect(await files.readFile(NSR)).toEqual(first);
  expect(await files.list("run/tensorboard/nsr")).toEqual(["events.out.tfevents.0.naysay"]);
});

test("a folder without a run has no event files", async () => {
  expect(await writeTensorboard(memoryFiles(), "run")).toEqual([]);
});

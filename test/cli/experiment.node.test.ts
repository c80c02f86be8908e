/** `naysay experiment` and `naysay pretrain` as a user meets them: mistakes, trouble with files, and one whole tiny run. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { defaultFolder } from "../../src/cli/experiment.ts";
import { duration, progressText } from "../../src/cli/progressText.ts";
import { StatusLine } from "../../src/cli/statusLine.ts";
import type { ArmSummary } from "../../src/eval/summary.ts";
import { naysay } from "../helpers/command.ts";
import { readEvents } from "../helpers/eventFileReader.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "naysay-cli-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("mistakes", () => {
  test.each([
    [["experiment", "--preset", "quik"], 2, /--preset: expected quick.*Did you mean "quick"/],
    [["experiment", "--arms", "nrs"], 2, /ConfigError: algorithm: .*Did you mean "nsr"/],
    [["experiment", "--preset", "maze", "--tensorboard"], 2, /--tensorboard: one run expected/],
    [["experiment", "--updates", "-1"], 2, /--updates: expected a value from 0/],
    [
      ["experiment", "--config", "/nowhere.json"],
      2,
      /--config: a JSON file expected, got no file at \/nowhere\.json\. /,
    ],
    [["experiment", "--config", "/"], 2, /--config: a JSON file expected, got a folder, \/\. /],
    [["pretrain", "--out", "base.bin"], 2, /ends in \.safetensors/],
  ])("naysay %j", async (argv, code, message) => {
    const outcome = await naysay(argv);
    expect(outcome.stderr).toMatch(message);
    expect(outcome.code).toBe(code);
  });

  const object = (got: string) =>
    `an object expected in FILE, got ${got}. Write { "train": { "steps": 40 } }.`;
  test.each([
    ["null", object("null")],
    ["[]", object("an array of 0")],
    ['"text"', object('"text"')],
    ["", object("an empty file")],
    ["\uFEFF \n", object("an empty file")],
    [
      '{"trian": {}}',
      'FILE: experiment: trian: a known key expected, got an unknown one. Did you mean "train"?',
    ],
    [
      '{"train": {"stepz": 4}}',
      /^FILE: experiment: train\.stepz: a known key expected.* Did you mean "steps"\?$/,
    ],
    ['{"train": {"steps": "four"}}', /^FILE: experiment: train\.steps: .* expected, got "four"\. /],
    ['{"seeds": [1, 2], "controls": 5}', /^FILE: study: controls: an object expected, got 5\. /],
    [
      '{"task": {"name": "countdown", "config": {"cuont": 4}}}',
      /^FILE: countdown: cuont: a known key expected/,
    ],
    ['{"arms": ["nrs"]}', /^FILE: algorithm: .* Did you mean "nsr"\?$/],
  ])("a configuration of %j is told by one line with file and key", async (text, message) => {
    const config = join(folder, "changes.json");
    writeFileSync(config, text);
    const { code, stdout, stderr } = await naysay(["experiment", "--config", config], {
      NAYSAY_ADAPTER: "default",
    });
    expect(stdout).toBe("");
    const [, said] = /^ConfigError: --config: (.*)\n$/.exec(stderr.replace(config, "FILE"))!;
    if (typeof message === "string") expect(said).toBe(message);
    else expect(said).toMatch(message);
    expect(code).toBe(2);
  });

  test("what is no JSON is told with the place; a flag's mistake is not the file's, nor hides one of it", async () => {
    const config = join(folder, "changes.json");
    const said = async (text: string | Buffer, ...more: string[]) => {
      writeFileSync(config, text);
      const args = ["experiment", "--config", config, ...more];
      return (await naysay(args, { NAYSAY_ADAPTER: "default" })).stderr.replace(config, "FILE");
    };
    expect(await said(Buffer.from("\uFEFF{}", "utf16le"))).toBe(
      "ConfigError: --config: UTF-8 expected in FILE, got UTF-16. Save the file as UTF-8.\n",
    );
    expect(await said('{\n  "train": { "steps": 4, }\n}')).toMatch(
      /^ConfigError: --config: JSON expected in FILE, got other text: .* at line 2, column 26\. Check commas.*\n$/,
    );
    expect(await said('{"arms":["nsr"]}', "--arms", "nrs")).toMatch(/^ConfigError: algorithm: .*"nsr"\?\n$/);
    expect(await said('{"train": 5}', "--updates", "2")).toMatch(
      /^ConfigError: --config: FILE: experiment: train: an object expected, got 5\. /,
    );
  });

  test.runIf(process.platform === "linux")("without an adapter no folder is made", async () => {
    const none = {
      NAYSAY_ADAPTER: "default",
      VK_ICD_FILENAMES: "/nowhere.json",
      VK_DRIVER_FILES: "/nowhere.json",
    };
    const out = join(folder, "none");
    for (const argv of [
      ["experiment", "--out", join(out, "run")],
      ["experiment", "--preset", "controls", "--out", join(out, "study")],
      ["pretrain", "--out", join(out, "base.safetensors")],
      ["tune", "--out", join(out, "table.json")],
    ]) {
      const { code, stderr } = await naysay(argv, none);
      expect(stderr, argv[0]).toMatch(/expected a GPU adapter, got none/);
      expect(code).toBe(1);
    }
    expect(existsSync(out)).toBe(false);
  });

  test("help of both", async () => {
    expect((await naysay(["experiment", "--help"])).stdout).toMatch(
      /--updates <integer>[\s\S]*--from-scratch/,
    );
    expect((await naysay(["pretrain", "--help"])).stdout).toMatch(/--steps <integer>/);
  });
});

test("a folder for each seed", () => {
  expect(defaultFolder("quick", 1)).toBe(join("runs", "quick"));
  expect(defaultFolder("quick", 2)).toBe(join("runs", "quick-seed-2"));
});

describe("runs", () => {
  test("tiny, from scratch, as JSON; the folder of another run is refused; a path through a file is named", async () => {
    const out = join(folder, "run");
    const argv = ["experiment", "--preset", "tiny", "--from-scratch", "--out", out];
    const { code, stdout, stderr } = await naysay([...argv, "--seed", "5", "--json"]);
    expect(code, stderr).toBe(0);
    const summary = JSON.parse(stdout);
    expect(summary).toEqual(JSON.parse(readFileSync(join(out, "summary.json"), "utf8")));
    expect(summary.command).toBe(`naysay ${argv.join(" ")} --seed 5 --json`);
    expect(summary.versions).toMatchObject({ node: process.versions.node, naysay: expect.any(String) });
    expect(summary.adapter.tier).toMatch(/^T\d$/);
    for (const name of ["metrics.jsonl", "report.html", "checkpoints/nsr.safetensors"])
      expect(existsSync(join(out, name)), name).toBe(true);

    const again = await naysay([...argv, "--seed", "5", "--tensorboard"]);
    expect(again.code, again.stderr).toBe(0);
    expect(again.stdout).toContain(`tensorboard --logdir ${out}/tensorboard`);
    const board = join(out, "tensorboard/nsr/events.out.tfevents.0.naysay");
    const heads = summary.arms.map((arm: ArmSummary) => arm.weightsSha256.slice(0, 8));
    expect(again.stdout).toContain(`\nSHA-256 of the weights, arm by arm: ${heads.join(" ")}\n`);
    const events = readEvents(readFileSync(board));
    const rows = readFileSync(join(out, "metrics.jsonl"), "utf8").trim().split("\n");
    expect(events.map(({ step, scalars }) => [step, scalars.entropy])).toEqual(
      rows.map((row) => [JSON.parse(row).update, Math.fround(JSON.parse(row).entropy)]),
    );
    expect(events.at(-1)?.scalars["evaluation/entropy"]).toBe(Math.fround(summary.arms[1].entropy));
    expect(again.stderr).toContain(`${out} is finished: shown from its files; remove it or choose --out`);
    expect(stderr).not.toContain("is finished");
    // What made it, and how long that took, stay as they were.
    const written = () => JSON.parse(readFileSync(join(out, "summary.json"), "utf8"));
    expect(written()).toEqual(summary);
    const some = await naysay([...argv, "--seed", "5", "--arms", "base"]);
    expect(some.code, some.stderr).toBe(0);
    expect(written()).toEqual({ ...summary, arms: summary.arms.slice(0, 1), config: written().config });
    await naysay([...argv, "--seed", "5"]);
    expect(written()).toEqual(summary);

    const refused = await naysay([...argv, "--seed", "6"]);
    expect(refused.code).toBe(2);
    expect(refused.stderr).toMatch(/seed: 5 there, 6 here/);

    writeFileSync(join(folder, "file"), "");
    const blocked = await naysay([...argv.slice(0, -1), join(folder, "file", "run")]);
    expect(blocked.code).toBe(1);
    expect(blocked.stderr).toMatch(/CheckpointError: .*A part of the path is a file/);
  }, 240_000);

  test("a base of one's own: the arms start from it; one that is missing or of other sizes is refused", async () => {
    const base = join(folder, "own.safetensors");
    const made = await naysay(["pretrain", "--preset", "tiny", "--seed", "9", "--out", base]);
    expect(made.code, made.stderr).toBe(0);
    const record = JSON.parse(readFileSync(join(folder, "own.json"), "utf8"));
    const argv = ["experiment", "--preset", "tiny", "--arms", "base", "--json"];
    const { code, stdout, stderr } = await naysay([...argv, "--base", base, "--out", join(folder, "own")]);
    expect(code, stderr).toBe(0);
    expect(JSON.parse(stdout).arms[0].weightsSha256).toBe(record.weightsSha256);

    const other = await naysay([
      ...argv,
      "--base",
      "assets/quick-base.safetensors",
      "--out",
      join(folder, "no"),
    ]);
    expect(other.code).toBe(2);
    expect(other.stderr).toMatch(/a base .* expected/);
    const missing = await naysay([...argv, "--base", join(folder, "none"), "--out", join(folder, "no")]);
    expect(missing.stderr).toMatch(/CheckpointError: readFile: a file or folder that exists expected/);
    const both = await naysay([...argv, "--base", base, "--from-scratch"]);
    expect(both.code).toBe(2);
  }, 240_000);

  test("pretrain leaves the checkpoint and its record", async () => {
    const out = join(folder, "base.safetensors");
    const { code, stdout, stderr } = await naysay(["pretrain", "--preset", "tiny", "--out", out]);
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(/base\.safetensors: loss \d/);
    const record = JSON.parse(readFileSync(join(folder, "base.json"), "utf8"));
    expect(record).toMatchObject({ seed: 1, steps: 4, recipe: { task: { name: "countdown" } } });
    expect(record.weightsSha256).toMatch(/^[0-9a-f]{64}$/);
  }, 240_000);
});

describe("the status line", () => {
  test("is written over on a terminal, and thinned elsewhere", () => {
    let text = "";
    const write = (part: string) => {
      text += part;
    };
    const terminal = new StatusLine({ isTTY: true, columns: 8, write });
    terminal.show("one two three");
    terminal.show("stays", true);
    expect(text).toBe("one two\r\x1b[2Kstays\n");
    text = "";
    let now = 0;
    const log = new StatusLine({ write }, () => now);
    for (const second of [0, 3, 11, 12]) {
      now = second;
      log.show(`at ${second}`);
    }
    log.show("last", true);
    expect(text).toBe("at 0\nat 11\nlast\n");
  });

  test("says what is happening and how long it takes", () => {
    const event = {
      phase: "train",
      arm: "NSR",
      done: 3,
      total: 20,
      secondsLeft: 200,
      values: { reward: 0.5 },
      warnings: ["w"],
    } as const;
    expect(progressText(event)).toBe("NSR: train 3/20 · reward 0.500 · about 3 min left\n  warning: w");
    expect([duration(5), duration(200), duration(9000)]).toEqual(["5 s", "3 min", "2.5 h"]);
  });
});

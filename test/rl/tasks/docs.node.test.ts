/** docs/tasks.md says what the tasks do: its table, every example and its own task are run. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import * as naysay from "../../../src/index.ts";
import { defineTask } from "../../../src/rl/defineTask.ts";
import { makeTask, taskNames } from "../../../src/rl/taskTable.ts";
import { Rng, Stream } from "../../../src/tensor/random.ts";
import { root } from "../../helpers/sourceFiles.ts";

const page = readFileSync(join(root, "docs/tasks.md"), "utf8");
/** Fenced blocks that begin with a task's name and configuration. */
const blocks = [...page.matchAll(/^```\n([a-z0-9-]+) (\{.*\})\n([\s\S]*?)^```$/gm)];

test("every task has its examples", () => {
  expect(new Set(blocks.map(([, name]) => name))).toEqual(new Set(taskNames));
});

describe.each(blocks.map(([, name, config, body]) => ({ name, config, body })))("$name $config", (block) => {
  const task = makeTask({ name: block.name, config: JSON.parse(block.config) });
  const { tokenizer } = task;
  const lines = block.body.split("\n").filter(Boolean);
  const text = lines.filter((line) => !line.startsWith(" ")).join(" ");
  const prompt = [tokenizer.bos, ...tokenizer.encode(text)];
  const examples = lines.filter((line) => line.startsWith(" "));

  test("examples get the mode or the reason that stands beside them", () => {
    expect(prompt.length).toBe(task.promptLength);
    expect(examples.length).toBeGreaterThan(2);
    for (const line of examples) {
      const [, answer, label] = /^ +(.*?) {2,}(\S+)$/.exec(line)!;
      const completion = [...tokenizer.encode(answer), tokenizer.eos];
      const mode = task.modeOf!({ key: "", prompt, modes: [] }, completion);
      expect([line, mode ?? task.verify(prompt, completion).reason]).toEqual([line, label]);
    }
  });
});

test("the table has the tasks' own numbers", () => {
  const rows = [...page.matchAll(/^\| `([a-z0-9-]+)` +\| `(\{.*?\})` +\|(.*)\|$/gm)];
  expect(rows.length).toBe(9);
  for (const [, name, config, cells] of rows) {
    const task = makeTask({ name, config: JSON.parse(config) });
    const size = (split: "train" | "heldOut") => task.count!(split) ?? "drawn";
    const own = [
      task.promptLength,
      task.maxCompletionLength,
      task.tokenizer.vocabSize,
      size("train"),
      size("heldOut"),
    ];
    expect([name, config, ...cells.split("|").map((cell) => cell.trim())]).toEqual([
      name,
      config,
      ...own.map(String),
    ]);
  }
});

test("the task of one's own runs and prints what the page says", () => {
  const [, code] = /^```ts\n(import \{ defineTask[\s\S]*?)^```$/m.exec(page)!;
  expect(code.slice(code.indexOf("const sorting"), code.indexOf("});")).split("\n").length).toBeLessThan(20);
  const printed: string[] = [];
  const body = code.replace(/^import .*$/m, "");
  const log = { log: (value: unknown) => printed.push(String(value)) };
  new Function("defineTask", "Rng", "Stream", "console", body)(defineTask, Rng, Stream, log);
  expect(printed).toEqual([...code.matchAll(/\/\/ (.*)$/gm)].map(([, value]) => value));
});

test("the program from base to curve runs, shortened", async () => {
  const [, code] = /^```ts\n(import \{ decodeCheckpoint[\s\S]*?)^```$/m.exec(page)!;
  const printed: unknown[][] = [];
  const short = code
    .replaceAll(/^import .*$/gm, "")
    .replaceAll("(prompt: string)", "(prompt)")
    .replace("steps: 600", "steps: 3")
    .replace("steps: 20", "steps: 2")
    .replace("samples: 64", "samples: 4");
  const names = [...code.matchAll(/^import \{(.*)\} from "naysay";$/gm)].flatMap(([, list]) =>
    list.trim().split(", "),
  );
  const given = names.map((name) => (naysay as Record<string, unknown>)[name]);
  const log = { log: (...values: unknown[]) => printed.push(values) };
  const AsyncFunction = (async () => {}).constructor as FunctionConstructor;
  await new AsyncFunction(...names, "console", short)(...given, log);
  expect(printed.map((values) => values[0])).toEqual([1, 2, expect.anything()]);
  expect(printed[0][3]).toEqual(expect.any(Array)); // warnings
  expect((printed[2][0] as { k: number }[]).map(({ k }) => k)).toEqual([1, 2, 4]);
}, 240_000);

/** docs/tasks.md says what the tasks do: its table, every example and its own task are run. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import * as naysay from "../../../src/index.ts";
import { defineTask } from "../../../src/rl/defineTask.ts";
import * as rl from "../../../src/rl/index.ts";
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

/** Runs a program of the page with texts of it replaced, each of which must be there; what it printed. */
async function runShortened(begin: RegExp, shorter: Readonly<Record<string, string>>): Promise<unknown[][]> {
  const [code] = [...page.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].flatMap(([, one]) =>
    begin.test(one) ? [one] : [],
  );
  // What is TypeScript's alone goes: imports are arguments, annotations and assertions nothing.
  let short = code
    .replaceAll(/^import .*$/gm, "")
    .replaceAll(/: (string|ExperimentChanges)(?=[) ])|(?<=\])!/g, "");
  for (const [from, to] of Object.entries(shorter)) {
    expect(short).toContain(from);
    short = short.replaceAll(from, to);
  }
  const names = [...code.matchAll(/^import \{(.*)\} from "naysay(?:\/rl)?";$/gm)]
    .flatMap(([, list]) => list.trim().split(", "))
    .filter((name) => !name.startsWith("type "));
  const exported: Record<string, unknown> = { ...rl, ...naysay };
  const given = names.map((name) => exported[name]);
  const printed: unknown[][] = [];
  const log = { log: (...values: unknown[]) => printed.push(values) };
  const AsyncFunction = (async () => {}).constructor as FunctionConstructor;
  await new AsyncFunction(...names, "console", short)(...given, log);
  return printed;
}

test("the program from base to curve runs, shortened", async () => {
  const printed = await runShortened(/^import \{ decodeCheckpoint/, {
    "steps: 600": "steps: 3",
    "steps: 20": "steps: 2",
    "samples: 64": "samples: 4",
  });
  expect(printed.map((values) => values[0])).toEqual([1, 2, expect.anything()]);
  expect(printed[0][3]).toEqual(expect.any(Array)); // warnings
  expect((printed[2][0] as { k: number }[]).map(({ k }) => k)).toEqual([1, 2, 4]);
}, 240_000);

test("the experiment and the study of a task of one's own run, shortened", async () => {
  const folder = mkdtempSync(join(tmpdir(), "naysay-own-"));
  try {
    const printed = await runShortened(/runExperiment/, {
      "steps: 600": "steps: 3",
      '"quick"': '"tiny"',
      "[1, 2, 3]": "[1, 2]",
      '"runs/': `"${folder}/`,
    });
    expect(printed.map(([table]) => table)).toEqual([expect.stringMatching(/pass@256[\s\S]*base[\s\S]*NSR/)]);
    const read = (path: string) => JSON.parse(readFileSync(join(folder, path), "utf8"));
    const { arms, command } = read("sorting/summary.json");
    expect(arms.map(({ name, exact }: { name: string; exact: boolean }) => [name, exact])).toEqual([
      ["base", true],
      ["PSR", true],
      ["NSR", true],
    ]);
    expect(command).toBe("runExperiment");
    expect(read("sorting-study/summary.json").seeds).toEqual([1, 2]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}, 240_000);

/** A task of one's own: what is filled in, what is refused, and that it trains on prompts of different length. */
import { beforeAll, describe, expect, test } from "vitest";
import { initializeParameters } from "../../src/model/parameters.ts";
import { Tokenizer } from "../../src/model/tokenizer.ts";
import { Transformer } from "../../src/model/transformer.ts";
import { nsr } from "../../src/rl/algorithms.ts";
import { defineTask, type TaskDefinition } from "../../src/rl/defineTask.ts";
import { taskModel } from "../../src/rl/makeBase.ts";
import { pretrain } from "../../src/rl/pretrain.ts";
import { rollOut } from "../../src/rl/rollout.ts";
import type { AnyTask } from "../../src/rl/task.ts";
import { sharedPrograms, Trainer } from "../../src/rl/trainer.ts";
import { ConfigError } from "../../src/tensor/errors.ts";
import { Rng, Stream } from "../../src/tensor/random.ts";
import { useBackend } from "../helpers/backend.ts";

const digits = [..."0123456789"];
/** Numbers of one to three digits; right is any text of words that ends in an even digit. */
const definition: TaskDefinition<boolean> = {
  name: "evens",
  symbols: digits,
  prompts: Array.from({ length: 300 }, (_, i) => [...String(i * 3)].join(" ")),
  maxCompletionLength: 4,
  verify: (_prompt, completion) => Number(completion.at(-1) ?? "1") % 2 === 0,
};
const evens = defineTask(definition);
const prompts = (task: AnyTask, split: "train" | "heldOut") =>
  task.distinct(new Rng(1, Stream.test), split, task.count!(split)!).map(({ key }) => key);

describe("defaults", () => {
  test("splits by a hash, prompts from one to three words", () => {
    expect(evens.promptLength).toBe(4);
    const [train, heldOut] = [prompts(evens, "train"), prompts(evens, "heldOut")];
    expect(new Set([...train, ...heldOut]).size).toBe(300);
    expect(heldOut.length).toBeGreaterThan(35);
    expect(heldOut.length).toBeLessThan(85);
    const again = defineTask({ ...definition, prompts: [...definition.prompts!].reverse() });
    expect(prompts(again, "heldOut").sort()).toEqual(heldOut.sort());
    const problem = evens.sample(new Rng(2, Stream.test), "train");
    expect(problem.modes).toEqual(["any"]);
    expect(problem.prompt).toEqual([evens.tokenizer.bos, ...evens.tokenizer.encode(problem.key)]);
  });

  test("judges the text between prompt and EOS", () => {
    const { tokenizer } = evens;
    const { eos, bos, pad } = tokenizer;
    const prompt = [bos, ...tokenizer.encode("1 2")];
    const judge = (...ids: number[]) => evens.verify(prompt, ids);
    const [two, three] = tokenizer.encode("2 3");
    expect(judge(three, two, eos, pad)).toEqual({ reward: 1, valid: true, reason: "right" });
    expect(judge(two, three, eos)).toEqual({ reward: 0, valid: true, reason: "wrong" });
    expect(judge(two, two, two, two).reason).toBe("unfinished");
    expect(judge(two, eos, two).reason).toBe("trailing");
    expect(judge(bos, two, eos).reason).toBe("malformed");
    expect(judge(99, two, eos)).toEqual({ reward: 0, valid: false, reason: "malformed" });
    const seen: string[][] = [];
    const spy = defineTask({ ...definition, verify: (...texts) => seen.push(texts) > 0 });
    spy.verify(prompt, [three, two, eos, pad]);
    expect(seen).toEqual([["1 2", "3 2"]]);
  });

  test("prompts as tokens, single characters, explicit held-out prompts, one key for several prompts", () => {
    const tokenizer = Tokenizer.ofCharacters(["ab"]);
    const task = defineTask({
      name: "letters",
      tokenizer,
      prompts: ["ab", "ba", "aab", [tokenizer.bos, 3, 4, 4], [4]],
      heldOutPrompts: ["bb"],
      maxCompletionLength: 3,
      key: (text) => [...text].sort().join(""),
      verify: (prompt, completion) => prompt === completion,
    });
    expect(prompts(task, "train").sort()).toEqual(["aab", "ab", "abb", "b"]);
    expect(prompts(task, "heldOut")).toEqual(["bb"]);
    expect(task.promptLength).toBe(4);
    expect(task.verify([tokenizer.bos, 3], [3, tokenizer.eos]).reward).toBe(1);
  });

  test("grades, promises, and judgements that are none", async () => {
    const prompt = [1, 3];
    const completion = [4, 2];
    const given = (judged: number) => defineTask({ ...definition, verify: () => judged });
    expect(given(0.25).verify(prompt, completion)).toEqual({ reward: 0.25, valid: true, reason: "partial" });
    expect([0, 1].map((x) => given(x).verify(prompt, completion).reason)).toEqual(["wrong", "right"]);
    expect(() => given(1.5).verify(prompt, completion)).toThrow(
      /evens\.verify: .* \[0, 1\] expected, got 1\.5/,
    );
    expect(() => given(Number.NaN).verify(prompt, completion)).toThrow(ConfigError);
    const later = defineTask({ ...definition, verify: async (_, text) => text === "1" });
    expect(await later.verify(prompt, completion)).toMatchObject({ reward: 1 });
    expect(await later.verify(prompt, [4])).toMatchObject({ reason: "unfinished" });
    const failing = defineTask({
      ...definition,
      verify: async (): Promise<boolean> => {
        throw new Error("no network");
      },
    });
    await expect(failing.verify(prompt, completion)).rejects.toThrow("no network");
  });

  test("a sampler: length measured, splits by key, a pool on request", () => {
    const task = defineTask({
      ...definition,
      prompts: undefined,
      sample: (rng) => Array.from({ length: 1 + rng.int(4) }, () => String(rng.int(4))).join(" "),
      pool: 20,
    });
    expect([task.promptLength, task.count!("train"), task.count!("heldOut")]).toEqual([5, 20, undefined]);
    const heldOut = new Set(Array.from({ length: 400 }, (_, i) => task.sample(new Rng(i, 0), "heldOut").key));
    const train = new Set(Array.from({ length: 400 }, (_, i) => task.sample(new Rng(i, 0), "train").key));
    expect(train.size).toBe(20);
    expect([...train].filter((key) => heldOut.has(key))).toEqual([]);
    const longer = defineTask({ ...definition, prompts: undefined, promptLength: 2, sample: () => "1 2 3" });
    expect(() => longer.sample(new Rng(1, 0), "train")).toThrow(
      /at most 2 tokens expected, got 4\. Give promptLength/,
    );
  });

  test("traces, answers and modes as text", () => {
    const task = defineTask({
      ...definition,
      modes: ["short", "long"],
      trace: (rng) => (rng.int(2) === 0 ? "2" : { completion: "1 4", mode: "long", correct: true }),
      answers: () => ["2", "1 4"],
      modeOf: (_prompt, completion) => (completion.length === 1 ? "short" : "long"),
    });
    const rng = new Rng(3, Stream.test);
    const problem = task.sample(rng, "train");
    const traces = Array.from({ length: 20 }, () => task.trace(rng, problem));
    expect(new Set(traces.map(({ mode, completion }) => `${mode} ${completion}`))).toEqual(
      new Set(["short 5,2", "long 4,7,2"]),
    );
    expect([...task.answers!(problem)]).toEqual([
      [5, 2],
      [4, 7, 2],
    ]);
    expect([task.modeOf!(problem, [4, 7, 2]), task.modeOf!(problem, [4, 7])]).toEqual(["long", null]);
    const long = defineTask({ ...definition, trace: () => "1 2 3 4" });
    expect(() => long.trace(rng, problem)).toThrow(/trace: at most maxCompletionLength=4 .* got 5/);
    for (const [written, got] of [
      [5, "5"],
      [null, "null"],
      [{ completion: 5 }, "5"],
      [Promise.resolve("2"), "undefined"],
    ]) {
      const odd = defineTask({
        ...definition,
        trace: () => written as never,
        answers: () => [written as never],
      });
      expect(() => odd.trace(rng, problem)).toThrow(
        `evens: trace: the text of a completion expected, got ${got}. Return it as a string, and at once.`,
      );
      expect(() => odd.answers!(problem)).toThrow(/^evens: answers: the text of a completion expected, got/);
    }
  });

  test("definitions that are not whole are named", () => {
    const refused = (changes: object) => {
      try {
        defineTask({ ...definition, ...changes });
      } catch (error) {
        return `${(error as Error).name}: ${(error as Error).message}`;
      }
      return "taken";
    };
    expect(refused({ symbols: undefined })).toMatch(/^ConfigError: evens: symbols or a tokenizer .* neither/);
    expect(refused({ tokenizer: evens.tokenizer })).toMatch(/got both/);
    expect(refused({ prompts: undefined })).toMatch(/prompts or sample expected, got neither/);
    expect(refused({ sample: () => "1" })).toMatch(/prompts or sample expected, got both/);
    expect(refused({ heldOutPrompts: ["7", "0"] })).toMatch(/got "0" in both/);
    expect(refused({ verify: true })).toMatch(/defineTask: verify: a function expected, got true/);
    expect(refused({ maxCompletion: 3 })).toMatch(/Did you mean "maxCompletionLength"/);
    expect(refused({ prompts: ["1 x"] })).toMatch(/a symbol of the vocabulary expected, got "x"/);
    const few = defineTask({ ...definition, prompts: ["1"], heldOutShare: 0 });
    expect(() => few.sample(new Rng(1, 0), "heldOut")).toThrow(/Give more prompts, or heldOutPrompts/);
  });
});

describe("on a device", () => {
  beforeAll(() => useBackend());
  const config = taskModel(evens, { hiddenSize: 8, numLayers: 1, numHeads: 2 });
  const start = () => initializeParameters(config, 3, { std: 0.3 });

  // One test, so that everything compiles once: all rollouts have the same shape.
  test("prompts of different length: samples depend on their own prompt alone, and it trains", async () => {
    const shared = sharedPrograms(config, { rows: 6, scoreRows: 6 });
    const params = start();
    const completions = async (texts: string[]) => {
      const problems = texts.map((text) => ({
        key: text,
        prompt: [evens.tokenizer.bos, ...evens.tokenizer.encode(text)],
        modes: [],
      }));
      const options = { seed: 5, numGenerations: 2 };
      const { batch } = await rollOut(shared.generator, params.tensors, evens, problems, options);
      const width = batch.promptLength + batch.completionLength;
      const rows = Array.from({ length: 6 }, (_, row) =>
        batch.tokens.subarray(row * width, (row + 1) * width),
      );
      expect(Array.from(batch.starts.filter((_, row) => row % 2 === 0))).toEqual(
        texts.map((text) => evens.promptLength - 1 - text.split(" ").length),
      );
      return rows.map((row) => row.subarray(batch.promptLength).join());
    };
    const mixed = await completions(["7", "4 8", "1 2 3"]);
    expect(new Set(mixed).size).toBeGreaterThan(2);
    expect((await completions(["7", "5", "6"])).slice(0, 2)).toEqual(mixed.slice(0, 2));
    expect((await completions(["9 9 9", "0 0", "1 2 3"])).slice(4)).toEqual(mixed.slice(4));
    params.dispose();

    const trainer = new Trainer({
      task: evens,
      algorithm: nsr,
      config: { steps: 2, promptsPerStep: 3, numGenerations: 2, learningRate: 1e-2, microBatchRows: 6 },
      seed: 1,
      params: start(),
      shared,
    });
    for await (const { kept_rows, reasons, reward } of trainer.steps()) {
      expect(reward).toBe((reasons.right ?? 0) / 6);
      expect(kept_rows).toBe(6 - (reasons.right ?? 0));
    }
    expect(trainer.state.step).toBe(2);
    trainer.dispose();
    shared.dispose();
  });

  test("without traces it cannot be pretrained on, and the error says so", async () => {
    const params = start();
    const model = new Transformer(config);
    const steps = pretrain(model, params, evens, { steps: 1, batchRows: 2 }, { seed: 1 });
    await expect(steps.next()).rejects.toThrow(/evens: trace: .* Give trace\(rng, prompt\) to defineTask/);
    params.dispose();
    model.dispose();
  });
});

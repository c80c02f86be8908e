/** Countdown with three numbers, case by case; what holds for every task is tested in `countdownFamily.test.ts`. */
import { expect, test } from "vitest";
import { Countdown } from "../../../src/rl/tasks/countdown.ts";
import { countdownModes } from "../../../src/rl/tasks/countdownForms.ts";
import { ConfigError } from "../../../src/tensor/errors.ts";
import { Rng, Stream } from "../../../src/tensor/random.ts";

const task = new Countdown({ operators: ["+", "-", "*"], targets: [1, 35], sorted: false });
const { tokenizer } = task;

const judge = (numbers: number[], target: number, answer: string) =>
  task.verify(task.prompt(numbers, target), [...tokenizer.encode(answer), tokenizer.eos]);

test("prompts and answers fit: 7 + 8 tokens, a vocabulary below 48", () => {
  expect(tokenizer.vocabSize).toBeLessThan(48);
  expect(tokenizer.decode(task.prompt([3, 7, 2], 13))).toBe("3 7 2 = 13 :");
  const rng = new Rng(1, Stream.data);
  for (let i = 0; i < 500; i++) {
    const problem = task.sample(rng, "train");
    expect(problem.prompt.length).toBe(task.promptLength);
    expect(task.trace(rng, problem).completion.length).toBeLessThanOrEqual(task.maxCompletionLength);
  }
});

test("by default: sums and differences, most modes accepted", () => {
  const easy = new Countdown();
  expect([easy.count("train"), easy.count("heldOut"), easy.tokenizer.vocabSize]).toEqual([450, 100, 37]);
  const rng = new Rng(1, Stream.data);
  for (let i = 0; i < 300; i++) {
    const problem = easy.sample(rng, "train");
    expect(problem.modes.length).toBeGreaterThanOrEqual(3);
    expect(easy.tokenizer.decode(easy.trace(rng, problem).completion)).not.toContain("*");
  }
});

test("judges form, numbers and value apart", () => {
  expect(judge([3, 7, 2], 13, "3 * 2 + 7")).toEqual({ reward: 1, valid: true, reason: "right" });
  expect(judge([3, 7, 2], 13, "7 + ( 2 * 3 )").reward).toBe(1);
  expect(judge([3, 7, 2], 6, "- 3 + 7 + 2").reward).toBe(1);
  expect(judge([3, 7, 2], 13, "7 + 2 * 3").reason).toBe("right"); // * binds first
  expect(judge([3, 7, 2], 27, "( 7 + 2 ) * 3").reason).toBe("right");
  expect(judge([3, 7, 2], 27, "7 + 2 * 3").reason).toBe("wrongValue");
  expect(judge([9, 3, 2], 4, "9 - 3 - 2").reason).toBe("right"); // from the left
  expect(judge([3, 7, 2], 13, "7 + 3 + 3").reason).toBe("wrongNumbers");
  expect(judge([3, 7, 2], 10, "7 + 3").reason).toBe("wrongNumbers");
  for (const bad of [
    "",
    "3",
    "3 +",
    "+ 3 7 2",
    "3 7 + 2",
    "( 3 ) + 7 - 2",
    "( 3 + 7 + 2",
    "3 + 7 + 2 )",
    "3 + - 7 + 2",
  ]) {
    const verdict = judge([3, 7, 2], 12, bad);
    expect([bad, verdict.reward]).toEqual([bad, 0]);
    expect(verdict.valid).toBe(false);
  }
  expect(judge([3, 7, 2], 12, "3 + 7 + 2 = 12").reason).toBe("malformed");
});

test("an answer ends with EOS and padding", () => {
  const prompt = task.prompt([3, 7, 2], 12);
  const answer = tokenizer.encode("3 + 7 + 2");
  const { eos, pad, bos } = tokenizer;
  expect(task.verify(prompt, [...answer, eos, pad, pad]).reason).toBe("right");
  expect(task.verify(prompt, answer).reason).toBe("unfinished");
  expect(task.verify(prompt, [...answer, pad, eos]).reason).toBe("malformed");
  expect(task.verify(prompt, [...answer, eos, eos]).reason).toBe("trailing");
  expect(task.verify(prompt, [...answer, eos, bos]).reason).toBe("trailing");
  expect(task.verify(prompt, [...tokenizer.encode("( ( 3 + 7 ) + 2 )"), eos]).reason).toBe("unfinished");
  expect(task.verify(prompt, [9999, -1, 1.5, eos]).reason).toBe("malformed");
  expect(() => task.verify(prompt.slice(1), answer)).toThrow(ConfigError);
  expect(() => task.verify(prompt.with(4, 5), answer)).toThrow(/prompt/);
});

test("traces marked correct verify, corrupted ones do not, in the configured shares", () => {
  const rng = new Rng(3, Stream.data);
  const N = 6000;
  let corrupted = 0;
  const modes: Record<string, number> = {};
  for (let i = 0; i < N; i++) {
    const problem = task.sample(rng, "train");
    const trace = task.trace(rng, problem);
    const verdict = task.verify(problem.prompt, trace.completion);
    expect(verdict.reason).toBe(trace.correct ? "right" : "wrongValue");
    expect(problem.modes).toContain(trace.mode);
    if (!trace.correct) corrupted++;
    if (problem.modes.length === countdownModes.length) modes[trace.mode] = (modes[trace.mode] ?? 0) + 1;
  }
  expect(Math.abs(corrupted / N - 0.3)).toBeLessThan(0.03);
  const total = Object.values(modes).reduce((a, b) => a + b);
  for (const [i, share] of [0.5, 0.25, 0.15, 0.1].entries()) {
    expect(Math.abs(modes[countdownModes[i]] / total - share)).toBeLessThan(0.05);
  }
  const pure = new Countdown({ corruption: 0 });
  const wrong = new Countdown({ corruption: 1 });
  for (let i = 0; i < 300; i++) {
    expect(pure.trace(rng, pure.sample(rng, "train")).correct).toBe(true);
    expect(wrong.trace(rng, wrong.sample(rng, "train")).correct).toBe(false);
  }
});

test("most problems accept several modes, some only minority ones", () => {
  const problems = task.distinct(new Rng(4, Stream.data), "train", task.count("train"));
  const share = (test: (modes: readonly string[]) => boolean) =>
    problems.filter((problem) => test(problem.modes)).length / problems.length;
  expect(share((modes) => modes.length >= 2)).toBeGreaterThan(0.9);
  const minority = share((modes) => !modes.includes("flat"));
  expect(minority).toBeGreaterThan(0.1);
  expect(minority).toBeLessThan(0.4);
});

test("no held-out problem is ever among the training prompts, whatever the seed", () => {
  const held = new Set(
    task.distinct(new Rng(5, Stream.eval), "heldOut", task.count("heldOut")).map(({ key }) => key),
  );
  expect(held.size).toBe(task.count("heldOut"));
  expect(held.size).toBeGreaterThan(200);
  const canonical = (prompt: readonly number[]) => {
    const [a, b, c, , target] = tokenizer.decode(prompt).split(" ").map(Number);
    return `${[a, b, c].sort((x, y) => x - y).join()}=${target}`;
  };
  for (let seed = 0; seed < 40; seed++) {
    const rng = new Rng(seed, Stream.data);
    for (let i = 0; i < 200; i++) expect(held.has(canonical(task.sample(rng, "train").prompt))).toBe(false);
  }
  const again = new Countdown({ ...task.config, corruption: 0.1, modeWeights: [1, 1, 1, 1] });
  expect(again.distinct(new Rng(6, 0), "heldOut", held.size).every(({ key }) => held.has(key))).toBe(true);
});

test("the same seed gives the same problems and traces", () => {
  const draw = () => {
    const rng = new Rng(7, Stream.data);
    return Array.from({ length: 20 }, () => {
      const problem = task.sample(rng, "train");
      return [problem, task.trace(rng, problem)];
    });
  };
  expect(draw()).toEqual(draw());
});

test("difficulty is configurable and bad configurations are named", () => {
  const easy = new Countdown({ numbers: [1, 4], targets: [1, 12], operators: ["+", "-"], sorted: true });
  expect(easy.tokenizer.vocabSize).toBe(3 + 7 + 12);
  const problem = easy.sample(new Rng(8, 0), "train");
  expect([...problem.numbers].sort((a, b) => a - b)).toEqual(problem.numbers);
  const flat = new Countdown({ modeWeights: [1, 0, 0, 0] });
  expect(flat.sample(new Rng(9, 0), "train").modes).toEqual(["flat"]);
  expect(() => new Countdown({ corruption: Number.NaN })).toThrow(/corruption.*NaN/);
  expect(() => new Countdown({ numbers: [9, 1] })).toThrow(/Swap/);
  expect(() => new Countdown({ corrupt: 0.2 } as object)).toThrow('Did you mean "corruption"?');
  expect(() => new Countdown({ heldOutShare: 0 }).sample(new Rng(1, 0), "heldOut")).toThrow(ConfigError);
  expect(() => task.distinct(new Rng(1, 0), "heldOut", 1e6)).toThrow(/distinct heldOut/);
  expect(() => task.trace(new Rng(1, 0), { key: "x", prompt: [], modes: [] })).toThrow(ConfigError);
});

import { describe, expect, test } from "vitest";
import { Addition, additionModes } from "../../../src/rl/tasks/addition.ts";
import { Rng, Stream } from "../../../src/tensor/random.ts";
import { promptWords, taskSuite } from "./taskSuite.ts";

const parts = (prompt: readonly string[]): string[] => prompt.join("").slice(0, -2).split("+");

function isRight(prompt: readonly string[], answer: readonly string[]): boolean {
  const [a, b] = parts(prompt);
  const sum = (BigInt(a) + BigInt(b)).toString().padStart(a.length + 1, "0");
  return [...answer].reverse().join("") === sum && answer.length === sum.length;
}

taskSuite("addition", {
  task: new Addition(),
  small: new Addition({ digits: 1, pool: 20 }), // drawn, where the two-digit ones are listed
  isRight,
  canonical: (prompt) => parts(prompt).sort().join(),
  wrongReasons: ["wrongSum"],
  modes: additionModes,
  weights: [1],
});

describe("addition", () => {
  test("all pairs are listed, either summand first", () => {
    const task = new Addition();
    expect(task.count("train")! + task.count("heldOut")!).toBe(5050);
    const small = new Addition({ digits: 1, heldOutShare: 0 });
    expect(small.count("train")).toBe(55);
    const rng = new Rng(1, Stream.test);
    const seen = new Set(
      Array.from({ length: 3000 }, () => promptWords(small, small.sample(rng, "train")).join("")),
    );
    expect(seen.size).toBe(100);
    expect(new Addition({ digits: 3 }).count("train")).toBe(undefined);
  });

  test("carries through, in either order", () => {
    const least = new Addition({ digits: 3 });
    const most = new Addition({ digits: 3, order: "mostFirst" });
    const { tokenizer } = least;
    const judge = (task: Addition, sum: string) =>
      task.verify(task.prompt(999, 1), [...tokenizer.encode([...sum].join(" ")), tokenizer.eos]);
    expect(tokenizer.decode(least.prompt(999, 1))).toBe("9 9 9 + 0 0 1 = :");
    expect(judge(least, "0001")).toEqual({ reward: 1, valid: true, reason: "right" });
    expect(judge(most, "1000").reason).toBe("right");
    expect(judge(least, "1000")).toEqual({ reward: 0, valid: true, reason: "wrongSum" });
    expect(judge(least, "000")).toEqual({ reward: 0, valid: false, reason: "malformed" });
    expect(judge(least, "00+1").reason).toBe("malformed");
    expect(() => least.verify(least.prompt(1, 2).with(2, 13), [])).toThrow(/with 3 digits each/);
  });

  test("bad configurations are named", () => {
    expect(() => new Addition({ digits: 0 })).toThrow(/digits.*\[1, 9\]/);
    expect(() => new Addition({ order: "least" } as object)).toThrow(/leastFirst, mostFirst/);
    expect(() => new Addition({ modeWeights: [1, 1] })).toThrow(/1 elements expected \(sum\)/);
    expect(() => new Addition().prompt(100, 1)).toThrow(/\[0, 100\)/);
    expect(() => new Addition({ heldOutShare: 0 }).sample(new Rng(1, 0), "heldOut")).toThrow(
      "addition: a heldOut problem expected, got none in range. Raise digits.",
    );
  });
});

import { describe, expect, test } from "vitest";
import { ModularSum } from "../../../src/rl/tasks/modularSum.ts";
import { Rng, Stream } from "../../../src/tensor/random.ts";
import { taskSuite } from "./taskSuite.ts";

const task = new ModularSum();

/** Whether the words stand in the list in this order and have the sum. */
const isRight =
  (modulus: number, pick: number) =>
  (prompt: readonly string[], answer: readonly string[]): boolean => {
    const list = prompt.slice(0, -3);
    let sum = 0;
    for (const word of answer) {
      while (list.length > 0 && list[0] !== word) list.shift();
      if (list.shift() === undefined) return false;
      sum += Number(word);
    }
    return answer.length === pick && (sum - Number(prompt.at(-2))) % modulus === 0;
  };

const canonical = (prompt: readonly string[]) =>
  `${prompt
    .slice(0, -3)
    .map(Number)
    .sort((a, b) => a - b)
    .join()} ${prompt.at(-2)}`;

taskSuite("modular-sum", {
  task,
  small: new ModularSum({ modulus: 13, size: 12, pick: 3 }),
  isRight: isRight(13, 3),
  canonical,
  wrongReasons: ["wrongSum"],
  modes: ["wraps0", "wraps1", "wraps2"],
  weights: [0.5, 0.25, 0.15],
});

describe("modular-sum", () => {
  test("judges choices", () => {
    const small = new ModularSum({ modulus: 7, size: 5, pick: 3 });
    const { tokenizer } = small;
    const prompt = [tokenizer.bos, ...tokenizer.encode("6 1 0 5 3 = 4 :")];
    const judge = (text: string) => small.verify(prompt, [...tokenizer.encode(text), tokenizer.eos]);
    expect(judge("1 0 3")).toEqual({ reward: 1, valid: true, reason: "right" });
    expect(judge("6 0 5").reason).toBe("right"); // 11
    expect(judge("6 1 0")).toEqual({ reward: 0, valid: true, reason: "wrongSum" });
    expect(judge("0 1 3")).toEqual({ reward: 0, valid: false, reason: "wrongNumbers" }); // another order
    expect(judge("1 1 2").reason).toBe("wrongNumbers");
    expect(judge("1 3").reason).toBe("wrongCount");
    expect(judge("1 = 3").reason).toBe("malformed");
    expect(small.modeOf({ key: "", prompt, modes: [] }, [...tokenizer.encode("6 0 5"), tokenizer.eos])).toBe(
      "wraps1",
    );
    expect(() => small.verify(prompt.with(1, prompt[2]), [])).toThrow(/5 different numbers/);
  });

  test("few problems are listed, many are drawn, and some accept only minority modes", () => {
    expect(task.count("train")! + task.count("heldOut")!).toBe(286 * 13);
    const large = new ModularSum({ modulus: 31, size: 9, pick: 4 });
    expect(large.count("train")).toBe(undefined);
    const rng = new Rng(1, Stream.test);
    expect(large.verify(large.sample(rng, "heldOut").prompt, []).reason).toBe("unfinished");
    const problems = task.distinct(rng, "train", 400);
    const without = problems.filter(({ modes }) => !modes.includes("wraps0")).length;
    expect(without).toBeGreaterThan(20);
    expect(without).toBeLessThan(200);
  });

  test("bad configurations are named", () => {
    expect(() => new ModularSum({ modulus: 5, size: 6, pick: 2 })).toThrow(
      "modular-sum: size: at most modulus=5 different numbers expected, got 6.",
    );
    expect(() => new ModularSum({ size: 4, pick: 4 })).toThrow(
      "pick: fewer numbers than size=4 expected, got 4.",
    );
    expect(() => new ModularSum({ modulus: 1 })).toThrow(/modulus/);
    expect(() => new ModularSum({ modeWeights: [1] })).toThrow(
      /3 elements expected \(wraps0, wraps1, wraps2\)/,
    );
  });
});

import { describe, expect, test } from "vitest";
import { Sudoku4, sudokuModes } from "../../../src/rl/tasks/sudoku4.ts";
import { Rng, Stream } from "../../../src/tensor/random.ts";
import { promptWords, taskSuite } from "./taskSuite.ts";

/** Rows, columns and boxes, cell by cell. */
const UNITS = [
  [0, 1, 2, 3],
  [4, 5, 6, 7],
  [8, 9, 10, 11],
  [12, 13, 14, 15],
  [0, 4, 8, 12],
  [1, 5, 9, 13],
  [2, 6, 10, 14],
  [3, 7, 11, 15],
  [0, 1, 4, 5],
  [2, 3, 6, 7],
  [8, 9, 12, 13],
  [10, 11, 14, 15],
];

function isRight(prompt: readonly string[], answer: readonly string[]): boolean {
  const sorted = (unit: number[]) =>
    unit
      .map((cell) => answer[cell])
      .sort()
      .join("");
  return (
    answer.length === 16 &&
    UNITS.every((unit) => sorted(unit) === "1234") &&
    answer.every((word, i) => prompt[i] === "_" || prompt[i] === word)
  );
}

taskSuite("sudoku4", {
  task: new Sudoku4(),
  small: new Sudoku4({ clues: 1, solutions: [1, 288] }),
  exhausted: 3,
  isRight,
  canonical: (prompt) => prompt.join(""),
  wrongReasons: ["wrongGrid"],
  modes: sudokuModes,
  weights: [0.5, 0.3, 0.2],
  *candidates(prompt) {
    const rows = [1, 2, 3, 4].flatMap((a) =>
      [1, 2, 3, 4].flatMap((b) =>
        [1, 2, 3, 4]
          .map((c) => [a, b, c, 10 - a - b - c].map(String))
          .filter((row) => new Set(row).size === 4),
      ),
    );
    let grids: string[][] = [[]];
    for (let row = 0; row < 4; row++) {
      const fitting = rows.filter((words) =>
        words.every((word, i) => ["_", word].includes(prompt[4 * row + i])),
      );
      grids = grids.flatMap((grid) =>
        fitting
          .filter((words) => grid.every((word, cell) => word !== words[cell % 4]))
          .map((words) => [...grid, ...words]),
      );
    }
    yield* grids;
  },
});

describe("sudoku4", () => {
  const task = new Sudoku4();
  const { tokenizer } = task;

  test("judges grids; modes by hand", () => {
    const prompt = [tokenizer.bos, ...tokenizer.encode("1 2 3 4 3 4 1 2 2 1 4 3 _ _ _ _ :")];
    const judge = (text: string) => task.verify(prompt, [...tokenizer.encode(text), tokenizer.eos]);
    expect(judge("1 2 3 4 3 4 1 2 2 1 4 3 4 3 2 1")).toEqual({ reward: 1, valid: true, reason: "right" });
    expect(judge("1 2 3 4 3 4 1 2 2 1 4 3 4 3 1 2")).toEqual({ reward: 0, valid: true, reason: "wrongGrid" });
    expect(judge("2 1 3 4 3 4 1 2 1 2 4 3 4 3 2 1").reason).toBe("wrongClues");
    expect(judge("1 2 3 4").reason).toBe("malformed");
    expect(judge("1 2 3 4 3 4 1 2 2 1 4 3 4 3 2 _").reason).toBe("malformed");
    expect(() => task.verify(prompt.slice(1), [])).toThrow(/BOS \(16 cells\) :/);
    const free = [tokenizer.bos, ...tokenizer.encode(`${"_ ".repeat(16)}:`)];
    const mode = (text: string) =>
      task.modeOf({ key: "", prompt: free, modes: [] }, [...tokenizer.encode(text), tokenizer.eos]);
    expect(mode("1 2 3 4 3 4 1 2 2 1 4 3 4 3 2 1")).toBe("lowest");
    expect(mode("4 3 2 1 2 1 4 3 3 4 1 2 1 2 3 4")).toBe("highest");
    expect(mode("1 2 3 4 3 4 1 2 2 3 4 1 4 1 2 3")).toBe("between");
    expect([...task.answers({ key: "", prompt: free, modes: [] })].length).toBe(288);
  });

  test("clues and solutions are as asked", () => {
    const rng = new Rng(1, Stream.test);
    for (const [clues, least, most] of [
      [4, 2, 16],
      [6, 3, 5],
      [11, 1, 1],
    ]) {
      const asked = new Sudoku4({ clues, solutions: [least, most] });
      for (let i = 0; i < 30; i++) {
        const problem = asked.sample(rng, "train");
        expect(promptWords(asked, problem).filter((word) => /\d/.test(word)).length).toBe(clues);
        const many = [...asked.answers(problem)].length;
        expect(many).toBeGreaterThanOrEqual(least);
        expect(many).toBeLessThanOrEqual(most);
        expect(problem.modes.length).toBe(Math.min(many, 3));
      }
    }
  });

  test("bad configurations are named", () => {
    expect(() => new Sudoku4({ solutions: [4, 2] })).toThrow(/Swap them/);
    expect(() => new Sudoku4({ clues: 13 })).toThrow(/clues.*\[1, 12\]/);
    const none = new Sudoku4({ clues: 12, solutions: [200, 288] });
    expect(() => none.sample(new Rng(1, Stream.test), "train")).toThrow(/Change clues or widen solutions/);
  });
});

import { describe, expect, test } from "vitest";
import { Maze, mazeModes } from "../../../src/rl/tasks/maze.ts";
import { ConfigError } from "../../../src/tensor/errors.ts";
import { Rng, Stream } from "../../../src/tensor/random.ts";
import { promptWords, taskSuite } from "./taskSuite.ts";

/** What each sign opens to, written out: up, down, left, right. */
const OPEN: Record<string, string> = {
  "╵": "U",
  "╷": "D",
  "╴": "L",
  "╶": "R",
  "│": "UD",
  "─": "LR",
  "└": "UR",
  "┘": "UL",
  "┌": "DR",
  "┐": "DL",
  "├": "UDR",
  "┤": "UDL",
  "┴": "ULR",
  "┬": "DLR",
  "┼": "UDLR",
};
const STEP: Record<string, [number, number]> = { U: [-1, 0], D: [1, 0], L: [0, -1], R: [0, 1] };

/** The maze as squares, true where one can stand: rooms at odd places, and what lies between two of them. */
function squares(prompt: readonly string[]): boolean[][] {
  const side = Math.sqrt(prompt.length - 5);
  const grid = Array.from({ length: 2 * side + 1 }, () => new Array<boolean>(2 * side + 1).fill(false));
  for (let i = 0; i < side * side; i++) {
    const [row, column] = [2 * Math.floor(i / side) + 1, 2 * (i % side) + 1];
    grid[row][column] = true;
    for (const way of OPEN[prompt[i]]) grid[row + STEP[way][0]][column + STEP[way][1]] = true;
  }
  return grid;
}

const ends = (prompt: readonly string[]) => prompt.slice(-5, -1).map((place) => 2 * Number(place) - 1);

/** Two squares a move, never on a wall, and at the goal only at the end. */
function isRight(prompt: readonly string[], answer: readonly string[]): boolean {
  const grid = squares(prompt);
  const [startRow, startColumn, goalRow, goalColumn] = ends(prompt);
  let [row, column] = [startRow, startColumn];
  for (const [i, move] of answer.entries()) {
    if (STEP[move] === undefined) return false;
    for (let half = 0; half < 2; half++) {
      row += STEP[move][0];
      column += STEP[move][1];
      if (!grid[row]?.[column]) return false;
    }
    if (row === goalRow && column === goalColumn) return i === answer.length - 1;
  }
  return false;
}

const small = new Maze({ size: 5, maxMoves: 6 });

taskSuite("maze", {
  task: new Maze({ size: 9, loops: 0.15 }),
  small,
  isRight,
  canonical: (prompt) => prompt.join(""),
  wrongReasons: ["wall", "pastGoal", "elsewhere"],
  modes: mazeModes,
  weights: [0.5, 0.25, 0.15, 0.1],
  *candidates() {
    let ways: string[][] = [[]];
    for (let moves = 1; moves <= 6; moves++) {
      ways = ways.flatMap((way) => ["U", "D", "L", "R"].map((move) => [...way, move]));
      yield* ways;
    }
  },
});

describe("maze", () => {
  test("the source's size: 64 rooms, 90 moves, 31 tokens", () => {
    const task = new Maze();
    expect([task.promptLength, task.maxCompletionLength, task.tokenizer.vocabSize]).toEqual([70, 91, 31]);
    expect(squares(promptWords(task, task.sample(new Rng(1, Stream.test), "train"))).length).toBe(17);
  });

  test("every room can be reached, loops as many as asked, and the ends are apart", () => {
    const rng = new Rng(2, Stream.test);
    for (const [loops, least, most] of [
      [0, 0, 0],
      [0.2, 5, 15],
      [1, 49, 49],
    ]) {
      const task = new Maze({ loops });
      let extra = 0;
      for (let i = 0; i < 20; i++) {
        const prompt = promptWords(task, task.sample(rng, "train"));
        const grid = squares(prompt);
        const [startRow, startColumn, goalRow, goalColumn] = ends(prompt);
        expect([startRow, startColumn]).not.toEqual([goalRow, goalColumn]);
        const reached = new Set([`${startRow},${startColumn}`]);
        for (const at of reached) {
          const [row, column] = at.split(",").map(Number);
          for (const [dr, dc] of Object.values(STEP)) {
            if (grid[row + dr]?.[column + dc]) reached.add(`${row + dr},${column + dc}`);
          }
        }
        const open = grid.flat().filter(Boolean).length;
        expect(reached.size).toBe(open);
        extra += open - 64 - 63; // passages beyond those of a tree
      }
      expect(extra / 20).toBeGreaterThanOrEqual(least);
      expect(extra / 20).toBeLessThanOrEqual(most);
    }
  });

  /**
   * A 5 x 5 maze: rooms 1 and 2 above 3 and 4, all four joined in a ring.
   *
   *     ┌ ┐
   *     └ ┘
   */
  test("judges walks; modes by hand", () => {
    const { tokenizer } = small;
    const prompt = [tokenizer.bos, ...tokenizer.encode("┌ ┐ └ ┘ 1 1 2 2 :")];
    const judge = (moves: string) => small.verify(prompt, [...tokenizer.encode(moves), tokenizer.eos]);
    expect(judge("R D")).toEqual({ reward: 1, valid: true, reason: "right" });
    expect(judge("D R").reason).toBe("right");
    expect(judge("D U R D").reason).toBe("right"); // a room again
    expect(judge("U R D")).toEqual({ reward: 0, valid: true, reason: "wall" });
    expect(judge("R D U D").reason).toBe("pastGoal");
    expect(judge("R").reason).toBe("elsewhere");
    expect(judge("")).toEqual({ reward: 0, valid: false, reason: "malformed" });
    expect(judge("R : D").reason).toBe("malformed");
    expect(judge("R L R L R L R").reason).toBe("unfinished"); // 7 moves of 6
    const mode = (moves: string, given = prompt) =>
      small.modeOf({ key: "", prompt: given, modes: [] }, [...tokenizer.encode(moves), tokenizer.eos]);
    expect([mode("R D"), mode("D U R D"), mode("R")]).toEqual(["shortest", "detour", null]);
    // From the lower left to the upper right; the left hand goes up first, the right hand to the right.
    const deadEndAbove = [tokenizer.bos, ...tokenizer.encode("╷ ╷ └ ┘ 2 1 1 2 :")];
    const deadEndBeside = [tokenizer.bos, ...tokenizer.encode("┌ ╴ └ ╴ 2 1 1 2 :")];
    const walks = ["R U", "U D R U", "R L R U"];
    expect(walks.map((moves) => mode(moves, deadEndAbove))).toEqual(["shortest", "leftHand", "detour"]);
    const others = ["U R", "R L U R", "U D U R"];
    expect(others.map((moves) => mode(moves, deadEndBeside))).toEqual(["shortest", "rightHand", "detour"]);
  });

  test("prompts that are no maze are refused", () => {
    const { tokenizer } = small;
    for (const text of [
      "┌ ┐ └ ┘ 1 1 1 1 :", // one room for both ends
      "┌ ┐ └ ╴ 1 1 2 2 :", // a way in one direction only
      "┼ ┐ └ ┘ 1 1 2 2 :", // out of the grid
      "╷ ╷ ╵ ╵ 1 1 2 2 :", // no way
      "┌ ┐ └ ┘ 1 1 2 : :",
    ]) {
      expect(() => small.verify([tokenizer.bos, ...tokenizer.encode(text)], [tokenizer.eos]), text).toThrow(
        /maze\.verify: a prompt .* expected, got ids/,
      );
    }
  });

  test("too many walks are not listed, and the error says what to lower", () => {
    const task = new Maze();
    const problem = task.sample(new Rng(3, Stream.test), "train");
    expect(() => task.answers(problem)).toThrow(/at most 20000 right walks .* Lower maxMoves=90 or size=17/);
  });

  test("a pool poses the same problems whatever the seed", () => {
    const task = new Maze({ size: 7, pool: 12 });
    expect([task.count("train"), task.count("heldOut")]).toEqual([12, undefined]);
    const keys = (seed: number) => {
      const rng = new Rng(seed, Stream.data);
      return new Set(Array.from({ length: 300 }, () => task.sample(rng, "train").key));
    };
    expect([...keys(1)].sort()).toEqual([...keys(2)].sort());
    expect(keys(1).size).toBe(12);
    expect(new Set(task.distinct(new Rng(4, Stream.data), "train", 12).map(({ key }) => key))).toEqual(
      new Set(keys(1)),
    );
    expect(() => task.distinct(new Rng(4, Stream.data), "train", 13)).toThrow(/0 to 12 distinct train/);
  });

  test("bad configurations are named", () => {
    expect(() => new Maze({ size: 8 })).toThrow("maze: size: an odd number expected, got 8.");
    expect(() => new Maze({ size: 19 })).toThrow(/size.*\[5, 17\]/);
    expect(() => new Maze({ maxMoves: 3 })).toThrow(/maxMoves/);
    expect(() => new Maze({ modeWeights: [1, 2] })).toThrow(/4 elements expected \(shortest, detour/);
    expect(() => new Maze({ modeWeights: [0, 0, 0, 0] })).toThrow(/a positive weight/);
    expect(() => new Maze({ loop: 0.1 } as object)).toThrow('Did you mean "loops"?');
    const all = new Maze({ size: 5, heldOutShare: 1 });
    expect(() => all.sample(new Rng(1, Stream.data), "train")).toThrow(ConfigError);
  });
});

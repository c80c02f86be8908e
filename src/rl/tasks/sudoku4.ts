/**
 * Sudoku of 4 x 4 with few clues: fill the grid so that each row, column and box of 2 x 2 has 1, 2, 3 and 4. Several
 * grids fit.
 *
 *     BOS 1 _ _ _  _ _ 2 _  ...  :   ->   1 2 3 4  3 4 2 1  ... EOS
 *
 * There are 288 full grids, so all that fit are known. The modes are which of them a solver finds that fills the cells in
 * order: `lowest` tries 1 first, `highest` tries 4 first, `between` is any other grid.
 */

import { Tokenizer } from "../../model/tokenizer.ts";
import { ConfigError } from "../../tensor/errors.ts";
import type { Rng } from "../../tensor/random.ts";
import { type Infer, integer, list, object, validate, withDefault } from "../../tensor/validate.ts";
import type { Problem, Split, Task, Trace, Verdict } from "../task.ts";
import { DrawnProblems } from "./problems.ts";
import { drawTrace, modeWeightsOf, poolRules, traceRules } from "./traces.ts";
import { answerOf, isVerdict, RIGHT, wrong } from "./verdicts.ts";

export const sudokuModes = ["lowest", "highest", "between"] as const;
export type SudokuMode = (typeof sudokuModes)[number];

const rules = object({
  /** Cells that are given. */
  clues: withDefault(integer({ min: 1, max: 12 }), 4),
  /** Fewest and most grids that fit. */
  solutions: withDefault(list(integer({ min: 1, max: 288 }), { min: 2, max: 2 }), [2, 16]),
  ...traceRules,
  ...poolRules,
});
export type Sudoku4Config = Infer<typeof rules> & {
  /** Weights of lowest, highest, between. */
  modeWeights: number[];
};

const CELLS = 16;
/** Ids of `_` and of the digit 0, which is none: digit d is FIRST_DIGIT + d. */
const BLANK = 3;
const FIRST_DIGIT = 3;
/** Grids that are drawn for one problem before the configuration is called too strict. */
const TRIES = 2000;

/** Cells that share a row, a column or a box with each cell. */
const PEERS: readonly (readonly number[])[] = Array.from({ length: CELLS }, (_, cell) => {
  const units = (c: number) => [c >> 2, c & 3, ((c >> 3) << 1) | ((c & 3) >> 1)];
  const own = units(cell);
  return Array.from({ length: CELLS }, (_, c) => c).filter(
    (c) => c !== cell && units(c).some((unit, i) => unit === own[i]),
  );
});

/** Every full grid, lexicographically; 288 of them. */
function fullGrids(): number[][] {
  const found: number[][] = [];
  const grid: number[] = new Array(CELLS).fill(0);
  const fill = (cell: number): void => {
    if (cell === CELLS) {
      found.push([...grid]);
      return;
    }
    for (let digit = 1; digit <= 4; digit++) {
      if (PEERS[cell].some((peer) => peer < cell && grid[peer] === digit)) continue;
      grid[cell] = digit;
      fill(cell + 1);
    }
    grid[cell] = 0;
  };
  fill(0);
  return found;
}

interface Entry {
  key: string;
  /** Digits, 0 where a cell is blank. */
  cells: readonly number[];
  /** How many grids fit. */
  solutions: number;
}

/** The task; its problems, traces and verdicts as the head of this file says. */
export class Sudoku4 implements Task {
  readonly name = "sudoku4";
  readonly config: Sudoku4Config;
  readonly tokenizer = new Tokenizer("symbol", ["_", "1", "2", "3", "4", ":"]);
  readonly promptLength = CELLS + 2;
  readonly maxCompletionLength = CELLS + 1;
  readonly #grids = fullGrids();
  readonly #problems: DrawnProblems<Entry>;

  /** Throws a `ConfigError` on a bad configuration. */
  constructor(config: Partial<Sudoku4Config> = {}) {
    const checked = validate("sudoku4", rules, config);
    const { solutions, heldOutShare, pool } = checked;
    if (solutions[0] > solutions[1]) {
      throw new ConfigError(
        `sudoku4: solutions: [fewest, most] expected, got [${solutions.join(", ")}]. Swap them.`,
      );
    }
    this.config = {
      ...checked,
      modeWeights: modeWeightsOf("sudoku4", sudokuModes, checked.modeWeights, [0.5, 0.3, 0.2]),
    };
    this.#problems = new DrawnProblems(
      { name: "sudoku4", heldOutShare, pool, remedy: "change clues or widen solutions" },
      (rng) => this.#draw(rng),
    );
  }

  #draw(rng: Rng): Entry {
    const { clues, solutions } = this.config;
    for (let i = 0; i < TRIES; i++) {
      const grid = this.#grids[rng.int(this.#grids.length)];
      const shown = new Set(rng.shuffle(Array.from({ length: CELLS }, (_, c) => c)).slice(0, clues));
      const cells = grid.map((digit, cell) => (shown.has(cell) ? digit : 0));
      const many = this.#fitting(cells).length;
      if (many >= solutions[0] && many <= solutions[1])
        return { key: cells.join(""), cells, solutions: many };
    }
    throw new ConfigError(
      `sudoku4: solutions: puzzles of ${clues} clues with ${solutions.join(" to ")} solutions expected, found none in ${TRIES}. Change clues or widen solutions.`,
    );
  }

  count(split: Split): number | undefined {
    return this.#problems.count(split);
  }

  sample(rng: Rng, split: Split): Problem {
    return this.#pose(this.#problems.sample(rng, split));
  }

  distinct(rng: Rng, split: Split, count: number): Problem[] {
    return this.#problems.distinct(rng, split, count).map((entry) => this.#pose(entry));
  }

  #pose({ key, cells, solutions }: Entry): Problem {
    const text = [...cells.map((digit) => digit || "_"), ":"].join(" ");
    return { key, prompt: [this.tokenizer.bos, ...this.tokenizer.encode(text)], modes: accepted(solutions) };
  }

  /** The full grids with these clues, lexicographically. */
  #fitting(cells: readonly number[]): number[][] {
    return this.#grids.filter((grid) => cells.every((digit, i) => digit === 0 || digit === grid[i]));
  }

  trace(rng: Rng, problem: Problem): Trace {
    const cells = this.#read(problem.prompt);
    const grids = this.#fitting(cells);
    return drawTrace(rng, accepted(grids.length), {
      modes: sudokuModes,
      ...this.config,
      eos: this.tokenizer.eos,
      write: (mode) => {
        if (mode === "lowest") return ids(grids[0]);
        if (mode === "highest") return ids(grids[grids.length - 1]);
        return ids(grids[1 + rng.int(grids.length - 2)]);
      },
      // Another digit in a blank cell: two in its row are the same then.
      corrupt: (answer) => {
        const blank = cells.flatMap((digit, i) => (digit === 0 ? [i] : []));
        const at = blank[rng.int(blank.length)];
        const digit = answer[at] - FIRST_DIGIT;
        return answer.with(at, FIRST_DIGIT + 1 + ((digit + rng.int(3)) % 4));
      },
    });
  }

  /**
   * Judges a grid: `right`, `wrongClues` (a given cell has another digit), `wrongGrid` (a digit twice in a row, column or
   * box), `malformed` (not 16 digits), `unfinished` or `trailing`. Throws a ConfigError for a prompt that is none of this
   * task's.
   */
  verify(prompt: readonly number[], completion: readonly number[]): Verdict {
    const cells = this.#read(prompt);
    const answer = answerOf(completion, this);
    if (isVerdict(answer)) return answer;
    const grid = answer.map((id) => id - FIRST_DIGIT);
    if (grid.length !== CELLS || !grid.every((digit) => [1, 2, 3, 4].includes(digit)))
      return wrong("malformed");
    if (cells.some((digit, i) => digit !== 0 && digit !== grid[i])) return wrong("wrongClues", true);
    const twice = grid.some((digit, i) => PEERS[i].some((peer) => grid[peer] === digit));
    return twice ? wrong("wrongGrid", true) : RIGHT;
  }

  /** Every grid that fits, lexicographically. */
  answers(problem: Problem): Iterable<readonly number[]> {
    return this.#fitting(this.#read(problem.prompt)).map((grid) => [...ids(grid), this.tokenizer.eos]);
  }

  /** Which of the fitting grids a right answer is; null for a wrong one. A puzzle's only solution is `lowest`. */
  modeOf(problem: Problem, completion: readonly number[]): SudokuMode | null {
    if (this.verify(problem.prompt, completion).reward !== 1) return null;
    const grids = this.#fitting(this.#read(problem.prompt));
    const same = (grid: readonly number[]) => ids(grid).every((id, i) => id === completion[i]);
    if (same(grids[0])) return "lowest";
    return same(grids[grids.length - 1]) ? "highest" : "between";
  }

  #read(prompt: readonly number[]): number[] {
    const { bos, vocab } = this.tokenizer;
    const cells = prompt.slice(1, 1 + CELLS).map((id) => id - BLANK);
    if (
      prompt.length !== this.promptLength ||
      prompt[0] !== bos ||
      vocab[prompt[CELLS + 1]] !== ":" ||
      !cells.every((digit) => [0, 1, 2, 3, 4].includes(digit))
    ) {
      throw new ConfigError(
        `sudoku4.verify: a prompt "BOS (16 cells) :" expected, got ids [${prompt.slice(0, 12).join(", ")}] (${prompt.length}). Pass the problem's prompt.`,
      );
    }
    return cells;
  }
}

/** The modes of a puzzle with so many solutions. */
function accepted(solutions: number): SudokuMode[] {
  return sudokuModes.slice(0, solutions);
}

function ids(grid: readonly number[]): number[] {
  return grid.map((digit) => FIRST_DIGIT + digit);
}

/**
 * Mazes with loops: write moves that lead from the start to the goal. Many ways do.
 *
 *     BOS ┌ ┐ ╷ ...  r c  r c  :   ->   R D D L EOS
 *
 * The prompt has one token for each room, row by row, whose sign shows where the room is open (written in rows they draw
 * the corridors), then row and column of start and goal, counted from 1. A move leads to the next room; it may enter a
 * room again, but the first time at the goal is the end. A maze of 17 x 17 squares has 64 rooms: a prompt of 70 tokens,
 * at most 90 moves, a vocabulary of 31.
 *
 * Source: Tajwar et al. 2026, Maximum Likelihood Reinforcement Learning, arXiv 2602.02710: 17 x 17 squares, vocabulary
 * 32, at most 180 steps. There a prompt has a token for each square (two squares, and so two steps, from room to room),
 * and what a policy writes after reaching the goal is not looked at; here it is wrong.
 */

import { Tokenizer } from "../../model/tokenizer.ts";
import { ConfigError } from "../../tensor/errors.ts";
import type { Rng } from "../../tensor/random.ts";
import {
  type Infer,
  integer,
  number,
  object,
  optional,
  validate,
  withDefault,
} from "../../tensor/validate.ts";
import type { Problem, Split, Task, Trace, Verdict } from "../task.ts";
import {
  carve,
  DIRECTIONS,
  depthFirstWalk,
  distances,
  type Grid,
  neighbour,
  shortestWalk,
  step,
  walkCount,
  walks,
  wallWalk,
} from "./mazeGrid.ts";
import { DrawnProblems } from "./problems.ts";
import { drawTrace, modeWeightsOf, poolRules, traceRules } from "./traces.ts";
import { answerOf, isVerdict, RIGHT, wrong } from "./verdicts.ts";

/**
 * Ways to walk: a shortest one; any other that a depth-first search finds; along the wall at the left or right hand,
 * dead ends included, where that arrives and is not shortest.
 */
export const mazeModes = ["shortest", "detour", "leftHand", "rightHand"] as const;
export type MazeMode = (typeof mazeModes)[number];

const rules = object({
  /** Squares of a side, walls included; odd. */
  size: withDefault(integer({ min: 5, max: 17 }), 17),
  /** Share of the walls between rooms that a spanning tree leaves and that are taken away. */
  loops: withDefault(number({ min: 0, max: 1 }), 0.2),
  /** Most moves of an answer. Default: 45/32 of the rooms, as in the source, and at least 8. */
  maxMoves: optional(integer({ min: 6, max: 1000 })),
  ...traceRules,
  ...poolRules,
});
export type MazeConfig = Infer<typeof rules> & {
  /** Weights of shortest, detour, leftHand, rightHand. */
  modeWeights: number[];
  maxMoves: number;
};

/** The sign of a room by its open directions: bit 0 up, 1 right, 2 down, 3 left. A room with none does not occur. */
const SIGNS = ["╵", "╶", "└", "╷", "│", "┌", "├", "╴", "┘", "─", "┴", "┐", "┤", "┬", "┼"];
/** Moves by direction. */
const MOVES = ["U", "R", "D", "L"];
const ALL = [0, 1, 2, 3];
const FIRST_SIGN = 3;
const FIRST_MOVE = FIRST_SIGN + SIGNS.length;

/** Most answers that `answers` lists. */
const MOST_ANSWERS = 20_000;
/** Moves that every problem leaves for a detour: twice to a neighbour and back. */
const SPARE_MOVES = 4;
/** Depth-first searches for a detour before one is made from a shortest walk. */
const SEARCHES = 8;

/** A maze with its ends. */
interface Posed {
  grid: Grid;
  start: number;
  goal: number;
}

/** Walks along a wall that arrive in time, are not shortest, and differ. */
interface WallWalks {
  leftHand: number[] | undefined;
  rightHand: number[] | undefined;
}

interface MazeProblem extends Posed {
  key: string;
}

/** The task; its problems, traces and verdicts as the head of this file says. */
export class Maze implements Task {
  readonly name = "maze";
  readonly config: MazeConfig;
  readonly tokenizer: Tokenizer;
  readonly promptLength: number;
  readonly maxCompletionLength: number;
  readonly side: number;
  readonly #problems: DrawnProblems<MazeProblem>;

  /** Throws a `ConfigError` on a bad configuration. */
  constructor(config: Partial<MazeConfig> = {}) {
    const checked = validate("maze", rules, config);
    const { size, heldOutShare, pool } = checked;
    if (size % 2 === 0) {
      throw new ConfigError(
        `maze: size: an odd number expected, got ${size}. Rooms stand between walls: take ${size - 1} or ${size + 1}.`,
      );
    }
    this.side = (size - 1) / 2;
    const rooms = this.side ** 2;
    this.config = {
      ...checked,
      maxMoves: checked.maxMoves ?? Math.max(8, Math.ceil((rooms * 45) / 32)),
      modeWeights: modeWeightsOf("maze", mazeModes, checked.modeWeights, [0.5, 0.25, 0.15, 0.1]),
    };
    const places = Array.from({ length: this.side }, (_, i) => String(i + 1));
    this.tokenizer = new Tokenizer("symbol", [...SIGNS, ...MOVES, ":", ...places]);
    this.promptLength = rooms + 6;
    this.maxCompletionLength = this.config.maxMoves + 1;
    this.#problems = new DrawnProblems(
      { name: "maze", heldOutShare, pool, remedy: "raise size, loops or maxMoves" },
      (rng) => this.#draw(rng),
    );
  }

  /** A maze that accepts a shortest walk and a detour. */
  #draw(rng: Rng): MazeProblem {
    const rooms = this.side ** 2;
    for (;;) {
      const grid = carve(rng, this.side, this.config.loops);
      const start = rng.int(rooms);
      const goal = (start + 1 + rng.int(rooms - 1)) % rooms;
      const far = distances(grid, goal)[start];
      if (far + SPARE_MOVES > this.config.maxMoves) continue;
      if (!ALL.some((d) => ![-1, goal].includes(step(grid, start, d)))) continue; // the goal is the only way
      const walls = grid.open.map((bits) => bits.toString(16)).join("");
      return { key: `${walls}:${start}>${goal}`, grid, start, goal };
    }
  }

  count(split: Split): number | undefined {
    return this.#problems.count(split);
  }

  sample(rng: Rng, split: Split): Problem {
    return this.#pose(this.#problems.sample(rng, split));
  }

  distinct(rng: Rng, split: Split, count: number): Problem[] {
    return this.#problems.distinct(rng, split, count).map((maze) => this.#pose(maze));
  }

  #pose(maze: MazeProblem): Problem {
    const { bos } = this.tokenizer;
    const { grid, start, goal } = maze;
    const place = (room: number) => [Math.floor(room / this.side) + 1, (room % this.side) + 1];
    const text = [...grid.open.map((bits) => SIGNS[bits - 1]), ...place(start), ...place(goal), ":"].join(
      " ",
    );
    const modes = this.#modes(this.#wallWalks(maze));
    return { key: maze.key, prompt: [bos, ...this.tokenizer.encode(text)], modes };
  }

  /** The walks along a wall that are modes of their own. */
  #wallWalks({ grid, start, goal }: Posed): WallWalks {
    const shortest = distances(grid, goal)[start];
    const walk = (hand: "left" | "right") => {
      const moves = wallWalk(grid, start, goal, hand, this.config.maxMoves);
      return moves && moves.length > shortest ? moves : undefined;
    };
    const leftHand = walk("left");
    const rightHand = walk("right");
    return { leftHand, rightHand: rightHand?.join() === leftHand?.join() ? undefined : rightHand };
  }

  #modes({ leftHand, rightHand }: WallWalks): MazeMode[] {
    return mazeModes.filter((mode) =>
      mode === "leftHand" ? leftHand : mode === "rightHand" ? rightHand : true,
    );
  }

  /** The mode of a right walk. */
  #classify(
    { grid, start, goal }: Posed,
    { leftHand, rightHand }: WallWalks,
    moves: readonly number[],
  ): MazeMode {
    if (moves.length === distances(grid, goal)[start]) return "shortest";
    const same = (other: readonly number[] | undefined) => other?.join() === moves.join();
    return same(leftHand) ? "leftHand" : same(rightHand) ? "rightHand" : "detour";
  }

  trace(rng: Rng, problem: Problem): Trace {
    const maze = this.#read(problem.prompt);
    const { grid, start, goal } = maze;
    const alongWalls = this.#wallWalks(maze);
    const ids = (moves: readonly number[]) => moves.map((d) => FIRST_MOVE + d);
    return drawTrace(rng, this.#modes(alongWalls), {
      modes: mazeModes,
      ...this.config,
      eos: this.tokenizer.eos,
      write: (mode) => {
        if (mode === "shortest") return ids(shortestWalk(rng, grid, start, goal));
        if (mode === "detour") return ids(this.#detour(rng, maze, alongWalls));
        return ids(alongWalls[mode as keyof WallWalks]!);
      },
      corrupt: (answer) => this.#corrupt(rng, problem.prompt, answer),
    });
  }

  /** What a depth-first search finds; where that is of another mode again and again, a step aside and back, twice. */
  #detour(rng: Rng, maze: Posed, alongWalls: WallWalks): number[] {
    const { grid, start, goal } = maze;
    for (let i = 0; i < SEARCHES; i++) {
      const moves = depthFirstWalk(rng, grid, start, goal);
      const fits = moves.length <= this.config.maxMoves;
      if (fits && this.#classify(maze, alongWalls, moves) === "detour") return moves;
    }
    const aside = ALL.filter((d) => ![-1, goal].includes(step(grid, start, d)));
    if (aside.length === 0) {
      throw new ConfigError("maze.trace: a start with two ways expected, got one way. Use sample().");
    }
    const out = aside[rng.int(aside.length)];
    const back = (out + 2) % DIRECTIONS;
    return [out, back, out, back, ...shortestWalk(rng, grid, start, goal)];
  }

  /** One move turned elsewhere, or the last moves left out. */
  #corrupt(rng: Rng, prompt: readonly number[], answer: readonly number[]): readonly number[] {
    for (;;) {
      const at = rng.int(answer.length);
      const cut = at > 0 && rng.int(2) === 0;
      const other = FIRST_MOVE + ((answer[at] - FIRST_MOVE + 1 + rng.int(DIRECTIONS - 1)) % DIRECTIONS);
      const changed = cut ? answer.slice(0, at) : answer.with(at, other);
      if (this.verify(prompt, [...changed, this.tokenizer.eos]).reward === 0) return changed;
    }
  }

  /**
   * Judges a walk: `right`, `wall` (a move that is not open), `pastGoal` (moves after the goal), `elsewhere` (it ends
   * before the goal), `malformed`, `unfinished` or `trailing`. Throws a ConfigError for a prompt that is none of this
   * task's.
   */
  verify(prompt: readonly number[], completion: readonly number[]): Verdict {
    const { grid, start, goal } = this.#read(prompt);
    const answer = answerOf(completion, this);
    if (isVerdict(answer)) return answer;
    const moves = answer.map((id) => id - FIRST_MOVE);
    if (moves.length === 0 || !moves.every((d) => ALL.includes(d))) return wrong("malformed");
    let room = start;
    for (const d of moves) {
      if (room === goal) return wrong("pastGoal", true);
      room = step(grid, room, d);
      if (room < 0) return wrong("wall", true);
    }
    return room === goal ? RIGHT : wrong("elsewhere", true);
  }

  /** Every right walk; a `ConfigError` where there are more than 20,000, as in most mazes of size 11 and up. */
  answers(problem: Problem): Iterable<readonly number[]> {
    const { grid, start, goal } = this.#read(problem.prompt);
    const { maxMoves } = this.config;
    const many = walkCount(grid, start, goal, maxMoves);
    if (many > MOST_ANSWERS) {
      throw new ConfigError(
        `maze.answers: at most ${MOST_ANSWERS} right walks expected, got ${many}: walks may enter rooms again. Lower maxMoves=${maxMoves} or size=${this.config.size}, or estimate Pass@k from samples.`,
      );
    }
    const found = [...walks(grid, start, goal, maxMoves)];
    return found.map((moves) => [...moves.map((d) => FIRST_MOVE + d), this.tokenizer.eos]);
  }

  /** The mode of a right walk; null for a wrong one. */
  modeOf(problem: Problem, completion: readonly number[]): MazeMode | null {
    if (this.verify(problem.prompt, completion).reward !== 1) return null;
    const maze = this.#read(problem.prompt);
    const answer = completion.slice(0, completion.indexOf(this.tokenizer.eos));
    return this.#classify(
      maze,
      this.#wallWalks(maze),
      answer.map((id) => id - FIRST_MOVE),
    );
  }

  #read(prompt: readonly number[]): Posed {
    const { side, tokenizer } = this;
    const rooms = side ** 2;
    const open = prompt.slice(1, 1 + rooms).map((id) => id - FIRST_SIGN + 1);
    const places = prompt.slice(1 + rooms, 5 + rooms).map((id) => Number(tokenizer.vocab[id]) - 1);
    const grid = { side, open };
    const walls = open.every(
      (bits, room) =>
        bits >= 1 &&
        bits <= SIGNS.length &&
        ALL.every((d) => {
          const next = neighbour(side, room, d);
          return next < 0
            ? !((bits >> d) & 1)
            : ((bits >> d) & 1) === ((open[next] >> ((d + 2) % DIRECTIONS)) & 1);
        }),
    );
    const [start, goal] = [places[0] * side + places[1], places[2] * side + places[3]];
    if (
      prompt.length !== this.promptLength ||
      prompt[0] !== tokenizer.bos ||
      tokenizer.vocab[prompt[5 + rooms]] !== ":" ||
      !walls ||
      !places.every((place) => place >= 0) ||
      start === goal ||
      distances(grid, goal)[start] < 0
    ) {
      throw new ConfigError(
        `maze.verify: a prompt "BOS (${rooms} rooms) row column row column :" expected, got ids [${prompt.slice(0, 12).join(", ")}] (${prompt.length}). Pass the problem's prompt.`,
      );
    }
    return { grid, start, goal };
  }
}

/**
 * Tasks that a visitor can choose, with sizes that a laptop trains: plain data, so that the page loads none of the tasks.
 * A test holds the names, and the lengths, to the tasks themselves.
 */
import {
  type ExperimentChanges,
  type ExperimentConfig,
  experimentConfig,
  PRESETS,
} from "../../src/rl/presets.ts";

export interface TaskChoice {
  label: string;
  /** What a problem and an answer look like: text, and text in code. */
  says: readonly [before: string, problem: string, after: string];
  /** The task's configuration at small sizes; the preset `gpu` takes the task's own defaults. */
  small: Record<string, unknown>;
  /** Tokens of prompt and completion, which the model must hold: small, and at the task's own defaults. */
  positions: readonly [small: number, whole: number];
}

/** The task of every preset, and of the shipped base. */
export const OWN_TASK = "countdown";

export const TASKS: Readonly<Record<string, TaskChoice>> = {
  countdown: {
    label: "countdown: make a number",
    says: ["arithmetic:", "3 7 2 = 12 :", "asks for an expression of 3, 7 and 2 that makes 12"],
    small: {},
    positions: [16, 16],
  },
  "graph-path": {
    label: "graph path: a way between nodes",
    says: ["path finding:", "a b a c b d c d > a d :", "lists edges and asks for a way from a to d"],
    small: { nodes: 5, edges: 7 },
    positions: [25, 33],
  },
  maze: {
    label: "maze: walk to the goal",
    says: [
      "mazes:",
      "┌ ┐ … 1 1 3 2 :",
      "draws the rooms and asks for moves from the first place to the second",
    ],
    small: { size: 7 },
    positions: [29, 161],
  },
  "modular-sum": {
    label: "modular sum: choose summands",
    says: [
      "sums modulo 11:",
      "3 10 6 0 9 4 = 7 :",
      "asks for two of the numbers, in order, whose sum is 7 modulo 11",
    ],
    small: { modulus: 11, size: 6, pick: 2 },
    positions: [13, 18],
  },
  sudoku4: {
    label: "sudoku of 4 × 4",
    says: ["small sudokus:", "1 _ _ _ …", "asks for the whole grid, row by row"],
    small: { clues: 6 },
    positions: [35, 35],
  },
  addition: {
    label: "addition: one right answer",
    says: ["addition:", "4 7 + 3 8 = :", "asks for the digits of the sum, the ones first"],
    small: {},
    positions: [12, 12],
  },
};
export const TASK_NAMES = Object.keys(TASKS);

/** What a task changes in a preset; nothing for the preset's own. */
export function taskChanges(preset: string, task: string): ExperimentChanges {
  if (task === OWN_TASK) return {};
  const { small, positions } = TASKS[task];
  const whole = preset === "gpu";
  return {
    task: { name: task, config: whole ? {} : small },
    model: { maxPositions: positions[whole ? 1 : 0] },
    // The preset's is of its own task.
    ...(PRESETS[preset].base === undefined ? {} : { base: null }),
  };
}

/** Whether the page has the base: only that of the quick preset's own task ships, others are pretrained first. */
export function hasShippedBase({ preset, task }: { preset: string; task: string }): boolean {
  return preset === "quick" && task === OWN_TASK;
}

/** A preset with a task, every default filled in. */
export function presetConfig(preset: string, task: string): ExperimentConfig {
  return experimentConfig(preset, taskChanges(preset, task));
}

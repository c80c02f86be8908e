/** Tasks by name: plain configuration in, a task out. A task more is one entry more. */
import { ConfigError } from "../tensor/errors.ts";
import { didYouMean, nearest } from "../tensor/suggest.ts";
import { show } from "../tensor/validate.ts";
import type { Task } from "./task.ts";
import { Addition, type AdditionConfig } from "./tasks/addition.ts";
import { Countdown, type CountdownConfig } from "./tasks/countdown.ts";
import { GraphPath, type GraphPathConfig } from "./tasks/graphPath.ts";
import { Maze, type MazeConfig } from "./tasks/maze.ts";
import { ModularSum, type ModularSumConfig } from "./tasks/modularSum.ts";
import { Sudoku4, type Sudoku4Config } from "./tasks/sudoku4.ts";

const TASKS: Readonly<Record<string, (config: Record<string, unknown>) => Task>> = {
  countdown: (config) => new Countdown(config as Partial<CountdownConfig>),
  maze: (config) => new Maze(config as Partial<MazeConfig>),
  "graph-path": (config) => new GraphPath(config as Partial<GraphPathConfig>),
  "modular-sum": (config) => new ModularSum(config as Partial<ModularSumConfig>),
  sudoku4: (config) => new Sudoku4(config as Partial<Sudoku4Config>),
  addition: (config) => new Addition(config as Partial<AdditionConfig>),
};

/** Names that `makeTask` takes. */
export const taskNames: readonly string[] = Object.keys(TASKS);

/** Throws `ConfigError` for an unknown name, with a suggestion, and for a configuration that the task refuses. */
export function makeTask(given: { name: string; config?: Record<string, unknown> }): Task {
  if (typeof given?.name !== "string") {
    throw new ConfigError(
      `task: { name, config } expected, got ${show(given)}. Write { name: "${taskNames[0]}" }.`,
    );
  }
  const { name, config = {} } = given;
  const make = Object.hasOwn(TASKS, name) ? TASKS[name] : undefined;
  if (!make) {
    const remedy =
      nearest(name, taskNames) === undefined
        ? "A task of your own is code: give it to runExperiment or runStudy as task (docs/tasks.md)."
        : didYouMean(name, taskNames);
    throw new ConfigError(
      `task: one of ${taskNames.join(", ")} expected, got "${name.slice(0, 60)}". ${remedy}`,
    );
  }
  return make(config);
}

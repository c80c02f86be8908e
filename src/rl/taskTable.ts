/** Tasks by name: plain configuration in, a task out. A task more is one entry more. */
import { ConfigError } from "../tensor/errors.ts";
import { didYouMean } from "../tensor/suggest.ts";
import type { Task } from "./task.ts";
import { Countdown, type CountdownConfig } from "./tasks/countdown.ts";

const TASKS: Readonly<Record<string, (config: Record<string, unknown>) => Task>> = {
  countdown: (config) => new Countdown(config as Partial<CountdownConfig>),
};

/** Throws `ConfigError` for an unknown name, with a suggestion, and for a configuration that the task refuses. */
export function makeTask({ name, config = {} }: { name: string; config?: Record<string, unknown> }): Task {
  const make = Object.hasOwn(TASKS, name) ? TASKS[name] : undefined;
  if (!make) {
    throw new ConfigError(
      `task: one of ${Object.keys(TASKS).join(", ")} expected, got "${name.slice(0, 60)}". ${didYouMean(name, Object.keys(TASKS))}`,
    );
  }
  return make(config);
}

/**
 * Where the problems of a task come from: a list of all, or draws where there are too many to list. Either way a
 * problem's split is a function of its key alone, so that no seed and no order of draws can put a held-out problem among
 * those of training.
 */

import { ConfigError } from "../../tensor/errors.ts";
import { philox, Rng, Stream } from "../../tensor/random.ts";
import type { Split } from "../task.ts";

/** Draws before a split is called empty, or a set of different problems too large. */
const PATIENCE = 2000;

/** 32 bits that depend on every character of the key. */
export function hash(key: string): number {
  let state: [number, number, number, number] = [0, 0, 0, 0];
  for (let i = 0; i < key.length; i++) state = philox([state[0], state[1], key.charCodeAt(i), i], [0, 0]);
  return state[0];
}

/** The split of a key: held out where its hash lies in the lowest `heldOutShare` of all. */
export function splitOf(key: string, heldOutShare: number): Split {
  return hash(key) / 4294967296 < heldOutShare ? "heldOut" : "train";
}

export interface Keyed {
  readonly key: string;
}

/** Problems by split. `remedy` ends the errors: how to get more of them. */
export interface ProblemSource<P extends Keyed> {
  sample(rng: Rng, split: Split): P;
  /** Throws a `ConfigError` where the split has fewer. */
  distinct(rng: Rng, split: Split, count: number): P[];
  count(split: Split): number | undefined;
}

export interface SourceOptions {
  /** Name of the task. */
  name: string;
  heldOutShare: number;
  /** How to get more problems. */
  remedy: string;
}

function refuseCount({ name, remedy }: SourceOptions, split: Split, most: string, count: number): never {
  throw new ConfigError(
    `${name}: ${most} distinct ${split} problems expected, got ${count}. Ask for fewer or ${remedy}.`,
  );
}

function refuseEmpty({ name, remedy }: SourceOptions, split: Split): never {
  const rest = remedy[0].toUpperCase() + remedy.slice(1);
  throw new ConfigError(`${name}: a ${split} problem expected, got none in range. ${rest}.`);
}

/** All problems, listed when they are first asked for. */
export class ListedProblems<P extends Keyed> implements ProblemSource<P> {
  readonly #options: SourceOptions;
  readonly #list: () => Iterable<P>;
  readonly #split: (problem: P) => Split;
  #splits: Record<Split, P[]> | undefined;

  /** `split`: where a problem belongs, if not where its hash puts it. */
  constructor(options: SourceOptions, list: () => Iterable<P>, split?: (problem: P) => Split) {
    this.#options = options;
    this.#list = list;
    this.#split = split ?? ((problem) => splitOf(problem.key, options.heldOutShare));
  }

  /** The problems of a split, in the order of the list. */
  of(split: Split): readonly P[] {
    if (this.#splits === undefined) {
      this.#splits = { train: [], heldOut: [] };
      for (const problem of this.#list()) {
        this.#splits[this.#split(problem)].push(problem);
      }
    }
    return this.#splits[split];
  }

  count(split: Split): number {
    return this.of(split).length;
  }

  sample(rng: Rng, split: Split): P {
    const problems = this.of(split);
    if (problems.length === 0) refuseEmpty(this.#options, split);
    return problems[rng.int(problems.length)];
  }

  distinct(rng: Rng, split: Split, count: number): P[] {
    const problems = [...this.of(split)];
    if (!(Number.isInteger(count) && count >= 0 && count <= problems.length)) {
      refuseCount(this.#options, split, `0 to ${problems.length}`, count);
    }
    return rng.shuffle(problems).slice(0, count);
  }
}

/** Problems drawn anew each time; those of the other split are drawn again. */
export class DrawnProblems<P extends Keyed> implements ProblemSource<P> {
  readonly #options: SourceOptions;
  readonly #draw: (rng: Rng) => P;
  readonly #poolSize: number;
  #pool: P[] | undefined;

  /** `pool`: train on this many problems instead of ever new ones, always the same; 0 for new ones. */
  constructor(options: SourceOptions & { pool: number }, draw: (rng: Rng) => P) {
    this.#options = options;
    this.#draw = draw;
    this.#poolSize = options.pool;
  }

  count(split: Split): number | undefined {
    return this.#pooled(split) ? this.#poolSize : undefined;
  }

  sample(rng: Rng, split: Split): P {
    if (this.#pooled(split)) return this.#fixed()[rng.int(this.#poolSize)];
    return this.#drawn(rng, split);
  }

  distinct(rng: Rng, split: Split, count: number): P[] {
    if (!(Number.isInteger(count) && count >= 0)) refuseCount(this.#options, split, "0 or more", count);
    if (!this.#pooled(split)) return this.#different(rng, split, count);
    if (count > this.#poolSize) refuseCount(this.#options, split, `0 to ${this.#poolSize}`, count);
    return rng.shuffle([...this.#fixed()]).slice(0, count);
  }

  #pooled(split: Split): boolean {
    return split === "train" && this.#poolSize > 0;
  }

  /** The pool depends on the task and its configuration, never on a run's seed. */
  #fixed(): P[] {
    this.#pool ??= this.#different(new Rng(0, Stream.data), "train", this.#poolSize);
    return this.#pool;
  }

  #drawn(rng: Rng, split: Split): P {
    for (let tries = 0; tries < PATIENCE; tries++) {
      const problem = this.#draw(rng);
      if (splitOf(problem.key, this.#options.heldOutShare) === split) return problem;
    }
    return refuseEmpty(this.#options, split);
  }

  #different(rng: Rng, split: Split, count: number): P[] {
    const found = new Map<string, P>();
    let since = 0;
    while (found.size < count) {
      const problem = this.#drawn(rng, split);
      since = found.has(problem.key) ? since + 1 : 0;
      if (since > PATIENCE) refuseCount(this.#options, split, `about ${found.size} at most`, count);
      if (since === 0) found.set(problem.key, problem);
    }
    return [...found.values()];
  }
}

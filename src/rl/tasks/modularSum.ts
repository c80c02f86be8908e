/**
 * Modular sums: choose some of the listed numbers, in the order of the list, so that their sum modulo m is the target.
 *
 *     BOS 3 11 6 0 9 4 = 7 :   ->   3 0 4 EOS   or   11 0 9 EOS   or   ...     (three numbers, modulo 13)
 *
 * About C(size, pick) / m answers are right. The modes are how often the plain sum passes m: `wraps0` sums to the target
 * itself, `wraps1` to the target + m, and so on. Small sums are the favourite in pretraining, and some problems have none:
 * what a policy loses when it falls back on them shows as Pass@k.
 */

import { Tokenizer } from "../../model/tokenizer.ts";
import { ConfigError } from "../../tensor/errors.ts";
import type { Rng } from "../../tensor/random.ts";
import { type Infer, integer, object, validate, withDefault } from "../../tensor/validate.ts";
import type { Problem, Split, Task, Trace, Verdict } from "../task.ts";
import { DrawnProblems, ListedProblems, type ProblemSource } from "./problems.ts";
import { drawTrace, modeWeightsOf, poolRules, traceRules } from "./traces.ts";
import { answerOf, isVerdict, RIGHT, wrong } from "./verdicts.ts";

const rules = object({
  /** The numbers are below it, and the sum is taken modulo it. */
  modulus: withDefault(integer({ min: 3, max: 97 }), 13),
  /** Numbers of a list, all different. */
  size: withDefault(integer({ min: 3, max: 16 }), 10),
  /** Numbers of an answer. */
  pick: withDefault(integer({ min: 2, max: 6 }), 3),
  ...traceRules,
  ...poolRules,
});
export type ModularSumConfig = Infer<typeof rules> & {
  /** Weights of wraps0, wraps1 ... */
  modeWeights: number[];
};

/** Above this many lists with a target, problems are drawn instead of listed. */
const MOST_LISTED = 100_000;
const WEIGHTS = [0.5, 0.25, 0.15, 0.1, 0.05, 0.05];
const FIRST_NUMBER = 5;

interface Entry {
  key: string;
  /** Ascending. */
  numbers: readonly number[];
  target: number;
}

/** The choices of `pick` indices below `size`, lexicographically. */
export function choices(size: number, pick: number): number[][] {
  const found: number[][] = [];
  const chosen: number[] = [];
  const extend = (from: number): void => {
    if (chosen.length === pick) {
      found.push([...chosen]);
      return;
    }
    for (let i = from; i <= size - pick + chosen.length; i++) {
      chosen.push(i);
      extend(i + 1);
      chosen.pop();
    }
  };
  extend(0);
  return found;
}

/** C(n, k). */
function binomial(n: number, k: number): number {
  let ways = 1;
  for (let i = 1; i <= k; i++) ways = (ways * (n - k + i)) / i;
  return ways;
}

const sumOf = (numbers: readonly number[]): number => numbers.reduce((sum, number) => sum + number, 0);

/** The task; its problems, traces and verdicts as the head of this file says. */
export class ModularSum implements Task {
  readonly name = "modular-sum";
  readonly config: ModularSumConfig;
  readonly tokenizer: Tokenizer;
  readonly promptLength: number;
  readonly maxCompletionLength: number;
  readonly modes: readonly string[];
  readonly #choices: readonly number[][];
  readonly #problems: ProblemSource<Entry>;

  /** Throws a `ConfigError` on a bad configuration. */
  constructor(config: Partial<ModularSumConfig> = {}) {
    const checked = validate("modular-sum", rules, config);
    const { modulus, size, pick, heldOutShare, pool } = checked;
    if (size > modulus) {
      throw new ConfigError(
        `modular-sum: size: at most modulus=${modulus} different numbers expected, got ${size}. Lower size or raise modulus.`,
      );
    }
    if (pick >= size) {
      throw new ConfigError(
        `modular-sum: pick: fewer numbers than size=${size} expected, got ${pick}. Lower pick or raise size.`,
      );
    }
    this.modes = Array.from({ length: pick }, (_, wraps) => `wraps${wraps}`);
    this.config = {
      ...checked,
      modeWeights: modeWeightsOf("modular-sum", this.modes, checked.modeWeights, WEIGHTS.slice(0, pick)),
    };
    const numbers = Array.from({ length: modulus }, (_, i) => String(i));
    this.tokenizer = new Tokenizer("symbol", ["=", ":", ...numbers]);
    this.promptLength = size + 4;
    this.maxCompletionLength = pick + 1;
    this.#choices = choices(size, pick);
    const options = { name: "modular-sum", heldOutShare, remedy: "raise modulus or size" };
    const few = binomial(modulus, size) * modulus <= MOST_LISTED && pool === 0;
    this.#problems = few
      ? new ListedProblems(options, () => this.#enumerate())
      : new DrawnProblems({ ...options, pool }, (rng) => this.#draw(rng));
  }

  /** Every list with every target that some choice reaches. */
  *#enumerate(): Generator<Entry> {
    const { modulus, size } = this.config;
    for (const numbers of choices(modulus, size)) {
      const reached = new Set(this.#choices.map((choice) => sumOf(choice.map((i) => numbers[i])) % modulus));
      for (let target = 0; target < modulus; target++)
        if (reached.has(target)) yield entryOf(numbers, target);
    }
  }

  /** A random list with the sum of a random choice. */
  #draw(rng: Rng): Entry {
    const { modulus, size } = this.config;
    const all = rng.shuffle(Array.from({ length: modulus }, (_, i) => i));
    const numbers = all.slice(0, size).sort((a, b) => a - b);
    const choice = this.#choices[rng.int(this.#choices.length)];
    return entryOf(numbers, sumOf(choice.map((i) => numbers[i])) % modulus);
  }

  count(split: Split): number | undefined {
    return this.#problems.count(split);
  }

  sample(rng: Rng, split: Split): Problem {
    return this.#pose(rng, this.#problems.sample(rng, split));
  }

  distinct(rng: Rng, split: Split, count: number): Problem[] {
    return this.#problems.distinct(rng, split, count).map((entry) => this.#pose(rng, entry));
  }

  /** The numbers in any order. */
  #pose(rng: Rng, { key, numbers, target }: Entry): Problem {
    const text = [...rng.shuffle([...numbers]), "=", target, ":"].join(" ");
    const prompt = [this.tokenizer.bos, ...this.tokenizer.encode(text)];
    return { key, prompt, modes: this.#modes(this.#right(prompt)) };
  }

  #mode(answer: readonly number[]): string {
    return this.modes[Math.floor(sumOf(answer) / this.config.modulus)];
  }

  #modes(answers: readonly number[][]): string[] {
    const found = new Set(answers.map((answer) => this.#mode(answer)));
    return this.modes.filter((mode) => found.has(mode));
  }

  /** The right choices as numbers. */
  #right(prompt: readonly number[]): number[][] {
    const { numbers, target } = this.#read(prompt);
    return this.#choices
      .map((choice) => choice.map((i) => numbers[i]))
      .filter((answer) => sumOf(answer) % this.config.modulus === target);
  }

  trace(rng: Rng, problem: Problem): Trace {
    const answers = this.#right(problem.prompt);
    const { numbers } = this.#read(problem.prompt);
    return drawTrace(rng, this.#modes(answers), {
      modes: this.modes,
      ...this.config,
      eos: this.tokenizer.eos,
      write: (mode) => {
        const fitting = answers.filter((answer) => this.#mode(answer) === mode);
        return ids(fitting[rng.int(fitting.length)]);
      },
      // Another number for one of them, in the order of the list: all are different, so the sum changes.
      corrupt: (answer) => {
        const chosen = answer.map((id) => numbers.indexOf(id - FIRST_NUMBER));
        const others = numbers.map((_, i) => i).filter((i) => !chosen.includes(i));
        const changed = chosen.with(rng.int(chosen.length), others[rng.int(others.length)]);
        return ids(changed.sort((a, b) => a - b).map((i) => numbers[i]));
      },
    });
  }

  /**
   * Judges a choice: `right`, `wrongSum`, `wrongNumbers` (not in the list, or in another order), `wrongCount`,
   * `malformed` (something else than numbers), `unfinished` or `trailing`. Throws a ConfigError for a prompt that is none
   * of this task's.
   */
  verify(prompt: readonly number[], completion: readonly number[]): Verdict {
    const { numbers, target } = this.#read(prompt);
    const answer = answerOf(completion, this);
    if (isVerdict(answer)) return answer;
    const chosen = answer.map((id) => id - FIRST_NUMBER);
    if (!chosen.every((number) => this.#isNumber(number))) return wrong("malformed");
    if (chosen.length !== this.config.pick) return wrong("wrongCount");
    const at = chosen.map((number) => numbers.indexOf(number));
    if (!at.every((place, i) => place >= 0 && (i === 0 || place > at[i - 1]))) return wrong("wrongNumbers");
    return sumOf(chosen) % this.config.modulus === target ? RIGHT : wrong("wrongSum", true);
  }

  /** Every right choice, in the order of the list. */
  answers(problem: Problem): Iterable<readonly number[]> {
    return this.#right(problem.prompt).map((answer) => [...ids(answer), this.tokenizer.eos]);
  }

  /** How often the plain sum of a right choice passes the modulus; null for a wrong one. */
  modeOf(problem: Problem, completion: readonly number[]): string | null {
    if (this.verify(problem.prompt, completion).reward !== 1) return null;
    return this.#mode(completion.slice(0, this.config.pick).map((id) => id - FIRST_NUMBER));
  }

  #isNumber(number: number): boolean {
    return Number.isInteger(number) && number >= 0 && number < this.config.modulus;
  }

  #read(prompt: readonly number[]): { numbers: number[]; target: number } {
    const { size } = this.config;
    const { bos, vocab } = this.tokenizer;
    const numbers = prompt.slice(1, 1 + size).map((id) => id - FIRST_NUMBER);
    const target = prompt[size + 2] - FIRST_NUMBER;
    if (
      prompt.length !== this.promptLength ||
      prompt[0] !== bos ||
      vocab[prompt[size + 1]] !== "=" ||
      vocab[prompt[size + 3]] !== ":" ||
      ![...numbers, target].every((number) => this.#isNumber(number)) ||
      new Set(numbers).size !== size
    ) {
      throw new ConfigError(
        `modular-sum.verify: a prompt "BOS (${size} different numbers) = target :" expected, got ids [${prompt.slice(0, 12).join(", ")}] (${prompt.length}). Pass the problem's prompt.`,
      );
    }
    return { numbers, target };
  }
}

function entryOf(numbers: readonly number[], target: number): Entry {
  return { key: `${numbers.join()}=${target}`, numbers, target };
}

function ids(numbers: readonly number[]): number[] {
  return numbers.map((number) => FIRST_NUMBER + number);
}

/**
 * Countdown with three numbers: write an expression that uses each number once and equals the target.
 *
 *     BOS 3 7 2 = 13 :   ->   3 * 2 + 7 EOS   or   7 + ( 3 * 2 ) EOS   or ...
 *
 * Each number is one token, so a tiny transformer sees at most 7 + 8 tokens. Four ways to write an answer (modes) have
 * uneven weights in pretraining, and a share of the traces is corrupted: a policy pretrained on them knows the right
 * answer but seldom gives it first. Sums accept every mode. With products, a product of a sum needs parentheses, that
 * is a minority mode: what a policy loses when it falls back on its favourite way shows as Pass@k at large k.
 */

import { Tokenizer } from "../../model/tokenizer.ts";
import { ConfigError } from "../../tensor/errors.ts";
import { philox, type Rng } from "../../tensor/random.ts";
import {
  boolean,
  type Infer,
  integer,
  list,
  number,
  object,
  oneOf,
  validate,
  withDefault,
} from "../../tensor/validate.ts";
import type { Problem, Split, Task, Trace, Verdict } from "../task.ts";
import { type ExpressionToken, evaluate, type Operator } from "./expression.ts";

/** How an answer is written, x y z the numbers in any order. */
export const countdownModes = ["flat", "left", "right", "negated"] as const;
export type CountdownMode = (typeof countdownModes)[number];

const FORMS: Record<
  CountdownMode,
  (x: number, f: Operator, y: number, g: Operator, z: number) => ExpressionToken[]
> = {
  flat: (x, f, y, g, z) => [x, f, y, g, z],
  left: (x, f, y, g, z) => ["(", x, f, y, ")", g, z],
  right: (x, f, y, g, z) => [x, f, "(", y, g, z, ")"],
  negated: (x, f, y, g, z) => ["-", x, f, y, g, z],
};

const range = (min: number, max: number) => list(integer({ min, max }), { min: 2, max: 2 });

const rules = object({
  /** Smallest and largest number. */
  numbers: withDefault(range(1, 99), [1, 9]),
  /** Smallest and largest target. */
  targets: withDefault(range(0, 999), [1, 27]),
  /** Products are much harder for tiny models; with them some problems accept only minority modes. */
  operators: withDefault<Operator[]>(list(oneOf("+", "-", "*"), { min: 1, max: 3 }), ["+", "-"]),
  /** Share of the traces that are corrupted. */
  corruption: withDefault(number({ min: 0, max: 1 }), 0.3),
  /** Weights of flat, left, right, negated; renormalised over the modes that a problem accepts. */
  modeWeights: withDefault(list(number({ min: 0, max: 1e6 }), { min: 4, max: 4 }), [0.5, 0.25, 0.15, 0.1]),
  /** Share of the problems kept from training. */
  heldOutShare: withDefault(number({ min: 0, max: 1 }), 0.2),
  /** Pose the numbers in ascending order instead of any. */
  sorted: withDefault(boolean(), false),
});
export type CountdownConfig = Infer<typeof rules>;

export interface CountdownProblem extends Problem {
  readonly numbers: readonly number[];
  readonly target: number;
  readonly modes: readonly CountdownMode[];
}

/** A set of numbers with a target, and every answer by mode. */
interface Entry {
  key: string;
  numbers: number[];
  target: number;
  answers: Map<CountdownMode, ExpressionToken[][]>;
}

const CHARACTERS: readonly string[] = ["=", ":", "(", ")", "+", "-", "*"];

/** The six orders of three numbers, each distinct one once. */
function orders([a, b, c]: readonly number[]): number[][] {
  const all = [
    [a, b, c],
    [a, c, b],
    [b, a, c],
    [b, c, a],
    [c, a, b],
    [c, b, a],
  ];
  return [...new Map(all.map((order) => [order.join(), order])).values()];
}

/** 32 bits that depend on every character of the key. */
function hash(key: string): number {
  let state: [number, number, number, number] = [0, 0, 0, 0];
  for (let i = 0; i < key.length; i++) state = philox([state[0], state[1], key.charCodeAt(i), i], [0, 0]);
  return state[0];
}

/** The modes with an answer, in their fixed order. */
function accepted(answers: Entry["answers"]): CountdownMode[] {
  return countdownModes.filter((mode) => answers.has(mode));
}

/** The task; its problems, traces and verdicts as the head of this file says. */
export class Countdown implements Task {
  readonly name = "countdown";
  readonly config: CountdownConfig;
  readonly tokenizer: Tokenizer;
  readonly promptLength = 7;
  readonly maxCompletionLength = 8;
  #entries: Record<Split, Entry[]> = { train: [], heldOut: [] };
  #byKey = new Map<string, Entry>();

  /** Lists every problem (at most some tens of thousands); throws a ConfigError on a bad configuration. */
  constructor(config: Partial<CountdownConfig> = {}) {
    this.config = validate("countdown", rules, config);
    const { numbers, targets, heldOutShare } = this.config;
    for (const [name, [low, high]] of Object.entries({ numbers, targets })) {
      if (low > high) {
        throw new ConfigError(
          `countdown: ${name}: [smallest, largest] expected, got [${low}, ${high}]. Swap them.`,
        );
      }
    }
    if (numbers[1] - numbers[0] > 40) {
      throw new ConfigError(
        `countdown: numbers: at most 41 values expected, got ${numbers[1] - numbers[0] + 1}. Narrow the range.`,
      );
    }
    const values: string[] = [];
    const last = Math.max(numbers[1], targets[1]);
    for (let value = Math.min(numbers[0], targets[0]); value <= last; value++) values.push(String(value));
    this.tokenizer = new Tokenizer("symbol", [...CHARACTERS, ...values]);
    for (const entry of this.#enumerate()) {
      const held = hash(entry.key) / 4294967296 < heldOutShare;
      this.#entries[held ? "heldOut" : "train"].push(entry);
      this.#byKey.set(entry.key, entry);
    }
  }

  /** Every problem with an answer in a mode of positive weight, in a fixed order. */
  #enumerate(): Iterable<Entry> {
    const { numbers, targets, operators, modeWeights } = this.config;
    const found = new Map<string, Entry>();
    const modes = countdownModes.filter((_, i) => modeWeights[i] > 0);
    const [low, high] = numbers;
    for (let a = low; a <= high; a++) {
      for (let b = a; b <= high; b++) {
        for (let c = b; c <= high; c++) {
          for (const [x, y, z] of orders([a, b, c])) {
            for (const f of operators) {
              for (const g of operators) {
                for (const mode of modes) {
                  const tokens = FORMS[mode](x, f, y, g, z);
                  const target = evaluate(tokens)!.value;
                  if (target < targets[0] || target > targets[1]) continue;
                  const key = `${a},${b},${c}=${target}`;
                  const entry = found.get(key) ?? { key, numbers: [a, b, c], target, answers: new Map() };
                  found.set(key, entry);
                  entry.answers.set(mode, [...(entry.answers.get(mode) ?? []), tokens]);
                }
              }
            }
          }
        }
      }
    }
    return found.values();
  }

  /** How many problems a split has. */
  count(split: Split): number {
    return this.#entries[split].length;
  }

  sample(rng: Rng, split: Split): CountdownProblem {
    const entries = this.#entries[split];
    if (entries.length === 0) {
      throw new ConfigError(
        `countdown: a ${split} problem expected, got none in range. Widen numbers or targets.`,
      );
    }
    return this.#pose(rng, entries[rng.int(entries.length)]);
  }

  distinct(rng: Rng, split: Split, count: number): CountdownProblem[] {
    const entries = [...this.#entries[split]];
    if (!(Number.isInteger(count) && count >= 0 && count <= entries.length)) {
      throw new ConfigError(
        `countdown: 0 to ${entries.length} distinct ${split} problems expected, got ${count}. Ask for fewer or widen the ranges.`,
      );
    }
    return rng
      .shuffle(entries)
      .slice(0, count)
      .map((entry) => this.#pose(rng, entry));
  }

  #pose(rng: Rng, { key, numbers, target, answers }: Entry): CountdownProblem {
    const posed = this.config.sorted ? numbers : rng.shuffle([...numbers]);
    return { key, numbers: posed, target, modes: accepted(answers), prompt: this.prompt(posed, target) };
  }

  /** The prompt for numbers and target: `BOS a b c = t :`. */
  prompt(numbers: readonly number[], target: number): number[] {
    if (numbers.length !== 3) {
      throw new ConfigError(`countdown: 3 numbers expected, got ${numbers.length}. Pass exactly three.`);
    }
    const { bos } = this.tokenizer;
    return [bos, ...this.tokenizer.encode([...numbers, "=", target, ":"].join(" "))];
  }

  trace(rng: Rng, problem: Problem): Trace {
    const entry = this.#byKey.get(problem.key);
    if (entry === undefined) {
      throw new ConfigError(
        `countdown: a problem of this task expected, got key "${problem.key}". Use sample().`,
      );
    }
    const modes = accepted(entry.answers);
    const mode = modes[rng.pick(modes.map((name) => this.config.modeWeights[countdownModes.indexOf(name)]))];
    const answers = entry.answers.get(mode)!;
    const answer = answers[rng.int(answers.length)];
    const corrupted =
      rng.uniform() < this.config.corruption ? this.#corrupt(rng, answer, entry.target) : undefined;
    const completion = [...this.tokenizer.encode((corrupted ?? answer).join(" ")), this.tokenizer.eos];
    return { completion, correct: corrupted === undefined, mode };
  }

  /** One operator replaced or two numbers swapped so that the value is wrong; undefined where no such change exists. */
  #corrupt(rng: Rng, answer: ExpressionToken[], target: number): ExpressionToken[] | undefined {
    const wrong: ExpressionToken[][][] = [[], []];
    const numbersAt = answer.flatMap((token, i) => (typeof token === "number" ? [i] : []));
    for (let i = 0; i < answer.length; i++) {
      const follows = i > 0 && (typeof answer[i - 1] === "number" || answer[i - 1] === ")");
      if (!follows || typeof answer[i] === "number" || answer[i] === ")") continue;
      for (const operator of this.config.operators)
        if (operator !== answer[i]) wrong[0].push(answer.with(i, operator));
    }
    for (const i of numbersAt) {
      for (const j of numbersAt) if (i < j) wrong[1].push(answer.with(i, answer[j]).with(j, answer[i]));
    }
    const kinds = wrong
      .map((tokens) => tokens.filter((changed) => evaluate(changed)!.value !== target))
      .filter((tokens) => tokens.length > 0);
    if (kinds.length === 0) return undefined;
    const kind = kinds[rng.int(kinds.length)];
    return kind[rng.int(kind.length)];
  }

  /**
   * Judges an answer: `right`, `wrongValue`, `wrongNumbers`, `malformed`, `unfinished` (no EOS within the limit) or
   * `trailing` (something else than PAD after EOS). Throws a ConfigError for a prompt that is none of this task's.
   */
  verify(prompt: readonly number[], completion: readonly number[]): Verdict {
    const { numbers, target } = this.#read(prompt);
    const { eos, pad } = this.tokenizer;
    const end = completion.indexOf(eos);
    if (end < 0 || end >= this.maxCompletionLength) return { reward: 0, valid: false, reason: "unfinished" };
    for (let i = end + 1; i < completion.length; i++) {
      if (completion[i] !== pad) return { reward: 0, valid: false, reason: "trailing" };
    }
    const tokens: ExpressionToken[] = [];
    for (let i = 0; i < end; i++) {
      const token = this.#symbol(completion[i]);
      if (token === undefined) return { reward: 0, valid: false, reason: "malformed" };
      tokens.push(token);
    }
    const result = evaluate(tokens);
    if (result === undefined) return { reward: 0, valid: false, reason: "malformed" };
    const same = (list: readonly number[]) => [...list].sort((a, b) => a - b).join();
    if (same(result.numbers) !== same(numbers)) return { reward: 0, valid: false, reason: "wrongNumbers" };
    if (result.value !== target) return { reward: 0, valid: true, reason: "wrongValue" };
    return { reward: 1, valid: true, reason: "right" };
  }

  /** The expression token of an id, undefined for ids that cannot stand in one. */
  #symbol(id: number): ExpressionToken | undefined {
    const text = this.tokenizer.vocab[id];
    if (text === "+" || text === "-" || text === "*" || text === "(" || text === ")") return text;
    return text !== undefined && id >= 3 + CHARACTERS.length ? Number(text) : undefined;
  }

  #read(prompt: readonly number[]): { numbers: number[]; target: number } {
    const values = [1, 2, 3, 5].map((i) => this.#symbol(prompt[i]));
    const [a, b, c, target] = values;
    const isNumber = (value: ExpressionToken | undefined) => typeof value === "number";
    if (
      prompt.length !== this.promptLength ||
      prompt[0] !== this.tokenizer.bos ||
      this.tokenizer.vocab[prompt[4]] !== "=" ||
      this.tokenizer.vocab[prompt[6]] !== ":" ||
      !values.every(isNumber)
    ) {
      throw new ConfigError(
        `countdown.verify: a prompt "BOS a b c = t :" expected, got ids [${prompt.slice(0, 12).join(", ")}]. Pass the problem's prompt.`,
      );
    }
    return { numbers: [a, b, c] as number[], target: target as number };
  }
}

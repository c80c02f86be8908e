/**
 * Countdown: write an expression that uses each number once and equals the target.
 *
 *     BOS 3 7 2 = 13 :   ->   3 * 2 + 7 EOS   or   7 + ( 3 * 2 ) EOS   or ...
 *
 * Each number is one token, so a tiny transformer sees at most 7 + 8 tokens (8 + 12 with four numbers). Four ways to
 * write an answer (modes; five with four numbers) have uneven weights in pretraining, and a share of the traces is
 * corrupted: a policy pretrained on them knows the right answer but seldom gives it first. Sums accept every mode. With
 * products, a product of a sum needs parentheses, that is a minority mode: what a policy loses when it falls back on its
 * favourite way shows as Pass@k at large k.
 */

import { Tokenizer } from "../../model/tokenizer.ts";
import { ConfigError } from "../../tensor/errors.ts";
import type { Rng } from "../../tensor/random.ts";
import {
  boolean,
  type Infer,
  integer,
  list,
  object,
  oneOf,
  validate,
  withDefault,
} from "../../tensor/validate.ts";
import type { Problem, Split, Task, Trace, Verdict } from "../task.ts";
import { rightAnswers } from "./countdownAnswers.ts";
import {
  type CountdownMode,
  type Form,
  formOf,
  formsOf,
  formValue,
  multisetCount,
  multisets,
  operatorTuples,
  orders,
  write,
} from "./countdownForms.ts";
import { type ExpressionToken, evaluate, type Operator } from "./expression.ts";
import { ListedProblems } from "./problems.ts";
import { drawTrace, modeWeightsOf, traceRules } from "./traces.ts";
import { answerOf, isVerdict, RIGHT, wrong } from "./verdicts.ts";

const range = (min: number, max: number) => list(integer({ min, max }), { min: 2, max: 2 });

const rules = object({
  /** How many numbers a problem has. */
  count: withDefault(integer({ min: 3, max: 4 }), 3),
  /** Smallest and largest number. */
  numbers: withDefault(range(1, 99), [1, 9]),
  /** Smallest and largest target. */
  targets: withDefault(range(0, 999), [1, 27]),
  /** Products are much harder for tiny models; with them some problems accept only minority modes. */
  operators: withDefault<Operator[]>(list(oneOf("+", "-", "*"), { min: 1, max: 3 }), ["+", "-"]),
  ...traceRules,
  /** Pose the numbers in ascending order instead of any. */
  sorted: withDefault(boolean(), false),
});
export type CountdownConfig = Infer<typeof rules> & {
  /** Weights of flat, left, right, negated and, with four numbers, pairs. */
  modeWeights: number[];
};

const WEIGHTS: Record<number, readonly number[]> = {
  3: [0.5, 0.25, 0.15, 0.1],
  4: [0.45, 0.25, 0.15, 0.1, 0.05],
};

/** Most expressions that are tried, and most problems that may be found, when those of four numbers are listed. */
const MOST_EXPRESSIONS = 3e7;
const MOST_PROBLEMS = 5e5;

export interface CountdownProblem extends Problem {
  readonly numbers: readonly number[];
  readonly target: number;
  readonly modes: readonly CountdownMode[];
}

/** A set of numbers with a target. */
interface Entry {
  key: string;
  numbers: readonly number[];
  target: number;
  /** Bit i: form i has an answer. */
  forms: number;
}

const CHARACTERS: readonly string[] = ["=", ":", "(", ")", "+", "-", "*"];

/** The task; its problems, traces and verdicts as the head of this file says. */
export class Countdown implements Task {
  readonly name = "countdown";
  readonly config: CountdownConfig;
  readonly tokenizer: Tokenizer;
  readonly promptLength: number;
  readonly maxCompletionLength: number;
  readonly #forms: readonly Form[];
  readonly #operators: readonly Operator[][];
  readonly #problems: ListedProblems<Entry>;
  #byKey: Map<string, Entry> | undefined;

  /** Throws a `ConfigError` on a bad configuration. Problems are listed when they are first asked for. */
  constructor(config: Partial<CountdownConfig> = {}) {
    const checked = validate("countdown", rules, config);
    const { count, numbers, targets, operators, heldOutShare } = checked;
    for (const [name, [low, high]] of Object.entries({ numbers, targets })) {
      if (low > high) {
        throw new ConfigError(
          `countdown: ${name}: [smallest, largest] expected, got [${low}, ${high}]. Swap them.`,
        );
      }
    }
    this.#forms = formsOf(count);
    this.#operators = operatorTuples(operators, count - 1);
    this.config = {
      ...checked,
      modeWeights: modeWeightsOf(
        "countdown",
        this.#forms.map(({ mode }) => mode),
        checked.modeWeights,
        WEIGHTS[count],
      ),
    };
    this.#checkSize();
    this.promptLength = count + 4;
    this.maxCompletionLength = count === 3 ? 8 : 12;
    const values: string[] = [];
    const last = Math.max(numbers[1], targets[1]);
    for (let value = Math.min(numbers[0], targets[0]); value <= last; value++) values.push(String(value));
    this.tokenizer = new Tokenizer("symbol", [...CHARACTERS, ...values]);
    this.#problems = new ListedProblems(
      { name: "countdown", heldOutShare, remedy: "widen numbers or targets" },
      () => this.#enumerate(),
    );
  }

  /** Refuses ranges whose list would take more than a few seconds or a hundred megabytes. */
  #checkSize(): void {
    const { count, numbers, targets } = this.config;
    const values = numbers[1] - numbers[0] + 1;
    if (count === 3 && values > 41) {
      throw new ConfigError(
        `countdown: numbers: at most 41 values expected, got ${values}. Narrow the range.`,
      );
    }
    if (count === 3) return;
    const sets = multisetCount(values, count);
    const expressions = sets * 24 * this.#operators.length * this.#forms.length;
    const problems = sets * (targets[1] - targets[0] + 1);
    if (expressions > MOST_EXPRESSIONS || problems > MOST_PROBLEMS) {
      throw new ConfigError(
        `countdown: numbers: at most ${MOST_EXPRESSIONS} expressions and ${MOST_PROBLEMS} pairs of numbers and target expected, got ${expressions} and ${problems}. Narrow numbers or targets, or use fewer operators.`,
      );
    }
  }

  /** Every problem with an answer in a mode of positive weight, in a fixed order. */
  *#enumerate(): Generator<Entry> {
    const { count, numbers, targets, modeWeights } = this.config;
    for (const set of multisets(numbers[0], numbers[1], count)) {
      const found = new Map<number, Entry>();
      for (const order of orders(set)) {
        for (const tuple of this.#operators) {
          for (const [i, form] of this.#forms.entries()) {
            if (modeWeights[i] === 0) continue;
            const target = formValue(form, order, tuple);
            if (target < targets[0] || target > targets[1]) continue;
            const entry = found.get(target);
            if (entry) entry.forms |= 1 << i;
            else found.set(target, { key: `${set.join()}=${target}`, numbers: set, target, forms: 1 << i });
          }
        }
      }
      yield* found.values();
    }
  }

  /** How many problems a split has. */
  count(split: Split): number {
    return this.#problems.count(split);
  }

  sample(rng: Rng, split: Split): CountdownProblem {
    return this.#pose(rng, this.#problems.sample(rng, split));
  }

  distinct(rng: Rng, split: Split, count: number): CountdownProblem[] {
    return this.#problems.distinct(rng, split, count).map((entry) => this.#pose(rng, entry));
  }

  #pose(rng: Rng, { key, numbers, target, forms }: Entry): CountdownProblem {
    const posed = this.config.sorted ? numbers : rng.shuffle([...numbers]);
    return { key, numbers: posed, target, modes: this.#modes(forms), prompt: this.prompt(posed, target) };
  }

  #modes(forms: number): CountdownMode[] {
    return this.#forms.filter((_, i) => (forms >> i) & 1).map(({ mode }) => mode);
  }

  /** The prompt for numbers and target: `BOS a b c = t :`. */
  prompt(numbers: readonly number[], target: number): number[] {
    const { count } = this.config;
    if (numbers.length !== count) {
      throw new ConfigError(
        `countdown: ${count} numbers expected, got ${numbers.length}. Pass exactly ${count === 3 ? "three" : "four"}.`,
      );
    }
    const { bos } = this.tokenizer;
    return [bos, ...this.tokenizer.encode([...numbers, "=", target, ":"].join(" "))];
  }

  trace(rng: Rng, problem: Problem): Trace {
    this.#byKey ??= new Map(
      [...this.#problems.of("train"), ...this.#problems.of("heldOut")].map((entry) => [entry.key, entry]),
    );
    const entry = this.#byKey.get(problem.key);
    if (entry === undefined) {
      throw new ConfigError(
        `countdown: a problem of this task expected, got key "${problem.key}". Use sample().`,
      );
    }
    const ids = (tokens: ExpressionToken[]) => this.tokenizer.encode(tokens.join(" "));
    let written: ExpressionToken[] = [];
    return drawTrace(rng, this.#modes(entry.forms), {
      modes: this.#forms.map(({ mode }) => mode),
      modeWeights: this.config.modeWeights,
      corruption: this.config.corruption,
      eos: this.tokenizer.eos,
      write: (mode) => {
        const answers = this.#written(entry, mode);
        written = answers[rng.int(answers.length)];
        return ids(written);
      },
      corrupt: () => {
        const changed = this.#corrupt(rng, written, entry.target);
        return changed && ids(changed);
      },
    });
  }

  /** The answers of a problem in one mode, in a fixed order. */
  #written({ numbers, target }: Entry, mode: string): ExpressionToken[][] {
    const form = this.#forms.find((one) => one.mode === mode)!;
    const answers: ExpressionToken[][] = [];
    for (const order of orders(numbers)) {
      for (const tuple of this.#operators) {
        if (formValue(form, order, tuple) === target) answers.push(write(form, order, tuple));
      }
    }
    return answers;
  }

  /** One operator replaced or two numbers swapped so that the value is wrong; undefined where no such change exists. */
  #corrupt(rng: Rng, answer: ExpressionToken[], target: number): ExpressionToken[] | undefined {
    const changes: ExpressionToken[][][] = [[], []];
    const numbersAt = answer.flatMap((token, i) => (typeof token === "number" ? [i] : []));
    for (let i = 0; i < answer.length; i++) {
      const follows = i > 0 && (typeof answer[i - 1] === "number" || answer[i - 1] === ")");
      if (!follows || typeof answer[i] === "number" || answer[i] === ")") continue;
      for (const operator of this.config.operators)
        if (operator !== answer[i]) changes[0].push(answer.with(i, operator));
    }
    for (const i of numbersAt) {
      for (const j of numbersAt) if (i < j) changes[1].push(answer.with(i, answer[j]).with(j, answer[i]));
    }
    const kinds = changes
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
    const answer = answerOf(completion, this);
    if (isVerdict(answer)) return answer;
    const tokens: ExpressionToken[] = [];
    for (const id of answer) {
      const token = this.#symbol(id);
      if (token === undefined) return wrong("malformed");
      tokens.push(token);
    }
    const result = evaluate(tokens);
    if (result === undefined) return wrong("malformed");
    const same = (values: readonly number[]) => [...values].sort((a, b) => a - b).join();
    if (same(result.numbers) !== same(numbers)) return wrong("wrongNumbers");
    return result.value === target ? RIGHT : wrong("wrongValue", true);
  }

  /** Every expression that `verify` takes, also in forms that no trace has: some tens (three numbers) or thousands. */
  answers(problem: Problem): Iterable<readonly number[]> {
    const { numbers, target } = this.#read(problem.prompt);
    const { tokenizer } = this;
    const found = [...rightAnswers(numbers, target, this.maxCompletionLength - 1)];
    return found.map((tokens) => [...tokenizer.encode(tokens.join(" ")), tokenizer.eos]);
  }

  /** The form of a right answer; null for a wrong one and for forms that are no mode. */
  modeOf(problem: Problem, completion: readonly number[]): CountdownMode | null {
    if (this.verify(problem.prompt, completion).reward !== 1) return null;
    const answer = completion.slice(0, completion.indexOf(this.tokenizer.eos));
    return formOf(
      this.#forms,
      answer.map((id) => this.#symbol(id)!),
    );
  }

  /** The expression token of an id, undefined for ids that cannot stand in one. */
  #symbol(id: number): ExpressionToken | undefined {
    const text = this.tokenizer.vocab[id];
    if (text === "+" || text === "-" || text === "*" || text === "(" || text === ")") return text;
    return text !== undefined && id >= 3 + CHARACTERS.length ? Number(text) : undefined;
  }

  #read(prompt: readonly number[]): { numbers: number[]; target: number } {
    const { count } = this.config;
    const numbers = prompt.slice(1, 1 + count).map((id) => this.#symbol(id));
    const target = this.#symbol(prompt[count + 2]);
    if (
      prompt.length !== this.promptLength ||
      prompt[0] !== this.tokenizer.bos ||
      this.tokenizer.vocab[prompt[count + 1]] !== "=" ||
      this.tokenizer.vocab[prompt[count + 3]] !== ":" ||
      typeof target !== "number" ||
      !numbers.every((value) => typeof value === "number")
    ) {
      const wanted = `BOS ${["a", "b", "c", "d"].slice(0, count).join(" ")} = t :`;
      throw new ConfigError(
        `countdown.verify: a prompt "${wanted}" expected, got ids [${prompt.slice(0, 12).join(", ")}]. Pass the problem's prompt.`,
      );
    }
    return { numbers: numbers as number[], target };
  }
}

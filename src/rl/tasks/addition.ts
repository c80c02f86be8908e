/**
 * Addition digit by digit: the control with one right answer, where no mode can be lost.
 *
 *     BOS 4 7 + 3 8 = :   ->   5 8 0 EOS        (47 + 38 = 085, the ones first)
 *
 * Both summands have all their digits, the sum has one more, so that only one completion is right. The ones come first
 * because a carry is then known when it is needed; `order: "mostFirst"` makes it harder.
 */

import { Tokenizer } from "../../model/tokenizer.ts";
import { ConfigError } from "../../tensor/errors.ts";
import type { Rng } from "../../tensor/random.ts";
import { type Infer, integer, object, oneOf, validate, withDefault } from "../../tensor/validate.ts";
import type { Problem, Split, Task, Trace, Verdict } from "../task.ts";
import { DrawnProblems, ListedProblems, type ProblemSource } from "./problems.ts";
import { drawTrace, modeWeightsOf, poolRules, traceRules } from "./traces.ts";
import { answerOf, isVerdict, RIGHT, wrong } from "./verdicts.ts";

/** There is one right answer and so one mode. */
export const additionModes = ["sum"] as const;

const rules = object({
  /** Digits of a summand. */
  digits: withDefault(integer({ min: 1, max: 9 }), 2),
  /** Whether a sum begins with its ones or with its carry. */
  order: withDefault(oneOf("leastFirst", "mostFirst"), "leastFirst"),
  ...traceRules,
  ...poolRules,
});
export type AdditionConfig = Infer<typeof rules> & {
  /** Weight of the one mode. */
  modeWeights: number[];
};

/** With up to this many digits, problems are listed instead of drawn. */
const LISTED_DIGITS = 2;
const FIRST_DIGIT = 3;

/** Two summands, the smaller one first: `a + b` and `b + a` are one problem. */
interface Entry {
  key: string;
  a: number;
  b: number;
}

/** The task; its problems, traces and verdicts as the head of this file says. */
export class Addition implements Task {
  readonly name = "addition";
  readonly config: AdditionConfig;
  readonly tokenizer = new Tokenizer("symbol", [..."0123456789", "+", "=", ":"]);
  readonly promptLength: number;
  readonly maxCompletionLength: number;
  readonly #problems: ProblemSource<Entry>;

  /** Throws a `ConfigError` on a bad configuration. */
  constructor(config: Partial<AdditionConfig> = {}) {
    const checked = validate("addition", rules, config);
    const { digits, heldOutShare, pool } = checked;
    this.config = {
      ...checked,
      modeWeights: modeWeightsOf("addition", additionModes, checked.modeWeights, [1]),
    };
    this.promptLength = 2 * digits + 4;
    this.maxCompletionLength = digits + 2;
    const options = { name: "addition", heldOutShare, remedy: "raise digits" };
    const end = powerOfTen(digits);
    this.#problems =
      digits <= LISTED_DIGITS && pool === 0
        ? new ListedProblems(options, () => pairs(end))
        : new DrawnProblems({ ...options, pool }, (rng) => entryOf(rng.int(end), rng.int(end)));
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

  /** Either summand first. */
  #pose(rng: Rng, { key, a, b }: Entry): Problem {
    const [x, y] = rng.int(2) === 0 ? [a, b] : [b, a];
    return { key, prompt: this.prompt(x, y), modes: [...additionModes] };
  }

  /** The prompt `BOS a + b = :` with all digits of both. */
  prompt(a: number, b: number): number[] {
    const { digits } = this.config;
    for (const number of [a, b]) {
      if (!(Number.isInteger(number) && number >= 0 && number < powerOfTen(digits))) {
        throw new ConfigError(
          `addition.prompt: an integer in [0, ${powerOfTen(digits)}) expected, got ${number}. Raise digits or pass a smaller one.`,
        );
      }
    }
    const text = (number: number) => String(number).padStart(digits, "0");
    const symbols = [...`${text(a)}+${text(b)}=:`];
    return [this.tokenizer.bos, ...this.tokenizer.encode(symbols.join(" "))];
  }

  /** Tokens of the sum. */
  #sum(prompt: readonly number[]): number[] {
    const { a, b } = this.#read(prompt);
    const digits = [...String(a + b).padStart(this.config.digits + 1, "0")].map(
      (d) => FIRST_DIGIT + Number(d),
    );
    return this.config.order === "leastFirst" ? digits.reverse() : digits;
  }

  trace(rng: Rng, problem: Problem): Trace {
    const sum = this.#sum(problem.prompt);
    return drawTrace(rng, additionModes, {
      modes: additionModes,
      ...this.config,
      eos: this.tokenizer.eos,
      write: () => sum,
      // One digit is another one; next to it by choice, as where a carry is lost or invented.
      corrupt: (answer) => {
        const at = rng.int(answer.length);
        const offset = rng.int(2) === 0 ? [1, 9][rng.int(2)] : 1 + rng.int(9);
        return answer.with(at, FIRST_DIGIT + ((answer[at] - FIRST_DIGIT + offset) % 10));
      },
    });
  }

  /**
   * Judges a sum: `right`, `wrongSum`, `malformed` (not as many digits as there must be), `unfinished` or `trailing`.
   * Throws a ConfigError for a prompt that is none of this task's.
   */
  verify(prompt: readonly number[], completion: readonly number[]): Verdict {
    const sum = this.#sum(prompt);
    const answer = answerOf(completion, this);
    if (isVerdict(answer)) return answer;
    const form = answer.length === sum.length && answer.every(isDigit);
    if (!form) return wrong("malformed");
    return answer.every((id, i) => id === sum[i]) ? RIGHT : wrong("wrongSum", true);
  }

  /** The one right answer. */
  answers(problem: Problem): Iterable<readonly number[]> {
    return [[...this.#sum(problem.prompt), this.tokenizer.eos]];
  }

  /** `sum` for the right answer; null for any other. */
  modeOf(problem: Problem, completion: readonly number[]): "sum" | null {
    return this.verify(problem.prompt, completion).reward === 1 ? "sum" : null;
  }

  #read(prompt: readonly number[]): { a: number; b: number } {
    const { digits } = this.config;
    const { bos, vocab } = this.tokenizer;
    const [a, b] = [prompt.slice(1, 1 + digits), prompt.slice(2 + digits, 2 + 2 * digits)];
    if (
      prompt.length !== this.promptLength ||
      prompt[0] !== bos ||
      vocab[prompt[1 + digits]] !== "+" ||
      vocab[prompt[2 + 2 * digits]] !== "=" ||
      vocab[prompt[3 + 2 * digits]] !== ":" ||
      ![...a, ...b].every(isDigit)
    ) {
      throw new ConfigError(
        `addition.verify: a prompt "BOS a + b = :" with ${digits} digits each expected, got ids [${prompt.slice(0, 12).join(", ")}] (${prompt.length}). Pass the problem's prompt.`,
      );
    }
    const value = (ids: readonly number[]) => ids.reduce((sum, id) => sum * 10 + (id - FIRST_DIGIT), 0);
    return { a: value(a), b: value(b) };
  }
}

function isDigit(id: number): boolean {
  return Number.isInteger(id) && id >= FIRST_DIGIT && id < FIRST_DIGIT + 10;
}

function entryOf(a: number, b: number): Entry {
  return a <= b ? { key: `${a}+${b}`, a, b } : { key: `${b}+${a}`, a: b, b: a };
}

/** All pairs below `end`. */
function* pairs(end: number): Generator<Entry> {
  for (let a = 0; a < end; a++) for (let b = a; b < end; b++) yield entryOf(a, b);
}

/** Read, not computed: powers are not the same in every engine. */
function powerOfTen(exponent: number): number {
  return Number(`1e${exponent}`);
}

/** The smallest task there is: after `BOS x`, write a letter other than x, then EOS. For tests of everything around it. */
import { Tokenizer } from "../../src/model/tokenizer.ts";
import type { Problem, Split, Task, Trace, Verdict } from "../../src/rl/task.ts";
import type { Rng } from "../../src/tensor/random.ts";

const LETTERS = ["a", "b", "c", "d"];

export class LetterTask implements Task {
  readonly name = "letter";
  readonly tokenizer = new Tokenizer("symbol", LETTERS);
  readonly promptLength = 2;
  readonly maxCompletionLength = 3;
  readonly judge: "other" | "never";

  /** `never`: nothing is right. */
  constructor(judge: "other" | "never" = "other") {
    this.judge = judge;
  }

  private problem(letter: number): Problem {
    return { key: LETTERS[letter], prompt: [this.tokenizer.bos, 3 + letter], modes: ["only"] };
  }

  sample(rng: Rng, _split: Split): Problem {
    return this.problem(rng.int(LETTERS.length));
  }

  distinct(rng: Rng, _split: Split, count: number): Problem[] {
    return rng
      .shuffle([0, 1, 2, 3])
      .slice(0, count)
      .map((letter) => this.problem(letter));
  }

  trace(rng: Rng, problem: Problem): Trace {
    const other = LETTERS.filter((letter) => letter !== problem.key);
    const completion = [this.tokenizer.id(other[rng.int(3)]), this.tokenizer.eos];
    return { completion, correct: true, mode: "only" };
  }

  verify(prompt: readonly number[], completion: readonly number[]): Verdict {
    const [letter, end] = completion;
    const valid = completion.length === 2 && letter >= 3 && end === this.tokenizer.eos;
    const right = this.judge === "other" && valid && letter !== prompt[1];
    return { reward: right ? 1 : 0, valid, reason: right ? "right" : valid ? "same" : "malformed" };
  }
}

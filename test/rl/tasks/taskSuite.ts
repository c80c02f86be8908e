/**
 * What holds for every task, as tests: splits that no seed mixes, traces that are what they say, a verifier that agrees
 * with an independent checker on answers of all kinds, answers listed in full. A task's own file gives the checker.
 */
import { expect, test } from "vitest";
import { Tokenizer } from "../../../src/model/tokenizer.ts";
import type { Problem, Task, Trace } from "../../../src/rl/task.ts";
import { Rng, Stream } from "../../../src/tensor/random.ts";

/** The task as the tests see it from outside: on words, never through the task's own code. */
export interface Outside {
  /** Whether the words of an answer (before EOS) solve the problem of the prompt's words (after BOS). */
  isRight(prompt: readonly string[], answer: readonly string[]): boolean;
  /** The canonical form of a prompt: the same for every way to pose the problem. */
  canonical(prompt: readonly string[]): string;
}

export interface SuiteOptions extends Outside {
  /** The task in a size that people use. */
  task: Task;
  /** A task of few problems: draws of both splits meet the same ones again and again. */
  small: Task;
  /** Reasons that a corrupted trace may get. */
  wrongReasons: readonly string[];
  /** All modes, in order of the weights, and the weights. */
  modes: readonly string[];
  weights: readonly number[];
  /** Every answer of `small` that could be right; default: all words of its vocabulary in every order. */
  candidates?(prompt: readonly string[]): Iterable<readonly string[]>;
  /** How many problems of `small` are answered by trying all candidates; default 6. */
  exhausted?: number;
  /** Some right answers are of no mode. */
  modeless?: boolean;
}

const words = (task: Task, ids: readonly number[]): string[] =>
  ids.map((id) => task.tokenizer.vocab[id] ?? "?");
/** The prompt's words without BOS. */
export const promptWords = (task: Task, problem: Problem): string[] => words(task, problem.prompt).slice(1);

/** What `verify` must say, from the text alone. */
function rightByText(outside: Outside, task: Task, problem: Problem, completion: readonly number[]): boolean {
  const text = words(task, completion).join(" ");
  const match = /^(?<answer>(?:(?!EOS).)*?) ?EOS(?: PAD)*$/.exec(text);
  if (!match) return false;
  const answer = match.groups!.answer.split(" ").filter(Boolean);
  if (answer.length + 1 > task.maxCompletionLength) return false;
  if (answer.some((word) => ["PAD", "BOS", "?"].includes(word))) return false;
  return outside.isRight(promptWords(task, problem), answer);
}

/** A right answer changed in a random way, or a random one. */
function mutated(rng: Rng, task: Task, problem: Problem): number[] {
  const { vocabSize, eos, pad } = task.tokenizer;
  const tokens = [...task.trace(rng, problem).completion];
  const any = () => rng.int(vocabSize);
  const at = rng.int(tokens.length);
  const kind = rng.int(12);
  if (kind === 0) tokens[at] = any();
  if (kind === 1) tokens.splice(at, 1);
  if (kind === 2) tokens.splice(at, 0, any());
  if (kind === 3) rng.shuffle(tokens);
  if (kind === 4) tokens.length = at; // cut
  if (kind === 5) tokens.push(...Array.from({ length: 1 + rng.int(3) }, any)); // something after EOS
  if (kind === 6) tokens.push(pad, pad);
  if (kind === 7) {
    const length = rng.int(task.maxCompletionLength + 2);
    return [...Array.from({ length }, any), eos];
  }
  if (kind === 8) {
    const other = rng.int(tokens.length);
    [tokens[at], tokens[other]] = [tokens[other], tokens[at]];
  }
  if (kind === 9) tokens[at] = [-1, 0.5, vocabSize, Number.NaN][rng.int(4)];
  return tokens; // 10 and 11: as it is
}

/** Sequences of the task's own words, of every length that fits. */
function* everything(task: Task): Generator<string[]> {
  const symbols = task.tokenizer.vocab.slice(3);
  function* longer(sequence: string[]): Generator<string[]> {
    yield sequence;
    if (sequence.length + 1 >= task.maxCompletionLength) return;
    for (const symbol of symbols) yield* longer([...sequence, symbol]);
  }
  yield* longer([]);
}

export function taskSuite(name: string, options: SuiteOptions): void {
  const { task, small, canonical, isRight } = options;

  test(`${name}: prompts and traces fit, and the tokenizer gives them back`, () => {
    const rng = new Rng(1, Stream.test);
    for (const each of [task, small]) {
      const { tokenizer } = each;
      const again = Tokenizer.fromJSON(JSON.parse(JSON.stringify(tokenizer.toJSON())));
      for (let i = 0; i < 100; i++) {
        const problem = each.sample(rng, i % 2 === 0 ? "train" : "heldOut");
        const { completion } = each.trace(rng, problem);
        expect(problem.prompt[0]).toBe(tokenizer.bos);
        expect(problem.prompt.length).toBe(each.promptLength);
        expect(completion.length).toBeLessThanOrEqual(each.maxCompletionLength);
        expect(completion.indexOf(tokenizer.eos)).toBe(completion.length - 1);
        for (const ids of [problem.prompt, completion]) {
          expect(again.encode(tokenizer.decode(ids, { special: true }))).toEqual(ids);
        }
      }
    }
  });

  test(`${name}: no held-out problem is ever posed in training, whatever the seed`, () => {
    const splitOfKey = new Map<string, string>();
    let draws = 0;
    const mixed: string[] = [];
    for (const each of [small, task]) {
      for (let seed = 0; seed < 25; seed++) {
        const rng = new Rng(seed, Stream.data);
        for (const split of ["train", "heldOut"] as const) {
          const problems = Array.from({ length: 20 }, () => each.sample(rng, split));
          problems.push(...each.distinct(rng, split, 4));
          for (const problem of problems) {
            const key = `${each === small} ${canonical(promptWords(each, problem))}`;
            const known = splitOfKey.get(key);
            if (known !== undefined && known !== `${split} ${problem.key}`) mixed.push(key);
            splitOfKey.set(key, `${split} ${problem.key}`);
            draws++;
          }
        }
      }
    }
    expect(mixed).toEqual([]);
    expect(draws - splitOfKey.size).toBeGreaterThan(100); // problems came again, in either split
  });

  test(`${name}: distinct problems differ; more than there are is refused`, () => {
    for (const split of ["train", "heldOut"] as const) {
      const problems = task.distinct(new Rng(2, Stream.eval), split, 60);
      expect(new Set(problems.map((problem) => canonical(promptWords(task, problem)))).size).toBe(60);
    }
    expect(() => small.distinct(new Rng(2, Stream.eval), "heldOut", 100_000)).toThrow(
      new RegExp(`^${name}: .* distinct heldOut problems expected, got 100000\\. Ask for fewer or `),
    );
    expect(() => task.distinct(new Rng(2, Stream.eval), "train", -1)).toThrow(/got -1/);
  });

  test(`${name}: the same seed gives the same problems and traces`, () => {
    const draw = () => {
      const rng = new Rng(7, Stream.data);
      return Array.from({ length: 20 }, () => {
        const problem = task.sample(rng, "train");
        return [problem, task.trace(rng, problem)];
      });
    };
    expect(draw()).toEqual(draw());
  });

  test(`${name}: agrees with an independent checker on 10,000 answers`, () => {
    const rng = new Rng(3, Stream.test);
    const counts = { right: 0, wrong: 0 };
    const differ: unknown[] = [];
    for (let i = 0; i < 10_000; i += 5) {
      const problem = task.sample(rng, i % 2 === 0 ? "train" : "heldOut");
      for (let j = 0; j < 5; j++) {
        const completion = mutated(rng, task, problem);
        const wanted = rightByText(options, task, problem, completion);
        const verdict = task.verify(problem.prompt, completion);
        const fits = verdict.reward === (wanted ? 1 : 0) && (verdict.reason === "right") === wanted;
        if (!fits)
          differ.push([words(task, problem.prompt).join(" "), words(task, completion).join(" "), verdict]);
        const mode = task.modeOf!(problem, completion);
        const modeFits = mode === null ? !wanted || options.modeless : wanted && problem.modes.includes(mode);
        if (!modeFits) differ.push([mode, words(task, completion).join(" ")]);
        counts[wanted ? "right" : "wrong"]++;
      }
    }
    expect(differ.slice(0, 3)).toEqual([]);
    expect(counts.right).toBeGreaterThan(1500);
    expect(counts.wrong).toBeGreaterThan(4000);
  });

  test(`${name}: traces are right or wrong as they say, modes and corruption in their shares`, () => {
    const rng = new Rng(4, Stream.test);
    const N = 3000;
    const modes: Record<string, { came: number; expected: number }> = Object.fromEntries(
      options.modes.map((mode) => [mode, { came: 0, expected: 0 }]),
    );
    /** The trace is right in its mode, or wrong in a known way. */
    const honest = (each: Task, problem: Problem, { completion, correct, mode }: Trace): void => {
      const { reason, valid } = each.verify(problem.prompt, completion);
      expect(valid).toBe(true);
      if (correct) expect([reason, each.modeOf!(problem, completion)]).toEqual(["right", mode]);
      else expect(options.wrongReasons).toContain(reason);
      expect(problem.modes).toContain(mode);
    };
    for (let i = 0; i < 300; i++) {
      const problem = small.sample(rng, i % 2 === 0 ? "train" : "heldOut");
      honest(small, problem, small.trace(rng, problem));
    }
    let corrupted = 0;
    for (let i = 0; i < N; i++) {
      const problem = task.sample(rng, "train");
      const trace = task.trace(rng, problem);
      honest(task, problem, trace);
      if (!trace.correct) corrupted++;
      modes[trace.mode].came++;
      const weights = problem.modes.map((accepted) => options.weights[options.modes.indexOf(accepted)]);
      const total = weights.reduce((sum, weight) => sum + weight);
      for (const [j, accepted] of problem.modes.entries()) modes[accepted].expected += weights[j] / total;
    }
    expect(Math.abs(corrupted / N - 0.3)).toBeLessThan(0.03);
    for (const [mode, { came, expected }] of Object.entries(modes)) {
      expect(came, mode).toBeGreaterThan(60);
      // Four standard deviations of a sum of N draws with this mean.
      expect(Math.abs(came - expected), mode).toBeLessThan(4 * Math.sqrt(expected * (1 - expected / N)) + 1);
    }
  });

  test(`${name}: the listed answers are all there are`, () => {
    const rng = new Rng(5, Stream.test);
    const { tokenizer } = small;
    for (let i = 0; i < (options.exhausted ?? 6); i++) {
      const problem = small.sample(rng, "train");
      const prompt = promptWords(small, problem);
      const listed = [...small.answers!(problem)].map((ids) => words(small, ids).join(" "));
      const found: string[] = [];
      for (const answer of options.candidates?.(prompt) ?? everything(small)) {
        if (isRight(prompt, answer)) found.push([...answer, "EOS"].join(" "));
      }
      expect(found.length).toBeGreaterThan(0);
      expect([...listed].sort()).toEqual(found.sort());
      for (const answer of listed) {
        expect(small.verify(problem.prompt, tokenizer.encode(answer)).reason).toBe("right");
      }
      const modes = new Set(listed.map((answer) => small.modeOf!(problem, tokenizer.encode(answer))));
      for (const mode of problem.modes) expect(modes).toContain(mode);
    }
  });
}

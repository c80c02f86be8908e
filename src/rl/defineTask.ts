/**
 * A task of one's own from a few functions on text.
 *
 *     const evens = defineTask({
 *       name: "evens",
 *       symbols: [..."0123456789"],
 *       prompts: ["1 2", "3 1 4", ...],
 *       maxCompletionLength: 4,
 *       verify: (prompt, completion) => Number(completion.replaceAll(" ", "")) % 2 === 0,
 *     });
 *
 * Everything else has a default: splits by a hash of the prompt, sampling, padding, what an answer without an end earns.
 */

import { Tokenizer } from "../model/tokenizer.ts";
import { ConfigError } from "../tensor/errors.ts";
import { Rng, Stream } from "../tensor/random.ts";
import {
  type Infer,
  integer,
  list,
  number,
  object,
  optional,
  type Rule,
  show,
  string,
  validate,
  withDefault,
} from "../tensor/validate.ts";
import type { Problem, Split, Task, Verdict } from "./task.ts";
import { DrawnProblems, ListedProblems, type ProblemSource } from "./tasks/problems.ts";
import { answerOf, isVerdict, RIGHT, wrong } from "./tasks/verdicts.ts";

/** What a verifier says: right or wrong, or how right in [0, 1]. */
export type TaskJudgement = boolean | number;

/** A trace as one writes it: the completion's text, right unless said otherwise. */
export type WrittenTrace = string | { completion: string; correct?: boolean; mode?: string };

export interface TaskDefinition<R extends TaskJudgement | Promise<TaskJudgement>> {
  name: string;
  /** Words of the vocabulary; texts are words apart by spaces. Or give a tokenizer, as for single characters. */
  symbols?: readonly string[];
  tokenizer?: Tokenizer;
  /** Prompts as text or as tokens, with or without BOS. A share is held out, unless `heldOutPrompts` are given. */
  prompts?: readonly (string | readonly number[])[];
  heldOutPrompts?: readonly (string | readonly number[])[];
  /** Instead of `prompts`: a random one. */
  sample?(rng: Rng): string | readonly number[];
  /**
   * Judges the text of a completion that ended in time, without EOS; one that did not earns 0 unasked. A promise is
   * awaited, and an error counted, by the trainer.
   */
  verify(prompt: string, completion: string): R;
  /** Most tokens of a completion, EOS included. */
  maxCompletionLength: number;
  /** Columns of a prompt, BOS included. Default: the longest of `prompts`, or of 1,000 samples. */
  promptLength?: number;
  /** The same for prompts that pose the same problem. Default: the text. */
  key?(prompt: string): string;
  /** Share of the problems kept from training. Default 0.2. */
  heldOutShare?: number;
  /** Train on this many samples, always the same; default 0: ever new ones. For `sample` only. */
  pool?: number;
  /** A trace to pretrain on. Without it the task is for policies that can read and write already. */
  trace?(rng: Rng, prompt: string): WrittenTrace;
  /** Names of the solution modes. Default: `any`. */
  modes?: readonly string[];
  /** The mode of a right completion. */
  modeOf?(prompt: string, completion: string): string | null;
  /** Every right completion. */
  answers?(prompt: string): Iterable<string>;
}

/** The task of a definition: it judges at once where the definition does. */
export type DefinedTask<R> = Task<R extends Promise<TaskJudgement> ? Verdict | Promise<Verdict> : Verdict>;

/** A function, whatever it takes. */
function callable<F>(): Rule<F> {
  return (value, path) => {
    if (typeof value === "function") return value as F;
    throw new ConfigError(`${path}: a function expected, got ${show(value)}. Write (...) => ...`);
  };
}

const tokenizerRule: Rule<Tokenizer> = (value, path) => {
  if (value instanceof Tokenizer) return value;
  throw new ConfigError(
    `${path}: a Tokenizer expected, got ${show(value)}. Use new Tokenizer(kind, symbols).`,
  );
};

const promptRule: Rule<string | number[]> = (value, path) =>
  typeof value === "string" ? value : list(integer({ min: 0 }), { min: 1 })(value, path);

const rules = object({
  name: string(),
  symbols: optional(list(string(), { min: 1, max: 65_533 })),
  tokenizer: optional(tokenizerRule),
  prompts: optional(list(promptRule, { min: 1, max: 10_000_000 })),
  heldOutPrompts: optional(list(promptRule, { min: 1, max: 10_000_000 })),
  sample: optional(callable<(rng: Rng) => string | readonly number[]>()),
  verify: callable<(prompt: string, completion: string) => TaskJudgement | Promise<TaskJudgement>>(),
  maxCompletionLength: integer({ min: 1, max: 1 << 20 }),
  promptLength: optional(integer({ min: 1, max: 1 << 20 })),
  key: optional(callable<(prompt: string) => string>()),
  heldOutShare: withDefault(number({ min: 0, max: 1 }), 0.2),
  pool: withDefault(integer({ min: 0, max: 1 << 20 }), 0),
  trace: optional(callable<(rng: Rng, prompt: string) => WrittenTrace>()),
  modes: withDefault(list(string(), { min: 1 }), ["any"]),
  modeOf: optional(callable<(prompt: string, completion: string) => string | null>()),
  answers: optional(callable<(prompt: string) => Iterable<string>>()),
});
type Checked = Infer<typeof rules>;

/** Samples that the length of a prompt is measured on. */
const MEASURED = 1000;

/**
 * A task of one's own; throws `ConfigError` for a definition that is not whole. What it gives can be handed to a
 * `Trainer`, a `rollOut` or an evaluation like any task of the package.
 */
export function defineTask<R extends TaskJudgement | Promise<TaskJudgement>>(
  definition: TaskDefinition<R>,
): DefinedTask<R> {
  const given = validate("defineTask", rules, definition);
  const tokenizer = tokenizerOf(given);
  const { name, maxCompletionLength, modes } = given;
  const keyOf = given.key ?? ((text: string) => text);

  function pose(prompt: string | readonly number[]): Problem {
    const ids = typeof prompt === "string" ? tokenizer.encode(prompt) : [...prompt];
    if (ids[0] !== tokenizer.bos) ids.unshift(tokenizer.bos);
    return { key: keyOf(tokenizer.decode(ids)), prompt: ids, modes };
  }

  const problems = sourceOf(given, pose);
  const promptLength = given.promptLength ?? longestPrompt(given, pose);

  /** The problem, if its prompt has a column for each token. */
  function fitting(problem: Problem): Problem {
    if (problem.prompt.length <= promptLength) return problem;
    throw new ConfigError(
      `${name}: promptLength: prompts of at most ${promptLength} tokens expected, got ${problem.prompt.length}. Give promptLength to defineTask.`,
    );
  }

  function textOf(completion: readonly number[]): string | Verdict {
    const answer = answerOf(completion, { tokenizer, maxCompletionLength });
    if (isVerdict(answer)) return answer;
    const odd = answer.some(
      (id) => !(id > tokenizer.eos && id < tokenizer.vocabSize && Number.isInteger(id)),
    );
    return odd ? wrong("malformed") : tokenizer.decode(answer);
  }

  function encoded(text: unknown, what: string): number[] {
    if (typeof text !== "string") {
      throw new ConfigError(
        `${name}: ${what}: the text of a completion expected, got ${show(text)}. Return it as a string, and at once.`,
      );
    }
    const completion = [...tokenizer.encode(text), tokenizer.eos];
    if (completion.length <= maxCompletionLength) return completion;
    throw new ConfigError(
      `${name}: ${what}: at most maxCompletionLength=${maxCompletionLength} tokens with EOS expected, got ${completion.length}. Raise it or write less.`,
    );
  }

  const { answers, modeOf } = given;
  const task: Task<Verdict | Promise<Verdict>> = {
    name,
    tokenizer,
    promptLength,
    maxCompletionLength,
    count: (split) => problems.count(split),
    sample: (rng, split) => fitting(problems.sample(rng, split)),
    distinct: (rng, split, count) => problems.distinct(rng, split, count).map(fitting),
    trace(rng, problem) {
      if (!given.trace) {
        throw new ConfigError(
          `${name}: trace: traces to pretrain on expected, got a task without. Give trace(rng, prompt) to defineTask, or start from a base that knows the vocabulary.`,
        );
      }
      const written = given.trace(rng, tokenizer.decode(problem.prompt));
      const {
        completion,
        correct = true,
        mode = modes[0],
      } = typeof written === "object" && written !== null ? written : { completion: written };
      return { completion: encoded(completion, "trace"), correct, mode };
    },
    verify(prompt, completion) {
      const text = textOf(completion);
      if (typeof text !== "string") return text;
      const judged = given.verify(tokenizer.decode(prompt), text);
      const later = typeof judged === "object" && typeof judged?.then === "function";
      return later ? judged.then((value) => verdictOf(name, value)) : verdictOf(name, judged);
    },
    ...(answers && {
      answers: ({ prompt }: Problem) =>
        Array.from(answers(tokenizer.decode(prompt)), (text) => encoded(text, "answers")),
    }),
    ...(modeOf && {
      modeOf({ prompt }: Problem, completion: readonly number[]) {
        const text = textOf(completion);
        return typeof text === "string" ? modeOf(tokenizer.decode(prompt), text) : null;
      },
    }),
  };
  return task as DefinedTask<R>;
}

/** Throws where a verifier gave something else than a judgement. */
function verdictOf(name: string, judged: unknown): Verdict {
  if (judged === true || judged === 1) return RIGHT;
  if (judged === false || judged === 0) return wrong("wrong", true);
  if (typeof judged === "number" && judged > 0 && judged < 1) {
    return { reward: judged, valid: true, reason: "partial" };
  }
  throw new ConfigError(
    `${name}.verify: true, false or a number in [0, 1] expected, got ${show(judged)}. Scale the reward.`,
  );
}

function tokenizerOf({ name, symbols, tokenizer }: Checked): Tokenizer {
  if ((symbols === undefined) === (tokenizer === undefined)) {
    throw new ConfigError(
      `${name}: symbols or a tokenizer expected, got ${symbols ? "both" : "neither"}. List the words that prompts and completions are made of, or use Tokenizer.ofCharacters.`,
    );
  }
  return tokenizer ?? new Tokenizer("symbol", symbols!);
}

/** The problems of the definition, each key once. */
function sourceOf(
  given: Checked,
  pose: (prompt: string | readonly number[]) => Problem,
): ProblemSource<Problem> {
  const { name, prompts, heldOutPrompts, sample, heldOutShare, pool } = given;
  if ((prompts === undefined) === (sample === undefined)) {
    throw new ConfigError(
      `${name}: prompts or sample expected, got ${prompts ? "both" : "neither"}. Give a list of prompts or a function that draws one.`,
    );
  }
  if (sample !== undefined) {
    if (heldOutPrompts !== undefined) {
      throw new ConfigError(
        `${name}: heldOutPrompts: prompts beside them expected, got sample. Samples are held out by a hash of their key: leave heldOutPrompts away.`,
      );
    }
    return new DrawnProblems({ name, heldOutShare, pool, remedy: "sample from more prompts" }, (rng) =>
      pose(sample(rng)),
    );
  }
  const all = new Map(prompts!.map(pose).map((problem) => [problem.key, problem]));
  const options = { name, heldOutShare, remedy: "give more prompts, or heldOutPrompts" };
  if (heldOutPrompts === undefined) return new ListedProblems(options, () => all.values());
  const heldOut = new Map(heldOutPrompts.map(pose).map((problem) => [problem.key, problem]));
  const both = [...heldOut.keys()].find((key) => all.has(key));
  if (both !== undefined) {
    throw new ConfigError(
      `${name}: heldOutPrompts: prompts that are not among prompts expected, got ${show(both)} in both. Take it out of one.`,
    );
  }
  const split = ({ key }: Problem): Split => (heldOut.has(key) ? "heldOut" : "train");
  return new ListedProblems(options, () => [...all.values(), ...heldOut.values()], split);
}

function longestPrompt(
  { prompts, heldOutPrompts, sample }: Checked,
  pose: (prompt: string | readonly number[]) => Problem,
): number {
  let longest = 0;
  const measure = (prompt: string | readonly number[]): void => {
    longest = Math.max(longest, pose(prompt).prompt.length);
  };
  for (const prompt of [...(prompts ?? []), ...(heldOutPrompts ?? [])]) measure(prompt);
  const rng = new Rng(0, Stream.data);
  for (let i = 0; sample && i < MEASURED; i++) measure(sample(rng));
  return longest;
}

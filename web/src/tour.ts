/**
 * The guided tour's numbers: one prompt, a wrong and a right answer of the base's own, and the next-token distribution where
 * the two part, before and after one step of NSR on the wrong one and one of PSR on the right one.
 *
 * Both steps are plain gradient descent from the same weights at the same learning rate, so that what is seen is the
 * gradient and not Adam's rescaling of it.
 */
import { CheckpointError, ConfigError } from "../../src/tensor/errors.ts";
import type { NaysayWorker, TaskRequest } from "../../src/worker/index.ts";

/** A sampled answer. */
export interface Answer {
  tokens: number[];
  right: boolean;
  /** The verifier's word. */
  reason: string;
}

/** Two answers that begin alike, and the first position where they differ. */
export interface Fork {
  wrong: Answer;
  right: Answer;
  at: number;
}

/** What one step on a sample did to the distribution at the fork. */
export interface TourStep {
  /** The token that the sample has at the fork. */
  token: number;
  /** [V] probabilities after the same push on this token alone. */
  alone: Float32Array;
  /** [V] probabilities after a step on the whole answer, as training takes it. */
  whole: Float32Array;
}

export interface Tour {
  problem: string;
  /** Token text by id. */
  vocab: string[];
  answers: Answer[];
  fork: Fork;
  /** [V] probabilities at the fork before any step. */
  before: Float32Array;
  nsr: TourStep;
  psr: TourStep;
}

/** The task of the shipped base. */
const TASK: TaskRequest = { name: "countdown" };
const SEED = 3;
const PROBLEMS = 8;
const SAMPLES = 64;
const LONGEST = 8;
/** Of one step of plain gradient descent: large enough to be seen, small enough for the gradient to be most of it. */
export const LEARNING_RATE = 0.015;

/**
 * Where the most wrong and the most right answers part: a beginning after which one token leads to wrong answers and another
 * to right ones. `null` where none does.
 */
export function forkOf(answers: readonly Answer[]): Fork | null {
  let best: Fork | null = null;
  let most = 0;
  const longest = Math.max(0, ...answers.map(({ tokens }) => tokens.length));
  for (let at = 0; at < longest; at++) {
    const groups = new Map<string, Answer[]>();
    for (const answer of answers) {
      if (answer.tokens.length <= at) continue;
      const start = answer.tokens.slice(0, at).join();
      groups.set(start, [...(groups.get(start) ?? []), answer]);
    }
    for (const group of groups.values()) {
      const counts = (right: boolean): Map<number, Answer[]> => {
        const found = new Map<number, Answer[]>();
        for (const answer of group.filter((one) => one.right === right))
          found.set(answer.tokens[at], [...(found.get(answer.tokens[at]) ?? []), answer]);
        return found;
      };
      const rights = counts(true);
      for (const [wrongToken, wrong] of counts(false)) {
        for (const [rightToken, right] of rights) {
          const score = wrong.length * right.length;
          if (wrongToken === rightToken || score <= most) continue;
          most = score;
          best = { wrong: wrong[0], right: right[0], at };
        }
      }
    }
  }
  return best;
}

/** Takes the tour from these weights. The policy is closed at its end; nothing is kept. */
export async function takeTour(worker: NaysayWorker, base: Uint8Array): Promise<Tour> {
  const policy = await worker.policy({ checkpoint: base, rows: SAMPLES, microBatchRows: 1 });
  try {
    const { vocab } = policy.info;
    const start = await policy.checkpoint();
    for (const { prompt, text } of await worker.problems({ task: TASK, seed: SEED, count: PROBLEMS })) {
      const drawn = await policy.generate({
        prompts: [prompt],
        numGenerations: SAMPLES,
        maxCompletionLength: LONGEST,
        seed: SEED,
      }).result;
      const judged = await worker.judge({
        task: TASK,
        answers: drawn.map(({ tokens }) => ({ prompt, completion: tokens })),
      });
      const answers = drawn.map(({ tokens }, i) => ({
        tokens,
        right: judged[i].reward === 1,
        reason: judged[i].reason,
      }));
      const fork = forkOf(answers);
      if (fork === null) continue;
      const context = [...prompt, ...fork.wrong.tokens.slice(0, fork.at)];
      const look = (): Promise<Float32Array> => policy.distribution({ context });
      const before = await look();
      const learn = async (
        algorithm: "nsr" | "psr",
        tokens: number[],
        alone: boolean,
      ): Promise<Float32Array> => {
        await policy.restore(start.slice());
        const example = alone
          ? { prompt: context, completion: [tokens[fork.at]] }
          : { prompt, completion: tokens };
        await policy.learn({
          examples: [{ ...example, reward: algorithm === "psr" ? 1 : 0 }],
          algorithm,
          changes: { optimizer: "sgd" },
          // A token of a whole answer weighs one over its length.
          learningRate: alone ? LEARNING_RATE / tokens.length : LEARNING_RATE,
          maxGradNorm: null,
        });
        return look();
      };
      const step = async (algorithm: "nsr" | "psr", { tokens }: Answer): Promise<TourStep> => ({
        token: tokens[fork.at],
        alone: await learn(algorithm, tokens, true),
        whole: await learn(algorithm, tokens, false),
      });
      const nsr = await step("nsr", fork.wrong);
      const psr = await step("psr", fork.right);
      await policy.restore(start.slice());
      // The tour says "back to the base, bit for bit".
      const restored = await look();
      if (restored.some((p, id) => p !== before[id])) {
        throw new CheckpointError(
          "tour: the base's own distribution expected after going back to it, got another. Load the page anew.",
        );
      }
      return { problem: text, vocab, answers, fork, before, nsr, psr };
    }
    throw new ConfigError(
      `tour: a problem with right and wrong answers among ${SAMPLES} samples expected, got none of ${PROBLEMS}. Load the page anew.`,
    );
  } finally {
    await policy.close();
  }
}

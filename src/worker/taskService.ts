/** Problems of a task and verdicts on answers: for a page that samples from a policy and asks who was right. */
import type { Problem, Verdict } from "../rl/task.ts";
import { makeTask } from "../rl/taskTable.ts";
import { Rng, Stream } from "../tensor/random.ts";
import type { JudgeRequest, PosedProblem, ProblemsRequest } from "./protocol.ts";

/** Different problems of a split, the same for the same seed. Throws `ConfigError` as the task does. */
export function posedProblems({ task, seed, split = "heldOut", count = 1 }: ProblemsRequest): PosedProblem[] {
  const made = makeTask(task);
  const { vocab, bos } = made.tokenizer;
  const posed = ({ prompt }: Problem): PosedProblem => ({
    prompt: [...prompt],
    text: prompt
      .filter((id) => id !== bos)
      .map((id) => vocab[id])
      .join(" "),
  });
  return made.distinct(new Rng(seed, Stream.data), split, count).map(posed);
}

/** The task's verdict on each answer. Throws `ConfigError` for a prompt that is none of the task's. */
export function verdicts({ task, answers }: JudgeRequest): Verdict[] {
  const made = makeTask(task);
  return answers.map(({ prompt, completion }) => made.verify(prompt, completion));
}

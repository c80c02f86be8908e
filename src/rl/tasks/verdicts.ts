/** Verdicts, and what every verifier looks at first: a completion is an answer, EOS, and nothing but padding after it. */

import type { Tokenizer } from "../../model/tokenizer.ts";
import type { Verdict } from "../task.ts";

export const RIGHT: Verdict = { reward: 1, valid: true, reason: "right" };

/** No reward; `valid` where the form is right and the value is not. */
export function wrong(reason: string, valid = false): Verdict {
  return { reward: 0, valid, reason };
}

export interface Ending {
  tokenizer: Pick<Tokenizer, "eos" | "pad">;
  maxCompletionLength: number;
}

/**
 * The tokens before EOS, or why there are none: `unfinished` (no EOS within `maxCompletionLength`) or `trailing`
 * (something else than PAD after it).
 */
export function answerOf(
  completion: readonly number[],
  { tokenizer, maxCompletionLength }: Ending,
): readonly number[] | Verdict {
  const end = completion.indexOf(tokenizer.eos);
  if (end < 0 || end >= maxCompletionLength) return wrong("unfinished");
  for (let i = end + 1; i < completion.length; i++) {
    if (completion[i] !== tokenizer.pad) return wrong("trailing");
  }
  return completion.slice(0, end);
}

/** Whether `answerOf` gave a verdict instead of tokens. */
export function isVerdict(answer: readonly number[] | Verdict): answer is Verdict {
  return !Array.isArray(answer);
}

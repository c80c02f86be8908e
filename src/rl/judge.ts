/**
 * A verifier's word on a completion, whatever the verifier does: it may answer later, throw, or never answer. A failure is
 * reward 0 under a reason of its own, so a run goes on and its reasons tell how often it happened. It is no word on the answer:
 * such a row is left out of the update.
 */
import type { AnyTask, Verdict } from "./task.ts";

/** Reasons that are not the verifier's own. */
export const FAILED = "verifierFailed";
export const TIMED_OUT = "verifierTimedOut";
export const INVALID = "verifierInvalid";

export interface Judged {
  /** In [0, 1]. */
  reward: number;
  reason: string;
  /** What went wrong in the verifier itself, if anything did. */
  failure?: string;
}

function judged(verdict: Verdict): Judged {
  const { reward, reason } = (verdict ?? {}) as Partial<Verdict>;
  if (typeof reward === "number" && reward >= 0 && reward <= 1) return { reward, reason: String(reason) };
  return {
    reward: 0,
    reason: INVALID,
    failure: `a verdict with a reward in [0, 1] was expected, got ${shown(verdict)}`,
  };
}

function shown(x: unknown): string {
  const reward = x !== null && typeof x === "object" ? (x as { reward?: unknown }).reward : x;
  return String(reward).slice(0, 60);
}

function failed(error: unknown): Judged {
  return { reward: 0, reason: FAILED, failure: error instanceof Error ? error.message : String(error) };
}

/** Judges a completion; waits `timeoutMs` at most for a verifier that answers later. Never rejects. */
export function judge(
  task: Pick<AnyTask, "verify">,
  prompt: readonly number[],
  completion: readonly number[],
  timeoutMs: number,
): Judged | Promise<Judged> {
  let answer: Verdict | Promise<Verdict>;
  try {
    answer = task.verify(prompt, completion);
  } catch (error) {
    return failed(error);
  }
  if (typeof (answer as Promise<Verdict> | null)?.then !== "function") return judged(answer as Verdict);
  let timer: ReturnType<typeof setTimeout>;
  const late = new Promise<Judged>((resolve) => {
    timer = setTimeout(
      () => resolve({ reward: 0, reason: TIMED_OUT, failure: `no answer within ${timeoutMs} ms` }),
      timeoutMs,
    );
  });
  return Promise.race([Promise.resolve(answer).then(judged, failed), late]).finally(() =>
    clearTimeout(timer),
  );
}

/** What a trainer keeps as text beside its weights, to go on from: where it stood, with which algorithm and on which task. */

import type { Algorithm } from "./algorithm.ts";

/** Where a trainer stands. */
export interface TrainerState {
  step: number;
  updates: number;
  skipped: number;
  numTokens: number;
  /** Weight of an entropy bonus that adapts. */
  entropyCoefficient?: number;
  /** Of the first step, nats; 0 once its fall was told, so that a run tells it once. */
  firstEntropy?: number;
  /** Whether it was told that the algorithm takes graded rewards for right, so that a run tells it once. */
  gradedTold?: boolean;
}

/** A state, and what its run did; checkpoints of earlier versions do not say. */
export interface KeptState {
  state: TrainerState;
  algorithm?: Algorithm;
  /** Name. */
  task?: string;
}

const STATE_KEY = "naysay.trainer";

/** The metadata that `trainerState` reads. */
export function stateMetadata({ state, ...run }: KeptState): Record<string, string> {
  return { [STATE_KEY]: JSON.stringify({ ...state, ...run }) };
}

/** What the trainer of a checkpoint kept, from the checkpoint's metadata; undefined for another's. */
export function trainerState(metadata: ReadonlyMap<string, string>): KeptState | undefined {
  const text = metadata.get(STATE_KEY);
  if (text === undefined) return undefined;
  try {
    const {
      step,
      updates,
      skipped,
      numTokens,
      entropyCoefficient,
      firstEntropy,
      gradedTold,
      algorithm,
      task,
    } = JSON.parse(text);
    const numbers = [step, updates, skipped, numTokens];
    if (!numbers.every((n) => Number.isSafeInteger(n) && n >= 0)) return undefined;
    const state = {
      ...{ step, updates, skipped, numTokens },
      ...(Number.isFinite(entropyCoefficient) ? { entropyCoefficient } : {}),
      ...(Number.isFinite(firstEntropy) ? { firstEntropy } : {}),
      ...(gradedTold === true ? { gradedTold } : {}),
    };
    return { state, algorithm: typeof algorithm === "object" ? algorithm : undefined, task };
  } catch {
    return undefined;
  }
}

/**
 * What each algorithm is and where it comes from, as its record in src/rl/algorithms.ts says it: a test holds the two
 * together. In the groups in which a visitor finds them.
 */
import { ALGORITHMS } from "../../src/rl/algorithms.ts";

export interface AlgorithmText {
  says: string;
  /** Paper and equation. */
  source: string;
}

export const ALGORITHM_TEXTS: Readonly<Record<string, AlgorithmText>> = {
  psr: { says: "Positive sample reinforcement: right answers only.", source: "arXiv 2506.01347, equation 3" },
  nsr: { says: "Negative sample reinforcement: wrong answers only.", source: "arXiv 2506.01347, equation 4" },
  "w-reinforce": {
    says: "Weighted REINFORCE: right answers count `lambda`, wrong ones -1.",
    source: "arXiv 2506.01347, equation 10",
  },
  "nsr-to-w": {
    says: "W-REINFORCE whose lambda rises from 0 (NSR) to `lambda` over `steps` steps.",
    source: "this project",
  },
  reinforce: { says: "REINFORCE: the reward weighs every token.", source: "Williams 1992" },
  rloo: { says: "REINFORCE leave-one-out: less the mean of the others.", source: "arXiv 2402.14740" },
  grpo: { says: "Group-relative policy optimization without a KL term.", source: "arXiv 2402.03300" },
  "grpo-kl": { says: "GRPO with its k3 term and its mean over sequences.", source: "arXiv 2402.03300" },
  "dr-grpo": { says: "GRPO done right: no deviation, constant length.", source: "arXiv 2503.20783" },
  dapo: { says: "Decoupled clip, token mean, no group without variance.", source: "arXiv 2503.14476" },
  ppo: {
    says: "Clipped policy gradient with a value head, GAE, whitening and k1 in the reward.",
    source: "arXiv 1707.06347, arXiv 1506.02438",
  },
  maxrl: { says: "Maximum-likelihood RL: the difference over the group's mean.", source: "arXiv 2602.02710" },
  "pass-k": { says: "Pass@k training: the group's Pass@k as its reward.", source: "arXiv 2508.10751" },
  pkpo: { says: "Pass@k policy optimization.", source: "arXiv 2505.15201" },
  asymre: { says: "Asymmetric REINFORCE: a baseline below the mean by `shift`.", source: "arXiv 2506.20520" },
  topr: {
    says: "Tapered off-policy REINFORCE: wrong answers weigh as much as they are still likely.",
    source: "arXiv 2503.14286",
  },
  ngrpo: {
    says: "GRPO that learns from groups of wrong answers: one imagined right sample more.",
    source: "arXiv 2509.18851",
  },
  unlikeliness: { says: "GRPO on rewards that fall with likelihood.", source: "arXiv 2506.02355" },
  cispo: { says: "Clipped importance weights, none of them without a gradient.", source: "arXiv 2506.13585" },
  gspo: {
    says: "Group sequence policy optimization: ratio and clip of whole sequences.",
    source: "arXiv 2507.18071",
  },
};

/** Those that are always in sight: the paper's own, and GRPO beside them. */
export const FIRST_ALGORITHMS: readonly string[] = ["psr", "nsr", "w-reinforce", "grpo"];

/** All others, by kind. */
export const ALGORITHM_GROUPS: readonly (readonly [title: string, words: readonly string[]])[] = [
  ["Reward or baseline", ["nsr-to-w", "reinforce", "rloo", "asymre", "topr"]],
  ["Within the group", ["grpo-kl", "dr-grpo", "dapo", "ngrpo", "unlikeliness", "cispo", "gspo"]],
  ["For many tries", ["maxrl", "pass-k", "pkpo"]],
  ["With a critic", ["ppo"]],
];

const NUMBER = /\d+(\.\d+)?(e[-+]?\d+)?/g;

/** A name with its numbers taken out: `W-REINFORCE #`. */
export function nameWithoutNumbers(name: string): string {
  return name.replace(NUMBER, "#");
}

/** Words by their names in results without numbers. */
export const WORD_BY_NAME: ReadonlyMap<string, string> = new Map(
  Object.entries(ALGORITHMS).map(([word, made]) => [
    nameWithoutNumbers(typeof made === "function" ? made().name : made.name),
    word,
  ]),
);

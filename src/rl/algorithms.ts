/**
 * Algorithms by name, each a few lines of `Algorithm`. docs/algorithms.md has the equation of each; a test holds the page,
 * the presets and independent float64 implementations together.
 *
 * The paper's own: arXiv 2506.01347, equations 3 to 6 and appendix C, and its code (RLVR-Decomposed).
 */
import { ConfigError } from "../tensor/errors.ts";
import { didYouMean } from "../tensor/suggest.ts";
import {
  boolean,
  type Infer,
  integer,
  nullable,
  number,
  object,
  oneOf,
  optional,
  type Rule,
  show,
  string,
  validate,
  variant,
  withDefault,
} from "../tensor/validate.ts";
import { groupAdvantages, type MiniBatches } from "./advantages.ts";
import {
  type AdvantageRule,
  type Algorithm,
  comparesGroup,
  type EntropyTerm,
  type KlTerm,
  type Scheduled,
} from "./algorithm.ts";
import { miniBatchRule } from "./trainConfig.ts";

/** What all of the paper's objectives share as its code runs them: token mean over kept rows, clip 0.2. */
const COMMON = {
  keep: "all",
  aggregation: "token",
  normaliser: "kept",
  form: "ratio",
  clipLow: 0.2,
  clipHigh: 0.2,
  flip: false,
} as const;

/** On-policy policy gradients without a ratio. */
const LOG = { ...COMMON, form: "log", clipLow: null, clipHigh: null } as const;

/** Positive sample reinforcement: right answers only. Source: arXiv 2506.01347, equation 3. */
export const psr: Algorithm = {
  ...COMMON,
  name: "PSR",
  advantage: { kind: "fixed", right: 1, wrong: 0 },
  keep: "right",
};

/** Negative sample reinforcement: wrong answers only. Source: arXiv 2506.01347, equation 4. */
export const nsr: Algorithm = {
  ...COMMON,
  name: "NSR",
  advantage: { kind: "fixed", right: 0, wrong: -1 },
  keep: "wrong",
};

/** Weighted REINFORCE: right answers count `lambda`, wrong ones -1. Source: arXiv 2506.01347, equation 10. */
export function wReinforce(lambda = 0.1): Algorithm {
  checkNumber("wReinforce", "lambda", lambda, 0, "The paper uses 0.1.");
  return {
    ...COMMON,
    name: `W-REINFORCE ${lambda}`,
    advantage: { kind: "fixed", right: lambda, wrong: -1 },
  };
}

/** W-REINFORCE whose lambda rises from 0 (NSR) to `lambda` over `steps` steps. Source: this project. */
export function warmReinforce(lambda = 0.1, steps = 10): Algorithm {
  return {
    ...wReinforce(lambda),
    name: `NSR to W-REINFORCE ${lambda}`,
    advantage: { kind: "fixed", right: { from: 0, to: lambda, steps }, wrong: -1 },
  };
}

/** REINFORCE: the reward weighs every token. Source: Williams 1992. */
export const reinforce: Algorithm = { ...LOG, name: "REINFORCE", advantage: { kind: "reward" } };

/** REINFORCE leave-one-out: less the mean of the others. Source: arXiv 2402.14740. */
export const rloo: Algorithm = {
  ...LOG,
  name: "RLOO",
  // The log-likelihood of a response is a sum over its tokens; a constant only scales it.
  aggregation: "constant",
  advantage: { kind: "group", baseline: "others", scale: "none", eps: 0 },
};

/** Group-relative policy optimization without a KL term. Source: arXiv 2402.03300. */
export const grpo: Algorithm = {
  ...COMMON,
  name: "GRPO",
  advantage: { kind: "group", scale: "std", eps: 1e-4 },
};

/** GRPO with its k3 term and its mean over sequences. Source: arXiv 2402.03300. */
export const grpoKl: Algorithm = {
  ...grpo,
  name: "GRPO KL",
  aggregation: "sequence",
  kl: { estimator: "k3", where: "loss", coefficient: 0.04 },
};

/** GRPO done right: no deviation, constant length. Source: arXiv 2503.20783. */
export const drGrpo: Algorithm = {
  ...COMMON,
  name: "Dr. GRPO",
  advantage: { kind: "group", scale: "none", eps: 0 },
  aggregation: "constant",
};

/** Decoupled clip, token mean, no group without variance. Source: arXiv 2503.14476. */
export const dapo: Algorithm = {
  ...grpo,
  name: "DAPO",
  clipHigh: 0.28,
  dropZeroVariance: true,
};

/** Clipped policy gradient with a value head, GAE, whitening and k1 in the reward. Source: arXiv 1707.06347, arXiv 1506.02438. */
export const ppo: Algorithm = {
  ...COMMON,
  name: "PPO",
  advantage: { kind: "gae", gamma: 1, lambda: 1, whiten: true },
  kl: { estimator: "k1", where: "reward", coefficient: 1e-3 },
  valueCoefficient: 0.5,
};

/** Maximum-likelihood RL: the difference over the group's mean. Source: arXiv 2602.02710. */
export const maxRl: Algorithm = {
  ...COMMON,
  name: "MaxRL",
  advantage: { kind: "group", scale: "mean", eps: 1e-6 },
};

/** Pass@k training: the group's Pass@k as its reward. Source: arXiv 2508.10751. */
export function passKTraining(k = 4): Algorithm {
  checkWhole("passKTraining", k);
  return { ...COMMON, name: `Pass@${k} training`, advantage: { kind: "passAtK", k, form: "training" } };
}

/** Pass@k policy optimization. Source: arXiv 2505.15201. */
export function pkpo(k = 4): Algorithm {
  checkWhole("pkpo", k);
  return { ...COMMON, name: `PKPO ${k}`, advantage: { kind: "passAtK", k, form: "pkpo" } };
}

/** Asymmetric REINFORCE: a baseline below the mean by `shift`. Source: arXiv 2506.20520. */
export function asymRe(shift = 0.1): Algorithm {
  checkNumber("asymRe", "shift", shift, 0, "The paper uses 0.1.");
  return {
    ...LOG,
    name: `AsymRE ${shift}`,
    advantage: { kind: "group", scale: "none", eps: 0, shift },
  };
}

/** Tapered off-policy REINFORCE: wrong answers weigh as much as they are still likely. Source: arXiv 2503.14286. */
export const topr: Algorithm = {
  ...COMMON,
  name: "TOPR",
  advantage: { kind: "fixed", right: 1, wrong: -1 },
  form: "truncatedLog",
  aggregation: "constant",
  clipLow: 1,
  clipHigh: 0,
};

/** GRPO that learns from groups of wrong answers: one imagined right sample more. Source: arXiv 2509.18851. */
export const ngrpo: Algorithm = {
  ...grpo,
  name: "NGRPO",
  advantage: { kind: "group", scale: "std", eps: 1e-4, virtualBest: true },
  clipLow: 0.16,
  clipHigh: 0.24,
};

/** GRPO on rewards that fall with likelihood. Source: arXiv 2506.02355. */
export function unlikeliness(beta = 0.25): Algorithm {
  checkNumber("unlikeliness", "beta", beta, 0, "The paper uses 0.25.");
  return { ...grpo, name: `Unlikeliness ${beta}`, unlikeliness: beta };
}

/** Clipped importance weights, none of them without a gradient. Source: arXiv 2506.13585. */
export const cispo: Algorithm = { ...grpo, name: "CISPO", form: "clippedLog", clipLow: 1, clipHigh: 0.2 };

/** Group sequence policy optimization: ratio and clip of whole sequences. Source: arXiv 2507.18071. */
export const gspo: Algorithm = {
  ...grpo,
  name: "GSPO",
  form: "sequenceRatio",
  aggregation: "sequence",
  clipLow: 3e-4,
  clipHigh: 4e-4,
};

/** The same algorithm pushing the other way. */
export function flipped(algorithm: Algorithm): Algorithm {
  return { ...algorithm, name: `${algorithm.name} flipped`, flip: !algorithm.flip };
}

function checkWhole(op: string, k: number): void {
  if (Number.isInteger(k) && k >= 1) return;
  throw new ConfigError(
    `${op}: k: a whole number of at least 1 expected, got ${k}. Use 2 to numGenerations.`,
  );
}

function checkNumber(op: string, name: string, value: number, min: number, remedy: string): void {
  if (value >= min && value < Number.POSITIVE_INFINITY) return;
  throw new ConfigError(
    `${op}: ${name}: a finite number of at least ${min} expected, got ${value}. ${remedy}`,
  );
}

/**
 * Throws `ConfigError` for choices that do not go together, or not with `numGenerations` samples a prompt: before anything
 * is computed.
 */
export function checkAlgorithm(algorithm: Algorithm, numGenerations: number): void {
  const { name, kl, advantage } = algorithm;
  const byReward = advantage.kind === "fixed" || advantage.kind === "passAtK";
  if (kl?.where === "reward" && byReward) {
    throw new ConfigError(
      `algorithm: a rule that compares rewards expected for KL in the reward, got ${name}'s. Use where: "loss".`,
    );
  }
  if (advantage.kind === "passAtK" && advantage.k > numGenerations) {
    throw new ConfigError(
      `algorithm: k of at most numGenerations=${numGenerations} expected, got ${advantage.k} of ${name}. Draw more samples or lower k.`,
    );
  }
  if (advantage.kind === "gae" && algorithm.valueCoefficient === undefined) {
    throw new ConfigError(
      `algorithm: valueCoefficient: a number expected for ${name}, which learns values, got none. Write 0.5, as ppo.`,
    );
  }
  if (advantage.kind === "group" && advantage.baseline === "others" && advantage.virtualBest) {
    throw new ConfigError(
      `algorithm: advantage: a mean of the others or an imagined best sample expected, got both of ${name}. Leave one out.`,
    );
  }
  if (numGenerations === 1 && comparesGroup(algorithm) && learnsNothingAlone(algorithm)) {
    throw new ConfigError(
      `algorithm: numGenerations of at least 2 expected for ${name}, which compares the samples of a prompt, got 1. Give more samples of each prompt, or use nsr or w-reinforce, which judge each by itself.`,
    );
  }
}

/** Whether a prompt's only sample has advantage 0 or is left out, whatever its reward. */
function learnsNothingAlone({ advantage, dropZeroVariance }: Algorithm): boolean {
  return Boolean(dropZeroVariance) || [0, 1].every((r) => groupAdvantages([r], advantage)[0] === 0);
}

/** By the word that arms use; those with a number take one after a colon. */
export const ALGORITHMS: Readonly<Record<string, Algorithm | ((value?: number) => Algorithm)>> = {
  psr,
  nsr,
  "w-reinforce": wReinforce,
  "nsr-to-w": warmReinforce,
  reinforce,
  rloo,
  grpo,
  "grpo-kl": grpoKl,
  "dr-grpo": drGrpo,
  dapo,
  ppo,
  maxrl: maxRl,
  "pass-k": passKTraining,
  pkpo,
  asymre: asymRe,
  topr,
  ngrpo,
  unlikeliness,
  cispo,
  gspo,
};

const choice = number({ min: 0 });

/** The choices of an algorithm that may be changed one by one. */
const choices = {
  keep: oneOf("all", "right", "wrong"),
  aggregation: oneOf("token", "sequence", "constant"),
  normaliser: oneOf("kept", "all"),
  form: oneOf("ratio", "sequenceRatio", "log", "pi", "clippedLog", "truncatedLog"),
  clipLow: choice,
  clipHigh: choice,
  dualClip: number({ above: 1 }),
  kl: object<KlTerm>({
    estimator: oneOf("k1", "k2", "k3"),
    where: oneOf("loss", "reward"),
    coefficient: choice,
  }),
  entropy: object<EntropyTerm>({ coefficient: choice, target: optional(choice), rate: optional(choice) }),
  maskTruncated: boolean(),
  dropZeroVariance: boolean(),
  unlikeliness: choice,
  cutFirst: boolean(),
  epochs: integer({ min: 1, max: 1000 }),
  optimizer: oneOf("adamw", "sgd"),
  flip: boolean(),
};

/** The same rules for keys that may be missing. */
function optionalKeys<R extends Readonly<Record<string, Rule<unknown>>>>(rules: R) {
  return Object.fromEntries(Object.entries(rules).map(([key, rule]) => [key, optional(rule)])) as {
    [K in keyof R]: Rule<Infer<R[K]> | undefined>;
  };
}

const changes = object({ ...optionalKeys(choices), clip: withDefault(boolean(), true) });

const scheduled: Rule<Scheduled> = (value, path) =>
  typeof value === "object" && value !== null
    ? object<Exclude<Scheduled, number>>({ from: number(), to: number(), steps: choice })(value, path)
    : number()(value, path);

const share = number({ min: 0, max: 1 });

const record = object<Algorithm>({
  ...optionalKeys(choices),
  name: string(),
  advantage: variant<AdvantageRule>({
    fixed: { right: scheduled, wrong: scheduled },
    reward: {},
    group: {
      baseline: optional(oneOf("mean", "others")),
      scale: oneOf("std", "mean", "none"),
      eps: choice,
      shift: optional(number()),
      virtualBest: optional(boolean()),
    },
    passAtK: { k: integer({ min: 1 }), form: oneOf("training", "pkpo") },
    gae: { gamma: share, lambda: share, whiten: boolean() },
  }),
  keep: choices.keep,
  aggregation: choices.aggregation,
  normaliser: choices.normaliser,
  form: choices.form,
  clipLow: nullable(choices.clipLow),
  clipHigh: nullable(choices.clipHigh),
  dualClip: optional(nullable(choices.dualClip)),
  kl: optional(nullable(choices.kl)),
  entropy: optional(nullable(choices.entropy)),
  valueCoefficient: optional(choice),
  miniBatches: optional(miniBatchRule as Rule<MiniBatches>),
  flip: choices.flip,
});

/** What may be changed in a named algorithm; `clip: false` switches clipping off. */
export type AlgorithmChanges = Partial<Infer<typeof changes>>;

/**
 * An algorithm by name, with changes: `nsr`, `w-reinforce:0.2` and so on, see `ALGORITHMS`. Throws `ConfigError` for an
 * unknown name, with a suggestion.
 */
export function algorithmByName(text: string, given: AlgorithmChanges = {}): Algorithm {
  const [word, value, ...more] = typeof text === "string" ? text.toLowerCase().split(":") : [""];
  const found = Object.hasOwn(ALGORITHMS, word) ? ALGORITHMS[word] : undefined;
  const misplaced = value !== undefined && (typeof found !== "function" || !/^\d*\.?\d+$/.test(value));
  if (!found || misplaced || more.length > 0) {
    const names = Object.keys(ALGORITHMS);
    const remedy =
      typeof text === "string"
        ? didYouMean(word, names)
        : "Give the name, and what differs from that algorithm as changes.";
    throw new ConfigError(`algorithm: one of ${names.join(", ")} expected, got ${show(text)}. ${remedy}`);
  }
  const made = typeof found === "function" ? found(value === undefined ? undefined : Number(value)) : found;
  const { clip, ...rest } = validate("algorithm", changes, given);
  const set = Object.fromEntries(Object.entries(rest).filter(([, v]) => v !== undefined));
  return { ...made, ...set, ...(clip ? {} : { clipLow: null, clipHigh: null }) };
}

/** A record as it is, checked key by key; a name as `algorithmByName` reads it. Throws `ConfigError` for anything else. */
export function algorithmOf(op: string, given: Algorithm | string): Algorithm {
  if (typeof given === "string") return algorithmByName(given);
  if (typeof given === "object" && given !== null) {
    record(given, `${op}: algorithm`);
    return given;
  }
  const remedy =
    typeof given === "function" ? "Call it, as in wReinforce(0.1)." : 'Use nsr, or the name "nsr".';
  throw new ConfigError(`${op}: an algorithm record or name expected, got ${show(given)}. ${remedy}`);
}

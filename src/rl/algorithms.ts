/**
 * Algorithms as records of one masked-advantage loss. With token t of row i in the set K of kept rows:
 *
 *     loss = - 1/Z  sum_{i in K} sum_t  g(A_i, rho_it)          Z: the normaliser, see `Aggregation`
 *
 * What differs between PSR, NSR, W-REINFORCE, GRPO and their relatives is the estimator of A, which rows are kept, Z,
 * and the form of g; a record says all four.
 *
 * Source: arXiv 2506.01347, equations 3 to 6 and appendix C, and its code (RLVR-Decomposed); GRPO: arXiv 2402.03300.
 */
import { ConfigError } from "../tensor/errors.ts";
import { didYouMean } from "../tensor/suggest.ts";
import {
  boolean,
  type Infer,
  number,
  object,
  oneOf,
  optional,
  validate,
  withDefault,
} from "../tensor/validate.ts";

/** How rewards become advantages. `fixed` gives `right` to reward 1 and `wrong` to reward 0; `group` compares with the prompt's other samples. */
export type AdvantageRule =
  | { readonly kind: "fixed"; readonly right: number; readonly wrong: number }
  | {
      readonly kind: "group";
      /** Divide the difference from the group's mean by std + eps (sample deviation), or by nothing. */
      readonly scale: "std" | "none";
      readonly eps: number;
    };

/** Which rows enter the batch that the normaliser counts. */
export type Keep = "all" | "right" | "wrong";

/**
 * The normaliser Z: `token` all completion tokens; `sequence` each row's length times the number of rows; `constant`
 * the number of rows times maxCompletionLength.
 */
export type Aggregation = "token" | "sequence" | "constant";

/**
 * What of a token is pushed, with A its advantage: `ratio` min(A rho, A clip(rho)) with rho = pi/pi_old; `log` A log pi;
 * `pi` A pi, the form that the paper analyses (equations 7 and 8).
 */
export type LossForm = "ratio" | "log" | "pi";

/** One algorithm: plain data. */
export interface Algorithm {
  readonly name: string;
  readonly advantage: AdvantageRule;
  readonly keep: Keep;
  readonly aggregation: Aggregation;
  /** Rows that Z counts: the kept ones, or all of the mini-batch (a common normaliser for every algorithm). */
  readonly normaliser: "kept" | "all";
  readonly form: LossForm;
  /** Clipping range 1 - clipLow to 1 + clipHigh of the ratio; null: not clipped. */
  readonly clipLow: number | null;
  readonly clipHigh: number | null;
  /** Turns every advantage round: a control, which must unlearn. */
  readonly flip: boolean;
}

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
  if (!(lambda >= 0 && lambda < Number.POSITIVE_INFINITY)) {
    throw new ConfigError(
      `wReinforce: lambda: a finite number of at least 0 expected, got ${lambda}. The paper uses 0.1.`,
    );
  }
  return {
    ...COMMON,
    name: `W-REINFORCE ${lambda}`,
    advantage: { kind: "fixed", right: lambda, wrong: -1 },
  };
}

/** Group-relative policy optimization without a KL term. Source: arXiv 2402.03300, section 4.1. */
export const grpo: Algorithm = {
  ...COMMON,
  name: "GRPO",
  advantage: { kind: "group", scale: "std", eps: 1e-4 },
};

/** The same algorithm pushing the other way. */
export function flipped(algorithm: Algorithm): Algorithm {
  return { ...algorithm, name: `${algorithm.name} flipped`, flip: !algorithm.flip };
}

const KNOWN: Readonly<Record<string, (lambda?: number) => Algorithm>> = {
  psr: () => psr,
  nsr: () => nsr,
  "w-reinforce": wReinforce,
  grpo: () => grpo,
};

const choice = number({ min: 0 });
const changes = object({
  keep: optional(oneOf("all", "right", "wrong")),
  aggregation: optional(oneOf("token", "sequence", "constant")),
  normaliser: optional(oneOf("kept", "all")),
  form: optional(oneOf("ratio", "log", "pi")),
  clip: withDefault(boolean(), true),
  clipLow: optional(choice),
  clipHigh: optional(choice),
  flip: optional(boolean()),
});

/** What may be changed in a named algorithm; `clip: false` switches clipping off. */
export type AlgorithmChanges = Partial<Infer<typeof changes>>;

/**
 * An algorithm by name, with changes: `psr`, `nsr`, `w-reinforce` (lambda 0.1) or `w-reinforce:0.2`, `grpo`. Throws
 * `ConfigError` for an unknown name, with a suggestion.
 */
export function algorithmByName(text: string, given: AlgorithmChanges = {}): Algorithm {
  const [word, lambda] = text.toLowerCase().split(":");
  const make = Object.hasOwn(KNOWN, word) ? KNOWN[word] : undefined;
  if (!make || (lambda !== undefined && (word !== "w-reinforce" || !/^\d*\.?\d+$/.test(lambda)))) {
    throw new ConfigError(
      `algorithm: one of ${Object.keys(KNOWN).join(", ")} expected, got "${text.slice(0, 60)}". ${didYouMean(word, Object.keys(KNOWN))}`,
    );
  }
  const { clip, ...rest } = validate("algorithm", changes, given);
  const set = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined));
  return {
    ...make(lambda === undefined ? undefined : Number(lambda)),
    ...set,
    ...(clip ? {} : { clipLow: null, clipHigh: null }),
  };
}

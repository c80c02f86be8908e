/** Controls of an experiment that are a choice among words: what each writes into a configuration, and reads from one. */
import type { ExperimentChanges, ExperimentConfig } from "../../src/rl/presets.ts";

export interface ChoiceSetting {
  label: string;
  help: string;
  /** What the form says, by the word of the link. */
  options: Readonly<Record<string, string>>;
  read(config: ExperimentConfig): string;
  /** `size`: the setting `splitSize`. */
  write(word: string, size: number): ExperimentChanges;
}

/** A key of `algorithm`, which changes every arm; the first option leaves each as it is. `values` where they are no words. */
function ofAlgorithm(
  key: string,
  label: string,
  help: string,
  options: Record<string, string>,
  values: Record<string, unknown> = {},
): ChoiceSetting {
  const words = Object.keys(options);
  const valueFor = (word: string): unknown => values[word] ?? word;
  return {
    label,
    help,
    options,
    read: ({ algorithm }) => words.find((word) => valueFor(word) === algorithm[key]) ?? words[0],
    write: (word) => ({ algorithm: { [key]: valueFor(word) } }),
  };
}

const OWN = "unchanged";

export const CHOICES = {
  split: {
    label: "Mini-batches",
    help: "How a rollout is split into updates. A count gives every arm as many updates; rows give an arm that keeps fewer rows fewer updates, as in the paper's code.",
    options: { whole: "one", count: "matched count", rows: "by rows" },
    read: ({ train }) => train.miniBatches.kind,
    write: (kind, size) => {
      if (kind === "count") return { train: { miniBatches: { kind, count: size } } };
      if (kind === "rows") return { train: { miniBatches: { kind, rows: size } } };
      return { train: { miniBatches: { kind: "whole" } } };
    },
  },
  cut: {
    label: "Cut to kept rows",
    help: "PSR keeps right answers, NSR wrong ones. Before the split the kept rows fill fewer mini-batches; after it, each mini-batch has what is left of it.",
    options: { before: "before split", after: "after split" },
    read: ({ train }) => (train.cutFirst ? "before" : "after"),
    write: (word) => ({ train: { cutFirst: word === "before" } }),
  },
  normaliser: ofAlgorithm(
    "normaliser",
    "Normaliser",
    "Rows that the loss is divided by: the kept ones, or a rollout's, shared out evenly among its mini-batches. Cut after the split, or split by count, it is the same for every arm.",
    { own: OWN, kept: "kept rows", all: "all (common)" },
  ),
  clip: ofAlgorithm(
    "clip",
    "Clip",
    "Whether the ratio is clipped.",
    { own: OWN, off: "off" },
    { off: false },
  ),
  optimizer: ofAlgorithm(
    "optimizer",
    "Optimizer",
    "Adam rescales every weight's step, and with it what sets PSR and NSR apart. SGD wants a larger learning rate.",
    { adamw: "AdamW", sgd: "SGD" },
  ),
  form: ofAlgorithm(
    "form",
    "Form of the loss",
    "What of a token is pushed. The paper trains the ratio, whose push is 1 − π, and analyses π, whose push is π(1 − π).",
    { own: OWN, ratio: "ratio (trained)", log: "log π", pi: "π (analysed)" },
  ),
  aggregation: ofAlgorithm(
    "aggregation",
    "Mean over",
    "All tokens alike; each answer alike; or tokens over a constant length.",
    { own: OWN, token: "tokens", sequence: "sequences", constant: "a constant length" },
  ),
  noVariance: ofAlgorithm(
    "dropZeroVariance",
    "All right, all wrong",
    "Problems whose answers all earn the same reward: used as each algorithm does, or left out of everything.",
    { own: OWN, drop: "left out" },
    { drop: true },
  ),
} as const satisfies Record<string, ChoiceSetting>;

export type ChoiceKey = keyof typeof CHOICES;
export const CHOICE_KEYS = Object.keys(CHOICES) as ChoiceKey[];

/** The table with its rows as what they have in common. */
export function choice(key: ChoiceKey): ChoiceSetting {
  return CHOICES[key];
}

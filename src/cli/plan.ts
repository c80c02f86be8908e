/** `naysay plan`: the memory that a training step of a model takes, from its plan, with no device and nothing computed. */

import { type ProgramPlan, planTraining, type TrainingPlan } from "../bench/plan.ts";
import { SMALL, smallModel } from "../bench/smallModel.ts";
import { GPT2 } from "../bench/trainingStep.ts";
import { alignColumns } from "../eval/table.ts";
import { fromHuggingFace, MOST_SIZE, type ModelConfig } from "../model/config.ts";
import { ConfigError } from "../tensor/errors.ts";
import { didYouMean } from "../tensor/suggest.ts";
import { parseTier, TIERS } from "../tensor/tiers.ts";
import { argHelp, readArgs } from "./args.ts";
import { HELP, TIER } from "./commonFlags.ts";
import { files } from "./files.ts";

/** Models by name: their configuration for a context, and the batch and context that they are planned for by default. */
export const MODELS: Readonly<
  Record<string, { batch: number; context: number; config(context: number): ModelConfig }>
> = {
  // Of as many positions as are trained, as the benchmark's.
  gpt2: {
    batch: 1,
    context: 512,
    config: (context) => smallModel({ ...GPT2, batch: 1, maxPositions: context }),
  },
  "qwen3-0.6b": {
    batch: 1,
    context: 512,
    config: () =>
      fromHuggingFace({
        model_type: "qwen3",
        vocab_size: 151936,
        hidden_size: 1024,
        intermediate_size: 3072,
        num_hidden_layers: 28,
        num_attention_heads: 16,
        num_key_value_heads: 8,
        head_dim: 128,
        max_position_embeddings: 40960,
        rms_norm_eps: 1e-6,
        rope_theta: 1_000_000,
        tie_word_embeddings: true,
      }),
  },
  small: {
    batch: SMALL.batch,
    context: SMALL.maxPositions,
    config: (context) => smallModel({ ...SMALL, maxPositions: context }),
  },
};

const FLAGS = {
  batch: { kind: "integer", help: "rows (default 1; of the model small 8)", min: 1 },
  context: {
    kind: "integer",
    help: "tokens a row (default 512; of the model small 128)",
    min: 1,
    max: MOST_SIZE,
  },
  recompute: { kind: "flag", help: "compute each layer again in the backward pass, and keep less" },
  limit: {
    kind: "number",
    takes: "MiB",
    help: "what there is: says what to reduce where it is too little",
    min: 0,
  },
  tier: { ...TIER, help: "of the kernels", choices: TIERS.filter((t) => t !== "T4"), default: "T2" },
  json: { kind: "flag", help: "print one JSON object, sizes in bytes" },
  help: HELP,
} as const;

/** Runs the command; exit code 1 where the step does not fit. */
export async function run(argv: readonly string[]): Promise<number> {
  const { rest, ...args } = readArgs(argv, FLAGS, 1);
  if (args.help) {
    const names = Object.keys(MODELS).join(", ");
    console.log(
      `naysay plan [model] [flags]\nModels: ${names} (default gpt2), or a config.json of Hugging Face.\n${argHelp(FLAGS)}`,
    );
    return 0;
  }
  const name = rest[0] ?? "gpt2";
  const model = Object.hasOwn(MODELS, name) ? MODELS[name] : await fromFile(name);
  const { batch = model.batch, context = model.context, recompute } = args;
  const plan = planTraining(model.config(context), {
    batch,
    context,
    recompute,
    tier: parseTier(args.tier),
    limit: args.limit === undefined ? undefined : args.limit * 2 ** 20,
  });
  const what = { model: name, batch, context, recompute, tier: args.tier };
  console.log(args.json ? JSON.stringify({ ...what, ...plan }, null, 2) : text(what, plan, args.limit));
  return plan.refusal === null ? 0 : 1;
}

async function fromFile(path: string): Promise<(typeof MODELS)[string]> {
  if (!path.endsWith(".json")) {
    const names = Object.keys(MODELS);
    throw new ConfigError(
      `plan: ${names.join(", ")} or a path of a config.json expected, got "${path}". ${didYouMean(path, names)}`,
    );
  }
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder().decode(await files.readFile(path)));
  } catch (error) {
    throw new ConfigError(
      `plan: a config.json expected at ${path}, got ${(error as Error).message}. Check the path.`,
    );
  }
  const config = fromHuggingFace(json);
  return { batch: 1, context: Math.min(512, config.maxPositions), config: () => config };
}

const mib = (bytes: number): string => (bytes / 2 ** 20).toFixed(1);
const ratio = (planned: number, bound: number): string => (bound === 0 ? "-" : (planned / bound).toFixed(3));

function text(
  what: { model: string; batch: number; context: number; recompute: boolean; tier: string },
  plan: TrainingPlan,
  limit: number | undefined,
): string {
  const row = (p: ProgramPlan): string[] => [
    p.label,
    String(p.kernels),
    String(p.texts),
    mib(p.plannedBytes),
    mib(p.lowerBound),
    ratio(p.plannedBytes, p.lowerBound),
  ];
  const sizes = alignColumns([
    ["MiB of", ""],
    ["parameters", mib(plan.parameterBytes)],
    ["gradients", mib(plan.gradientBytes)],
    ["moments", mib(plan.momentBytes)],
    ["other constants", mib(plan.otherBytes)],
    // A sum without the program that is too large is none.
    ...(plan.unplanned.length > 0
      ? []
      : [
          ["temporaries", mib(plan.plannedBytes)],
          ["all", mib(plan.totalBytes)],
        ]),
  ]);
  const recomputed = what.recompute ? ", recomputed" : "";
  const head = [
    `${what.model}: a training step of ${what.batch} x ${what.context} tokens${recomputed}, tier ${what.tier}`,
    "",
    sizes,
    "",
  ];
  if (plan.unplanned.length > 0) return [...head, plan.refusal].join("\n");
  const programs = alignColumns([
    ["program", "dispatches", "texts", "planned MiB", "alive MiB", "ratio"],
    ...plan.programs.map(row),
  ]);
  const fullest = plan.programs.reduce((a, b) => (b.plannedBytes > a.plannedBytes ? b : a));
  const whole = (bytes: number): string => Math.ceil(bytes / 2 ** 20).toFixed(0);
  const fits = limit === undefined ? [] : ["", `fits: ${whole(plan.totalBytes)} of ${limit} MiB`];
  return [
    ...head,
    programs,
    "",
    `largest temporaries of ${fullest.label}, where most is alive:`,
    ...fullest.largest.map((line) => `  ${line}`),
    ...(plan.refusal === null ? fits : ["", plan.refusal]),
  ].join("\n");
}

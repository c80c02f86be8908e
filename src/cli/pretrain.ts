/**
 * `naysay pretrain`: makes a preset's base policy from nothing. Beside the checkpoint goes a JSON file with all it
 * takes to make it again, and what it can do on held-out problems.
 */

import { dirname } from "node:path";
import { passCurve } from "../eval/estimators.ts";
import { evaluate } from "../eval/harness.ts";
import { adapterSummary } from "../eval/summary.ts";
import { decodeCheckpoint, parametersFrom } from "../model/checkpoint.ts";
import { makeBase } from "../rl/makeBase.ts";
import { experimentConfig, PRESETS } from "../rl/presets.ts";
import { makeTask } from "../rl/taskTable.ts";
import { sharedPrograms } from "../rl/trainer.ts";
import { ConfigError } from "../tensor/errors.ts";
import { init } from "../tensor/init.ts";
import { Rng, Stream } from "../tensor/random.ts";
import { argHelp, readArgs } from "./args.ts";
import { HELP } from "./commonFlags.ts";
import { files } from "./files.ts";
import { duration } from "./progressText.ts";
import { versions } from "./record.ts";
import { abortOnSignals } from "./running.ts";
import { StatusLine } from "./statusLine.ts";

const FLAGS = {
  preset: {
    kind: "text",
    help: "whose task, model and recipe",
    default: "quick",
    choices: Object.keys(PRESETS),
  },
  seed: { kind: "integer", help: "of every random number", default: 1, min: 0 },
  steps: { kind: "integer", help: "instead of the recipe's", min: 0 },
  out: { kind: "text", help: "the checkpoint (default <preset>-base.safetensors)", takes: "file" },
  json: { kind: "flag", help: "print the record" },
  help: HELP,
} as const;

/** Runs the command; exit code 0 when the checkpoint and its record are written. */
export async function run(argv: readonly string[]): Promise<number> {
  const args = readArgs(argv, FLAGS);
  if (args.help) {
    console.log(`naysay pretrain\n${argHelp(FLAGS)}`);
    return 0;
  }
  const config = experimentConfig(
    args.preset,
    args.steps === undefined ? {} : { pretrain: { steps: args.steps } },
  );
  const out = args.out ?? `${args.preset}-base.safetensors`;
  if (!out.endsWith(".safetensors")) {
    throw new ConfigError(
      `--out: a name that ends in .safetensors expected, got "${out}". Give the file a name.`,
    );
  }
  const backend = await init();
  const status = new StatusLine(process.stderr);
  const abort = abortOnSignals("pretrain: stopped. Nothing was written: run the same command again.");
  const started = performance.now();
  const seconds = () => (performance.now() - started) / 1000;
  try {
    await files.mkdirp(dirname(out));
    const task = makeTask(config.task);
    const recipe = { task: config.task, model: config.model, pretrain: config.pretrain };
    const made = await makeBase({
      task,
      model: config.model,
      pretrain: config.pretrain,
      seed: args.seed,
      recipe,
      signal: abort.signal,
      onStep: ({ step, steps, loss }) =>
        status.show(
          `pretrain ${step}/${steps} · loss ${loss.toFixed(3)} · about ${duration((seconds() / step) * (steps - step))} left`,
        ),
    });
    await files.writeFileAtomic(out, made.bytes);
    const { prompts, samples } = config.evaluation;
    const heldOut = task.distinct(new Rng(args.seed, Stream.data), "heldOut", prompts);
    const shared = sharedPrograms(made.config, { rows: config.rows, scoreRows: config.scoreRows });
    const params = parametersFrom(decodeCheckpoint(made.bytes));
    const samplesPerCall = Math.min(config.train.numGenerations, samples);
    const { tallies } = await evaluate(
      shared.generator,
      params.tensors,
      heldOut.map(({ prompt }) => prompt),
      {
        samples,
        samplesPerCall,
        seed: args.seed,
        maxCompletionLength: task.maxCompletionLength,
        promptLength: task.promptLength,
        eosTokenId: task.tokenizer.eos,
        padTokenId: task.tokenizer.pad,
        isRight: (i, completion) => task.verify(heldOut[i].prompt, Array.from(completion)).reward === 1,
        signal: abort.signal,
        onProgress: (share) => status.show(`evaluate ${Math.round(share * 100)} %`),
      },
    );
    const record = {
      command: ["naysay pretrain", ...argv].join(" "),
      recipe,
      seed: args.seed,
      steps: config.pretrain.steps,
      finalLoss: made.finalLoss,
      heldOut: {
        prompts,
        samples,
        passAtK: Object.fromEntries(passCurve(tallies).map(({ k, pass }) => [k, pass])),
      },
      weightsSha256: made.sha256,
      adapter: adapterSummary(backend.device.info),
      versions: versions(backend.tuning),
      seconds: Math.round(seconds()),
    };
    const text = `${JSON.stringify(record, null, 2)}\n`;
    await files.writeFileAtomic(out.replace(/\.safetensors$/, ".json"), new TextEncoder().encode(text));
    status.clear();
    const curve = passCurve(tallies);
    const [first, last] = [curve[0], curve[curve.length - 1]];
    console.log(
      args.json
        ? text
        : `${out}: loss ${made.finalLoss.toFixed(4)}, held-out pass@${first.k} ${first.pass.toFixed(3)}, pass@${last.k} ${last.pass.toFixed(3)}, ${duration(seconds())}`,
    );
    params.dispose();
    shared.dispose();
    return 0;
  } finally {
    status.clear();
    abort.off();
    backend.destroy();
  }
}

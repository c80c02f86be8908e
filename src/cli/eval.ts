/** `naysay eval`: everything that samples can tell of one checkpoint on a task's held-out problems. */

import { type PolicyReport, policyReport } from "../eval/policyReport.ts";
import { adapterSummary } from "../eval/summary.ts";
import { alignColumns } from "../eval/table.ts";
import { type DecodedCheckpoint, decodeCheckpoint, parametersFrom } from "../model/checkpoint.ts";
import { type EvaluationConfig, evaluationRules } from "../rl/evaluationConfig.ts";
import { checkMeasurable, measurePolicy } from "../rl/measure.ts";
import { configWords } from "../rl/studyConfig.ts";
import type { Problem, Task } from "../rl/task.ts";
import { makeTask, taskNames } from "../rl/taskTable.ts";
import { sharedPrograms } from "../rl/trainer.ts";
import { CheckpointError, ConfigError } from "../tensor/errors.ts";
import { Rng, Stream, seedWords } from "../tensor/random.ts";
import { validate } from "../tensor/validate.ts";
import { argHelp, readArgs } from "./args.ts";
import { HELP } from "./commonFlags.ts";
import { files } from "./files.ts";
import { madeFrom, readJsonObject } from "./jsonFile.ts";
import { versions } from "./record.ts";
import { abortOnSignals, open } from "./running.ts";
import { StatusLine } from "./statusLine.ts";

const FLAGS = {
  checkpoint: { kind: "text", help: "safetensors of a run or of naysay pretrain", takes: "file" },
  task: {
    kind: "text",
    help: "whose held-out problems (default: what the checkpoint was trained on)",
    choices: taskNames,
  },
  "task-config": { kind: "text", help: "JSON file with the task's configuration", takes: "file" },
  prompts: { kind: "integer", help: "held-out problems (default: 32, or all where there are fewer)", min: 1 },
  samples: { kind: "integer", help: "of each problem: n of Pass@k", default: 256, min: 1 },
  temperature: { kind: "number", help: "divides the logits", default: 1 },
  "top-k": { kind: "integer", help: "only the likeliest tokens; 0 is all", default: 0, min: 0 },
  "top-p": { kind: "number", help: "only the likeliest tokens of this mass", default: 1 },
  exact: { kind: "flag", help: "exact Pass@k beside the sampled, from all right answers" },
  seed: { kind: "integer", help: "of problems and samples", default: 1, min: 0 },
  rows: { kind: "integer", help: "rows that decode together", default: 128, min: 1 },
  json: { kind: "flag", help: "print the whole record as JSON" },
  help: HELP,
} as const;

/** Runs the command; exit code 0 when the estimates are printed. */
export async function run(argv: readonly string[]): Promise<number> {
  const args = readArgs(argv, FLAGS);
  if (args.help) {
    console.log(`naysay eval --checkpoint <file>\n${argHelp(FLAGS)}`);
    return 0;
  }
  if (args.checkpoint === undefined) {
    throw new ConfigError(
      "--checkpoint: a file expected, got none. Take one of runs/<preset>/checkpoints, or make one with naysay pretrain.",
    );
  }
  const base = decodeCheckpoint(await files.readFile(args.checkpoint));
  const taskConfig = taskOf(base, args.task, args["task-config"]);
  const task = madeFrom(
    "--task-config",
    args["task-config"],
    { changes: taskConfig, others: { name: taskConfig.name } },
    makeTask,
  );
  const needed = task.promptLength + task.maxCompletionLength;
  if (base.config.vocabSize !== task.tokenizer.vocabSize || base.config.maxPositions < needed) {
    throw new ConfigError(
      `eval: a model of ${task.tokenizer.vocabSize} tokens and at least ${needed} positions expected for ${task.name}, got ${base.config.vocabSize} and ${base.config.maxPositions}. Name the task that it was trained on, with --task-config.`,
    );
  }
  const own = base.metadata.get("tokenizer");
  if (own !== undefined && own !== JSON.stringify(task.tokenizer.toJSON())) {
    throw new ConfigError(
      `eval: a task with the checkpoint's own tokens expected, got ${task.name} with others. Name the task that it was trained on, with --task-config.`,
    );
  }
  const problems = heldOut(task, args.prompts, args.seed);
  const evaluation: EvaluationConfig = validate("eval", evaluationRules, {
    prompts: problems.length,
    samples: args.samples,
    temperature: args.temperature,
    topK: args["top-k"],
    topP: args["top-p"],
  });
  // Before the samples are drawn, which takes longer.
  if (args.exact) checkMeasurable(task, { ...evaluation, exact: true });
  const { device, tuning, destroy } = await open();
  const status = new StatusLine(process.stderr);
  const abort = abortOnSignals("eval: stopped. Run the same command again for its numbers.");
  try {
    const samplesPerCall = Math.min(8, args.samples, args.rows);
    const shared = sharedPrograms(base.config, { rows: args.rows, scoreRows: Math.min(args.rows, 128) });
    const params = parametersFrom(base);
    const options = {
      task,
      problems,
      shared,
      seed: seedWords(args.seed),
      samplesPerCall,
      promptsPerCall: Math.max(1, Math.floor(args.rows / samplesPerCall)),
      signal: abort.signal,
      onProgress: (share: number) => status.show(`evaluate ${Math.round(share * 100)} %`),
    };
    const sampled = await measurePolicy(params, { ...options, evaluation });
    const exact = args.exact
      ? await measurePolicy(params, { ...options, evaluation: { ...evaluation, exact: true } })
      : undefined;
    if (!Number.isFinite(sampled.measurement.entropy)) {
      throw new CheckpointError(
        `eval: a policy with finite probabilities expected, got NaN from ${args.checkpoint}. Its weights are not finite: take an earlier checkpoint.`,
      );
    }
    const report = policyReport(sampled.measurement, sampled.judged, exact?.measurement);
    params.dispose();
    shared.dispose();
    status.clear();
    const record = {
      command: ["naysay eval", ...argv].join(" "),
      checkpoint: args.checkpoint,
      task: taskConfig,
      evaluation,
      seed: args.seed,
      ...report,
      adapter: adapterSummary(device.info),
      versions: versions(tuning),
    };
    const head = `${args.checkpoint} · ${configWords({ task: taskConfig.name, ...taskConfig.config })} · seed ${args.seed}`;
    console.log(args.json ? JSON.stringify(record, null, 2) : `${head}\n\n${evalText(report, evaluation)}`);
    return 0;
  } finally {
    status.clear();
    abort.off();
    destroy();
  }
}

/** Held-out problems without `--prompts`. */
const PROMPTS = 32;

/** As many held-out problems as asked for; else `PROMPTS` or all. Throws `ConfigError` for more than there are. */
function heldOut(task: Task, asked: number | undefined, seed: number): Problem[] {
  const draw = (count: number) => task.distinct(new Rng(seed, Stream.data), "heldOut", count);
  try {
    return draw(asked ?? PROMPTS);
  } catch (cause) {
    if (asked !== undefined && cause instanceof ConfigError)
      throw new ConfigError(`--prompts: ${cause.message}`, { cause });
    if (!(cause instanceof ConfigError)) throw cause;
  }
  // Tasks that draw their problems do not know how many there are.
  let [enough, tooMany] = [1, PROMPTS];
  while (tooMany - enough > 1) {
    const count = Math.floor((enough + tooMany) / 2);
    try {
      draw(count);
      enough = count;
    } catch {
      tooMany = count;
    }
  }
  return draw(enough);
}

interface NamedTask {
  name: string;
  config?: Record<string, unknown>;
}

/** The task that the flags name, or the one in the checkpoint's metadata. */
function taskOf(base: DecodedCheckpoint, name: string | undefined, path: string | undefined): NamedTask {
  const known = taskInside(base);
  if (known && name === undefined && !taskNames.includes(known.name)) {
    throw new ConfigError(
      `eval: a checkpoint of one of the tasks ${taskNames.join(", ")} expected, got one of "${known.name}". A task of your own is code: measure it with evaluate() (docs/tasks.md).`,
    );
  }
  const config = path === undefined ? undefined : readJsonObject("--task-config", path, '{ "count": 4 }');
  if (name !== undefined && (config !== undefined || name !== known?.name)) return { name, config };
  if (known) return config === undefined ? known : { ...known, config };
  throw new ConfigError(
    `--task: a task expected, got none, and the checkpoint does not say what it was trained on. Known: ${taskNames.join(", ")}. A task of your own is code: measure it with evaluate() (docs/tasks.md).`,
  );
}

function taskInside({ metadata }: DecodedCheckpoint): NamedTask | undefined {
  try {
    const own = metadata.get("task");
    const found = own ? JSON.parse(own) : JSON.parse(metadata.get("recipe") ?? "{}").task;
    return typeof found?.name === "string" ? found : undefined;
  } catch {
    return undefined; // Metadata of another program.
  }
}

/** The estimates as a table by k, and a line of the rest. */
export function evalText(
  report: PolicyReport,
  { temperature }: Pick<EvaluationConfig, "temperature">,
): string {
  // Samples say nothing of a larger k than there are of them; probabilities do.
  const sampled = Object.keys(report.passAtK);
  const { exactPassAtK, maxAtK: best } = report;
  const ks = Object.keys(exactPassAtK ?? report.passAtK);
  const percent = (value: number) => (value * 100).toFixed(1);
  const row = (name: string, of: (k: string) => number) => [name, ...sampled.map((k) => percent(of(k)))];
  const ends = (name: string, intervals: PolicyReport["passAtK"]) => [
    name,
    ...Object.values(intervals).map(({ low, high }) => `${percent(low)}-${percent(high)}`),
  ];
  const rows = [
    ["in per cent", ...ks.map((k) => `k=${k}`)],
    row("Pass@k", (k) => report.passAtK[k].mean),
    ends("  95 %", report.passAtK),
  ];
  if (exactPassAtK) {
    rows.push(
      ["Pass@k, exact", ...ks.map((k) => percent(exactPassAtK[k].mean))],
      ends("  95 %", exactPassAtK),
    );
  }
  rows.push(
    row("maj@k", (k) => report.majAtK[k]),
    row("pass^k", (k) => report.passHatK[k]),
    ...Object.entries(report.gPassAtK).map(([tau, byK]) => row(`G-Pass@k, ${tau}`, (k) => byK[k])),
  );
  if (best) rows.push(row("max@k", (k) => best[k]));
  const { mean, standardError } = report.meanAtK;
  const facts = [
    `${report.problems} problems, ${report.samples} samples each at T = ${temperature}`,
    `mean reward ${mean.toFixed(3)}${Number.isFinite(standardError) ? ` (standard error ${standardError.toFixed(3)})` : ""}`,
    `entropy ${report.entropy.toFixed(3)} nats at T = 1${temperature === 1 ? "" : `, ${report.samplingEntropy.toFixed(3)} at T = ${temperature}`}`,
    ...(report.modeCoverage === undefined ? [] : [`modes seen ${percent(report.modeCoverage)} %`]),
    ...(report.verifierFailures === 0 ? [] : [`the verifier failed on ${report.verifierFailures} samples`]),
  ];
  return `${alignColumns(rows)}\n\n${facts.join(" · ")}`;
}

/**
 * What a policy does on held-out problems: right answers among its samples, or their exact probability where the task
 * can list them; the solution modes that it still reaches; its entropy.
 */
import { powersOfTwo } from "../eval/estimators.ts";
import { rightMass } from "../eval/exact.ts";
import { evaluate, type JudgedSamples } from "../eval/harness.ts";
import type { Measurement } from "../eval/measurement.ts";
import { packRows } from "../model/sequences.ts";
import type { FlatTensors } from "../tensor/create.ts";
import { ConfigError } from "../tensor/errors.ts";
import type { Seed } from "../tensor/random.ts";
import { show } from "../tensor/validate.ts";
import type { EvaluationConfig } from "./evaluationConfig.ts";
import { judge } from "./judge.ts";
import { ASKED_AT_ONCE, inPool, VERIFIER_TIMEOUT } from "./rollout.ts";
import { maskedMean } from "./stepMetrics.ts";
import type { AnyTask, Problem } from "./task.ts";
import type { SharedPrograms } from "./trainer.ts";

export interface MeasureOptions {
  task: AnyTask;
  problems: readonly Problem[];
  shared: SharedPrograms;
  seed: Seed;
  evaluation: EvaluationConfig;
  /** The shape of the generator's calls; those of a training rollout share its programs. */
  samplesPerCall: number;
  promptsPerCall: number;
  /** Most milliseconds to wait for a verifier that answers later. Default 10,000. */
  verifierTimeout?: number;
  signal?: AbortSignal;
  gate?(): Promise<void> | void;
  onProgress?(share: number): void;
}

/** Ks of Pass@k: powers of two up to the largest asked for, and to the samples where it is sampled. */
export function ksOf({ exact, samples, maxK }: EvaluationConfig): number[] {
  return powersOfTwo(exact ? maxK : samples, maxK);
}

/** Throws `ConfigError` where the task cannot be measured as the configuration asks. */
export function checkMeasurable(task: AnyTask, evaluation: EvaluationConfig): void {
  if (!evaluation.exact) {
    if (evaluation.alsoTemperatures.length === 0) return;
    throw new ConfigError(
      "evaluation.alsoTemperatures: exact: true expected beside it, got false. Set exact, or evaluate once more with another temperature.",
    );
  }
  if (!task.answers) {
    throw new ConfigError(
      `evaluation.exact: a task that lists its answers expected, got ${task.name}, which has no answers(). Set exact: false.`,
    );
  }
  if (evaluation.topK !== 0 || evaluation.topP !== 1) {
    throw new ConfigError(
      `evaluation.exact: topK 0 and topP 1 expected, got ${evaluation.topK} and ${evaluation.topP}. Exact Pass@k is that of plain sampling: set exact: false.`,
    );
  }
}

/** Prompts whose answers a task was asked about: every arm meets the same ones. */
const verified = new WeakMap<AnyTask, Set<string>>();

/**
 * Before an exact evaluation, puts every listed answer to the task's own verifier, once in a process: exact Pass@k sums what is
 * listed. Throws `ConfigError` for an answer that does not earn 1, and for a problem without one.
 */
export async function checkAnswers({
  task,
  problems,
  evaluation,
  verifierTimeout = VERIFIER_TIMEOUT,
  signal,
}: Pick<MeasureOptions, "task" | "problems" | "evaluation" | "verifierTimeout" | "signal">): Promise<void> {
  if (!evaluation.exact) return;
  const known = verified.get(task) ?? new Set();
  verified.set(task, known);
  const asked = problems.filter(({ prompt }) => !known.has(prompt.join()));
  const text = (tokens: readonly number[]) => show(task.tokenizer.decode(tokens));
  const listed = asked.flatMap((problem) => {
    const { prompt } = problem;
    const answers = Array.from(task.answers?.(problem) ?? [], (answer) => ({ prompt, answer }));
    if (answers.length > 0) return answers;
    throw new ConfigError(
      `evaluation.exact: every right answer of ${text(prompt)} expected, got none from ${task.name}. List them in answers(), leave the prompt out, or set exact: false.`,
    );
  });
  // One that is too long cannot be drawn: it counts 0, and no verifier would take it.
  const drawable = listed.filter(({ answer }) => answer.length <= task.maxCompletionLength);
  await inPool(drawable.length, ASKED_AT_ONCE, signal, async (i) => {
    const { prompt, answer } = drawable[i];
    const { reward, reason, failure } = await judge(task, prompt, answer, verifierTimeout);
    if (reward === 1 || failure !== undefined) return; // a failure is no word on the answer
    throw new ConfigError(
      `evaluation.exact: listed answers that earn 1 expected, got ${text(answer)} of ${text(prompt)}, which earns ${reward} (${reason}). Check answers() and verify() of ${task.name}, or set exact: false.`,
    );
  });
  for (const { prompt } of asked) known.add(prompt.join());
}

/** Measures a policy; the same numbers run after run. Also gives what was said of each sample. Throws what the checks above throw. */
export async function measurePolicy(
  params: FlatTensors,
  options: MeasureOptions,
): Promise<{ measurement: Measurement; judged: JudgedSamples[] }> {
  const { task, evaluation, onProgress } = options;
  checkMeasurable(task, evaluation);
  const { exact, temperature, alsoTemperatures } = evaluation;
  await checkAnswers(options);
  const samples = exact ? Math.min(evaluation.entropySamples, evaluation.samples) : evaluation.samples;
  const sampleShare = exact ? 1 / (2 + alsoTemperatures.length) : 1;
  const drawn = await drawSamples(params, options, samples, (share) => onProgress?.(share * sampleShare));
  const measurement: Measurement = { entropy: drawn.entropy };
  if (drawn.samplingEntropy !== undefined) measurement.samplingEntropy = drawn.samplingEntropy;
  if (drawn.failures > 0) measurement.verifierFailures = drawn.failures;
  if (!exact) {
    measurement.tallies = drawn.tallies;
    const modes = sampledModes(options.problems, drawn.judged, task);
    if (modes) measurement.modes = modes;
    return { measurement, judged: drawn.judged };
  }
  const at = (done: number) => (share: number) => onProgress?.((1 + done + share) * sampleShare);
  const found = await exactModes(params, options, temperature, at(0));
  measurement.rightMass = found.mass;
  if (found.modes) measurement.modes = found.modes;
  if (alsoTemperatures.length > 0) {
    measurement.also = [];
    for (const [i, other] of alsoTemperatures.entries()) {
      const { mass } = await exactModes(params, options, other, at(1 + i));
      measurement.also.push({ temperature: other, rightMass: mass });
    }
  }
  return { measurement, judged: drawn.judged };
}

async function drawSamples(
  params: FlatTensors,
  options: MeasureOptions,
  samples: number,
  onProgress: (share: number) => void,
) {
  const { task, problems, shared, evaluation, verifierTimeout = VERIFIER_TIMEOUT } = options;
  const { temperature, topK, topP } = evaluation;
  const entropySamples = Math.min(evaluation.entropySamples, samples);
  const kept: Uint32Array[] = new Array(problems.length * entropySamples);
  const prompts = problems.map(({ prompt }) => prompt);
  let failures = 0;
  const { tallies, judged } = await evaluate(shared.generator, params.tensors, prompts, {
    samples,
    samplesPerCall: Math.min(options.samplesPerCall, samples),
    promptsPerCall: options.promptsPerCall,
    temperature,
    topK,
    topP,
    seed: options.seed,
    maxCompletionLength: task.maxCompletionLength,
    promptLength: task.promptLength,
    eosTokenId: task.tokenizer.eos,
    padTokenId: task.tokenizer.pad,
    signal: options.signal,
    gate: options.gate,
    judge(prompt, tokens, sample) {
      const completion = Array.from(tokens);
      if (sample < entropySamples) kept[prompt * entropySamples + sample] = tokens.slice();
      const said = (verdict: { reward: number; failure?: string }) => {
        if (verdict.failure !== undefined) failures++;
        const right = verdict.reward >= 1;
        return {
          reward: verdict.reward,
          answer: task.tokenizer.decode(completion),
          mode: right ? (task.modeOf?.(problems[prompt], completion) ?? null) : null,
        };
      };
      const verdict = judge(task, prompts[prompt], completion, verifierTimeout);
      return verdict instanceof Promise ? verdict.then(said) : said(verdict);
    },
    onProgress,
  });
  const batch = packRows(
    kept.map((_, i) => prompts[Math.floor(i / entropySamples)]),
    kept,
    {
      promptLength: task.promptLength,
      completionLength: task.maxCompletionLength,
      padTokenId: task.tokenizer.pad,
    },
  );
  const entropyAt = async (t: number) => {
    const scores = await shared.scorer.score(params.tensors, batch, t);
    return maskedMean(scores.entropy, batch.completionMask);
  };
  return {
    tallies,
    judged,
    failures,
    entropy: await entropyAt(1),
    samplingEntropy: temperature === 1 ? undefined : await entropyAt(temperature),
  };
}

/** Right samples of each accepted mode; those in no mode count in none. */
function sampledModes(
  problems: readonly Problem[],
  judged: readonly JudgedSamples[],
  task: AnyTask,
): number[][] | undefined {
  if (!task.modeOf) return undefined;
  return problems.map(({ modes }, i) =>
    modes.map((mode) => judged[i].modes.reduce((count, one) => count + (one === mode ? 1 : 0), 0)),
  );
}

/** Probability of right answers by problem, and by its modes; an answer in no mode counts in the first alone. */
async function exactModes(
  params: FlatTensors,
  { task, problems, shared, gate, signal }: MeasureOptions,
  temperature: number,
  onProgress: (share: number) => void,
): Promise<{ mass: number[]; modes?: number[][] }> {
  // A part: the answers of one problem in one mode, or in none.
  const parts: { problem: number; mode: string | null; answers: (readonly number[])[] }[] = [];
  for (const [problem, posed] of problems.entries()) {
    const byMode = new Map<string | null, (readonly number[])[]>();
    for (const answer of task.answers?.(posed) ?? []) {
      const mode = task.modeOf?.(posed, answer) ?? null;
      const list = byMode.get(mode);
      if (list) list.push(answer);
      else byMode.set(mode, [answer]);
    }
    for (const [mode, answers] of byMode) parts.push({ problem, mode, answers });
  }
  const found = await rightMass(
    shared.scorer,
    params.tensors,
    parts.map(({ problem, answers }) => ({ prompt: problems[problem].prompt, answers })),
    {
      maxCompletionLength: task.maxCompletionLength,
      eosTokenId: task.tokenizer.eos,
      padTokenId: task.tokenizer.pad,
      promptLength: task.promptLength,
      temperature,
      gate,
      signal,
      onProgress: (done) => onProgress(done / parts.length),
    },
  );
  const mass = problems.map(() => 0);
  const modes = problems.map((problem) => problem.modes.map(() => 0));
  parts.forEach(({ problem, mode }, i) => {
    mass[problem] = Math.min(1, mass[problem] + found[i].mass);
    const at = mode === null ? -1 : problems[problem].modes.indexOf(mode);
    if (at >= 0) modes[problem][at] += found[i].mass;
  });
  return task.modeOf ? { mass, modes } : { mass };
}

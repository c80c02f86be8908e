/**
 * Policies in the worker, to be sampled from and to learn from what a user says of the samples. A copy of weights and
 * moments is kept on the host after every update, so that a lost device costs nothing but time.
 */
import { decodeCheckpoint, encodeCheckpoint, parametersFrom, writeWeights } from "../model/checkpoint.ts";
import { modelDifference } from "../model/config.ts";
import { Distributions } from "../model/distributions.ts";
import { Generator } from "../model/generate.ts";
import { countParameters } from "../model/parameters.ts";
import { Scorer } from "../model/scoring.ts";
import { packRows } from "../model/sequences.ts";
import { Tokenizer, type TokenizerJson } from "../model/tokenizer.ts";
import { Transformer } from "../model/transformer.ts";
import { planUpdates } from "../rl/advantages.ts";
import { type Algorithm, comparesGroup } from "../rl/algorithm.ts";
import { algorithmByName, checkAlgorithm } from "../rl/algorithms.ts";
import { Learner } from "../rl/learner.ts";
import { completionOf } from "../rl/rollout.ts";
import { trainerState } from "../rl/trainerState.ts";
import type { FlatTensors } from "../tensor/create.ts";
import { CheckpointError, ConfigError } from "../tensor/errors.ts";
import { number, show } from "../tensor/validate.ts";
import type { WebGpuBackend } from "../tensor/webgpu.ts";
import { type DeviceKeeper, isLost } from "./deviceKeeper.ts";
import type {
  Completion,
  DistributionRequest,
  GenerateRequest,
  LearnRequest,
  LearnResult,
  PolicyInfo,
  PolicyRequest,
  ScoreRequest,
  TextOrTokens,
  TokensEvent,
} from "./protocol.ts";
import type { CallContext } from "./rpc.ts";

/** What lives on one device. */
interface Resident {
  backend: WebGpuBackend;
  params: FlatTensors;
  model: Transformer;
  generator: Generator;
  scorer: Scorer;
  distributions: Distributions;
  /** Of one loss and optimizer, which `terms` names: others have programs of their own. */
  learner: Learner | null;
  terms: string;
}

const TOKENIZER_KEY = "tokenizer";
const UPDATES_KEY = "naysay.policy.updates";

/** One policy. Calls are answered one after another. */
export class Policy {
  private readonly keeper: DeviceKeeper;
  private readonly rows: number;
  private readonly microBatchRows: number;
  private readonly tokenizer: Tokenizer | null;
  /** The last complete state: weights, moments, count of updates. */
  private saved: Uint8Array;
  private updates: number;
  private readonly vocabSize: number;
  private readonly maxPositions: number;
  private resident: Resident | null = null;
  private last: Promise<unknown> = Promise.resolve();
  private closed = false;

  /** Checks the checkpoint; throws `CheckpointError`. Nothing is put on the device yet. */
  constructor(keeper: DeviceKeeper, request: PolicyRequest) {
    const decoded = decodeCheckpoint(request.checkpoint);
    this.keeper = keeper;
    this.rows = request.rows ?? 16;
    this.microBatchRows = request.microBatchRows ?? 8;
    this.saved = request.checkpoint;
    this.vocabSize = decoded.config.vocabSize;
    this.maxPositions = decoded.config.maxPositions;
    this.updates = updatesOf(decoded.metadata);
    this.tokenizer = tokenizerOf(request.tokenizer, decoded.metadata.get(TOKENIZER_KEY));
    if (this.tokenizer && this.tokenizer.vocab.length > decoded.config.vocabSize) {
      throw new ConfigError(
        `policy: a tokenizer of at most vocabSize=${decoded.config.vocabSize} tokens expected, got ${this.tokenizer.vocab.length}. Use the tokenizer that belongs to the checkpoint.`,
      );
    }
  }

  info(): Promise<PolicyInfo> {
    return this.inTurn(async ({ model }) => ({
      config: model.config,
      parameters: countParameters(model.config),
      vocab: [...(this.tokenizer?.vocab ?? [])],
      updates: this.updates,
    }));
  }

  /** Samples completions; tokens go out as they come. */
  generate(request: GenerateRequest, context: CallContext): Promise<Completion[]> {
    const { prompts, streamEvery = 1, ...options } = request;
    const eosTokenId = request.eosTokenId ?? this.tokenizer?.eos;
    const padTokenId = this.tokenizer?.pad ?? 0;
    // What each row has sent: a device that is lost draws the same tokens again, and they are sent once.
    const sent = new Map<number, number[]>();
    return this.inTurn(async ({ generator, params }) => {
      const generated = await generator.generate(
        params.tensors,
        prompts.map((prompt) => this.tokens(prompt)),
        {
          ...options,
          streamEvery,
          eosTokenId,
          padTokenId,
          signal: context.signal,
          onTokens: ({ row, rows, from, to, tokens }) => {
            for (let r = 0; r < rows; r++) {
              const had = sent.get(row + r) ?? [];
              if (had.length < from || (eosTokenId !== undefined && had.at(-1) === eosTokenId)) continue;
              const mine = Array.from(tokens.subarray(r * (to - from), (r + 1) * (to - from)));
              const end = eosTokenId === undefined ? -1 : mine.indexOf(eosTokenId);
              const fresh = (end < 0 ? mine : mine.slice(0, end + 1)).slice(had.length - from);
              if (fresh.length === 0) continue;
              const all = [...had, ...fresh];
              sent.set(row + r, all);
              // The pieces of text add up to the completion's, spaces between symbols among them.
              const text = this.text(all).slice(this.text(had).length);
              const event: TokensEvent = { row: row + r, from: had.length, tokens: fresh, text };
              context.emit(event);
            }
          },
        },
      );
      return Array.from({ length: generated.rows }, (_, row) => {
        const tokens = Array.from(completionOf(generated, row));
        const at = row * generated.maxCompletionLength;
        return {
          prompt: Math.floor(row / generated.numGenerations),
          tokens,
          text: this.text(tokens),
          logProbs: Array.from(generated.logProbs.subarray(at, at + tokens.length)),
          finished: generated.finished[row] === 1,
        };
      });
    });
  }

  /** One update from judged completions. */
  learn(request: LearnRequest): Promise<LearnResult> {
    const algorithm = algorithmByName(request.algorithm ?? "nsr", request.changes);
    const { examples, learningRate, numGenerations = 1, weightDecay = 0, maxGradNorm = 1 } = request;
    checkAlgorithm(algorithm, numGenerations);
    checkTeachable(algorithm);
    number({ min: 0 })(learningRate, "policy.learn: learningRate");
    for (const [i, { reward }] of examples.entries()) {
      if (!(typeof reward === "number" && reward >= 0 && reward <= 1)) {
        throw new ConfigError(
          `policy.learn: examples[${i}].reward: a number in [0, 1] expected, got ${show(reward)}. 1 is right, 0 is wrong.`,
        );
      }
    }
    return this.inTurn(async (resident) => {
      const prompts = examples.map(({ prompt }) => this.tokens(prompt));
      const completions = examples.map(({ completion }) => this.completionTokens(completion));
      const nothing: LearnResult = { updates: this.updates, learned: false, loss: null, gradNorm: null };
      if (examples.length === 0) return nothing;
      if (comparesGroup(algorithm)) checkGroups(prompts, numGenerations, algorithm.name);
      const batch = packRows(prompts, completions, { padTokenId: this.tokenizer?.pad });
      const lengths = completions.map((c) => c.length);
      const { logProbs } = await resident.scorer.score(resident.params.tensors, batch);
      const width = batch.completionLength;
      const rowLogProbs = lengths.map((n, row) =>
        logProbs.subarray(row * width, row * width + n).reduce((sum, l) => sum + l, 0),
      );
      const [plan] = planUpdates(
        examples.map(({ reward }) => reward),
        lengths,
        {
          algorithm,
          numGenerations,
          maxCompletionLength: batch.completionLength,
          miniBatches: { kind: "whole" },
          cutFirst: true,
          facts: { logProbs: rowLogProbs, step: this.updates + 1 },
        },
      );
      if (!plan) return nothing;
      const learner = this.learnerFor(resident, algorithm);
      const done = await learner.update(
        {
          batch,
          rows: plan.rows,
          weights: plan.weights,
          divisors: plan.divisors,
          oldLogProbs: logProbs,
          clipLow: algorithm.clipLow,
          clipHigh: algorithm.clipHigh,
          dualClip: algorithm.dualClip,
          entropyCoefficient: algorithm.entropy?.coefficient,
        },
        { lr: learningRate, weightDecay, maxGradNorm: maxGradNorm ?? undefined },
      );
      this.updates = learner.updates;
      this.saved = await this.encode(resident);
      return {
        updates: this.updates,
        learned: true,
        loss: done?.loss ?? null,
        gradNorm: done?.gradNorm ?? null,
      };
    });
  }

  /** Log-probabilities of the tokens of given completions, nats. */
  score({ examples, temperature = 1 }: ScoreRequest): Promise<number[][]> {
    return this.inTurn(async ({ scorer, params }) => {
      if (examples.length === 0) return [];
      const completions = examples.map(({ completion }) => this.completionTokens(completion));
      const prompts = examples.map(({ prompt }) => this.tokens(prompt));
      const batch = packRows(prompts, completions, { padTokenId: this.tokenizer?.pad });
      const { logProbs } = await scorer.score(params.tensors, batch, temperature);
      const width = batch.completionLength;
      return completions.map(({ length }, row) =>
        Array.from(logProbs.subarray(row * width, row * width + length)),
      );
    });
  }

  /** Probabilities of the next token, [V]. */
  async distribution({ context, temperature = 1 }: DistributionRequest): Promise<Float32Array> {
    if (!(temperature > 0 && temperature < Number.POSITIVE_INFINITY)) {
      throw new ConfigError(
        `policy.distribution: a temperature above 0 expected, got ${temperature}. A greedy choice has no distribution.`,
      );
    }
    const { length } = this.tokens(context);
    if (length === 0 || length >= this.maxPositions) {
      throw new ConfigError(
        `policy.distribution: a context of 1 to ${this.maxPositions - 1} tokens expected, got ${length}. Shorten it, or begin with BOS.`,
      );
    }
    return this.inTurn(({ distributions, params }) =>
      distributions.of(
        params.tensors,
        packRows([this.tokens(context)], [[]], { completionLength: 1 }),
        temperature,
      ),
    );
  }

  /** Weights, moments and counters of a checkpoint; the programs stay. */
  async restore(checkpoint: Uint8Array): Promise<PolicyInfo> {
    const { config, weights, optimizer, metadata } = decodeCheckpoint(checkpoint);
    await this.inTurn(async ({ model, params, learner }) => {
      const other = modelDifference(config, model.config);
      if (other) {
        throw new CheckpointError(
          `policy.restore: a checkpoint of the same model expected, got ${other}. Open it as a policy of its own.`,
        );
      }
      writeWeights(params, weights);
      if (learner?.moments) {
        // Moments that the checkpoint does not have are those of an optimizer that has not stepped.
        writeWeights(learner.moments.m, optimizer?.m ?? zerosFor(learner.moments.m));
        writeWeights(learner.moments.v, optimizer?.v ?? zerosFor(learner.moments.v));
      }
      this.updates = updatesOf(metadata);
      if (learner) learner.updates = this.updates;
      this.saved = checkpoint;
    });
    return this.info();
  }

  /** Weights, moments and counters, to be opened again. */
  checkpoint(): Promise<Uint8Array> {
    // The caller's copy is moved away with the message.
    return this.inTurn(async () => this.saved.slice());
  }

  /** Frees what the device holds once what was asked for before is done; later calls are refused. */
  async close(): Promise<null> {
    const before = this.last;
    this.last = before.then(() => {
      this.closed = true;
      if (this.resident) dispose(this.resident);
      this.resident = null;
    });
    await this.last;
    return null;
  }

  /** Runs `work` after what was asked for before, on a live device; once more on a fresh one where it was lost. */
  private inTurn<T>(work: (resident: Resident) => Promise<T>): Promise<T> {
    const attempt = async (): Promise<T> => {
      if (this.closed)
        throw new ConfigError("policy: an open policy expected, got a closed one. Open it again.");
      try {
        return await work(await this.live());
      } catch (error) {
        if (!this.resident || !isLost(this.resident.backend)) throw error;
        return work(await this.live());
      }
    };
    const mine = this.last.then(attempt, attempt);
    this.last = mine.catch(() => {});
    return mine;
  }

  private async live(): Promise<Resident> {
    const backend = await this.keeper.current();
    if (this.resident?.backend === backend) return this.resident;
    const decoded = decodeCheckpoint(this.saved);
    const model = new Transformer(decoded.config);
    const params = parametersFrom(decoded);
    this.resident = {
      backend,
      model,
      params,
      generator: new Generator(model, { rows: this.rows }),
      scorer: new Scorer(model, this.microBatchRows),
      distributions: new Distributions(model),
      learner: null,
      terms: "",
    };
    this.updates = updatesOf(decoded.metadata);
    return this.resident;
  }

  /** The learner with an algorithm's terms; another one's moments go over to it. */
  private learnerFor(resident: Resident, algorithm: Algorithm): Learner {
    const { form, optimizer: kind = "adamw" } = algorithm;
    const terms = {
      form,
      entropy: Boolean(algorithm.entropy),
      dualClip: algorithm.dualClip != null,
      optimizer: kind,
    };
    const key = JSON.stringify(terms);
    if (resident.learner && resident.terms === key) return resident.learner;
    resident.learner?.dispose();
    resident.terms = key;
    const { model, params } = resident;
    const learner = new Learner(model, params, { ...terms, microBatchRows: this.microBatchRows });
    const { optimizer } = decodeCheckpoint(this.saved);
    if (optimizer && learner.moments) {
      writeWeights(learner.moments.m, optimizer.m);
      writeWeights(learner.moments.v, optimizer.v);
    }
    learner.updates = this.updates;
    resident.learner = learner;
    return learner;
  }

  private encode({ params, model, learner }: Resident): Promise<Uint8Array> {
    const metadata: Record<string, string> = { [UPDATES_KEY]: String(this.updates) };
    if (this.tokenizer) metadata[TOKENIZER_KEY] = JSON.stringify(this.tokenizer.toJSON());
    const optimizer = learner?.moments ?? undefined;
    return encodeCheckpoint({ config: model.config, params, optimizer, metadata });
  }

  /** Ids of a text or list; a prompt in text begins with BOS. Throws `ConfigError` for what the model does not know. */
  private tokens(given: TextOrTokens, prompt = true): number[] {
    if (typeof given === "string") {
      if (!this.tokenizer) {
        throw new ConfigError(
          "policy: token ids expected, got text for a policy without a tokenizer. Pass `tokenizer` or ids.",
        );
      }
      return [...(prompt ? [this.tokenizer.bos] : []), ...this.tokenizer.encode(given)];
    }
    const ids = Array.from(given);
    const bad = ids.find((id) => !(Number.isInteger(id) && id >= 0 && id < this.vocabSize));
    if (bad !== undefined) {
      throw new ConfigError(
        `policy: token ids in [0, ${this.vocabSize}) expected, got ${bad}. Use the tokenizer that belongs to the checkpoint.`,
      );
    }
    return ids;
  }

  /** Ids of a completion; text ends with EOS. */
  private completionTokens(given: TextOrTokens): number[] {
    const ids = this.tokens(given, false);
    const eos = this.tokenizer?.eos;
    return typeof given === "string" && eos !== undefined && ids.at(-1) !== eos ? [...ids, eos] : ids;
  }

  /** Ids beyond the tokenizer's, which a model with a larger vocabulary may draw, are shown by number. */
  private text(tokens: readonly number[]): string {
    const { tokenizer } = this;
    if (!tokenizer) return "";
    const between = tokenizer.kind === "symbol" ? " " : "";
    const special = [tokenizer.pad, tokenizer.bos, tokenizer.eos];
    return tokens
      .filter((id) => !special.includes(id))
      .map((id) => tokenizer.vocab[id] ?? `<${id}>`)
      .join(between);
  }
}

function dispose({ params, model, generator, scorer, distributions, learner }: Resident): void {
  for (const x of [learner, generator, scorer, distributions, params, model]) x?.dispose();
}

/** Throws `ConfigError` for what needs more than judged completions: a reference, a value head, an end of each row. */
function checkTeachable({ name, kl, advantage, maskTruncated, entropy }: Algorithm): void {
  const needs =
    kl != null
      ? "a reference policy"
      : advantage.kind === "gae"
        ? "a value head"
        : maskTruncated
          ? "to know which rows were cut"
          : entropy?.target !== undefined
            ? "a whole run to adapt over"
            : null;
  if (needs === null) return;
  throw new ConfigError(
    `policy.learn: an algorithm over judged completions expected, got ${name}, which needs ${needs}. Use a Trainer or an experiment.`,
  );
}

/** Throws `ConfigError` where samples that an algorithm compares with each other do not answer one prompt. */
function checkGroups(prompts: readonly number[][], numGenerations: number, name: string): void {
  for (const [i, prompt] of prompts.entries()) {
    const first = i - (i % numGenerations);
    if (prompt.join() === prompts[first].join()) continue;
    throw new ConfigError(
      `policy.learn: groups of numGenerations=${numGenerations} examples with one prompt expected by ${name}, got another prompt in examples[${i}] than in examples[${first}]. Put the samples of a prompt one after another.`,
    );
  }
}

/** A 0 for every value of these tensors. */
function zerosFor({ layout }: FlatTensors): Map<string, Float32Array> {
  return new Map(
    layout.parts.map(({ name, shape }) => [name, new Float32Array(shape.reduce((a, b) => a * b, 1))]),
  );
}

/** Updates that a checkpoint's moments have seen: a policy's own count, or a trainer's. */
function updatesOf(metadata: ReadonlyMap<string, string>): number {
  const own = metadata.get(UPDATES_KEY);
  return own === undefined ? (trainerState(metadata)?.state.updates ?? 0) : count(own);
}

/** A count kept as text in metadata; 0 for none. */
function count(text: string | undefined): number {
  const n = Number(text ?? 0);
  return Number.isSafeInteger(n) && n >= 0 ? n : 0;
}

function tokenizerOf(given: TokenizerJson | undefined, kept: string | undefined): Tokenizer | null {
  if (given) return Tokenizer.fromJSON(given);
  if (kept === undefined) return null;
  try {
    return Tokenizer.fromJSON(JSON.parse(kept));
  } catch (cause) {
    throw new CheckpointError(
      "policy: a tokenizer in the metadata expected, got something else. Pass `tokenizer`.",
      {
        cause,
      },
    );
  }
}

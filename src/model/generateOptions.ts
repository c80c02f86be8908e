/** What can be asked of generation, and the checks that come before anything runs. */
import { ConfigError } from "../tensor/errors.ts";
import type { Seed } from "../tensor/random.ts";
import { requireKnown } from "../tensor/suggest.ts";
import type { ModelConfig } from "./config.ts";
import { bucketLength } from "./sequences.ts";

/** Tokens that came since the chunk before, for some of the rows. */
export interface GeneratedChunk {
  /** First of these rows. */
  row: number;
  rows: number;
  /** Position of the chunk's first token in the completions, and of the one after its last. */
  from: number;
  to: number;
  /** [rows, to - from]; padTokenId after the end of a row. */
  tokens: Uint32Array;
}

export interface GenerateOptions {
  /** Most tokens of a completion, EOS included. */
  maxCompletionLength: number;
  /** Seed of 64 bits. */
  seed: number | bigint | string | Seed;
  /** Samples of each prompt. Default 1. */
  numGenerations?: number;
  /** Divides the logits; 0 is greedy. Default 1. */
  temperature?: number;
  /** Only the topK likeliest tokens; 0 is all. Default 0. */
  topK?: number;
  /** Only the likeliest tokens whose mass reaches topP; 1 is all. Default 1. */
  topP?: number;
  /** Ends a row. Default: none does. */
  eosTokenId?: number;
  /** Fills rows after their end. Default 0. */
  padTokenId?: number;
  /** Number of this rollout: another one draws other numbers. Default 0. */
  rollout?: number;
  /** Stream of the random numbers (`Stream`). Default `Stream.rollout`. */
  stream?: number;
  /** Names of the prompts, which their random numbers depend on. Default: their index. */
  promptIds?: readonly number[];
  /** Number of the first sample of each prompt, to draw more later. Default 0. */
  firstSample?: number;
  /**
   * Columns of the prompts. Default: the bucket of the longest. Where prompt and completion of some take more than 128 columns
   * and of others do not, those are decoded apart: sums over so many have another order, and no sample's bits depend on which
   * prompts come together. Give it to decode all of them at once.
   */
  promptLength?: number;
  /**
   * Called with tokens as they come, in order; reading them back costs a wait for the device. A promise is awaited before the
   * next call, and where it rejects so does `generate`. Changes no token.
   */
  onTokens?(chunk: GeneratedChunk): void | Promise<void>;
  /** Tokens of a row between two calls of `onTokens`. Default 8. */
  streamEvery?: number;
  /** Checked between steps, eight at a time. */
  signal?: AbortSignal;
}

const KNOWN: readonly (keyof GenerateOptions)[] = [
  "maxCompletionLength",
  "seed",
  "numGenerations",
  "temperature",
  "topK",
  "topP",
  "eosTokenId",
  "padTokenId",
  "rollout",
  "stream",
  "promptIds",
  "firstSample",
  "promptLength",
  "onTokens",
  "streamEvery",
  "signal",
];

type Defaults =
  | "numGenerations"
  | "temperature"
  | "topK"
  | "topP"
  | "padTokenId"
  | "rollout"
  | "promptIds"
  | "firstSample"
  | "streamEvery";
export type GenerateRequest = GenerateOptions & Required<Pick<GenerateOptions, Defaults>>;

/** Tokens of a call: what the results' arrays hold without trouble. */
const MOST_TOKENS = 2 ** 28;

function refuse(what: string, remedy: string): never {
  throw new ConfigError(`generate: ${what}. ${remedy}.`);
}

function wordOf(name: string, value: number, min = 0): void {
  if (!(Number.isInteger(value) && value >= min && value <= 0xffffffff)) {
    refuse(`${name}: an integer in [${min}, 2^32) expected, got ${value}`, "Check the options");
  }
}

/** The request with its defaults. Throws `ConfigError`, or the signal's reason where it is aborted already. */
export function checkRequest(
  config: ModelConfig,
  prompts: readonly ArrayLike<number>[],
  options: GenerateOptions,
): GenerateRequest {
  requireKnown("generate", options, KNOWN);
  if (options.seed === undefined || options.seed === null)
    refuse("seed: expected, got none", "Write seed: 1, or any other number");
  if (!Array.isArray(prompts) || prompts.some((prompt) => typeof prompt !== "object" || prompt === null)) {
    const got = Array.isArray(prompts)
      ? `a list with ${typeof prompts.find((prompt) => typeof prompt !== "object" || prompt === null)}s`
      : typeof prompts === "string"
        ? "text"
        : `a value of type ${typeof prompts}`;
    refuse(
      `prompts: a list of token lists expected, got ${got}`,
      "Write [[tokenizer.bos, ...tokenizer.encode(text)]]",
    );
  }
  const request: GenerateRequest = {
    ...options,
    numGenerations: options.numGenerations ?? 1,
    temperature: options.temperature ?? 1,
    topK: options.topK ?? 0,
    topP: options.topP ?? 1,
    padTokenId: options.padTokenId ?? 0,
    rollout: options.rollout ?? 0,
    promptIds: options.promptIds ?? prompts.map((_, i) => i),
    firstSample: options.firstSample ?? 0,
    streamEvery: options.streamEvery ?? 8,
  };
  const { temperature, topP, maxCompletionLength, promptLength } = request;
  wordOf("maxCompletionLength", maxCompletionLength, 1);
  wordOf("numGenerations", request.numGenerations, 1);
  wordOf("topK", request.topK);
  wordOf("rollout", request.rollout);
  wordOf("firstSample", request.firstSample);
  wordOf("streamEvery", request.streamEvery, 1);
  wordOf("firstSample + numGenerations", request.firstSample + request.numGenerations);
  if (!(typeof temperature === "number" && temperature >= 0 && temperature < Number.POSITIVE_INFINITY)) {
    refuse(
      `temperature: a number of at least 0 expected, got ${temperature}`,
      "Use 0 for greedy, 1 for the model's own",
    );
  }
  if (temperature > 0 && temperature < 1e-3) {
    refuse(`temperature: 0 or at least 0.001 expected, got ${temperature}`, "Use 0 for greedy");
  }
  if (!(topP > 0 && topP <= 1))
    refuse(`topP: a number in (0, 1] expected, got ${topP}`, "Use 1 to keep all tokens");
  if (prompts.length === 0) refuse("at least one prompt expected, got none", "Pass a list of token lists");
  if (request.promptIds.length !== prompts.length) {
    refuse(
      `promptIds: ${prompts.length} ids expected, got ${request.promptIds.length}`,
      "Give one for each prompt",
    );
  }
  for (const id of request.promptIds) wordOf("promptIds", id);
  for (const name of ["eosTokenId", "padTokenId"] as const) {
    const id = request[name];
    if (id !== undefined && !(Number.isInteger(id) && id >= 0 && id < config.vocabSize)) {
      refuse(
        `${name}: a token below vocabSize=${config.vocabSize} expected, got ${id}`,
        "Check the tokenizer",
      );
    }
  }
  for (const [i, prompt] of prompts.entries()) checkPrompt(config, prompt, i, request);
  const longest = Math.max(...prompts.map((p) => p.length));
  if (promptLength !== undefined && !(Number.isInteger(promptLength) && promptLength >= longest)) {
    refuse(
      `promptLength: at least ${longest}, the longest prompt, expected, got ${promptLength}`,
      "Raise it or leave it out",
    );
  }
  const padded = bucketLength(config.maxPositions);
  if (promptLength !== undefined && promptLength > padded) {
    refuse(`promptLength: at most ${padded} expected, got ${promptLength}`, "Lower it or leave it out");
  }
  const tokens = prompts.length * request.numGenerations * maxCompletionLength;
  if (tokens > MOST_TOKENS) {
    refuse(
      `prompts x numGenerations x maxCompletionLength of at most ${MOST_TOKENS} expected, got ${tokens}`,
      "Generate in several calls, with firstSample",
    );
  }
  if (request.onTokens !== undefined && typeof request.onTokens !== "function") {
    refuse(
      `onTokens: a function expected, got a value of type ${typeof request.onTokens}`,
      "Check the options",
    );
  }
  if (request.signal !== undefined && typeof request.signal?.throwIfAborted !== "function") {
    refuse("signal: an AbortSignal expected, got something else", "Pass controller.signal");
  }
  request.signal?.throwIfAborted();
  return request;
}

function checkPrompt(
  config: ModelConfig,
  prompt: ArrayLike<number>,
  index: number,
  request: GenerateRequest,
): void {
  if (prompt.length === 0)
    refuse(`at least one token expected, got an empty prompt at index ${index}`, "Begin it with BOS");
  for (let t = 0; t < prompt.length; t++) {
    if (!(Number.isInteger(prompt[t]) && prompt[t] >= 0 && prompt[t] < config.vocabSize)) {
      refuse(
        `tokens below vocabSize=${config.vocabSize} expected, got ${prompt[t]} at position ${t} of prompt ${index}`,
        "Use the tokenizer that belongs to the model",
      );
    }
  }
  const total = prompt.length + request.maxCompletionLength;
  if (total > config.maxPositions) {
    refuse(
      `prompt and completion of at most maxPositions=${config.maxPositions} tokens expected, got ${prompt.length} + ${request.maxCompletionLength} at prompt ${index}`,
      "Shorten the prompt or lower maxCompletionLength",
    );
  }
}

/**
 * Batched generation with a cache of keys and values. A rollout is three programs:
 *
 *     prefill   once for each distinct prompt: cache and last logits                      [N, ...]
 *     begin     gathers both into R rows of samples and draws each row's first token      [R, ...]
 *     decode    one token more for all rows, at a position that is data; run again and again
 *
 * Everything stays on the device until the rows are done. The uniform number behind a token is Philox at counter
 * (rollout, prompt id, sample id, position) under the key of (seed, stream): it depends on nothing else in the batch.
 */
import { backend } from "../tensor/backend.ts";
import { u32 } from "../tensor/compile.ts";
import { tensor } from "../tensor/create.ts";
import { ConfigError } from "../tensor/errors.ts";
import { type Seed, Stream, seedWords, streamKey } from "../tensor/random.ts";
import { forEachTensor, type Tensor } from "../tensor/tensor.ts";
import type { Draw, Prefilled, RowIds } from "./generateGraph.ts";
import { checkRequest, type GenerateOptions, type GenerateRequest } from "./generateOptions.ts";
import {
  bucketCount,
  cacheColumns,
  Decoder,
  Prefill,
  type PromptGroup,
  promptGroups,
  Recent,
} from "./generateShapes.ts";
import { bucketLength, packRows, type TokenRows } from "./sequences.ts";
import type { Parameters, Transformer } from "./transformer.ts";

export type { GenerateOptions } from "./generateOptions.ts";

/** Rows in order: all samples of the first prompt, then of the second, and so on. */
export interface Generated {
  readonly rows: number;
  readonly numGenerations: number;
  readonly maxCompletionLength: number;
  /** [rows, maxCompletionLength]; padTokenId after the end of a row. */
  readonly tokens: Uint32Array;
  /** [rows, maxCompletionLength], nats, under the distribution drawn from; 0 in the padding. */
  readonly logProbs: Float32Array;
  /** [rows]: tokens of each completion, EOS included. */
  readonly lengths: Uint32Array;
  /** [rows]: 1 where the row ended with EOS, 0 where it was cut. */
  readonly finished: Uint8Array;
}

export interface GeneratorOptions {
  /** Most rows that decode together (fewer, a power of two, where fewer are asked for). Default 256. */
  rows?: number;
}

export class Generator {
  readonly rows: number;
  private readonly model: Transformer;
  private readonly prefills = new Recent<Prefill>(KEPT);
  private readonly decoders = new Recent<Decoder>(KEPT);
  private busy = false;

  constructor(model: Transformer, options: GeneratorOptions = {}) {
    this.model = model;
    this.rows = options.rows ?? 256;
  }

  /** Programs that are kept; those of the shapes used last, so that calls of any lengths do not add up. */
  get programs(): number {
    return this.prefills.programs + this.decoders.programs;
  }

  /**
   * Samples `numGenerations` completions of each prompt. Throws `ConfigError` before anything runs where the request
   * is wrong; rejects with the signal's reason when aborted.
   */
  async generate(
    params: Parameters,
    prompts: readonly ArrayLike<number>[],
    options: GenerateOptions,
  ): Promise<Generated> {
    const request = checkRequest(this.model.config, prompts, options, this.rows);
    if (this.busy) {
      throw new ConfigError(
        "generate: one call at a time expected, got a second. Await the first or make another Generator.",
      );
    }
    this.busy = true;
    try {
      return await this.sample(params, prompts, request);
    } finally {
      this.busy = false;
    }
  }

  private async sample(
    params: Parameters,
    prompts: readonly ArrayLike<number>[],
    request: GenerateRequest,
  ): Promise<Generated> {
    const { numGenerations, maxCompletionLength: width } = request;
    const total = prompts.length * numGenerations;
    const tokens = new Uint32Array(total * width);
    const logProbs = new Float32Array(total * width);
    for (const group of promptGroups(prompts, request)) {
      await this.sampleGroup(params, prompts, request, group, { tokens, logProbs });
    }
    const ends = endings(tokens, total, request);
    return { rows: total, numGenerations, maxCompletionLength: width, tokens, logProbs, ...ends };
  }

  /** Samples the prompts of a group into the rows of `into`. */
  private async sampleGroup(
    params: Parameters,
    prompts: readonly ArrayLike<number>[],
    request: GenerateRequest,
    { promptLength, members }: PromptGroup,
    into: { tokens: Uint32Array; logProbs: Float32Array },
  ): Promise<void> {
    const { numGenerations, maxCompletionLength: width, padTokenId } = request;
    const total = members.length * numGenerations;
    // A power of two where fewer rows are asked for than decode together.
    const rows = Math.min(this.rows, 1 << (32 - Math.clz32(total - 1)));
    // Whole prompts in a chunk where a prompt's samples fit; else one prompt at a time, in several chunks.
    const perChunk = Math.max(1, Math.min(Math.floor(rows / numGenerations), members.length));
    const slots = bucketCount(perChunk);
    const draw = drawArguments(request, promptLength);
    try {
      for (let first = 0; first < members.length; first += perChunk) {
        const mine = members.slice(first, first + perChunk);
        const chunk = Array.from({ length: slots }, (_, i) => prompts[mine[Math.min(i, mine.length - 1)]]);
        const empty = chunk.map(() => []);
        const packed = packRows(chunk, empty, { promptLength, completionLength: 0, padTokenId });
        const prefilled = this.prefillChunk(params, packed);
        try {
          for (let from = 0; from < mine.length * numGenerations; from += rows) {
            const used = Math.min(rows, mine.length * numGenerations - from);
            const ids = rowIds(request, packed, mine, from, used, rows);
            const decoder = this.decoderFor(rows, promptLength, width);
            const { state } = decoder;
            try {
              decoder.begin(state, prefilled, ids, draw);
              const at = Array.from({ length: used }, (_, r) => {
                return (
                  mine[Math.floor((from + r) / numGenerations)] * numGenerations +
                  ((from + r) % numGenerations)
                );
              });
              const drawn = await this.decodeAll(decoder, params, ids, draw, request, at);
              const [t, l] = await Promise.all([state.tokens.data(), state.logProbs.data()]);
              const stride = state.tokens.shape[1];
              at.forEach((row, r) => {
                into.tokens.set(t.subarray(r * stride, r * stride + drawn), row * width);
                into.tokens.fill(padTokenId, row * width + drawn, (row + 1) * width);
                into.logProbs.set(l.subarray(r * stride, r * stride + drawn), row * width);
              });
            } finally {
              disposeAll(ids);
            }
          }
        } finally {
          disposeAll(prefilled);
        }
      }
    } finally {
      disposeAll(draw);
    }
  }

  /** Releases the states and programs. */
  dispose(): void {
    this.prefills.dispose();
    this.decoders.dispose();
  }

  /**
   * Draws the tokens after the first of the rows that are to stand `at` these places; returns how many there are, fewer
   * than asked for where a stream saw every row end.
   */
  private async decodeAll(
    { state, decode }: Decoder,
    params: Parameters,
    ids: RowIds,
    draw: Draw,
    request: GenerateRequest,
    at: readonly number[],
  ): Promise<number> {
    const { maxCompletionLength: length, onTokens, streamEvery, signal } = request;
    const stride = state.tokens.shape[1];
    let sent = 0;
    /** Hands on what has come since the last time; whether every row has ended. */
    const send = async (to: number): Promise<boolean> => {
      const [all, finished] = await Promise.all([state.tokens.data(), state.finished.data()]);
      for (const { first, count } of neighbours(at)) {
        const tokens = new Uint32Array(count * (to - sent));
        for (let i = 0; i < count; i++) {
          const r = first + i;
          tokens.set(all.subarray(r * stride + sent, r * stride + to), i * (to - sent));
        }
        onTokens?.({ row: at[first], rows: count, from: sent, to, tokens });
      }
      sent = to;
      return finished.subarray(0, at.length).every((f) => f === 1);
    };
    for (let step = 1; step < length; step++) {
      if (onTokens && step - sent >= streamEvery && (await send(step))) return step;
      // Now and then the device catches up: an abort can arrive, and no queue grows without end.
      if (step % STEPS_AHEAD === 0) await backend().sync();
      signal?.throwIfAborted();
      decode(state, params, ids, draw, u32(step));
    }
    if (onTokens) await send(length);
    return length;
  }

  private prefillChunk(params: Parameters, packed: TokenRows): Prefilled {
    const shape = [packed.rows, packed.promptLength];
    using tokens = tensor(packed.tokens, { shape, dtype: "u32" });
    using start = tensor(packed.starts, { dtype: "u32" });
    return this.prefills.get(String(shape), 0, () => new Prefill(this.model)).run(params, tokens, start);
  }

  private decoderFor(rows: number, promptLength: number, maxCompletionLength: number): Decoder {
    const shape = [
      rows,
      cacheColumns(promptLength, maxCompletionLength),
      bucketLength(maxCompletionLength),
    ] as const;
    const bytes = Decoder.bytes(this.model, ...shape);
    return this.decoders.get(String(shape), bytes, () => new Decoder(this.model, ...shape));
  }
}

/**
 * Shapes that stay ready: those of training and evaluations, whole and last batches, or a page's prompts of some lengths.
 * What is in use is kept whatever its size.
 */
const KEPT = { count: 8, bytes: 2 ** 28 };

/** Steps that may wait in the queue. */
const STEPS_AHEAD = 8;

function disposeAll(tree: unknown): void {
  forEachTensor(tree, (t) => t.dispose());
}

/** Runs of places that follow one another: the index of the first, and how many there are. */
function neighbours(at: readonly number[]): { first: number; count: number }[] {
  const runs: { first: number; count: number }[] = [];
  at.forEach((place, i) => {
    const last = runs.at(-1);
    if (last && place === at[i - 1] + 1) last.count++;
    else runs.push({ first: i, count: 1 });
  });
  return runs;
}

/** What `used` rows from `from` on of the prompts `members` are, the last repeated up to `rows`. */
function rowIds(
  request: GenerateRequest,
  packed: TokenRows,
  members: readonly number[],
  from: number,
  used: number,
  rows: number,
): RowIds {
  const column = (f: (prompt: number, sample: number) => number): Tensor => {
    const values = Uint32Array.from({ length: rows }, (_, i) => {
      const r = from + Math.min(i, used - 1);
      return f(Math.floor(r / request.numGenerations), r % request.numGenerations);
    });
    return tensor(values, { dtype: "u32" });
  };
  return {
    source: column((prompt) => prompt),
    start: column((prompt) => packed.starts[prompt]),
    prompt: column((prompt) => request.promptIds[members[prompt]]),
    sample: column((_, sample) => request.firstSample + sample),
  };
}

function drawArguments(request: GenerateRequest, promptLength: number): Draw {
  const key: Seed = streamKey(seedWords(request.seed), request.stream ?? Stream.rollout);
  return {
    temperature: tensor(request.temperature),
    topK: tensor(request.topK, { dtype: "u32" }),
    topP: tensor(request.topP),
    eos: u32(request.eosTokenId ?? 0xffffffff),
    pad: u32(request.padTokenId),
    rollout: u32(request.rollout),
    promptLength: u32(promptLength),
    key: key.map(u32),
  };
}

/** Lengths and whether EOS came, from the tokens; the host knows EOS too. */
function endings(
  tokens: Uint32Array,
  rows: number,
  { eosTokenId, maxCompletionLength: width }: { eosTokenId?: number; maxCompletionLength: number },
): Pick<Generated, "lengths" | "finished"> {
  const lengths = new Uint32Array(rows).fill(width);
  const finished = new Uint8Array(rows);
  for (let r = 0; r < rows; r++) {
    const at =
      eosTokenId === undefined ? -1 : tokens.subarray(r * width, (r + 1) * width).indexOf(eosTokenId);
    if (at < 0) continue;
    lengths[r] = at + 1;
    finished[r] = 1;
  }
  return { lengths, finished };
}

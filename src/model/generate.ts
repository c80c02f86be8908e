/**
 * Batched generation with a cache of keys and values. A rollout is three programs:
 *
 *     prefill   once for each distinct prompt: its part of the cache, which its samples share, and last logits   [N, ...]
 *     begin     draws the first token of each of R rows of samples                                               [R, ...]
 *     decode    one token more for L lanes, which compute the rows that have not ended                           [L, ...]
 *
 * Everything stays on the device until the rows are done. Decoding goes to the device some steps at a time, and which rows
 * have ended comes back while the next steps run: from then on there are fewer lanes. The uniform number behind a token is
 * Philox at counter (rollout, prompt id, sample id, position) under the key of (seed, stream): it depends on nothing else in
 * the batch.
 */
import { type Backend, backend } from "../tensor/backend.ts";
import { u32 } from "../tensor/compile.ts";
import { FlatTensors, tensor } from "../tensor/create.ts";
import { ConfigError, DeviceError, TensorError } from "../tensor/errors.ts";
import { Stream as RandomStream, type Seed, seedWords, streamKey } from "../tensor/random.ts";
import { requireKnown } from "../tensor/suggest.ts";
import { forEachTensor, type Tensor } from "../tensor/tensor.ts";
import { show } from "../tensor/validate.ts";
import { type Draw, type LaneRow, type Layout, lanesFor } from "./generateGraph.ts";
import { checkRequest, type GenerateOptions, type GenerateRequest } from "./generateOptions.ts";
import {
  bucketCount,
  Decoder,
  fittingRows,
  laneCount,
  layoutFor,
  type PromptGroup,
  promptGroups,
  Recent,
} from "./generateShapes.ts";
import { packRows, type TokenRows } from "./sequences.ts";
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
  private readonly decoders = new Recent<Decoder>(KEPT);
  /** Where they live. */
  private owner: Backend | null = null;
  private busy = false;
  /** Whether `dispose()` was called while a call ran, which then releases all as it ends. */
  private released = false;

  /** Throws `ConfigError` for rows that are no count. */
  constructor(model: Transformer, options: GeneratorOptions = {}) {
    requireKnown("generator", options, ["rows"]);
    const { rows = 256 } = options;
    if (!(Number.isInteger(rows) && rows >= 1 && rows < 2 ** 32)) {
      throw new ConfigError(
        `generator: rows: an integer in [1, 2^32) expected, got ${show(rows)}. Leave it out for 256.`,
      );
    }
    this.model = model;
    this.rows = rows;
  }

  /** Programs that are kept; those of the shapes used last, so that calls of any lengths do not add up. */
  get programs(): number {
    return this.decoders.programs;
  }

  /**
   * Samples `numGenerations` completions of each prompt. Throws `ConfigError` before anything runs where the request
   * is wrong; rejects with the signal's reason when aborted, with `TensorError` when the generator is disposed before the end.
   */
  async generate(
    params: Parameters,
    prompts: readonly ArrayLike<number>[],
    options: GenerateOptions,
  ): Promise<Generated> {
    if ((params as unknown) instanceof FlatTensors) {
      throw new ConfigError(
        "generate: the tensors of parameters were expected, got a FlatTensors. Pass params.tensors.",
      );
    }
    const request = checkRequest(this.model.config, prompts, options);
    if (this.busy) {
      throw new ConfigError(
        "generate: one call at a time expected, got a second. Await the first or make another Generator.",
      );
    }
    this.busy = true;
    try {
      this.moveHere();
      return await this.sample(params, prompts, request);
    } finally {
      this.busy = false;
      if (this.released) this.dispose();
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
    for (const [r, n] of ends.lengths.entries()) {
      tokens.fill(request.padTokenId, r * width + n, (r + 1) * width);
      logProbs.fill(0, r * width + n, (r + 1) * width);
    }
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
    const wanted = Math.min(this.rows, 1 << (32 - Math.clz32(total - 1)));
    // Whole prompts in a chunk where a prompt's samples fit; else one prompt at a time, in several chunks.
    const chunkOf = (n: number): number =>
      Math.max(1, Math.min(Math.floor(n / numGenerations), members.length));
    const layoutOf = (n: number): Layout => layoutFor(n, bucketCount(chunkOf(n)), promptLength, width);
    const rows = fittingRows(this.model, wanted, layoutOf);
    const perChunk = chunkOf(rows);
    const slots = bucketCount(perChunk);
    const draw = drawArguments(request);
    try {
      for (let first = 0; first < members.length; first += perChunk) {
        this.requireGoing(request.signal);
        const mine = members.slice(first, first + perChunk);
        const chunk = Array.from({ length: slots }, (_, i) => prompts[mine[Math.min(i, mine.length - 1)]]);
        const empty = chunk.map(() => []);
        const packed = packRows(chunk, empty, { promptLength, completionLength: 0, padTokenId });
        const decoder = this.decoderFor(layoutOf(rows));
        const { state } = decoder;
        using logits = prefillChunk(decoder, params, packed);
        for (let from = 0; from < mine.length * numGenerations; from += rows) {
          const used = Math.min(rows, mine.length * numGenerations - from);
          const samples = Array.from({ length: used }, (_, row): Sample => {
            const source = Math.floor((from + row) / numGenerations);
            const sample = (from + row) % numGenerations;
            return {
              row,
              source,
              start: packed.starts[source],
              prompt: request.promptIds[mine[source]],
              sample: request.firstSample + sample,
              at: mine[source] * numGenerations + sample,
            };
          });
          const drawn = await this.decodeAll(decoder, params, logits, samples, draw, request);
          const [t, l] = await Promise.all([state.tokens.data(), state.logProbs.data()]);
          // Before the last of a call, too: what was ended meanwhile rejects.
          this.requireGoing(request.signal);
          const stride = decoder.layout.tokens;
          for (const { row, at } of samples) {
            into.tokens.set(t.subarray(row * stride, row * stride + drawn), at * width);
            into.logProbs.set(l.subarray(row * stride, row * stride + drawn), at * width);
          }
        }
      }
    } finally {
      disposeAll(draw);
    }
  }

  /** Releases the states and programs. A call that runs rejects before its next step, and releases them then. */
  dispose(): void {
    this.released = this.busy;
    if (!this.busy) this.decoders.dispose();
  }

  /** Draws the tokens of the samples; returns how many there are, fewer than asked for where every row ended before. */
  private async decodeAll(
    decoder: Decoder,
    params: Parameters,
    logits: Tensor,
    samples: readonly Sample[],
    draw: Draw,
    request: GenerateRequest,
  ): Promise<number> {
    const { state, layout } = decoder;
    const { maxCompletionLength: length, streamEvery, signal } = request;
    const stream = request.onTokens ? new Stream(samples, layout.tokens, request) : null;
    let live = samples;
    let lanes = lanesFor(layout, live, laneCount(live.length, layout.rows));
    const look = (): Promise<ArrayLike<number>> => {
      const finished = state.finished.data();
      // Where something fails before it is asked for, the same failure is told there.
      finished.catch(() => {});
      return finished;
    };
    try {
      this.requireGoing(signal);
      decoder.begin(state, logits, lanes, draw);
      let ended = look();
      let step = 1;
      while (step < length) {
        this.requireGoing(signal);
        const next = Math.min(length, step + STEPS, stream ? stream.sent + streamEvery : length);
        decoder.decode.repeat(next - step, state, params, lanes, draw);
        step = next;
        // What had ended before these steps: the device has them to do while the host looks. A stream waits for them anyway.
        const later = look();
        let done = await ended;
        ended = later;
        if (stream && step - stream.sent >= streamEvery) {
          await stream.send(await state.tokens.data(), step);
          done = await ended;
        }
        live = live.filter(({ row }) => done[row] === 0);
        if (live.length === 0) break;
        const count = laneCount(live.length, layout.rows);
        if (count === lanes.shape[0]) continue;
        lanes.dispose();
        lanes = lanesFor(layout, live, count);
      }
      if (stream && stream.sent < step) await stream.send(await state.tokens.data(), step);
      // A failure is told to whoever asks first.
      await ended;
      // The last that heard of tokens may have had enough.
      this.requireGoing(signal);
      return step;
    } finally {
      lanes.dispose();
    }
  }

  /** Whether a call may go on: what it began on has to stay till its end. */
  private requireGoing(signal: AbortSignal | undefined): void {
    signal?.throwIfAborted();
    if (this.released) {
      throw new TensorError(
        "generate: a generator was expected till the end of the call, got dispose() before. Await generate(), or end it by its signal.",
      );
    }
    if (backend() === this.owner) return;
    throw new DeviceError(
      "generate: the device that the call began on was expected, got another. Wait for generate() before init().",
    );
  }

  /** After another `init()` everything is made again, on the device that is current now. */
  private moveHere(): void {
    const here = backend();
    if (this.owner !== here) this.decoders.dispose();
    this.owner = here;
  }

  private decoderFor(layout: Layout): Decoder {
    const bytes = Decoder.bytes(this.model, layout);
    return this.decoders.get(Object.values(layout).join(), bytes, () => new Decoder(this.model, layout));
  }
}

/** A row of a rollout, and its place among the results. */
interface Sample extends LaneRow {
  at: number;
}

/** Hands tokens on as they come. */
class Stream {
  sent = 0;
  /** By sample, whether EOS was among what was sent. */
  private readonly ended: Uint8Array;
  private readonly samples: readonly Sample[];
  private readonly stride: number;
  private readonly request: GenerateRequest;

  constructor(samples: readonly Sample[], stride: number, request: GenerateRequest) {
    this.samples = samples;
    this.ended = new Uint8Array(samples.length);
    this.stride = stride;
    this.request = request;
  }

  /** Tokens up to `to` of every row; `all` is what the device has. */
  async send(all: ArrayLike<number>, to: number): Promise<void> {
    const { samples, stride, sent } = this;
    const words = all as Uint32Array;
    for (const { first, count } of neighbours(samples.map(({ at }) => at))) {
      const tokens = new Uint32Array(count * (to - sent));
      for (let i = 0; i < count; i++) {
        const r = samples[first + i].row;
        const mine = tokens.subarray(i * (to - sent), (i + 1) * (to - sent));
        mine.set(words.subarray(r * stride + sent, r * stride + to));
        this.pad(first + i, mine);
      }
      await this.request.onTokens?.({ row: samples[first].at, rows: count, from: sent, to, tokens });
    }
    this.sent = to;
  }

  /** Replaces what a sample drew after its end. */
  private pad(sample: number, tokens: Uint32Array): void {
    const { eosTokenId, padTokenId } = this.request;
    if (eosTokenId === undefined) return;
    const end = this.ended[sample] ? 0 : tokens.indexOf(eosTokenId) + 1;
    if (end === 0 && !this.ended[sample]) return;
    this.ended[sample] = 1;
    tokens.fill(padTokenId, end);
  }
}

function prefillChunk(decoder: Decoder, params: Parameters, packed: TokenRows): Tensor {
  const shape = [packed.rows, packed.promptLength];
  using tokens = tensor(packed.tokens, { shape, dtype: "u32" });
  using start = tensor(packed.starts, { dtype: "u32" });
  return decoder.prefill({ cache: decoder.state.cache }, params, tokens, start);
}

/**
 * Shapes that stay ready: those of training and evaluations, whole and last batches, or a page's prompts of some lengths.
 * What is in use is kept whatever its size.
 */
const KEPT = { count: 8, bytes: 2 ** 28 };

/** Steps that the device gets at a time; as many more may be on their way while the host learns which rows have ended. */
const STEPS = 8;

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

function drawArguments(request: GenerateRequest): Draw {
  const key: Seed = streamKey(seedWords(request.seed), request.stream ?? RandomStream.rollout);
  return {
    temperature: tensor(request.temperature),
    topK: tensor(request.topK, { dtype: "u32" }),
    topP: tensor(request.topP),
    eos: u32(request.eosTokenId ?? 0xffffffff),
    rollout: u32(request.rollout),
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

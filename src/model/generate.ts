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
import { assign, type Compiled, compile, type HostScalar, u32 } from "../tensor/compile.ts";
import { tensor, zeros } from "../tensor/create.ts";
import { ConfigError } from "../tensor/errors.ts";
import { ops } from "../tensor/ops/index.ts";
import { type Seed, Stream, seedWords, streamKey } from "../tensor/random.ts";
import { forEachTensor, type Tensor } from "../tensor/tensor.ts";
import { checkRequest, type GenerateOptions, type GenerateRequest } from "./generateOptions.ts";
import { bucketLength, packRows, type TokenRows } from "./sequences.ts";
import { causalPass, type Parameters, type Transformer } from "./transformer.ts";

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

/** What sampling needs at every step; all data. */
interface Draw {
  /** [] each: tensors, because the sampling kernel reads memory. */
  temperature: Tensor;
  topK: Tensor;
  topP: Tensor;
  eos: HostScalar;
  pad: HostScalar;
  rollout: HostScalar;
  /** Columns of the prompts. */
  promptLength: HostScalar;
  key: readonly HostScalar[];
}

type Cache = readonly { readonly keys: Tensor; readonly values: Tensor }[];

/** What lives on the device for the rows of one rollout. */
interface RowState {
  /** [R, KV, S, D] a layer. */
  cache: Cache;
  /** [R, maxCompletionLength] u32. */
  tokens: Tensor;
  /** [R, maxCompletionLength]. */
  logProbs: Tensor;
  /** [R] u32: 1 after EOS. */
  finished: Tensor;
}

/** [R] u32 each: what a row is. */
interface RowIds {
  /** Index among the prompts of the prefill. */
  source: Tensor;
  /** Column where the prompt begins. */
  start: Tensor;
  prompt: Tensor;
  sample: Tensor;
}

interface Prefilled {
  cache: Cache;
  /** [N, V]. */
  logits: Tensor;
}

/** The same inside a compiled function, where numbers are scalar tensors. */
type Traced<T> = { readonly [K in keyof T]: T[K] extends readonly HostScalar[] ? readonly Tensor[] : Tensor };

export interface GeneratorOptions {
  /** Most rows that decode together (fewer, a power of two, where fewer are asked for). Default 256. */
  rows?: number;
}

export class Generator {
  readonly rows: number;
  private readonly model: Transformer;
  private readonly prefill: Compiled<[Parameters, Tensor, Tensor], Prefilled>;
  private readonly begin: Compiled<[RowState, Prefilled, RowIds, Draw], undefined>;
  private readonly decode: Compiled<[RowState, Parameters, RowIds, Draw, HostScalar], undefined>;
  /** States by shape: a chunk reuses those of the one before. */
  private readonly states = new Map<string, RowState>();
  private busy = false;

  constructor(model: Transformer, options: GeneratorOptions = {}) {
    this.model = model;
    this.rows = options.rows ?? 256;
    this.prefill = compile(
      (p: Parameters, tokens: Tensor, start: Tensor) => prefill(model, p, tokens, start),
      {
        label: "prefill",
      },
    );
    this.begin = compile(begin, { state: [0], label: "begin" });
    this.decode = compile(
      (state: RowState, p: Parameters, ids: RowIds, draw: Draw, step: HostScalar) =>
        decode(model, state, p, ids, draw, step as unknown as Tensor),
      { state: [0], label: "decode" },
    );
  }

  /** Programs built so far. */
  get programs(): number {
    return this.prefill.programs + this.begin.programs + this.decode.programs;
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
    const { numGenerations, maxCompletionLength: width, padTokenId } = request;
    const total = prompts.length * numGenerations;
    const tokens = new Uint32Array(total * width);
    const logProbs = new Float32Array(total * width);
    const promptLength = request.promptLength ?? bucketLength(Math.max(...prompts.map((p) => p.length)));
    // A power of two where fewer rows are asked for than decode together.
    const rows = Math.min(this.rows, 1 << (32 - Math.clz32(total - 1)));
    // Whole prompts in a chunk where a prompt's samples fit; else one prompt at a time, in several chunks.
    const perChunk = Math.max(1, Math.min(Math.floor(rows / numGenerations), prompts.length));
    const draw = drawArguments(request, promptLength);
    try {
      for (let first = 0; first < prompts.length; first += perChunk) {
        const count = Math.min(perChunk, prompts.length - first);
        const chunk = Array.from({ length: perChunk }, (_, i) => prompts[first + Math.min(i, count - 1)]);
        const empty = chunk.map(() => []);
        const packed = packRows(chunk, empty, { promptLength, completionLength: 0, padTokenId });
        const prefilled = this.prefillChunk(params, packed);
        try {
          for (let from = 0; from < count * numGenerations; from += rows) {
            const used = Math.min(rows, count * numGenerations - from);
            const ids = rowIds(request, packed, first, from, used, rows);
            const state = this.stateFor(rows, promptLength, width);
            try {
              this.begin(state, prefilled, ids, draw);
              const row = first * numGenerations + from;
              const drawn = await this.decodeAll(state, params, ids, draw, request, { row, rows: used });
              const [t, l] = await Promise.all([state.tokens.data(), state.logProbs.data()]);
              for (let r = 0; r < used; r++) {
                const at = (row + r) * width;
                tokens.set(t.subarray(r * width, r * width + drawn), at);
                tokens.fill(padTokenId, at + drawn, at + width);
                logProbs.set(l.subarray(r * width, r * width + drawn), at);
              }
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
    const ends = endings(tokens, total, request);
    return { rows: total, numGenerations, maxCompletionLength: width, tokens, logProbs, ...ends };
  }

  /** Releases the states and programs. */
  dispose(): void {
    for (const state of this.states.values()) disposeAll(state);
    this.states.clear();
    this.prefill.dispose();
    this.begin.dispose();
    this.decode.dispose();
  }

  /** Draws the tokens after the first; returns how many there are, fewer than asked for where a stream saw every row end. */
  private async decodeAll(
    state: RowState,
    params: Parameters,
    ids: RowIds,
    draw: Draw,
    request: GenerateRequest,
    used: { row: number; rows: number },
  ): Promise<number> {
    const { maxCompletionLength: length, onTokens, streamEvery, signal } = request;
    let sent = 0;
    /** Hands on what has come since the last time; whether every row has ended. */
    const send = async (to: number): Promise<boolean> => {
      const [all, finished] = await Promise.all([state.tokens.data(), state.finished.data()]);
      const tokens = new Uint32Array(used.rows * (to - sent));
      for (let r = 0; r < used.rows; r++) {
        tokens.set(all.subarray(r * length + sent, r * length + to), r * (to - sent));
      }
      onTokens?.({ ...used, from: sent, to, tokens });
      sent = to;
      return finished.subarray(0, used.rows).every((f) => f === 1);
    };
    for (let step = 1; step < length; step++) {
      if (onTokens && step - sent >= streamEvery && (await send(step))) return step;
      // Now and then the device catches up: an abort can arrive, and no queue grows without end.
      if (step % STEPS_AHEAD === 0) await backend().sync();
      signal?.throwIfAborted();
      this.decode(state, params, ids, draw, u32(step));
    }
    if (onTokens) await send(length);
    return length;
  }

  private prefillChunk(params: Parameters, packed: TokenRows): Prefilled {
    using tokens = tensor(packed.tokens, { shape: [packed.rows, packed.promptLength], dtype: "u32" });
    using start = tensor(packed.starts, { dtype: "u32" });
    return this.prefill(params, tokens, start);
  }

  private stateFor(rows: number, promptLength: number, completionLength: number): RowState {
    const key = `${rows}:${promptLength}+${completionLength}`;
    const known = this.states.get(key);
    if (known) return known;
    const { numLayers, numKeyValueHeads, headDim } = this.model.config;
    // The last token is never run; the columns are rounded up so that rows of scores are whole vectors.
    const span = Math.ceil((promptLength + completionLength - 1) / 4) * 4;
    const shape = [rows, numKeyValueHeads, span, headDim];
    const state: RowState = {
      cache: Array.from({ length: numLayers }, () => ({ keys: zeros(shape), values: zeros(shape) })),
      tokens: zeros([rows, completionLength], "u32"),
      logProbs: zeros([rows, completionLength]),
      finished: zeros([rows], "u32"),
    };
    this.states.set(key, state);
    return state;
  }
}

/** Steps that may wait in the queue. */
const STEPS_AHEAD = 8;

function disposeAll(tree: unknown): void {
  forEachTensor(tree, (t) => t.dispose());
}

/** What `used` rows from `from` on are, the last repeated up to `rows`. */
function rowIds(
  request: GenerateRequest,
  packed: TokenRows,
  firstPrompt: number,
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
    prompt: column((prompt) => request.promptIds[firstPrompt + prompt]),
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

/** `tokens` [N, P] u32 with prompts at the right, `start` [N] u32 -> cache [N, KV, P, D] a layer, logits [N, V]. */
function prefill(model: Transformer, params: Parameters, tokens: Tensor, start: Tensor): Prefilled {
  const cache: { keys: Tensor; values: Tensor }[] = [];
  const hidden = model.run(params, tokens, {
    ...causalPass(tokens, start),
    remember: (_layer, keys, values) => {
      cache.push({ keys, values });
      return { keys, values };
    },
  }); // [N, P, C]
  const [n, p, c] = hidden.shape;
  const last = ops.reshape(ops.slice(hidden, [0, p - 1, 0], [n, p, c]), [n, c]);
  return { cache, logits: model.logits(params, last) };
}

/** Copies each row's prompt into the cache, clears what a rollout before left, and draws the first token. */
function begin(state: RowState, prefilled: Prefilled, ids: RowIds, draw: Draw): undefined {
  const zero = ops.full([], 0, "u32");
  state.cache.forEach((layer, i) => {
    const { keys, values } = prefilled.cache[i];
    assign(layer.keys, ops.updateAt(layer.keys, ops.take(keys, ids.source), zero, 2));
    assign(layer.values, ops.updateAt(layer.values, ops.take(values, ids.source), zero, 2));
  });
  assign(state.finished, ops.full(state.finished.shape, 0, "u32"));
  drawToken(state, ops.take(prefilled.logits, ids.source), ids, draw, zero);
  return undefined;
}

/** Runs the token of step - 1 through the model and draws that of `step`. */
function decode(
  model: Transformer,
  state: RowState,
  params: Parameters,
  ids: RowIds,
  draw: Draw,
  step: Tensor,
): undefined {
  const [rows] = state.tokens.shape;
  const span = state.cache[0].keys.shape[2]; // S
  const { promptLength } = draw as unknown as Traced<Draw>;
  const slot = ops.sub(ops.add(step, promptLength), 1); // P + step - 1, column of the token that is run
  const seen = ops.iota([rows, 1, 1, 1, span], 4);
  const begun = ops.ge(seen, ops.reshape(ids.start, [rows, 1, 1, 1, 1]));
  const hidden = model.run(params, ops.sliceAt(state.tokens, ops.sub(step, 1), 1, 1), {
    positions: ops.reshape(ops.sub(slot, ids.start), [rows, 1]),
    visible: ops.and(begun, ops.le(seen, slot)), // [R, 1, 1, 1, S]
    remember: (i, keys, values) => {
      const layer = state.cache[i];
      assign(layer.keys, ops.updateAt(layer.keys, keys, slot, 2));
      assign(layer.values, ops.updateAt(layer.values, values, slot, 2));
      return layer;
    },
  }); // [R, 1, C]
  const logits = model.logits(params, ops.reshape(hidden, [rows, -1]));
  drawToken(state, logits, ids, draw, step);
  return undefined;
}

/** Draws token `step` of every row from `logits` [R, V]; finished rows get padding. */
function drawToken(state: RowState, logits: Tensor, ids: RowIds, given: Draw, step: Tensor): void {
  const draw = given as unknown as Traced<Draw>;
  const [rows] = logits.shape;
  const bits = ops.randomBits([draw.rollout, ids.prompt, ids.sample, step], draw.key);
  const { token, logProb } = ops.sample(
    logits,
    ops.uniformFromBits(bits),
    draw.temperature,
    draw.topK,
    draw.topP,
  );
  const done = ops.ne(state.finished, 0); // [R]
  const chosen = ops.where(done, draw.pad, token);
  const logProbs = ops.reshape(ops.where(done, 0, logProb), [rows, 1]);
  assign(state.tokens, ops.updateAt(state.tokens, ops.reshape(chosen, [rows, 1]), step, 1));
  assign(state.logProbs, ops.updateAt(state.logProbs, logProbs, step, 1));
  assign(state.finished, ops.cast(ops.or(done, ops.eq(chosen, draw.eos)), "u32"));
}

/**
 * What runs on the device while rows are generated: the graphs of the three programs, and the tensors they share.
 * Everything that changes from call to call is data: positions, seeds, temperature, the columns of the prompts. Nothing
 * changes from step to step but states: what rows see is one of them, so that steps can be handed to the device many at a time.
 *
 * A lane is what computes a row. There may be fewer lanes than rows: those of rows that have ended are given up, and no
 * row's memory moves for that.
 */
import { assign, type HostScalar } from "../tensor/compile.ts";
import { tensor } from "../tensor/create.ts";
import { ops } from "../tensor/ops/index.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { causalPass, type Parameters, type Transformer } from "./transformer.ts";

/** What sampling needs at every step; all data. */
export interface Draw {
  /** [] each: tensors, because the sampling kernel reads memory. */
  temperature: Tensor;
  topK: Tensor;
  topP: Tensor;
  eos: HostScalar;
  rollout: HostScalar;
  key: readonly HostScalar[];
}

/** What lives on the device for the rows of one rollout. */
export interface RowState {
  /** [C, 2, KV, D] a layer: keys and values, the columns of the prompts and then those of the rows. */
  cache: readonly Tensor[];
  /** [R W] u32, row after row, W the bucket of maxCompletionLength. A row whose lane goes on after EOS draws on. */
  tokens: Tensor;
  /** [R W]. */
  logProbs: Tensor;
  /** [R] u32: 1 after EOS. */
  finished: Tensor;
  /** [1] u32: keys that a row sees, from its prompt's first column on: promptLength and the tokens drawn. */
  seen: Tensor;
}

/** Where things stand in the state. */
export interface Layout {
  rows: number;
  prompts: number;
  /** Columns of a prompt, of a row's own tokens in the cache, and of its tokens. */
  promptLength: number;
  ownLength: number;
  tokens: number;
  /** Most keys that a row sees: attention sums accordingly. */
  length: number;
}

/** A row that a lane computes. */
export interface LaneRow {
  row: number;
  /** Index among the prompts of the prefill. */
  source: number;
  /** Column where the prompt begins. */
  start: number;
  /** Ids that its random numbers depend on. */
  prompt: number;
  sample: number;
}

/**
 * Words of a lane, a row of `lanes` [L, 8] u32; no step changes them. Attention reads the first four: the first key that the row
 * sees, how many it shares, and where these and its own stand in the cache. `tokens` is where its tokens do in the state.
 */
const LANE = ["start", "shared", "before", "after", "tokens", "prompt", "sample", "source"] as const;

/** Lanes for these rows, [count, 8]; one too many has a row beyond the last, sees nothing and writes nothing. */
export function lanesFor(layout: Layout, rows: readonly LaneRow[], count: number): Tensor {
  const { prompts, promptLength, ownLength, tokens } = layout;
  const idle: LaneRow = { row: layout.rows, source: 0, start: 0xffffffff, prompt: 0, sample: 0 };
  const words = Array.from({ length: count }, (_, i) => {
    const { row, source, start, prompt, sample } = rows[i] ?? idle;
    // Its own keys come after those of the prompt, from number promptLength on.
    const after = prompts * promptLength + row * ownLength - promptLength;
    return [start, promptLength, source * promptLength, after, row * tokens, prompt, sample, source];
  });
  return tensor(Uint32Array.from(words.flat()), { shape: [count, LANE.length], dtype: "u32" });
}

/** The words of all lanes, [L] each. */
function wordsOf(lanes: Tensor): Record<(typeof LANE)[number], Tensor> {
  const [l] = lanes.shape;
  const columns = LANE.map((name, i) => [name, ops.reshape(ops.slice(lanes, [0, i], [l, i + 1]), [l])]);
  return Object.fromEntries(columns);
}

/** The same inside a compiled function, where numbers are scalar tensors. */
type Traced<T> = { readonly [K in keyof T]: T[K] extends readonly HostScalar[] ? readonly Tensor[] : Tensor };

/** `tokens` [N, P] u32 with prompts at the right, `start` [N] u32 -> logits [N, V]; keys and values go into the cache. */
export function prefill(
  model: Transformer,
  state: Pick<RowState, "cache">,
  params: Parameters,
  tokens: Tensor,
  start: Tensor,
): Tensor {
  const causal = causalPass(tokens, start);
  const zero = ops.full([], 0, "u32");
  const [n, p] = tokens.shape;
  const hidden = model.run(params, tokens, {
    positions: causal.positions,
    attend: (i, q, keys, values) => {
      const layer = state.cache[i];
      assign(layer, ops.updateAt(layer, columns(keys, values), zero, 0));
      return causal.attend(i, q, keys, values);
    },
  }); // [N, P, C]
  const c = hidden.shape[2];
  const last = ops.reshape(ops.slice(hidden, [0, p - 1, 0], [n, p, c]), [n, c]);
  return model.logits(params, last);
}

/** Keys and values [B, T, KV, D] as columns of the cache, [B T, 2, KV, D]. */
function columns(keys: Tensor, values: Tensor): Tensor {
  const [b, t, kv, d] = keys.shape;
  const sides = [keys, values].map((x) => ops.reshape(x, [b * t, 1, kv, d]));
  return ops.concat(sides, 1);
}

/**
 * Draws each row's first token from its prompt's logits [N, V], lane i that of row i; all that follows is 0 for now.
 * What else the cache holds, no query sees.
 */
export function begin(layout: Layout, state: RowState, logits: Tensor, lanes: Tensor, draw: Draw): undefined {
  const { rows, tokens: width, promptLength } = layout;
  const lane = wordsOf(lanes);
  const first = drawToken(ops.take(logits, lane.source), lane, draw, ops.full([], 0, "u32"));
  const row = ops.iota([rows, width], 0);
  const isFirst = ops.eq(ops.iota([rows, width], 1), 0);
  const all = (x: Tensor): Tensor => ops.reshape(ops.where(isFirst, ops.take(x, row), 0), [rows * width]);
  assign(state.tokens, all(first.token));
  assign(state.logProbs, all(first.logProb));
  assign(state.finished, ops.take(ops.cast(first.ends, "u32"), ops.iota([rows])));
  assign(state.seen, ops.full([1], promptLength + 1, "u32"));
  return undefined;
}

/** Runs the token that was drawn last through the model and draws the next, which it counts on. */
export function decode(
  layout: Layout,
  model: Transformer,
  state: RowState,
  params: Parameters,
  lanes: Tensor,
  draw: Draw,
): undefined {
  const { rows, promptLength, tokens: width } = layout;
  const [l] = lanes.shape;
  const lane = wordsOf(lanes);
  const { seen } = state;
  // All else that a lane needs follows from where its next token goes, so that one kernel makes it and none waits for another.
  const place = ops.sub(ops.add(lane.tokens, seen), promptLength); // [L]; beyond the state for a lane too many
  const step = ops.sub(place, lane.tokens);
  const key = ops.add(step, promptLength - 1); // [L], number of the token that is run
  const writes = ops.add(key, lane.after); // [L], its column in the cache
  const hidden = model.run(params, ops.reshape(ops.take(state.tokens, ops.sub(place, 1)), [l, 1]), {
    positions: ops.reshape(ops.sub(key, lane.start), [l, 1]),
    attend: (i, q, keys, values) => {
      const layer = state.cache[i];
      assign(layer, ops.updateRows(layer, columns(keys, values), writes));
      const [, , kv, g, d] = q.shape;
      const query = ops.reshape(q, [l, kv, g, d]);
      const sees = ops.slice(lanes, [0, 0], [l, 4]);
      const out = ops.cachedAttention(query, layer, sees, seen, layout.length);
      return ops.reshape(out, q.shape);
    },
  }); // [L, 1, C]
  const logits = model.logits(params, ops.reshape(hidden, [l, -1]));
  const { token, logProb, ends } = drawToken(logits, lane, draw, step);
  assign(state.tokens, ops.updateRows(state.tokens, token, place));
  assign(state.logProbs, ops.updateRows(state.logProbs, logProb, place));
  // A row that has ended stays so, whatever it draws on.
  const ended = ops.where(ends, ops.div(place, width), rows);
  assign(state.finished, ops.updateRows(state.finished, ops.full([l], 1, "u32"), ended));
  // The first lane counts on; the others' rows are beyond the last.
  const next = ops.add(ops.rem(place, width), promptLength + 1);
  assign(seen, ops.updateRows(seen, next, ops.iota([l])));
  return undefined;
}

/** [L] each. */
interface Drawn {
  token: Tensor;
  logProb: Tensor;
  /** Whether the token is EOS, bool. */
  ends: Tensor;
}

/** Draws token `step` of every lane's row from `logits` [L, V]. */
function drawToken(
  logits: Tensor,
  { prompt, sample }: { prompt: Tensor; sample: Tensor },
  given: Draw,
  step: Tensor,
): Drawn {
  const draw = given as unknown as Traced<Draw>;
  const bits = ops.randomBits([draw.rollout, prompt, sample, step], draw.key);
  const uniform = ops.uniformFromBits(bits);
  const { token, logProb } = ops.sample(logits, uniform, draw.temperature, draw.topK, draw.topP);
  return { token, logProb, ends: ops.eq(token, draw.eos) };
}

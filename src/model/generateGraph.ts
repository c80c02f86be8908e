/**
 * What runs on the device while rows are generated: the graphs of the three programs, and the tensors they share.
 * Everything that changes from call to call is data: positions, seeds, temperature, the columns of the prompts. Nothing
 * changes from step to step but states: the step is one of them, so that steps can be handed to the device many at a time.
 *
 * A lane is what computes a row. There may be fewer lanes than rows: those of rows that have ended are given up, and no
 * row's memory moves for that.
 */
import { assign, type HostScalar } from "../tensor/compile.ts";
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
  pad: HostScalar;
  rollout: HostScalar;
  key: readonly HostScalar[];
}

/** What lives on the device for the rows of one rollout. */
export interface RowState {
  /** [C, 2, KV, D] a layer: keys and values, the columns of the prompts and then those of the rows. */
  cache: readonly Tensor[];
  /** [R W] u32, row after row, W the bucket of maxCompletionLength. */
  tokens: Tensor;
  /** [R W]. */
  logProbs: Tensor;
  /** [R] u32: 1 after EOS. */
  finished: Tensor;
  /** [] u32: the token that is drawn next. */
  step: Tensor;
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

/** [L] u32 each: what a lane computes. A lane too many has a row beyond the last, and writes nothing. */
export interface Lanes {
  row: Tensor;
  /** Index among the prompts of the prefill. */
  source: Tensor;
  /** Column where the prompt begins. */
  start: Tensor;
  prompt: Tensor;
  sample: Tensor;
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
 * Draws each row's first token from its prompt's logits [N, V], lane i that of row i; all that follows is padding for now.
 * What else the cache holds, no query sees.
 */
export function begin(layout: Layout, state: RowState, logits: Tensor, lanes: Lanes, draw: Draw): undefined {
  const { rows, tokens: width } = layout;
  const first = drawToken(ops.take(logits, lanes.source), lanes, draw, ops.full([], 0, "u32"));
  const row = ops.iota([rows, width], 0);
  const isFirst = ops.eq(ops.iota([rows, width], 1), 0);
  const { pad } = draw as unknown as Traced<Draw>;
  const all = (x: Tensor, rest: Tensor | number): Tensor =>
    ops.reshape(ops.where(isFirst, ops.take(x, row), rest), [rows * width]);
  assign(state.tokens, all(first.token, pad));
  assign(state.logProbs, all(first.logProb, 0));
  assign(state.finished, ops.take(first.ended, ops.iota([rows])));
  assign(state.step, ops.full([], 1, "u32"));
  return undefined;
}

/** Runs the token of step - 1 through the model and draws that of `step`, which it counts on. */
export function decode(
  layout: Layout,
  model: Transformer,
  state: RowState,
  params: Parameters,
  lanes: Lanes,
  draw: Draw,
): undefined {
  const { prompts, promptLength, ownLength } = layout;
  const [l] = lanes.row.shape;
  const { step } = state;
  const slot = ops.add(step, promptLength - 1); // column of the token that is run, counted from the prompt's first
  const own = ops.add(ops.mul(lanes.row, ownLength), prompts * promptLength); // [L], where a row's own columns begin
  const writes = ops.add(own, ops.sub(step, 1)); // [L]; beyond the cache for a lane too many, like `place` below
  const sees = ops.concat(
    [
      lanes.start,
      ops.broadcastTo(ops.add(slot, 1), [l]),
      ops.full([l], promptLength, "u32"),
      ops.mul(lanes.source, promptLength),
      ops.sub(own, promptLength),
    ].map((x) => ops.reshape(x, [l, 1])),
    1,
  ); // [L, 5]
  const before = ops.add(ops.mul(lanes.row, layout.tokens), ops.sub(step, 1));
  const hidden = model.run(params, ops.reshape(ops.take(state.tokens, before), [l, 1]), {
    positions: ops.reshape(ops.sub(slot, lanes.start), [l, 1]),
    attend: (i, q, keys, values) => {
      const layer = state.cache[i];
      assign(layer, ops.updateRows(layer, columns(keys, values), writes));
      const [, , kv, g, d] = q.shape;
      const query = ops.reshape(q, [l, kv, g, d]);
      const out = ops.cachedAttention(query, layer, sees, layout.length);
      return ops.reshape(out, q.shape);
    },
  }); // [L, 1, C]
  const logits = model.logits(params, ops.reshape(hidden, [l, -1]));
  const done = ops.ne(ops.take(state.finished, lanes.row), 0);
  const drawn = drawToken(logits, lanes, draw, step, done);
  const place = ops.add(before, 1); // [L]
  assign(state.tokens, ops.updateRows(state.tokens, drawn.token, place));
  assign(state.logProbs, ops.updateRows(state.logProbs, drawn.logProb, place));
  assign(state.finished, ops.updateRows(state.finished, drawn.ended, lanes.row));
  assign(state.step, ops.add(step, 1));
  return undefined;
}

/** [L] each. */
interface Drawn {
  token: Tensor;
  logProb: Tensor;
  /** u32. */
  ended: Tensor;
}

/** Draws token `step` of every lane's row from `logits` [L, V]; those that are `done` [L] get padding. */
function drawToken(logits: Tensor, lanes: Lanes, given: Draw, step: Tensor, done?: Tensor): Drawn {
  const draw = given as unknown as Traced<Draw>;
  const bits = ops.randomBits([draw.rollout, lanes.prompt, lanes.sample, step], draw.key);
  const uniform = ops.uniformFromBits(bits);
  const { token, logProb } = ops.sample(logits, uniform, draw.temperature, draw.topK, draw.topP);
  if (!done) return { token, logProb, ended: ops.cast(ops.eq(token, draw.eos), "u32") };
  const chosen = ops.where(done, draw.pad, token);
  return {
    token: chosen,
    logProb: ops.where(done, 0, logProb),
    ended: ops.cast(ops.or(done, ops.eq(chosen, draw.eos)), "u32"),
  };
}

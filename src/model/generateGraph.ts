/**
 * What runs on the device while rows are generated: the graphs of the three programs, and the tensors they share.
 * Everything that changes from call to call is data: positions, seeds, temperature, the columns of the prompts.
 */
import { assign, type HostScalar } from "../tensor/compile.ts";
import { ops } from "../tensor/ops/index.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { causalPass, intervals, type Parameters, type Transformer } from "./transformer.ts";

/** What sampling needs at every step; all data. */
export interface Draw {
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
export interface RowState {
  /** [R, S, KV, D] a layer. */
  cache: Cache;
  /** [R, W] u32, W the bucket of maxCompletionLength. */
  tokens: Tensor;
  /** [R, W]. */
  logProbs: Tensor;
  /** [R] u32: 1 after EOS. */
  finished: Tensor;
}

/** [R] u32 each: what a row is. */
export interface RowIds {
  /** Index among the prompts of the prefill. */
  source: Tensor;
  /** Column where the prompt begins. */
  start: Tensor;
  prompt: Tensor;
  sample: Tensor;
}

export interface Prefilled {
  cache: Cache;
  /** [N, V]. */
  logits: Tensor;
}

/** The same inside a compiled function, where numbers are scalar tensors. */
type Traced<T> = { readonly [K in keyof T]: T[K] extends readonly HostScalar[] ? readonly Tensor[] : Tensor };

/** `tokens` [N, P] u32 with prompts at the right, `start` [N] u32 -> cache [N, P, KV, D] a layer, logits [N, V]. */
export function prefill(model: Transformer, params: Parameters, tokens: Tensor, start: Tensor): Prefilled {
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

/** Copies each row's prompt into the cache and draws the first token. What else the cache holds, no query sees. */
export function begin(state: RowState, prefilled: Prefilled, ids: RowIds, draw: Draw): undefined {
  const zero = ops.full([], 0, "u32");
  state.cache.forEach((layer, i) => {
    const { keys, values } = prefilled.cache[i];
    assign(layer.keys, ops.updateAt(layer.keys, ops.take(keys, ids.source), zero, 1));
    assign(layer.values, ops.updateAt(layer.values, ops.take(values, ids.source), zero, 1));
  });
  assign(state.finished, ops.full(state.finished.shape, 0, "u32"));
  drawToken(state, ops.take(prefilled.logits, ids.source), ids, draw, zero);
  return undefined;
}

/** Runs the token of step - 1 through the model and draws that of `step`. */
export function decode(
  model: Transformer,
  state: RowState,
  params: Parameters,
  ids: RowIds,
  draw: Draw,
  step: Tensor,
): undefined {
  const [rows] = state.tokens.shape;
  const { promptLength } = draw as unknown as Traced<Draw>;
  const slot = ops.sub(ops.add(step, promptLength), 1); // P + step - 1, column of the token that is run
  const first = ops.reshape(ids.start, [rows, 1]);
  const hidden = model.run(params, ops.sliceAt(state.tokens, ops.sub(step, 1), 1, 1), {
    positions: ops.sub(slot, first),
    visible: intervals(first, ops.broadcastTo(ops.add(slot, 1), [rows, 1])), // [R, 1, 2]
    remember: (i, keys, values) => {
      const layer = state.cache[i];
      assign(layer.keys, ops.updateAt(layer.keys, keys, slot, 1));
      assign(layer.values, ops.updateAt(layer.values, values, slot, 1));
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

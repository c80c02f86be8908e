/**
 * The decoder-only transformer, pre-norm:
 *
 *     x = embed(tokens)
 *     for each layer:  x = x + attention(norm(x));  x = x + mlp(norm(x))
 *     logits = head(norm(x))
 *
 * Axes: B batch, T time (queries), S time (keys), C hiddenSize, KV heads of keys, G heads of queries a head of keys,
 * D headDim, V vocabSize. Every method builds graph: call them inside `compile`, or alone.
 */
import { checkpoint } from "../tensor/autodiff.ts";
import { type Backend, backend } from "../tensor/backend.ts";
import { SEGMENT_LIMIT, tensor } from "../tensor/create.ts";
import { ConfigError, DTypeError, ShapeError } from "../tensor/errors.ts";
import { ops } from "../tensor/ops/index.ts";
import { blockName } from "../tensor/ops/rowBlocks.ts";
import { show } from "../tensor/shape.ts";
import { type Tensor, takeOver } from "../tensor/tensor.ts";
import type { ModelConfig } from "./config.ts";
import {
  type LayerParts,
  type LinearPart,
  type ModelParts,
  modelParts,
  type NormPart,
} from "./parameters.ts";
import { rotaryTable, rotate } from "./rotary.ts";

/** Tensors by parameter name (a cut one's blocks by theirs): `FlatTensors.tensors`, or the traced ones of an argument. */
export type Parameters = Readonly<Record<string, Tensor>>;

/** One run through the layers. */
export interface Pass {
  /** [T] or [B, T] u32: position of each query; one beyond maxPositions - 1 counts as that. */
  positions: Tensor;
  /** Gets a layer's queries [B, T, KV, G, D] and new keys and values [B, T, KV, D], and returns what is attended to, as queries. */
  attend(layer: number, queries: Tensor, keys: Tensor, values: Tensor): Tensor;
  /** Recompute each layer in the backward pass instead of keeping its inside. */
  recompute?: boolean;
}

export interface HiddenOptions {
  /** [B] u32: where each row begins; what stands before is padding that nobody sees. Default: all at 0. */
  start?: Tensor;
  /**
   * The caller has seen to it that T - start[b] <= maxPositions, or that what goes beyond is padding, for every row: T may
   * then be more. `start` is data, so nobody can see to it here; positions beyond the last read the last.
   */
  rowsFit?: boolean;
  recompute?: boolean;
}

export class Transformer {
  readonly config: ModelConfig;
  readonly parts: ModelParts;
  /** [maxPositions, 2 D], one on each backend that the model ran on: programs of several may be alive at a time. */
  private readonly rotary = new WeakMap<Backend, Tensor>();
  /** The same for `dispose()`, which keep no backend alive that nobody else does. */
  private readonly tables: WeakRef<Tensor>[] = [];

  /** Holds a table of rotary positions on the device until `dispose()`, made when it is first needed there. */
  constructor(config: ModelConfig) {
    this.config = config;
    this.parts = modelParts(config);
    if (config.positions === "rope") {
      const elements = config.maxPositions * 2 * config.headDim;
      if (elements > SEGMENT_LIMIT) {
        throw new ConfigError(
          `transformer: a rotary table of at most ${SEGMENT_LIMIT} elements expected, got maxPositions=${config.maxPositions} x ${2 * config.headDim}. Lower maxPositions.`,
        );
      }
    }
  }

  /**
   * `tokens` [B, T] u32 -> hidden states after the last norm [B, T, C]. Throws `ShapeError` where T, padding included, is
   * more than maxPositions and the caller has not said `rowsFit`.
   */
  hidden(params: Parameters, tokens: Tensor, options: HiddenOptions = {}): Tensor {
    checkTokens(tokens);
    if (!(options.start && options.rowsFit)) this.checkLength(tokens);
    return this.run(params, tokens, { ...causalPass(tokens, options.start), recompute: options.recompute });
  }

  /** Hidden states [..., C] -> logits [..., V]. */
  logits(params: Parameters, hidden: Tensor): Tensor {
    const parts = this.head(params).map((block) => ops.matmul(hidden, block, { transposeB: true }));
    return parts.length === 1 ? parts[0] : ops.concat(parts, -1);
  }

  /** The output layer [V, C], or the blocks of rows that it is cut into. */
  head(params: Parameters): Tensor[] {
    return this.blocks(params, this.parts.head);
  }

  /** Embeds and runs every layer and the last norm under the positions and the attention of `pass`. */
  run(params: Parameters, tokens: Tensor, pass: Pass): Tensor {
    checkTokens(tokens);
    if (pass.positions.shape.length === 1) this.checkLength(tokens);
    let x = ops.takeRows(this.blocks(params, this.parts.tokenEmbedding), tokens); // [B, T, C]
    if (this.parts.positionEmbedding !== null) {
      x = ops.add(x, ops.take(this.parameter(params, this.parts.positionEmbedding), pass.positions));
    }
    const angles = this.angles(pass.positions);
    this.parts.layers.forEach((_, i) => {
      const layer = (y: Tensor): Tensor => this.layer(params, i, y, angles, pass);
      x = (pass.recompute ? checkpoint(layer) : layer)(x);
    });
    return this.norm(params, this.parts.finalNorm, x);
  }

  dispose(): void {
    for (const table of this.tables.splice(0)) table.deref()?.dispose();
  }

  private checkLength(tokens: Tensor): void {
    const { maxPositions } = this.config;
    if (tokens.shape[1] <= maxPositions) return;
    throw new ShapeError(
      `transformer: at most maxPositions=${maxPositions} tokens a row were expected, got ${tokens.shape[1]}. Shorten the rows; where only padding makes them long, check that and say rowsFit.`,
    );
  }

  private parameter(params: Parameters, name: string): Tensor {
    const t = params[name];
    if (!t)
      throw new ShapeError(
        `transformer: the parameter ${name} was expected, got none. Pass all of parameterSpecs().`,
      );
    return t;
  }

  /** A table as it is, or the blocks of rows that it is cut into. */
  private blocks(params: Parameters, name: string): Tensor[] {
    const cut: Tensor[] = [];
    for (let i = 0; params[blockName(name, i)]; i++) cut.push(params[blockName(name, i)]);
    return cut.length > 0 ? cut : [this.parameter(params, name)];
  }

  /** Rows of the rotary table at the positions, [B or 1, T, 1, 1, 2 D]. */
  private angles(positions: Tensor): Tensor | null {
    if (this.config.positions !== "rope") return null;
    const rows = positions.shape.length === 2 ? positions.shape[0] : 1;
    const table = ops.take(this.rotaryHere(), positions);
    return ops.reshape(table, [rows, positions.shape.at(-1) as number, 1, 1, -1]);
  }

  /** The rotary table on the current backend. */
  private rotaryHere(): Tensor {
    const here = backend();
    let table = this.rotary.get(here);
    if (!table) {
      const { maxPositions, headDim, ropeTheta } = this.config;
      const angles = rotaryTable(maxPositions, headDim, ropeTheta);
      // Compiled functions keep it, so no scope that happens to be open may have it.
      table = takeOver(tensor(angles, { shape: [maxPositions, 2 * headDim] }));
      this.rotary.set(here, table);
      this.tables.push(new WeakRef(table));
    }
    return table;
  }

  private layer(params: Parameters, index: number, x: Tensor, angles: Tensor | null, pass: Pass): Tensor {
    const parts = this.parts.layers[index];
    const attended = this.attention(params, index, this.norm(params, parts.attentionNorm, x), angles, pass);
    const y = ops.add(x, attended);
    return ops.add(y, this.mlp(params, parts, this.norm(params, parts.mlpNorm, y)));
  }

  private norm(params: Parameters, part: NormPart, x: Tensor): Tensor {
    const weight = this.parameter(params, part.weight);
    const eps = this.config.normEps;
    return part.bias === null
      ? ops.rmsNorm(x, weight, eps)
      : ops.layerNorm(x, weight, this.parameter(params, part.bias), eps);
  }

  private linear(params: Parameters, part: LinearPart, x: Tensor): Tensor {
    const y = ops.matmul(x, this.parameter(params, part.weight), { transposeB: part.layout === "outIn" });
    return part.bias === null ? y : ops.add(y, this.parameter(params, part.bias));
  }

  private mlp(params: Parameters, parts: LayerParts, x: Tensor): Tensor {
    const act = this.config.hiddenAct === "silu" ? ops.silu : ops.gelu;
    const up = this.linear(params, parts.up, x); // [B, T, intermediateSize]
    return this.linear(
      params,
      parts.down,
      parts.gate ? ops.mul(act(this.linear(params, parts.gate, x)), up) : act(up),
    );
  }

  /** Queries [B, T, KV, G, D], keys and values [B, T, KV, 1, D], before rotation. */
  private project(params: Parameters, parts: LayerParts, x: Tensor): [Tensor, Tensor, Tensor] {
    const { numKeyValueHeads: kv, numHeads, headDim: d } = this.config;
    const [b, t] = x.shape;
    const heads = (y: Tensor, g: number): Tensor => ops.reshape(y, [b, t, kv, g, d]);
    const groups = numHeads / kv;
    if (parts.qkv.length === 3) {
      const [q, k, v] = parts.qkv.map((p) => this.linear(params, p, x));
      return [heads(q, groups), heads(k, 1), heads(v, 1)];
    }
    const all = this.linear(params, parts.qkv[0], x); // [B, T, (H + 2 KV) D]
    const third = (i: number): Tensor => ops.slice(all, [0, 0, i * kv * d], [b, t, (i + 1) * kv * d]);
    return [heads(third(0), 1), heads(third(1), 1), heads(third(2), 1)];
  }

  private attention(params: Parameters, index: number, x: Tensor, angles: Tensor | null, pass: Pass): Tensor {
    const { numHeads, numKeyValueHeads: kv, headDim: d, normEps } = this.config;
    const parts = this.parts.layers[index];
    const [b, t] = x.shape;
    let [q, k, v] = this.project(params, parts, x);
    if (parts.queryNorm) q = ops.rmsNorm(q, this.parameter(params, parts.queryNorm.weight), normEps);
    if (parts.keyNorm) k = ops.rmsNorm(k, this.parameter(params, parts.keyNorm.weight), normEps);
    if (angles) {
      q = rotate(q, angles);
      k = rotate(k, angles);
    }
    const [keys, values] = [k, v].map((x) => ops.reshape(x, [b, t, kv, d]));
    const out = pass.attend(index, q, keys, values); // [B, T, KV, G, D]
    return this.linear(params, parts.output, ops.reshape(out, [b, t, numHeads * d]));
  }
}

function checkTokens(tokens: Tensor): void {
  if (tokens.dtype !== "u32") {
    throw new DTypeError(
      `transformer: tokens of dtype u32 were expected, got ${tokens.dtype}. Make them with dtype: "u32".`,
    );
  }
  if (tokens.shape.length !== 2 || tokens.size === 0) {
    throw new ShapeError(
      `transformer: tokens[B, T] were expected, got ${show(tokens.shape)}. Add a batch axis.`,
    );
  }
}

/** Whole sequences: a query at t sees the keys from its row's start up to t. */
export function causalPass(tokens: Tensor, start?: Tensor): Pass {
  checkTokens(tokens);
  const [b, t] = tokens.shape;
  if (!start) return { positions: ops.iota([t]), attend: within(causalIntervals(b, t)) };
  if (start.shape.length !== 1 || start.shape[0] !== b || start.dtype !== "u32") {
    throw new ShapeError(`transformer: start u32[B=${b}] was expected, got ${start}. One number a row.`);
  }
  const first = ops.broadcastTo(ops.reshape(start, [b, 1]), [b, t]);
  return {
    positions: ops.sub(ops.maximum(ops.iota([b, t], 1), first), first), // [B, T], 0 in the padding
    attend: among(first, ops.add(ops.iota([b, t], 1), 1)),
  };
}

/** [B, T, 2] u32: 0 and t + 1. Of shapes alone, so a program holds it and no run computes it. */
function causalIntervals(b: number, t: number): Tensor {
  const ends = Uint32Array.from({ length: 2 * b * t }, (_, i) => (i % 2) * ((((i - 1) / 2) % t) + 1));
  return tensor(ends, { shape: [b, t, 2], dtype: "u32" });
}

/** Attention among a row's own tokens: what a query sees begins at `first` and ends before `end`, [B, T] u32 each. */
function among(first: Tensor, end: Tensor): Pass["attend"] {
  const [b, t] = first.shape;
  const sides = [first, end].map((x) => ops.reshape(x, [b, t, 1]));
  return within(ops.where(ops.eq(ops.iota([b, t, 2], 2), 0), sides[0], sides[1]));
}

const within =
  (visible: Tensor): Pass["attend"] =>
  (_layer, q, k, v) =>
    ops.attention(q, k, v, visible).out;

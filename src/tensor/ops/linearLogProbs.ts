/**
 * From hidden states to the log-probability of a token and the entropy of its distribution, without the [N, V] array
 * between them: the vocabulary is taken in chunks of rows of the weight, in order. Of each chunk remain, a number a row,
 *
 *     m = max z;   s = sum exp(z - m);   u = sum exp(z - m) (z - m);   c = z[token] - m, where it is there
 *
 * Two parts a and b are joined, with M = max(m_a, m_b) and d = m - M of each, by s = sum of s exp(d), u = sum of
 * (u + d s) exp(d), c = c + d of the one that has the token. In the end
 *
 *     logProb = c - log s;   entropy = log s - u / s
 *
 * Backwards a chunk's logits are computed again; with cotangents g of logProb and k of entropy, and x = z - m,
 *
 *     dz = g [v = token] - exp(x) (a + b x);   a = (g - k u / s) / s;   b = k / s
 *
 * Tokens whose logits of one chunk would be more than a binding holds are taken in pieces: each piece is computed as if it were
 * alone, which it cannot tell, and the weight's gradient is the sum of theirs in order.
 *
 * Source: arXiv 1805.02867 (joining maxima and sums), arXiv 2411.09009 (the loss by chunks).
 */
import { requireDType } from "../dtype.ts";
import { ShapeError, TensorError } from "../errors.ts";
import type { LandRows } from "../opdef.ts";
import { numel, sameShape, show } from "../shape.ts";
import { isTensor, type Tensor } from "../tensor.ts";
import { currentTrace, lift, requireTensor, runEagerly, type TensorLike } from "../trace.ts";
import { barrier, customVjpBoundary, stopGradient } from "./control.ts";
import { add, div, eq, exp, ge, log, maximum, minimum, mul, neg, sub, where } from "./elementwise.ts";
import { iota, takeAlong } from "./indexing.ts";
import { matmul } from "./matmul.ts";
import { reshape, slice } from "./movement.ts";
import { max, sum } from "./reduce.ts";
import { CHUNK_ROWS, joinRows } from "./rowBlocks.ts";

export interface TokenScores {
  /** [...] f32, nats. */
  logProbs: Tensor;
  /** [...] f32, nats. */
  entropy: Tensor;
}

/** Log-probability of each token and entropy of its distribution: `logits` [..., V], `tokens` [...] u32. */
export function scoreLogits(logits: Tensor, tokens: Tensor, temperature?: TensorLike): TokenScores {
  const z = temperature === undefined ? logits : div(logits, temperature);
  const shift = stopGradient(max(z, -1, true)); // [..., 1]
  const shifted = sub(z, shift);
  const e = exp(shifted);
  const total = sum(e, -1); // [...]
  const logTotal = log(total);
  const chosen = sub(takeAlong(z, tokens), reshape(shift, tokens.shape));
  return {
    logProbs: sub(chosen, logTotal),
    entropy: sub(logTotal, div(sum(mul(e, shifted), -1), total)),
  };
}

/** A chunk: rows [from, to) of a block, the first of which is row `start` of the whole. */
interface Chunk {
  block: number;
  from: number;
  to: number;
  start: number;
}

function chunksOf(blocks: readonly Tensor[], rows: number): Chunk[] {
  const chunks: Chunk[] = [];
  let first = 0;
  blocks.forEach(({ shape }, block) => {
    for (let from = 0; from < shape[0]; from += rows)
      chunks.push({ block, from, to: Math.min(from + rows, shape[0]), start: first + from });
    first += shape[0];
  });
  return chunks;
}

/** What is known of a row after some chunks, [N] each; see the top of the file. */
interface RowSums {
  m: Tensor;
  s: Tensor;
  u: Tensor;
  c: Tensor;
}

/** Most logits of a chunk that are alive at once: what every adapter can bind (128 MiB). */
const LOGITS_LIMIT = (128 << 20) / 4;

/** `linearLogProbs` of `hidden` [N, C] by pieces of at most `most` tokens. */
function scorePieces(
  hidden: Tensor,
  tokens: Tensor,
  most: number,
  score: (hidden: Tensor, tokens: Tensor) => TokenScores,
): TokenScores {
  const [n, width] = hidden.shape;
  const pieces: TokenScores[] = [];
  for (let from = 0; from < n; from += most) {
    const to = Math.min(from + most, n);
    pieces.push(score(slice(hidden, [from, 0], [to, width]), slice(tokens, [from], [to])));
  }
  const joined = (part: (scores: TokenScores) => Tensor): Tensor => joinRows(pieces.map(part)); // [N]
  return { logProbs: joined((p) => p.logProbs), entropy: joined((p) => p.entropy) };
}

function logitsOf(hidden: Tensor, blocks: readonly Tensor[], c: Chunk): Tensor {
  return matmul(hidden, rowsOf(blocks, c), { transposeB: true }); // [N, rows]
}

function rowsOf(blocks: readonly Tensor[], { block, from, to }: Chunk): Tensor {
  return slice(blocks[block], [from, 0], [to, blocks[block].shape[1]]);
}

/** The token's z - m is a sum over the row, 0 where the token is elsewhere: one more reduction of the same kernel. */
function rowSumsOf(z: Tensor, tokens: Tensor, start: number): RowSums {
  const m = max(z, -1); // [N]
  const x = sub(z, reshape(m, [-1, 1]));
  const e = exp(x);
  return { m, s: sum(e, -1), u: sum(mul(e, x), -1), c: sum(where(isToken(z, tokens, start), x, 0), -1) };
}

/** [N, rows]: whether a column of the chunk at `start` is the row's token. Earlier tokens wrap around, to none. */
function isToken(z: Tensor, tokens: Tensor, start: number): Tensor {
  return eq(iota(z.shape, 1), reshape(sub(tokens, start), [-1, 1]));
}

/** Of the chunks before and the one at `start`. A token that is yet to come has any c: it gets its own then. */
function join(a: RowSums, b: RowSums, tokens: Tensor, start: number): RowSums {
  const m = maximum(a.m, b.m);
  const [da, db] = [sub(a.m, m), sub(b.m, m)];
  const [fa, fb] = [exp(da), exp(db)];
  return {
    m,
    s: add(mul(a.s, fa), mul(b.s, fb)),
    u: add(mul(fa, add(a.u, mul(da, a.s))), mul(fb, add(b.u, mul(db, b.s)))),
    c: where(ge(tokens, start), add(b.c, db), add(a.c, da)),
  };
}

/** Results [N] of `hidden` [N, C] by chunks, with the gradient of the top of the file. */
function scoreChunks(
  hidden: Tensor,
  blocks: readonly Tensor[],
  tokens: Tensor,
  chunks: readonly Chunk[],
): [Tensor, Tensor] {
  const parts = (c: Chunk): RowSums => rowSumsOf(logitsOf(hidden, blocks, c), tokens, c.start);
  let p = parts(chunks[0]);
  for (const c of chunks.slice(1)) p = join(p, parts(c), tokens, c.start);
  const logTotal = log(p.s);
  const mean = div(p.u, p.s);
  const results = [sub(p.c, logTotal), sub(logTotal, mean), p.m, p.s, mean];
  const [logProbs, entropy] = customVjpBoundary(results, [hidden, tokens, ...blocks], {
    outputs: results.length,
    backward({ g, inputs: [h, ids, ...weights], outputs: [, , m, s, mu], land }) {
      if (g.slice(2).some((x) => x !== null)) {
        throw new TensorError(
          "linearLogProbs: a first derivative was expected, got a second. Use scoreLogits on the logits, which has both.",
        );
      }
      const { dHidden, dBlocks } = backwardChunks(
        { h, ids, weights, m, s, mu, g: g[0], k: g[1] },
        chunks,
        (block) => land?.(2 + block) ?? null,
      );
      return [dHidden, null, ...dBlocks];
    },
  });
  return [logProbs, entropy];
}

interface BackwardValues {
  h: Tensor;
  ids: Tensor;
  weights: readonly Tensor[];
  m: Tensor;
  s: Tensor;
  mu: Tensor;
  g: Tensor | null;
  k: Tensor | null;
}

/** Gradients by chunks in order, each chunk's rows landed before the next begins: nothing of [N, V] is ever alive. */
function backwardChunks(
  { h, ids, weights, m, s, mu, g, k }: BackwardValues,
  chunks: readonly Chunk[],
  landing: (block: number) => LandRows | null,
): { dHidden: Tensor; dBlocks: (Tensor | null)[] } {
  const column = (x: Tensor): Tensor => reshape(x, [-1, 1]);
  const again = barrier(h, (g ?? k) as Tensor); // not the forward pass's logits, which would have to be kept
  const kept = barrier(ids, again);
  const gain = k && div(k, s);
  const ofEntropy = gain && neg(mul(gain, mu));
  const ofLogProb = g && div(g, s);
  const base = (ofLogProb && ofEntropy ? add(ofLogProb, ofEntropy) : (ofLogProb ?? ofEntropy)) as Tensor;
  const lands = weights.map((_, block) => landing(block));
  const parts = weights.map((): Tensor[] => []);
  let dHidden: Tensor | null = null;
  for (const c of chunks) {
    const z = logitsOf(again, weights, c);
    const x = sub(z, column(m));
    const inner = gain ? add(column(base), mul(column(gain), x)) : column(base);
    const spread = mul(exp(x), inner);
    const dz = g ? sub(where(isToken(z, kept, c.start), column(g), 0), spread) : neg(spread); // [N, rows]
    const own = matmul(dz, rowsOf(weights, c));
    dHidden = dHidden ? add(dHidden, own) : own;
    const part = matmul(dz, again, { transposeA: true }); // [rows, C]
    const land = lands[c.block];
    if (land) land(c.from, part);
    else parts[c.block].push(part);
  }
  return { dHidden: dHidden as Tensor, dBlocks: parts.map((p) => (p.length > 0 ? joinRows(p) : null)) };
}

function check(hidden: Tensor, blocks: readonly Tensor[], tokens: Tensor, chunkRows: number): void {
  requireTensor("linearLogProbs", hidden, tokens, ...blocks);
  requireDType("linearLogProbs", "hidden", hidden.dtype, ["f32"]);
  requireDType("linearLogProbs", "tokens", tokens.dtype, ["u32"]);
  const width = hidden.shape.at(-1);
  const fits =
    blocks.length > 0 && blocks.every((w) => w.shape.length === 2 && w.shape[1] === width && w.shape[0] > 0);
  if (!fits || hidden.shape.length < 1 || !sameShape(hidden.shape.slice(0, -1), tokens.shape)) {
    throw new ShapeError(
      `linearLogProbs: hidden[..., C], weight[V, C] or blocks of its rows, and tokens[...] were expected, got ${show(hidden.shape)}, ${blocks.map((w) => show(w.shape)).join(" and ") || "no weight"}, ${show(tokens.shape)}. Check hiddenSize, and that tokens are one a hidden state.`,
    );
  }
  if (!(Number.isInteger(chunkRows) && chunkRows >= 1)) {
    throw new ShapeError(
      `linearLogProbs: chunks of at least 1 row were expected, got ${chunkRows}. Leave the argument out.`,
    );
  }
}

/**
 * Log-probability of each token under softmax(hidden weight^T / temperature) and entropy of that distribution:
 * `hidden` [..., C], `weight` [V, C] (or blocks of its rows, in order), `tokens` [...] u32. Beyond one chunk of the
 * vocabulary nothing as large as [N, V] is stored, forward or backward; up to it, it is `scoreLogits` on `matmul`.
 * `temperature` is one number; `logitsLimit` is what tests lower. A token beyond V counts as the last.
 */
export function linearLogProbs(
  hidden: Tensor,
  weight: Tensor | readonly Tensor[],
  tokens: Tensor,
  temperature?: TensorLike,
  chunkRows = CHUNK_ROWS,
  logitsLimit = LOGITS_LIMIT,
): TokenScores {
  const blocks = isTensor(weight) ? [weight] : [...weight];
  check(hidden, blocks, tokens, chunkRows);
  if (isTensor(temperature) && numel(temperature.shape) !== 1) {
    throw new ShapeError(
      `linearLogProbs: a temperature of one number was expected, got ${show(temperature.shape)}. Use scoreLogits for one a row.`,
    );
  }
  if (!currentTrace()) {
    const given = [hidden, tokens, ...blocks, ...(temperature === undefined ? [] : [temperature])];
    const [logProbs, entropy] = runEagerly(
      ([h, t, ...rest]) => {
        const w = rest.slice(0, blocks.length) as Tensor[];
        const r = linearLogProbs(h as Tensor, w, t as Tensor, rest[blocks.length], chunkRows, logitsLimit);
        return [r.logProbs, r.entropy];
      },
      lift(given, "linearLogProbs"),
    );
    return { logProbs, entropy };
  }
  const chunks = chunksOf(blocks, chunkRows);
  const most = Math.floor(logitsLimit / Math.max(...chunks.map(({ from, to }) => to - from)));
  const count = numel(tokens.shape);
  if (count > most && most > 0) {
    const flat = reshape(hidden, [count, hidden.shape.at(-1) as number]); // [N, C]
    const { logProbs, entropy } = scorePieces(flat, reshape(tokens, [count]), most, (h, t) =>
      linearLogProbs(h, blocks, t, temperature, chunkRows, logitsLimit),
    );
    return { logProbs: reshape(logProbs, tokens.shape), entropy: reshape(entropy, tokens.shape) };
  }
  if (chunks.length === 1) {
    return scoreLogits(matmul(hidden, blocks[0], { transposeB: true }), tokens, temperature);
  }
  const scaled = temperature === undefined ? hidden : div(hidden, temperature);
  const flat = reshape(scaled, [numel(tokens.shape), hidden.shape.at(-1) as number]); // [N, C]
  const rows = blocks.reduce((n, w) => n + w.shape[0], 0);
  const kept = minimum(reshape(tokens, [flat.shape[0]]), rows - 1);
  const [logProbs, entropy] = scoreChunks(flat, blocks, kept, chunks);
  return { logProbs: reshape(logProbs, tokens.shape), entropy: reshape(entropy, tokens.shape) };
}

/**
 * Log-probabilities and entropies of given tokens under the model: `tokenLogProbs` builds graph (for losses), `Scorer`
 * is a compiled program over fixed micro-batches (for log-probabilities before an update).
 *
 *     logProb[b, i] = log softmax(logits[b, from + i - 1] / temperature)[token[b, from + i]]
 *     entropy[b, i] = -sum_v p_v log p_v  of the same distribution, nats
 */
import { type Compiled, compile } from "../tensor/compile.ts";
import { ConfigError, ShapeError } from "../tensor/errors.ts";
import { ops } from "../tensor/ops/index.ts";
import { scoreLogits, type TokenScores } from "../tensor/ops/linearLogProbs.ts";
import { show } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { TensorLike } from "../tensor/trace.ts";
import { gatherMicroBatches } from "./microBatches.ts";
import type { TokenRows } from "./sequences.ts";
import type { HiddenOptions, Parameters, Transformer } from "./transformer.ts";

export { scoreLogits };

/** [B, N] each. */
export type Scored = TokenScores;

/** Scores with what they were computed from. */
export interface ScoredHidden extends Scored {
  /** [B, N, C] hidden state before each scored token. */
  hidden: Tensor;
}

export interface ScoreOptions extends HiddenOptions {
  /** First token that is scored; at least 1. Default 1: all that follow another. */
  from?: number;
  /** Divides the logits: one number. Data, so a tensor argument. Default 1. */
  temperature?: TensorLike;
}

/** Scores `tokens` [B, T] u32 from position `from` on: [B, T - from] each. */
export function tokenLogProbs(
  model: Transformer,
  params: Parameters,
  tokens: Tensor,
  options: ScoreOptions = {},
): ScoredHidden {
  const from = options.from ?? 1;
  const [b, t] = tokens.shape;
  if (tokens.shape.length !== 2 || !(Number.isInteger(from) && from >= 1 && from < t)) {
    throw new ShapeError(
      `tokenLogProbs: tokens[B, T] with 1 <= from < T were expected, got ${show(tokens.shape)}, from ${from}. The first token has nothing before it.`,
    );
  }
  const hidden = model.hidden(params, tokens, options); // [B, T, C]
  const before = ops.slice(hidden, [0, from - 1, 0], [b, t - 1, hidden.shape[2]]);
  const next = ops.slice(tokens, [0, from], [b, t]);
  const scored = ops.linearLogProbs(before, model.head(params), next, options.temperature);
  return { ...scored, hidden: before };
}

export interface HostScores {
  /** [rows, completionLength], nats; meaningless where the completion is padding. */
  logProbs: Float64Array;
  entropy: Float64Array;
}

type ScoreProgram = Compiled<[Parameters, Tensor, Tensor, number, number], Scored>;

/** Scores any number of rows in micro-batches of a fixed size: one program for each pair of lengths. */
export class Scorer {
  private readonly program: ScoreProgram;
  private readonly rows: number;
  private readonly maxPositions: number;

  /** `rows` in each micro-batch. */
  constructor(model: Transformer, rows = 32) {
    if (!(Number.isInteger(rows) && rows >= 1)) {
      throw new ConfigError(`scorer: rows of at least 1 expected, got ${rows}. Choose what fits in memory.`);
    }
    this.rows = rows;
    this.maxPositions = model.config.maxPositions;
    this.program = compile(
      (params: Parameters, tokens: Tensor, start: Tensor, from: number, temperature: TensorLike) => {
        const { logProbs, entropy } = tokenLogProbs(model, params, tokens, {
          start,
          rowsFit: true,
          from,
          temperature,
        });
        return { logProbs, entropy };
      },
      { static: [3], label: "score" },
    );
  }

  /** Programs built so far. */
  get programs(): number {
    return this.program.programs;
  }

  /**
   * Scores the completions of `batch` at a temperature above 0. Throws `ConfigError` for another temperature, and for a row
   * of more tokens than the model has positions.
   */
  async score(params: Parameters, batch: TokenRows, temperature = 1): Promise<HostScores> {
    if (!(temperature > 0 && temperature < Number.POSITIVE_INFINITY)) {
      throw new ConfigError(
        `scorer: a temperature above 0 expected, got ${temperature}. A greedy choice has no log-probability.`,
      );
    }
    this.checkLengths(batch);
    return gatherMicroBatches(batch, this.rows, ["logProbs", "entropy"], (tokens, start) =>
      this.program(params, tokens, start, batch.promptLength, temperature),
    );
  }

  private checkLengths({ rows, promptLength, completionLength, starts, completionMask }: TokenRows): void {
    for (let r = 0; r < rows; r++) {
      const mask = completionMask.subarray(r * completionLength, (r + 1) * completionLength);
      const prompt = promptLength - starts[r];
      const completion = mask.findLastIndex((m) => m !== 0) + 1;
      if (prompt + completion <= this.maxPositions) continue;
      throw new ConfigError(
        `scorer: prompt and completion of at most maxPositions=${this.maxPositions} tokens expected, got ${prompt} + ${completion} in row ${r}. Shorten the rows, or use a model with more positions.`,
      );
    }
  }

  dispose(): void {
    this.program.dispose();
  }
}

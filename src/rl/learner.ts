/**
 * Parameters, their optimizer and the program that adds a micro-batch's gradient. Any number of rows becomes
 * micro-batches of one fixed shape, padded with rows of weight 0, so nothing is compiled after the first.
 */

import { tokenLogProbs } from "../model/scoring.ts";
import { type TokenRows, takeRows } from "../model/sequences.ts";
import type { Parameters, Transformer } from "../model/transformer.ts";
import { valueAndGrad } from "../tensor/autodiff.ts";
import { type Compiled, compile } from "../tensor/compile.ts";
import { type FlatTensors, tensor } from "../tensor/create.ts";
import { ConfigError } from "../tensor/errors.ts";
import { AdamW, type AdamWStep, accumulate, checkAdamWStep } from "../tensor/optim.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { LossForm } from "./algorithms.ts";
import { maskedAdvantageLoss } from "./loss.ts";

/** One micro-batch on the device. */
interface MicroBatch {
  /** [B, T] u32. */
  tokens: Tensor;
  /** [B] u32. */
  start: Tensor;
  /** [B, N] each. */
  weights: Tensor;
  oldLogProbs: Tensor;
}

interface Numbers {
  temperature: number;
  ratioMin: number;
  ratioMax: number;
}

type AddProgram = Compiled<
  [Readonly<Record<string, Tensor>>, Parameters, MicroBatch, Numbers, number],
  { loss: Tensor; clipped: Tensor }
>;

/** Rows to learn from in one optimizer step. */
export interface LearnRows {
  batch: TokenRows;
  /** Rows of the batch that take part. */
  rows: readonly number[];
  /** Weight of each token of those rows. */
  weights: readonly number[];
  /** [batch.rows, completionLength], for the form `ratio`. */
  oldLogProbs?: ArrayLike<number>;
  /** Default 1. */
  temperature?: number;
  clipLow?: number | null;
  clipHigh?: number | null;
}

export interface UpdateResult {
  loss: number;
  /** Norm of the gradient before clipping. */
  gradNorm: number;
  /** Weighted tokens whose ratio was clipped. */
  clipped: number;
  /** Weighted tokens. */
  tokens: number;
}

/** No bound: far from overflow, and its product with 0 is 0. */
const UNCLIPPED = 1e30;

export class Learner {
  readonly model: Transformer;
  readonly params: FlatTensors;
  readonly optimizer: AdamW;
  readonly microBatchRows: number;
  readonly form: LossForm;
  /** Optimizer steps so far. */
  updates = 0;
  private readonly add: AddProgram;

  constructor(
    model: Transformer,
    params: FlatTensors,
    { form, microBatchRows }: { form: LossForm; microBatchRows: number },
  ) {
    if (!(Number.isInteger(microBatchRows) && microBatchRows >= 1)) {
      throw new ConfigError(
        `learner: microBatchRows of at least 1 expected, got ${microBatchRows}. Choose what fits in memory.`,
      );
    }
    this.model = model;
    this.params = params;
    this.form = form;
    this.microBatchRows = microBatchRows;
    this.optimizer = new AdamW(params);
    this.add = compile(
      (
        grads: Readonly<Record<string, Tensor>>,
        p: Parameters,
        micro: MicroBatch,
        numbers: Numbers,
        from: number,
      ) => {
        const loss = valueAndGrad((q: Parameters): readonly [Tensor, Tensor] => {
          const { logProbs } = tokenLogProbs(model, q, micro.tokens, {
            start: micro.start,
            from,
            temperature: numbers.temperature,
          });
          const result = maskedAdvantageLoss(form, { logProbs, ...micro, ...numbers });
          return [result.loss, result.clipped];
        });
        const { value, grad, aux } = loss(p);
        accumulate(grads, grad);
        return { loss: value, clipped: aux };
      },
      { state: [0], static: [4], label: `learn.${form}` },
    );
  }

  /** Programs built so far. */
  get programs(): number {
    return this.add.programs + this.optimizer.programs;
  }

  /** Adds the gradient of the weighted rows and takes one optimizer step. No row, no step: then `null`. */
  async update(given: LearnRows, step: Omit<AdamWStep, "step">): Promise<UpdateResult | null> {
    const { batch, rows, weights } = given;
    if (rows.length === 0) return null;
    checkAdamWStep({ ...step, step: this.updates + 1 });
    const width = batch.completionLength;
    const numbers: Numbers = {
      temperature: given.temperature ?? 1,
      ratioMin: given.clipLow == null ? 0 : 1 - given.clipLow,
      ratioMax: given.clipHigh == null ? UNCLIPPED : 1 + given.clipHigh,
    };
    const results: { loss: Tensor; clipped: Tensor }[] = [];
    let tokens = 0;
    for (let first = 0; first < rows.length; first += this.microBatchRows) {
      const take = Array.from({ length: this.microBatchRows }, (_, i) => rows[first + i] ?? -1);
      const part = takeRows(batch, take);
      const tokenWeights = new Float32Array(part.completionMask.length);
      const old = new Float32Array(part.completionMask.length);
      take.forEach((row, r) => {
        if (row < 0) return;
        for (let t = 0; t < width; t++) {
          const at = r * width + t;
          if (part.completionMask[at] === 0) continue;
          tokenWeights[at] = weights[first + r];
          if (given.oldLogProbs) old[at] = given.oldLogProbs[row * width + t];
          tokens++;
        }
      });
      const shape = [this.microBatchRows, width];
      const micro: MicroBatch = {
        tokens: tensor(part.tokens, {
          shape: [this.microBatchRows, batch.promptLength + width],
          dtype: "u32",
        }),
        start: tensor(part.starts, { dtype: "u32" }),
        weights: tensor(tokenWeights, { shape }),
        oldLogProbs: tensor(old, { shape }),
      };
      results.push(
        this.add(this.optimizer.grads.tensors, this.params.tensors, micro, numbers, batch.promptLength),
      );
      for (const t of Object.values(micro) as Tensor[]) t.dispose();
    }
    using norm = this.optimizer.step({ ...step, step: this.updates + 1 });
    this.updates++;
    const read = await Promise.all([
      norm.item(),
      ...results.flatMap(({ loss, clipped }) => [loss.item(), clipped.item()]),
    ]);
    for (const { loss, clipped } of results) {
      loss.dispose();
      clipped.dispose();
    }
    const result = { loss: 0, gradNorm: read[0], clipped: 0, tokens };
    for (let i = 1; i < read.length; i += 2) {
      result.loss += read[i];
      result.clipped += read[i + 1];
    }
    return result;
  }

  /** Releases the optimizer and the programs; model and parameters stay. */
  dispose(): void {
    this.add.dispose();
    this.optimizer.dispose();
  }
}

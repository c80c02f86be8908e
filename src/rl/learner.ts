/**
 * Parameters, their optimizer and the program that adds a micro-batch's gradient. Any number of rows becomes
 * micro-batches of one fixed shape, padded with rows of weight 0, so nothing is compiled after the first.
 */

import { tokenLogProbs } from "../model/scoring.ts";
import { type TokenRows, takeRows } from "../model/sequences.ts";
import type { Parameters, Transformer } from "../model/transformer.ts";
import { type Compiled, compile } from "../tensor/compile.ts";
import { type FlatTensors, tensor } from "../tensor/create.ts";
import { ConfigError } from "../tensor/errors.ts";
import { AdamW, type AdamWStep, accumulateGrad, checkAdamWStep, UNCLIPPED } from "../tensor/optim.ts";
import { Sgd } from "../tensor/sgd.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { KlEstimator, LossForm } from "./algorithm.ts";
import { policyLoss, ROW_FORMS } from "./loss.ts";
import { type ValueHead, valuesOf } from "./valueHead.ts";

/** One micro-batch on the device; a part that the loss does not read is left out. */
interface MicroBatch {
  /** [B, T] u32. */
  tokens: Tensor;
  /** [B] u32. */
  start: Tensor;
  /** [B, N] each. */
  weights: Tensor;
  oldLogProbs: Tensor;
  scales?: Tensor;
  reference?: Tensor;
  returns?: Tensor;
}

interface Numbers {
  temperature: number;
  ratioMin: number;
  ratioMax: number;
  dualMax?: number;
  kl?: number;
  entropy?: number;
  value?: number;
}

interface AddResult {
  loss: Tensor;
  clipped: Tensor;
  kl?: Tensor;
}

type Named = Readonly<Record<string, Tensor>>;
type AddProgram = Compiled<[Named, Parameters, MicroBatch, Numbers, number], AddResult>;

/** Rows to learn from in one optimizer step. */
export interface LearnRows {
  batch: TokenRows;
  /** Rows of the batch that take part. */
  rows: readonly number[];
  /** Weight A / Z of each token of those rows. */
  weights: readonly number[];
  /** What divides a token's terms, by row: for all but the plain forms. */
  divisors?: readonly number[];
  /** [batch.rows, completionLength]: advantages by token, which then take the place of `weights`. */
  tokenAdvantages?: ArrayLike<number>;
  /** The same shape each: for the forms with a ratio, for a KL term in the loss, for a value head. */
  oldLogProbs?: ArrayLike<number>;
  reference?: ArrayLike<number>;
  returns?: ArrayLike<number>;
  /** Default 1. */
  temperature?: number;
  clipLow?: number | null;
  clipHigh?: number | null;
  dualClip?: number | null;
  /** Weights of the terms that the learner was made with. */
  klCoefficient?: number;
  entropyCoefficient?: number;
  valueCoefficient?: number;
}

export interface UpdateResult {
  loss: number;
  /** Norm of the gradient before clipping. */
  gradNorm: number;
  /** Weighted tokens whose ratio was clipped. */
  clipped: number;
  /** Weighted tokens. */
  tokens: number;
  /** Weighted mean of the KL term's estimator; 0 without one. */
  kl: number;
}

interface Moments {
  m: FlatTensors;
  v: FlatTensors;
}

const momentsOf = (optimizer: AdamW | Sgd): Moments | null =>
  optimizer instanceof AdamW ? { m: optimizer.m, v: optimizer.v } : null;

/** What the loss is made of, fixed for a learner's life. */
export interface LearnerOptions {
  form: LossForm;
  microBatchRows: number;
  /** A KL term in the loss. */
  kl?: KlEstimator | null;
  /** An entropy bonus. */
  entropy?: boolean;
  /** Clips the ratio of negative advantages from above. */
  dualClip?: boolean;
  /** Belongs to the learner from here on. */
  value?: ValueHead | null;
  /** Default `adamw`. */
  optimizer?: "adamw" | "sgd";
}

/** The data of `count` rows from `first` on, [count, completionLength] each: 0 in the padding and in rows that are not there. */
export function tokenTerms(given: LearnRows, first: number, count: number) {
  const { batch, rows, weights, divisors, tokenAdvantages } = given;
  const width = batch.completionLength;
  const make = (): Float32Array => new Float32Array(count * width);
  const terms = { weights: make(), oldLogProbs: make(), scales: make(), reference: make(), returns: make() };
  let tokens = 0;
  for (let r = 0; r < count && first + r < rows.length; r++) {
    const row = rows[first + r];
    const divisor = divisors?.[first + r] ?? 1;
    for (let t = 0; t < width; t++) {
      const from = row * width + t;
      if (batch.completionMask[from] === 0) continue;
      const at = r * width + t;
      terms.weights[at] = tokenAdvantages ? tokenAdvantages[from] / divisor : weights[first + r];
      terms.scales[at] = 1 / divisor;
      terms.oldLogProbs[at] = given.oldLogProbs?.[from] ?? 0;
      terms.reference[at] = given.reference?.[from] ?? 0;
      terms.returns[at] = given.returns?.[from] ?? 0;
      tokens++;
    }
  }
  return { ...terms, tokens };
}

export class Learner {
  readonly model: Transformer;
  readonly params: FlatTensors;
  readonly optimizer: AdamW | Sgd;
  readonly microBatchRows: number;
  readonly form: LossForm;
  readonly value: ValueHead | null;
  /** Optimizer steps so far. */
  updates = 0;
  private readonly options: LearnerOptions;
  private readonly add: AddProgram;

  constructor(model: Transformer, params: FlatTensors, options: LearnerOptions) {
    const { form, microBatchRows } = options;
    if (!(Number.isInteger(microBatchRows) && microBatchRows >= 1)) {
      throw new ConfigError(
        `learner: microBatchRows of at least 1 expected, got ${microBatchRows}. Choose what fits in memory.`,
      );
    }
    this.model = model;
    this.params = params;
    this.form = form;
    this.microBatchRows = microBatchRows;
    this.options = options;
    this.value = options.value ?? null;
    this.optimizer = options.optimizer === "sgd" ? new Sgd(params) : new AdamW(params);
    this.add = compile(
      (grads: Named, trained: Parameters, micro: MicroBatch, numbers: Numbers, from: number) => {
        const { value, aux } = accumulateGrad(grads, (p) => this.loss(p, micro, numbers, from))(trained);
        return { loss: value, ...aux };
      },
      { state: [0], static: [4], label: `learn.${form}` },
    );
  }

  /** AdamW's moments; null for an optimizer without. */
  get moments(): Moments | null {
    return momentsOf(this.optimizer);
  }

  /** Those of the value head; null where there is none. */
  get valueMoments(): Moments | null {
    return this.value && momentsOf(this.value.optimizer);
  }

  /** Programs built so far. */
  get programs(): number {
    return this.add.programs + this.optimizer.programs + (this.value?.programs ?? 0);
  }

  /** The loss of a micro-batch as graph; see `algorithm.ts` for the whole formula. */
  private loss(
    p: Parameters,
    micro: MicroBatch,
    numbers: Numbers,
    from: number,
  ): readonly [Tensor, Omit<AddResult, "loss">] {
    const scored = tokenLogProbs(this.model, p, micro.tokens, {
      start: micro.start,
      rowsFit: true,
      from,
      temperature: numbers.temperature,
    });
    const values = this.value ? valuesOf(scored.hidden, p) : undefined;
    const { loss, ...aux } = policyLoss(this.options, { ...scored, values }, micro, numbers);
    return [loss, aux];
  }

  /** Adds the gradient of the weighted rows and takes one optimizer step. No row, no step: then `null`. */
  async update(given: LearnRows, step: Omit<AdamWStep, "step">): Promise<UpdateResult | null> {
    if (given.rows.length === 0) return null;
    const next = this.updates + 1;
    checkAdamWStep({ ...step, step: next });
    const numbers = this.numbers(given);
    const grads = { ...this.optimizer.grads.tensors, ...this.value?.optimizer.grads.tensors };
    const trained = { ...this.params.tensors, ...this.value?.params.tensors };
    const results: AddResult[] = [];
    let tokens = 0;
    for (let first = 0; first < given.rows.length; first += this.microBatchRows) {
      const part = this.microBatch(given, first);
      tokens += part.tokens;
      results.push(this.add(grads, trained, part.micro, numbers, given.batch.promptLength));
      for (const t of Object.values(part.micro) as Tensor[]) t.dispose();
    }
    using norm = this.optimizer.step({ ...step, step: next });
    this.value?.optimizer.step({ ...step, lr: step.lr * this.value.rate, step: next }).dispose();
    this.updates = next;
    const result: UpdateResult = { loss: 0, gradNorm: 0, clipped: 0, tokens, kl: 0 };
    try {
      const read = (t: Tensor | undefined): Promise<number> => t?.item() ?? Promise.resolve(0);
      const [gradNorm, ...parts] = await Promise.all([
        norm.item().then((n) => [n]),
        ...results.map(({ loss, clipped, kl }) => Promise.all([read(loss), read(clipped), read(kl)])),
      ]);
      result.gradNorm = gradNorm[0];
      for (const [loss, clipped, kl] of parts) {
        result.loss += loss;
        result.clipped += clipped;
        result.kl += kl;
      }
    } finally {
      for (const r of results) for (const t of Object.values(r) as Tensor[]) t.dispose();
    }
    return result;
  }

  private numbers(given: LearnRows): Numbers {
    const numbers: Numbers = {
      temperature: given.temperature ?? 1,
      ratioMin: given.clipLow == null ? 0 : 1 - given.clipLow,
      ratioMax: given.clipHigh == null ? UNCLIPPED : 1 + given.clipHigh,
    };
    if (this.options.dualClip) numbers.dualMax = given.dualClip ?? UNCLIPPED;
    if (this.options.kl) numbers.kl = given.klCoefficient ?? 0;
    if (this.options.entropy) numbers.entropy = given.entropyCoefficient ?? 0;
    if (this.value) numbers.value = given.valueCoefficient ?? 0;
    return numbers;
  }

  /** Rows from `first` on as one micro-batch on the device, and how many tokens of theirs count. */
  private microBatch(given: LearnRows, first: number): { micro: MicroBatch; tokens: number } {
    const { batch, rows } = given;
    const indices = Array.from({ length: this.microBatchRows }, (_, i) => rows[first + i] ?? -1);
    const part = takeRows(batch, indices);
    const terms = tokenTerms(given, first, this.microBatchRows);
    const width = batch.completionLength;
    const shape = [this.microBatchRows, width];
    const micro: MicroBatch = {
      tokens: tensor(part.tokens, { shape: [this.microBatchRows, batch.promptLength + width], dtype: "u32" }),
      start: tensor(part.starts, { dtype: "u32" }),
      weights: tensor(terms.weights, { shape }),
      oldLogProbs: tensor(terms.oldLogProbs, { shape }),
    };
    if (this.readsScales) micro.scales = tensor(terms.scales, { shape });
    if (this.options.kl) micro.reference = tensor(terms.reference, { shape });
    if (this.value) micro.returns = tensor(terms.returns, { shape });
    return { micro, tokens: terms.tokens };
  }

  /** Whether the loss reads 1/Z by itself. */
  private get readsScales(): boolean {
    const { form, kl, entropy } = this.options;
    return ROW_FORMS.includes(form) || Boolean(kl) || Boolean(entropy) || this.value !== null;
  }

  /** Releases the optimizer, the value head and the programs; model and parameters stay. */
  dispose(): void {
    this.add.dispose();
    this.optimizer.dispose();
    this.value?.dispose();
  }
}

/**
 * A value head on the policy's last hidden state, for PPO: V = h . w + b, one number a token, the expected return before
 * the token is drawn. It starts at 0 and has an optimizer of its own, of the policy's kind; its error's gradient reaches the policy's trunk.
 */
import { gatherMicroBatches } from "../model/microBatches.ts";
import { tokenLogProbs } from "../model/scoring.ts";
import type { TokenRows } from "../model/sequences.ts";
import type { Parameters, Transformer } from "../model/transformer.ts";
import { type Compiled, compile } from "../tensor/compile.ts";
import { FlatTensors, flatLayout } from "../tensor/create.ts";
import { ops } from "../tensor/ops/index.ts";
import { AdamW } from "../tensor/optim.ts";
import { Sgd } from "../tensor/sgd.ts";
import type { Tensor } from "../tensor/tensor.ts";

export const VALUE_WEIGHT = "value_head.weight";
export const VALUE_BIAS = "value_head.bias";

/**
 * The head's learning rate is this many times the policy's. Under AdamW, whose steps are of one size whatever the gradient,
 * it starts from nothing; under SGD its gradient is as large as its error.
 */
const VALUE_RATE = { adamw: 10, sgd: 1 } as const;

type Program = Compiled<[Parameters, Parameters, Tensor, Tensor, number], Tensor>;

/** Values [B, N] from hidden states [B, N, C] and the head's parameters by name. */
export function valuesOf(hidden: Tensor, head: Readonly<Record<string, Tensor>>): Tensor {
  const [b, n] = hidden.shape;
  return ops.add(ops.reshape(ops.matmul(hidden, head[VALUE_WEIGHT]), [b, n]), head[VALUE_BIAS]);
}

export class ValueHead {
  readonly params: FlatTensors;
  readonly optimizer: AdamW | Sgd;
  /** The head's learning rate over the policy's. */
  readonly rate: number;
  private readonly program: Program;
  private readonly rows: number;

  /** `rows` are valued together. */
  constructor(model: Transformer, rows: number, optimizer: keyof typeof VALUE_RATE = "adamw") {
    const specs = [
      { name: VALUE_WEIGHT, shape: [model.config.hiddenSize, 1] },
      { name: VALUE_BIAS, shape: [1] },
    ];
    this.params = new FlatTensors(flatLayout(specs), "value head");
    this.optimizer = optimizer === "sgd" ? new Sgd(this.params) : new AdamW(this.params);
    this.rate = VALUE_RATE[optimizer];
    this.rows = rows;
    this.program = compile(
      (params: Parameters, head: Parameters, tokens: Tensor, start: Tensor, from: number) =>
        valuesOf(tokenLogProbs(model, params, tokens, { start, rowsFit: true, from }).hidden, head),
      { static: [4], label: "value" },
    );
  }

  /** Programs built so far. */
  get programs(): number {
    return this.program.programs + this.optimizer.programs;
  }

  /** [rows, completionLength] values before each token of the completions; meaningless in the padding. */
  async values(params: Parameters, batch: TokenRows): Promise<Float64Array> {
    const head = this.params.tensors;
    const { values } = await gatherMicroBatches(batch, this.rows, ["values"], (tokens, start) => ({
      values: this.program(params, head, tokens, start, batch.promptLength),
    }));
    return values;
  }

  dispose(): void {
    this.program.dispose();
    this.optimizer.dispose();
    this.params.dispose();
  }
}

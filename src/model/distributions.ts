/**
 * The whole distribution of each next token, for pages that show it:
 *
 *     p[b, i, v] = softmax(logits[b, from + i - 1] / temperature)[v]
 */
import { type Compiled, compile } from "../tensor/compile.ts";
import { tensor } from "../tensor/create.ts";
import { ops } from "../tensor/ops/index.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { TensorLike } from "../tensor/trace.ts";
import type { TokenRows } from "./sequences.ts";
import type { Parameters, Transformer } from "./transformer.ts";

/** One program for each shape of rows; the batch is run as it is, so ask for few rows. */
export class Distributions {
  private readonly program: Compiled<[Parameters, Tensor, Tensor, number, number], Tensor>;

  constructor(model: Transformer) {
    this.program = compile(
      (params: Parameters, tokens: Tensor, start: Tensor, from: number, temperature: TensorLike) => {
        const hidden = model.hidden(params, tokens, { start, rowsFit: true }); // [B, T, C]
        const [b, t, c] = hidden.shape;
        const before = ops.slice(hidden, [0, from - 1, 0], [b, t - 1, c]); // [B, N, C]
        return ops.softmax(ops.div(model.logits(params, before), temperature)); // [B, N, V]
      },
      { static: [3], label: "distributions" },
    );
  }

  /** [rows, completionLength, vocabSize] probabilities of the completions' positions. */
  async of(params: Parameters, batch: TokenRows, temperature = 1): Promise<Float32Array> {
    const shape = [batch.rows, batch.promptLength + batch.completionLength];
    using tokens = tensor(batch.tokens, { shape, dtype: "u32" });
    using start = tensor(batch.starts, { dtype: "u32" });
    using probabilities = this.program(params, tokens, start, batch.promptLength, temperature);
    return Float32Array.from(await probabilities.data());
  }

  dispose(): void {
    this.program.dispose();
  }
}

/**
 * A loss of one's own, from ops: direct preference optimization (DPO, arXiv 2305.18290, equation 7) on pairs of a better and a
 * worse answer. Nothing of it is in the package: forward, gradient and update below are compiled into kernels as they stand.
 *
 * In this repository, after `npm ci`: `node examples/own-loss.ts` with Node 22.18 or later, which runs TypeScript as it is.
 * On a machine without a GPU: `node --import naysay/adapter examples/own-loss.ts`. Seconds on 2 cores.
 */
import {
  AdamW,
  accumulateGrad,
  compile,
  decodeCheckpoint,
  defineTask,
  init,
  makeBase,
  ops,
  type Parameters,
  packRows,
  parametersFrom,
  Rng,
  Stream,
  type Tensor,
  Transformer,
  tensor,
  tokenLogProbs,
} from "naysay";

// The base writes any digit after a letter. Even ones are to be preferred.
const letters = [..."abcdefghijklmnop"];
const digits = [..."0123456789"];
const task = defineTask({
  name: "letter-digit",
  symbols: [...letters, ...digits],
  prompts: letters,
  maxCompletionLength: 2, // a digit and the end
  verify: (_, completion) => Number(completion) % 2 === 0,
  trace: (rng) => digits[rng.int(10)]!,
});
await init();
const { bytes, config } = await makeBase({
  task,
  model: { hiddenSize: 32, numLayers: 1, numHeads: 2 },
  pretrain: { steps: 60, batchRows: 64, microBatchRows: 64, learningRate: 1e-2 },
  seed: 1,
});
const params = parametersFrom(decodeCheckpoint(bytes));
const model = new Transformer(config);

/** Rows of better answers, then of worse ones: [2 B, T] tokens, where rows begin [2 B], what counts [2 B, completion]. */
function pairs(rng: Rng, count: number) {
  const prompts = Array.from({ length: count }, () => letters[rng.int(letters.length)]!);
  const answers = [0, 1].flatMap((odd) => prompts.map(() => digits[2 * rng.int(5) + odd]!));
  const ids = (text: string) => task.tokenizer.encode(text);
  const { tokens, starts, completionMask, promptLength, completionLength } = packRows(
    [...prompts, ...prompts].map((prompt) => [task.tokenizer.bos, ...ids(prompt)]),
    answers.map((answer) => [...ids(answer), task.tokenizer.eos]),
    { promptLength: 2, completionLength: 2 },
  );
  const rows = 2 * count;
  return {
    tokens: tensor(tokens, { shape: [rows, promptLength + completionLength], dtype: "u32" }),
    start: tensor(starts, { shape: [rows], dtype: "u32" }),
    mask: tensor(completionMask, { shape: [rows, completionLength] }),
    dispose() {
      for (const t of [this.tokens, this.start, this.mask]) t.dispose();
    },
  };
}

/** [2 B]: log-probability of each completion, nats. */
function completionLogProbs(p: Parameters, tokens: Tensor, start: Tensor, mask: Tensor): Tensor {
  const { logProbs } = tokenLogProbs(model, p, tokens, { from: 2, start }); // [2 B, completion]
  return ops.sum(ops.mul(logProbs, mask), 1);
}

/** By how much more likely the better answers are than the worse ones, [B], nats. */
const margins = (logProbs: Tensor): Tensor => {
  const half = logProbs.shape[0]! / 2;
  return ops.sub(ops.slice(logProbs, [0], [half]), ops.slice(logProbs, [half], [2 * half]));
};

/** -log sigmoid(beta (margin of the policy - margin of the reference)), the mean over pairs. */
const BETA = 0.1;
const optimizer = new AdamW(params);
const reference = compile(completionLogProbs, { label: "reference" });
const step = compile(
  (grads: Parameters, p: Parameters, tokens: Tensor, start: Tensor, mask: Tensor, before: Tensor) =>
    accumulateGrad(grads, (trained: Parameters) => {
      const now = margins(completionLogProbs(trained, tokens, start, mask));
      const gain = ops.mul(ops.sub(now, margins(before)), BETA);
      // log(1 + e^-x) of what is near 0, as margins times beta are.
      return ops.mean(ops.log(ops.add(ops.exp(ops.neg(gain)), 1)));
    })(p).value,
  { state: [0], label: "dpo" },
);

const rng = new Rng(1, Stream.shuffle);
const data = Array.from({ length: 8 }, () => pairs(rng, 16));
// The policy before its first step is the reference: its numbers are computed once.
const before = data.map(({ tokens, start, mask }) => reference(params.tensors, tokens, start, mask));
const losses: number[] = [];
for (let i = 0; i < 40; i++) {
  const at = i % data.length;
  const { tokens, start, mask } = data[at]!;
  using loss = step(optimizer.grads.tensors, params.tensors, tokens, start, mask, before[at]!);
  optimizer.step({ lr: 1e-3, step: i + 1, weightDecay: 0 }).dispose();
  losses.push(await loss.item());
  if (i % 8 === 0) console.log(`step ${i}: loss ${losses[i]!.toFixed(4)}`);
}

/** Share of pairs in which the better answer is the likelier. */
async function accuracy(): Promise<number> {
  const fresh = pairs(new Rng(2, Stream.shuffle), 64);
  using logProbs = reference(params.tensors, fresh.tokens, fresh.start, fresh.mask);
  const all = Array.from(await logProbs.data());
  fresh.dispose();
  return all.slice(0, 64).filter((better, i) => better > all[64 + i]!).length / 64;
}
const right = await accuracy();
console.log(
  `loss ${losses[0]!.toFixed(4)} (log 2), then ${losses.at(-1)!.toFixed(4)}; better answers likelier in ${(100 * right).toFixed(0)} % of new pairs`,
);

export { losses, right };

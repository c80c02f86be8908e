/**
 * A task of one's own, trained and measured: write a number between two others.
 *
 * In this repository, after `npm ci`: `node examples/own-task.ts` with Node 22.18 or later, which runs TypeScript as it is.
 * On a machine without a GPU: `node --import ./examples/adapter.mjs examples/own-task.ts`. Half a minute on 2 cores.
 */
import {
  bootstrapDifference,
  decodeCheckpoint,
  defineTask,
  evaluate,
  init,
  makeBase,
  mean,
  Rng,
  Stream,
  sharedPrograms,
  trainerFrom,
  wReinforce,
} from "naysay";

const numbers = Array.from({ length: 16 }, (_, i) => i);

const task = defineTask({
  name: "between",
  symbols: numbers.map(String),
  prompts: numbers.flatMap((a) => numbers.filter((b) => b > a + 1).map((b) => `${a} ${b}`)),
  maxCompletionLength: 2, // a number and the end
  verify: (prompt, completion) => {
    const [a, b] = prompt.split(" ").map(Number);
    return a < Number(completion) && Number(completion) < b;
  },
  // What the policy can do before it is trained: write any number at all.
  trace: (rng) => String(rng.int(numbers.length)),
});

await init();
const { bytes, config } = await makeBase({
  task,
  model: { hiddenSize: 32, numLayers: 1, numHeads: 2 },
  pretrain: { steps: 60, batchRows: 64, microBatchRows: 64, learningRate: 1e-2 },
  seed: 1,
});
const shared = sharedPrograms(config, { rows: 128, scoreRows: 128 });
const trainer = trainerFrom(decodeCheckpoint(bytes), {
  task,
  algorithm: wReinforce(0.1), // rejections, and a tenth of the praise
  shared,
  seed: 1,
  config: { steps: 40, promptsPerStep: 16, numGenerations: 8, learningRate: 3e-3, microBatchRows: 128 },
});

/** Share of right answers to each of the held-out prompts, which are never trained on. */
async function measure(): Promise<number[][]> {
  const problems = task.distinct(new Rng(1, Stream.data), "heldOut", task.count!("heldOut")!);
  const prompts = problems.map(({ prompt }) => prompt);
  const { tallies } = await evaluate(shared.generator, trainer.params.tensors, prompts, {
    samples: 128,
    seed: 1,
    promptLength: task.promptLength,
    maxCompletionLength: task.maxCompletionLength,
    eosTokenId: task.tokenizer.eos,
    padTokenId: task.tokenizer.pad,
    isRight: (i, completion) => task.verify(prompts[i], Array.from(completion)).reward === 1,
  });
  return tallies.map(({ n, c }) => [c / n]);
}

const before = await measure();
for await (const { step, reward } of trainer.steps())
  if (step % 5 === 0) console.log(`step ${step}: reward ${reward.toFixed(2)}`);
const after = await measure();

const [gain] = bootstrapDifference(after, before);
const share = (rows: number[][]): string => mean(rows.map(([right]) => right)).toFixed(2);
console.log(`held out: ${share(before)} before, ${share(after)} after`);
console.log(`gain ${gain.mean.toFixed(2)}, 95 % interval ${gain.low.toFixed(2)} to ${gain.high.toFixed(2)}`);

export { after, before, gain };

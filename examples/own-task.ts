/**
 * A task of one's own, trained and measured exactly: write a number between two others.
 *
 * In this repository, after `npm ci`: `node examples/own-task.ts` with Node 22.18 or later, which runs TypeScript as it is.
 * On a machine without a GPU: `node --import naysay/adapter examples/own-task.ts`. Half a minute on 2 cores.
 */
import {
  bootstrapDifference,
  decodeCheckpoint,
  defineTask,
  exactPassAtK,
  init,
  makeBase,
  Rng,
  rightMass,
  Stream,
  sharedPrograms,
  trainerFrom,
  wReinforce,
} from "naysay";

const numbers = Array.from({ length: 16 }, (_, i) => i);

const between = (prompt: string): string[] => {
  const [a = 0, b = 0] = prompt.split(" ").map(Number);
  return numbers.slice(a + 1, b).map(String);
};

const task = defineTask({
  name: "between",
  symbols: numbers.map(String),
  prompts: numbers.flatMap((a) => numbers.filter((b) => b > a + 1).map((b) => `${a} ${b}`)),
  maxCompletionLength: 2, // a number and the end
  verify: (prompt, completion) => between(prompt).includes(completion),
  answers: between, // all that are right: for exact Pass@k
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

/**
 * Probability of a right answer to each of the held-out prompts, which are never trained on: no sample is drawn, it is the
 * sum of the probabilities of all right answers. Exact Pass@k follows from it at any k.
 */
async function measure(): Promise<number[]> {
  const problems = task.distinct(new Rng(1, Stream.data), "heldOut", task.count!("heldOut")!);
  const prompts = problems.map((problem) => ({ prompt: problem.prompt, answers: task.answers!(problem) }));
  const found = await rightMass(shared.scorer, trainer.params.tensors, prompts, {
    promptLength: task.promptLength,
    maxCompletionLength: task.maxCompletionLength,
    eosTokenId: task.tokenizer.eos,
  });
  return found.map(({ mass }) => mass);
}

const before = await measure();
for await (const { step, reward } of trainer.steps())
  if (step % 5 === 0) console.log(`step ${step}: reward ${reward.toFixed(2)}`);
const after = await measure();

const pass = (right: number[]): string => [1, 4].map((k) => exactPassAtK(right, k).toFixed(2)).join(" and ");
console.log(`held out, Pass@1 and Pass@4: ${pass(before)} before, ${pass(after)} after`);
const column = (right: number[]): number[][] => right.map((p) => [p]);
const gain = bootstrapDifference(column(after), column(before))[0]!;
console.log(`gain ${gain.mean.toFixed(2)}, 95 % interval ${gain.low.toFixed(2)} to ${gain.high.toFixed(2)}`);

export { after, before, gain };

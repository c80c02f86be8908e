/**
 * Makes public/base.safetensors: a policy of about 25,000 parameters, pretrained on the names until it invents new ones.
 * The tokenizer travels in the file's metadata; seed, recipe and adapter go to base.json beside it.
 */
import "naysay/adapter";
import { writeFileSync } from "node:fs";
import { countParameters, init, makeBase, Tokenizer } from "naysay";
import { LONGEST, NAMES } from "../src/names.js";

const SEED = 1;
const MODEL = { hiddenSize: 32, numLayers: 2, numHeads: 4, maxPositions: 24 };
const PRETRAIN = { steps: 1600, batchRows: 64, microBatchRows: 64, learningRate: 4e-3 };

/** The prompt is the beginning of a text, and any name of the list is a right completion. */
class NameTask {
  name = "names";
  tokenizer = Tokenizer.ofCharacters(NAMES.flat());
  promptLength = 1;
  maxCompletionLength = LONGEST + 1;

  sample() {
    return { key: "", prompt: [this.tokenizer.bos], modes: ["only"] };
  }
  distinct() {
    return [this.sample()];
  }
  trace(rng) {
    const manner = NAMES[rng.int(NAMES.length)];
    const name = manner[rng.int(manner.length)];
    return { completion: [...this.tokenizer.encode(name), this.tokenizer.eos], correct: true, mode: "only" };
  }
  verify() {
    return { reward: 1, valid: true, reason: "right" };
  }
}

const { device } = await init();
const made = await makeBase({
  task: new NameTask(),
  model: MODEL,
  pretrain: PRETRAIN,
  seed: SEED,
  recipe: { names: NAMES.flat().length, model: MODEL, pretrain: PRETRAIN },
  onStep: ({ step, steps, loss }) => {
    if (step % 50 === 0) console.log(`${step}/${steps}  loss ${loss.toFixed(3)}`);
  },
});
const folder = new URL("../public/", import.meta.url);
writeFileSync(new URL("base.safetensors", folder), made.bytes);
const record = {
  seed: SEED,
  names: NAMES.flat().length,
  model: MODEL,
  parameters: countParameters(made.config),
  pretrain: PRETRAIN,
  finalLoss: made.finalLoss,
  sha256: made.sha256,
  adapter: device.info,
};
writeFileSync(new URL("base.json", folder), `${JSON.stringify(record, null, 2)}\n`);
console.log(record);

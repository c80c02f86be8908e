/**
 * The pilot that chose the learning rate: simulated visitors press thumbs down on every name with some letter, round
 * after round of six names, as the page does. What matters is measured on names that nobody judged.
 *
 *     node scripts/pilot.mjs --rates 5e-4,1e-3/15 --letters o,k,all --seeds 1,2,3 --rounds 30
 */
import "naysay/adapter";
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { connect } from "naysay/worker";
import { serve } from "naysay/worker/serve";
import { LONGEST, readsLikeAName } from "../src/names.js";

const { values: given } = parseArgs({
  options: {
    /** `1e-3/15` falls: half of it after 15 updates, a third after 30. */
    rates: { type: "string", default: "2.5e-4,5e-4,1e-3,1e-3/15" },
    /** A letter, or `all` for a visitor who rejects everything. */
    letters: { type: "string", default: "o,k" },
    seeds: { type: "string", default: "1,2,3" },
    rounds: { type: "string", default: "30" },
  },
});
const list = (name) => given[name].split(",");

/** Names that are measured, and those of a round. */
const MEASURED = 512;
const SHOWN = 6;

const checkpoint = new Uint8Array(readFileSync(new URL("../public/base.safetensors", import.meta.url)));
const { port1, port2 } = new MessageChannel();
const stop = serve(port2);
const worker = await connect(port1);

const draw = (policy, numGenerations, seed, rollout) =>
  policy.generate({
    prompts: [""],
    maxCompletionLength: LONGEST + 1,
    streamEvery: LONGEST + 1,
    numGenerations,
    seed,
    rollout,
  }).result;

const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);

/** One row of the table; the seed of what is measured is no visitor's. */
async function measure(policy, dislikes) {
  const drawn = await draw(policy, MEASURED, 999, 0);
  const share = (test) => (drawn.filter(test).length / MEASURED).toFixed(2);
  return [
    share(({ text }) => dislikes(text)),
    (new Set(drawn.map(({ text }) => text)).size / MEASURED).toFixed(2),
    share(({ text, finished }) => finished && readsLikeAName(text)),
    (-sum(drawn.map(({ logProbs }) => sum(logProbs))) / MEASURED).toFixed(1),
  ];
}

console.log(
  "| letter | rate | seed | round | thumbs down | disliked | distinct | like names | entropy, nats |",
);
console.log("|---|---|---|---|---|---|---|---|---|");
for (const letter of list("letters")) {
  const dislikes = (text) => letter === "all" || text.includes(letter);
  for (const rate of list("rates")) {
    for (const seed of list("seeds").map(Number)) {
      const policy = await worker.policy({ checkpoint, rows: 64 });
      const [top, half = Number.POSITIVE_INFINITY] = rate.split("/").map(Number);
      let thumbs = 0;
      let updates = 0;
      const report = async (round) => {
        const cells = [letter, rate, seed, round, thumbs, ...(await measure(policy, dislikes))];
        console.log(`| ${cells.join(" | ")} |`);
      };
      await report(0);
      for (let round = 1; round <= Number(given.rounds); round++) {
        const examples = (await draw(policy, SHOWN, seed, round))
          .filter(({ text }) => dislikes(text))
          .map(({ tokens }) => ({ prompt: "", completion: tokens, reward: 0 }));
        if (examples.length > 0) {
          await policy.learn({ examples, algorithm: "nsr", learningRate: top / (1 + updates / half) });
          updates++;
        }
        thumbs += examples.length;
        if (round % 10 === 0) await report(round);
      }
      await policy.close();
    }
  }
}
worker.close();
stop();
port1.close();

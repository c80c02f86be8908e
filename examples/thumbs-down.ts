/**
 * An app that only ever hears "no": it proposes names, somebody rejects those they dislike, and the rejections alone teach
 * it. Nothing is ever rewarded. `thumbs-down-app` beside this file is the same in a page, with the engine in a worker, and
 * has the policy that both begin with.
 *
 * In this repository, after `npm ci`: `node examples/thumbs-down.ts` with Node 22.18 or later, which runs TypeScript as it
 * is. On a machine without a GPU: `node --import naysay/adapter examples/thumbs-down.ts`. A quarter of a minute on 2 cores.
 */
import { readFileSync } from "node:fs";
import { connect } from "naysay/worker";
import { serve } from "naysay/worker/serve";

const { port1, port2 } = new MessageChannel();
serve(port1); // in a worker of its own where something else must not wait
const naysay = await connect(port2);
const checkpoint = readFileSync(new URL("./thumbs-down-app/public/base.safetensors", import.meta.url));
const policy = await naysay.policy({ checkpoint: new Uint8Array(checkpoint), rows: 32 });

/** The user, who dislikes names that begin with a letter before M. In an app this is a button. */
const rejects = (name: string): boolean => /^[A-L]/i.test(name);

/** Probability that a name begins so: the policy's own, no estimate. */
async function rejected(): Promise<number> {
  const { vocab } = policy.info;
  const first = await policy.distribution({ context: "" });
  return first.reduce((sum, p, id) => (rejects(vocab[id]!) ? sum + p : sum), 0);
}

const propose = (round: number) =>
  policy.generate({ prompts: [""], numGenerations: 32, maxCompletionLength: 12, seed: 1, rollout: round })
    .result;

const before = await rejected();
console.log(`to be rejected: ${(100 * before).toFixed(0)} %`);
for (let round = 1; round <= 12; round++) {
  const names = await propose(round);
  const bad = names.filter(({ text }) => rejects(text));
  await policy.learn({
    examples: bad.map(({ tokens }) => ({ prompt: "", completion: tokens, reward: 0 })),
    algorithm: "nsr",
    learningRate: 1e-3,
  });
  if (round % 4 === 0) console.log(`round ${round}: ${bad.length} of ${names.length} rejected`);
}
const after = await rejected();
const names = (await propose(13)).map(({ text }) => text);
console.log(`to be rejected: ${(100 * after).toFixed(0)} %. Now it proposes ${names.slice(0, 6).join(", ")}`);
await naysay.close();

export { after, before, names };

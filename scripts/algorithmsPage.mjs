/**
 * The page docs/algorithms.md: the equation, source, choices and place in the code of every algorithm by name.
 * `npm run docs:algorithms` writes it; a test holds the committed page to what this makes.
 */

import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const FILE = "src/rl/algorithms.ts";

/** What is pushed of token t of row i, in the words of the page's head. */
const EQUATIONS = {
  psr: "A = 1 for right rows, the only ones kept; min(A rho, A clip(rho, 0.8, 1.2))",
  nsr: "A = -1 for wrong rows, the only ones kept; min(A rho, A clip(rho, 0.8, 1.2))",
  "w-reinforce": "A = lambda for right rows, -1 for wrong ones (lambda 0.1); min(A rho, A clip(rho))",
  "nsr-to-w": "as W-REINFORCE with lambda(t) = lambda min(1, (t - 1)/10) at step t",
  reinforce: "A = r; A log pi",
  rloo: "A_i = r_i - mean of the other rows of the prompt; A log pi, summed over a row's tokens",
  grpo: "A_i = (r_i - mean)/(std + 1e-4) within the prompt; min(A rho, A clip(rho)), mean over tokens; no KL",
  "grpo-kl": "as GRPO, mean over rows of the mean over tokens, + 0.04 k3(pi, ref)",
  "dr-grpo": "A_i = r_i - mean; min(A rho, A clip(rho)); Z = rows x maxCompletionLength",
  dapo: "as GRPO, clip 0.2 below and 0.28 above, prompts whose rewards are all equal left out",
  ppo: "r_t = -0.001 k1_t, + r at the end; A = GAE(1, 1), whitened; min(A rho, A clip(rho)) and 0.5 (V - R)^2 / 2",
  maxrl: "A_i = (r_i - mean)/(mean + 1e-6); min(A rho, A clip(rho))",
  "pass-k":
    "R = 1 - C(wrong, k)/C(G, k), s = sqrt(R (1 - R)); right: (1 - R)/s; wrong: (1 - R - C(wrong - 1, k - 1)/C(G - 1, k - 1))/s",
  pkpo: "right: k/G; wrong: (k/G)(1 - C(G - 1 - right, k - 1)/C(G - 1, k - 1))",
  asymre: "A_i = r_i - (mean - 0.1); A log pi",
  topr: "right: log pi; wrong: -sg(min(prod rho, 1)) log pi; summed over a row's tokens",
  ngrpo: "as GRPO, mean and deviation over the rows and one more of reward 1; clip 0.16 and 0.24",
  unlikeliness: "as GRPO on r (1 - 0.25 rank/G), rank 1 for the least likely row",
  cispo: "A as GRPO; A sg(min(rho, 1.2)) log pi",
  gspo: "A as GRPO; s = exp(mean log rho) of the row; min(A s, A clip(s, 1 - 3e-4, 1 + 4e-4))",
};

/** The doc comment and line of an exported name. */
function placeOf(text, name) {
  const at = text.search(new RegExp(`export (const|function) ${name}\\b`));
  if (at < 0) throw new Error(`${FILE} has no ${name}`);
  const before = text.slice(0, at);
  const comment = before.slice(before.lastIndexOf("/**") + 3, before.lastIndexOf("*/"));
  const doc = comment.replace(/\s*\n\s*\*\s*/g, " ").trim();
  const [what, source = ""] = doc.split(/\s*Source: /);
  return { what, source: source.replace(/\.$/, ""), line: before.split("\n").length };
}

/** Names of the values of `ALGORITHMS`, by word, as the file writes them. */
function exportedNames(text) {
  const body = text.slice(text.indexOf("export const ALGORITHMS"));
  const table = body.slice(body.indexOf("= {") + 3, body.indexOf("};"));
  return table
    .split(",")
    .map((entry) => entry.trim())
    .filter((entry) => entry !== "")
    .map((entry) => {
      const [word, name = word] = entry.split(/\s*:\s*/);
      return [word.replaceAll('"', ""), name];
    });
}

/** The page, from the table of algorithms. */
export function algorithmsPage(algorithms) {
  const text = readFileSync(join(root, FILE), "utf8");
  const rows = exportedNames(text).map(([word, name]) => {
    const { what, source, line } = placeOf(text, name);
    const made = typeof algorithms[word] === "function" ? algorithms[word]() : algorithms[word];
    const choices = [
      `keep ${made.keep}`,
      `${made.form}`,
      `Z by ${made.aggregation}`,
      made.clipLow === null ? "no clip" : `clip ${made.clipLow}/${made.clipHigh}`,
    ].join(", ");
    if (!(word in EQUATIONS)) throw new Error(`scripts/algorithmsPage.mjs: no equation for ${word}`);
    return `| \`${word}\` | ${what} | ${EQUATIONS[word]} | ${choices} | ${source} | [${FILE}:${line}](../${FILE}#L${line}) |`;
  });
  return `# Algorithms

Written by \`npm run docs:algorithms\` from [${FILE}](../${FILE}); do not edit. Arms name them: \`--arms psr,nsr,w-reinforce:0.2\`. An algorithm's own \`name\` is a title, for people (\`NSR\`).

An algorithm is a record of choices around one loss (types in [src/rl/algorithm.ts](../src/rl/algorithm.ts), the loss as graph in
[src/rl/loss.ts](../src/rl/loss.ts), advantages in [src/rl/advantages.ts](../src/rl/advantages.ts)):

    loss = - sum over kept rows i and their tokens t of  n_i g(A_it, pi_it)
           + sum n_i (kl KL_it - entropy H_it + value (V_it - R_it)^2 / 2)

n_i = 1/Z is the weight of a token of row i: Z is the number of kept tokens (\`token\`), the number of kept rows times the
row's length (\`sequence\`), or kept rows times maxCompletionLength (\`constant\`). rho = pi/pi_old; sg lets no gradient through; G
rows (samples) belong to one prompt. Rewards are 0 or 1, or between where a verifier grades.

Every row below is held against an implementation of its own, written from the formula in float64, loss and gradient, in
[test/rl/algorithms.test.ts](../test/rl/algorithms.test.ts).

| Arm | What it is | What of a token is pushed | Choices | Source | Code |
| --- | --- | --- | --- | --- | --- |
${rows.join("\n")}

## Against TRL

Advantages, loss and gradient of \`grpo\`, \`grpo-kl\`, \`dr-grpo\`, \`dapo\`, \`gspo\`, \`cispo\` and \`dualClip\` (TRL's \`delta\`), and
\`rloo\`'s advantages with and without KL, are those of TRL 1.16's own trainers, held by
[test/rl/trlGolden.test.ts](../test/rl/trlGolden.test.ts). What is defined differently, by choice:

- \`grpo\` is the mean over all tokens (TRL's \`loss_type\` \`dapo\` or \`bnpo\`); the paper's mean over rows is \`grpo-kl\`, TRL's \`grpo\`.
- KL in the loss is k3 alone; TRL's default multiplies it by rho (\`use_bias_correction_kl\`). k2 is in none of TRL's trainers.
- \`dapo\` leaves prompts whose rewards are all equal out of Z; TRL counts their tokens. The rest is larger by that quotient.
- \`maskTruncated\` leaves cut rows out of Z everywhere; TRL's means over rows (\`grpo\`, \`dr_grpo\`) divide by all rows.
- \`rloo\` pushes A log pi; TRL clips the ratio of the whole row. On the policy itself the gradients are the same but for the
  constant: TRL's Z is rows, here it is rows x maxCompletionLength.
- A group whose rewards are all equal has advantages of exactly 0; TRL divides what float32 leaves of r - mean by 1e-4.

## What can be changed

The key \`algorithm\` of an experiment's configuration changes every arm (the controls): \`keep\`, \`aggregation\`, \`normaliser\`
(\`kept\` or \`all\` rows count in Z), \`form\`, \`clip: false\`, \`clipLow\`, \`clipHigh\`, \`dualClip\`, \`kl { estimator, where, coefficient }\`, \`entropy {
coefficient, target, rate }\`, \`maskTruncated\`, \`dropZeroVariance\`, \`unlikeliness\`, \`cutFirst\`, \`epochs\`, \`optimizer\` (\`adamw\`, \`sgd\`), \`flip\`.
\`train.miniBatches\`, \`train.cutFirst\` and \`train.epochs\` say how a rollout is split: the official code of the paper cuts to the
kept rows first, so NSR takes one update where the others take four at 76 % accuracy (a test pins it).

## An algorithm of your own

is a record, most often of another with something changed: what \`trainerFrom\` takes as \`algorithm\` ([tasks.md](tasks.md) has the whole
program). By name with the changes above, it is what an arm of an experiment would be:

\`\`\`ts
import { type Algorithm, algorithmByName, grpo, nsr } from "naysay";

/** NSR of whole sequences: each wrong answer counts alike, however long it is, and nothing is clipped. */
export const nsrBySequence: Algorithm = { ...nsr, name: "NSR by sequence", aggregation: "sequence", clipLow: null, clipHigh: null };

/** GRPO's advantages, of wrong answers alone. */
export const wrongHalf: Algorithm = { ...grpo, name: "GRPO, wrong", keep: "wrong" };

export const nsrBySgd = algorithmByName("nsr", { optimizer: "sgd", entropy: { coefficient: 0.01 } });
\`\`\`

The fields of a record are told in [src/rl/algorithm.ts](../src/rl/algorithm.ts). What no record says, another advantage or another
loss, is a function of ops: [examples/own-loss.ts](../examples/own-loss.ts) is a whole program with one, direct preference
optimization on pairs of answers; a test runs it.
`;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const { ALGORITHMS } = await import(pathToFileURL(join(root, "dist/rl/algorithms.js")).href);
  const path = join(root, "docs/algorithms.md");
  writeFileSync(path, algorithmsPage(ALGORITHMS));
  console.log(dirname(path));
}

/** Completions of a rollout as a page shows them: text, reward, the push on each token, distributions around the update. */
import { Distributions } from "../model/distributions.ts";
import { takeRows } from "../model/sequences.ts";
import { pushOf } from "../rl/loss.ts";
import type { StepDetails } from "../rl/trainer.ts";
import type { ShownRow } from "./protocol.ts";

/** Collects the first rows of each rollout of one model; the programs it needs are its own. */
export class RowWatcher {
  private readonly count: number;
  private distributions: Distributions | null = null;
  private model: StepDetails["model"] | null = null;
  private before: Float32Array | null = null;

  /** `count` rows of each rollout, spread evenly over its prompts. */
  constructor(count: number) {
    this.count = count;
  }

  async beforeUpdate(details: StepDetails): Promise<void> {
    this.before = await this.probabilities(details);
  }

  /** The rows with what the update changed. */
  async afterUpdate(details: StepDetails): Promise<ShownRow[]> {
    const after = await this.probabilities(details);
    const { rollout, task, algorithm, oldLogProbs, tokenWeights } = details;
    const { vocab } = task.tokenizer;
    const width = rollout.batch.completionLength;
    const perRow = after.length / this.rows(details).length;
    return this.rows(details).map((row, i) => {
      const { prompt } = rollout.problems[Math.floor(row / rollout.numGenerations)];
      const at = row * (rollout.batch.promptLength + width) + rollout.batch.promptLength;
      const length = rollout.lengths[row];
      const tokens = Array.from(rollout.batch.tokens.subarray(at, at + length));
      const logProbs = tokens.map((_, t) => oldLogProbs[row * width + t]);
      const weights = tokens.map((_, t) => tokenWeights[row * width + t]);
      const part = (all: Float32Array): Float32Array =>
        all.slice(i * perRow, i * perRow + (length * perRow) / width);
      return {
        prompt: prompt.map((id) => vocab[id]),
        completion: tokens.map((id) => vocab[id]),
        tokens,
        reward: rollout.rewards[row],
        reason: rollout.rowReasons[row],
        weights,
        logProbs,
        push: logProbs.map((l, t) => pushOf(algorithm.form, weights[t], l)),
        before: part(this.before as Float32Array),
        after: part(after),
      };
    });
  }

  dispose(): void {
    this.distributions?.dispose();
    this.distributions = null;
  }

  private rows({ rollout }: StepDetails): number[] {
    const all = rollout.rewards.length;
    const count = Math.min(this.count, all);
    return Array.from({ length: count }, (_, i) => Math.floor((i * all) / count));
  }

  private probabilities(details: StepDetails): Promise<Float32Array> {
    if (this.model !== details.model) {
      this.dispose();
      this.model = details.model;
    }
    this.distributions ??= new Distributions(details.model);
    return this.distributions.of(details.params.tensors, takeRows(details.rollout.batch, this.rows(details)));
  }
}

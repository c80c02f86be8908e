/** What a study's reports share: what was run and done, and how to read the numbers. */
import { adapterText, seconds, versionFacts } from "./reportPage.ts";
import type { StudySummary } from "./studySummary.ts";

/** Names with what they are: the command, task, model, training, where and how long. */
export function studyFacts(summary: StudySummary): [string, string][] {
  const { command, setting = {}, seeds, prompts, exact, samples } = summary;
  return [
    ["command", command],
    ...Object.entries(setting),
    ["seeds", seeds.join(", ")],
    ["held-out problems", `${prompts}, ${exact ? "exact Pass@k" : `${samples} samples each`}`],
    ["adapter", adapterText(summary.adapter)],
    ["time", seconds(summary.seconds)],
    ...versionFacts(summary.versions),
  ];
}

/** How the numbers were made, a sentence each. */
export function studyNotes({ base, controls, seeds, exact, level, ks }: StudySummary): string[] {
  const most = ks[ks.length - 1];
  const many = seeds.length > 1;
  const all = [base, ...controls.flatMap(({ arms }) => arms)];
  return [
    `Pass@k is ${exact ? "exact, from the probabilities of all right answers" : "unbiased"}${many ? `, the mean over ${seeds.length} seeds` : ""}, on held-out problems.`,
    many
      ? `Intervals hold ${level * 100} %: t intervals over seeds and problems.`
      : `Intervals hold ${level * 100} %: percentiles of a bootstrap over problems, of this one seed alone.`,
    "Differences are paired by seed and problem, in points.",
    ...(all.some(({ modeCoverage }) => modeCoverage !== null)
      ? [`Modes: the mean share of the ways to solve a problem that come, right, among ${most} samples.`]
      : []),
    "Entropy is the policy's over completion tokens at T = 1, in nats per token.",
  ];
}

/** A study as Markdown, for an issue or a page of results: how it was made, findings, tables. */
import { fewKs, findings, withInterval } from "./findings.ts";
import { adapterText, seconds, versionFacts } from "./reportPage.ts";
import type { StudyArm, StudySummary } from "./studySummary.ts";

/** Text that cannot end a cell or begin anything. */
const cell = (text: string): string => text.replace(/[|\\`*_<>[\]\n]/g, (c) => (c === "\n" ? " " : `\\${c}`));

function table(rows: readonly (readonly string[])[]): string {
  const line = (row: readonly string[]) => `| ${row.map(cell).join(" | ")} |`;
  const [head, ...rest] = rows;
  return [
    line(head),
    `|${head.map((_, i) => (i === 0 ? " --- |" : " ---: |")).join("")}`,
    ...rest.map(line),
  ].join("\n");
}

/** The study as Markdown text; every name in it is escaped. */
export function studyMarkdown(summary: StudySummary): string {
  const { base, controls, focus, seeds, prompts, exact, samples, ks } = summary;
  const few = fewKs(ks);
  const percent = (value: number) => (value * 100).toFixed(1);
  const facts: (readonly [string, string])[] = [
    ["command", summary.command],
    ["adapter", adapterText(summary.adapter)],
    ["seeds", seeds.join(", ")],
    ["held-out problems", `${prompts}, ${exact ? "exact Pass@k" : `${samples} samples each`}`],
    ["time", seconds(summary.seconds)],
    ...versionFacts(summary.versions),
  ];
  const found = findings(summary).map(({ about, sentences }) =>
    [`**${cell(about)}**`, "", ...sentences.map((text) => `- ${cell(text)}`)].join("\n"),
  );
  const blocks = controls.map(({ name, about, arms, comparisons }) => {
    const row = (arm: StudyArm) => {
      const other = comparisons.find(({ a, b }) => a === focus && b === arm.name);
      return [
        arm.name,
        ...few.map((k) => percent(arm.passAtK[k].mean)),
        arm.entropy.mean.toFixed(3),
        arm.modeCoverage === null ? "–" : percent(arm.modeCoverage.mean),
        arm.updates.toFixed(0),
        ...few.map((k) => (other ? withInterval(other.passAtK[k]) : "")),
      ];
    };
    const head = [
      "arm",
      ...few.map((k) => `Pass@${k}`),
      "entropy",
      "modes",
      "updates",
      ...few.map((k) => `${focus} − arm, k = ${k}`),
    ];
    return [`### ${cell(name)}`, about === "" ? "" : cell(about), table([head, row(base), ...arms.map(row)])]
      .filter((text) => text !== "")
      .join("\n\n");
  });
  return `${[table([["", ""], ...facts]), "## Findings, computed from the numbers", ...found, "## Tables", "In per cent, means over seeds; differences in points with their 95 % intervals.", ...blocks].join("\n\n")}\n`;
}

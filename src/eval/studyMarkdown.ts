/** A study as Markdown, for an issue or a page of results: how it was made, findings, tables. */
import { fewKs, findings, withInterval } from "./findings.ts";
import type { StudyArm, StudyControl, StudySummary } from "./studySummary.ts";
import { studyFacts, studyNotes } from "./studyText.ts";

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

const percent = (value: number): string => (value * 100).toFixed(1);

/** Every arm's measures, and the focus less each. */
function armsTable({ arms, comparisons }: StudyControl, { base, focus, ks }: StudySummary): string {
  const few = fewKs(ks);
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
  return table([head, row(base), ...arms.map(row)]);
}

/** Pass@k at the further temperatures; empty where there are none. */
function temperaturesTable({ arms }: StudyControl, { base, ks }: StudySummary): string {
  if (base.also.length === 0) return "";
  const few = fewKs(ks);
  const head = [
    "arm",
    ...base.also.flatMap(({ temperature }) => few.map((k) => `Pass@${k} at T = ${temperature}`)),
  ];
  const row = ({ name, also }: StudyArm) => [
    name,
    ...also.flatMap(({ passAtK }) => few.map((k) => percent(passAtK[k]))),
  ];
  return table([head, ...[base, ...arms].map(row)]);
}

/** The focus against each arm where both have the same Pass@1; empty where they were not measured on the way. */
function matchedTable({ matched }: StudyControl, { ks }: StudySummary): string {
  if (matched.length === 0) return "";
  const others = fewKs(ks).filter((k) => k > 1);
  const head = ["at matched Pass@1", "Pass@1", ...others.map((k) => `k = ${k}`)];
  const rows = matched.map(({ a, b, pass1, passAtK }) => [
    `${a} − ${b}`,
    percent(pass1),
    ...others.map((k) => withInterval(passAtK[k])),
  ]);
  return table([head, ...rows]);
}

/** The study as Markdown text; every name in it is escaped. */
export function studyMarkdown(summary: StudySummary): string {
  const found = findings(summary).map(({ about, sentences }) =>
    [`**${cell(about)}**`, "", ...sentences.map((text) => `- ${cell(text)}`)].join("\n"),
  );
  const blocks = summary.controls.map((control) =>
    [
      `### ${cell(control.name)}`,
      cell(control.about),
      armsTable(control, summary),
      temperaturesTable(control, summary),
      matchedTable(control, summary),
    ]
      .filter((text) => text !== "")
      .join("\n\n"),
  );
  const parts = [
    table([["", ""], ...studyFacts(summary)]),
    "## Findings, computed from the numbers",
    ...found,
    "## Tables",
    `In per cent. ${studyNotes(summary).join(" ")}`,
    ...blocks,
  ];
  return `${parts.join("\n\n")}\n`;
}

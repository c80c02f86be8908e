/** A study as one HTML file: findings, Pass@k by control, Pass@1 against the largest k, the way there, tables. */

import type { Interval } from "./bootstrap.ts";
import { findings, intervalPoints, side } from "./findings.ts";
import { COLOURS } from "./palette.ts";
import { factList, reportPage } from "./reportPage.ts";
import type { Comparison, StudyArm, StudyControl, StudySummary } from "./studySummary.ts";
import { studyFacts, studyNotes } from "./studyText.ts";
import { escapeHtml, lineChart, type Series } from "./svg.ts";

const percent = (value: number): string => (value * 100).toFixed(1);

/** One colour for an arm in every chart of the study: the base has the first. */
function styles(summary: StudySummary): Map<string, number> {
  const names = ["base", ...new Set(summary.controls.flatMap(({ arms }) => arms.map(({ name }) => name)))];
  return new Map(names.map((name, i) => [name, i % COLOURS.length]));
}

function key(name: string, style: Map<string, number>): string {
  return `<span class="key s${style.get(name) ?? 0}"></span>${escapeHtml(name)}`;
}

function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const cell = (text: string) => (text.startsWith("<td") ? text : `<td>${text}</td>`);
  return `<div class="scroll"><table><thead><tr>${heads.map((head) => `<th>${escapeHtml(head)}</th>`).join("")}</tr></thead>
<tbody>${rows.map((row) => `<tr>${row.map(cell).join("")}</tr>`).join("\n")}</tbody></table></div>`;
}

const valueCell = ({ mean, low, high }: Interval): string =>
  `<td>${percent(mean)}<small>${percent(low)} – ${percent(high)}</small></td>`;

function differenceCell(interval: Interval): string {
  const [mean, low, high] = intervalPoints(interval);
  return `<td${side(interval) === 0 ? "" : ' class="clear"'}>${mean}<small>${low} – ${high}</small></td>`;
}

function armsTable(control: StudyControl, summary: StudySummary, style: Map<string, number>): string {
  const { ks, base } = summary;
  const most = ks[ks.length - 1];
  const shown = ks.filter((k, i) => i % 2 === 0 || k === most);
  const further = base.also.map(({ temperature }) => temperature);
  const heads = [
    "arm",
    ...shown.map((k) => `Pass@${k}`),
    ...further.map((temperature) => `Pass@1, ${most} at T = ${temperature}`),
    "entropy",
    "modes",
    "updates",
  ];
  const row = (arm: StudyArm) => [
    key(arm.name, style),
    ...shown.map((k) => valueCell(arm.passAtK[k])),
    ...arm.also.map(({ passAtK }) => `${percent(passAtK[ks[0]])}, ${percent(passAtK[most])}`),
    arm.entropy.mean.toFixed(3),
    arm.modeCoverage === null ? "–" : `${percent(arm.modeCoverage.mean)} %`,
    arm.updates.toFixed(0),
  ];
  return table(heads, [row(base), ...control.arms.map(row)]);
}

function comparisonTable(
  comparisons: readonly (Comparison & { pass1?: number })[],
  ks: readonly number[],
): string {
  const isMatched = comparisons.some(({ pass1 }) => pass1 !== undefined);
  const hasModes = comparisons.some(({ modeCoverage }) => modeCoverage !== undefined);
  const heads = [
    "difference",
    ...(isMatched ? ["at Pass@1"] : []),
    ...ks.map((k) => `Pass@${k}`),
    ...(hasModes ? ["modes"] : []),
  ];
  return table(
    heads,
    comparisons.map(({ a, b, passAtK, pass1, modeCoverage }) => [
      escapeHtml(`${a} − ${b}`),
      ...(isMatched ? [pass1 === undefined ? "" : percent(pass1)] : []),
      ...ks.map((k) => differenceCell(passAtK[k])),
      ...(hasModes ? [modeCoverage ? differenceCell(modeCoverage) : "–"] : []),
    ]),
  );
}

function passChart(control: StudyControl, { base, ks }: StudySummary, style: Map<string, number>): string {
  const series = [base, ...control.arms].map(
    ({ name, passAtK }): Series => ({
      name,
      style: style.get(name) ?? 0,
      points: ks.map((k) => ({ x: k, y: passAtK[k].mean, low: passAtK[k].low, high: passAtK[k].high })),
    }),
  );
  return chart(
    control.name,
    lineChart({
      title: `Pass@k by k under ${control.name}`,
      xLabel: "k (samples per problem)",
      yLabel: "Pass@k",
      series,
      logX: true,
      percent: true,
      yMax: 1,
      width: 560,
      height: 320,
    }),
    control.about,
  );
}

function chart(title: string, svg: string, about = ""): string {
  const text = about === "" ? "" : `<p>${escapeHtml(about)}</p>`;
  return `<section><h2>${escapeHtml(title)}</h2>${text}${svg}</section>`;
}

/** Pass@1 against Pass@(largest k) along training: an arm that goes right and down gains one and loses the other. */
function tradeChart(control: StudyControl, { ks, base }: StudySummary, style: Map<string, number>): string {
  const most = ks[ks.length - 1];
  const series = control.arms.map(
    ({ name, curve }): Series => ({
      name,
      style: style.get(name) ?? 0,
      points: curve.map(({ passAtK }) => ({ x: passAtK[1], y: passAtK[most] })),
    }),
  );
  const start: Series = {
    name: "base",
    style: 0,
    points: [{ x: base.passAtK[1].mean, y: base.passAtK[most].mean }],
  };
  return chart(
    `Pass@1 against Pass@${most}, ${control.name}`,
    lineChart({
      title: `Pass@1 against Pass@${most} over training under ${control.name}`,
      xLabel: "Pass@1",
      yLabel: `Pass@${most}`,
      series: [start, ...series],
      percent: true,
      width: 520,
      height: 300,
    }),
  );
}

function wayChart(
  control: StudyControl,
  style: Map<string, number>,
  title: string,
  yLabel: string,
  value: (point: StudyArm["curve"][number]) => number | null,
): string {
  const series = control.arms.map(
    ({ name, curve }): Series => ({
      name,
      style: style.get(name) ?? 0,
      points: curve.map((point) => ({ x: point.update, y: value(point) ?? Number.NaN })),
    }),
  );
  const svg = lineChart({
    title: `${title} under ${control.name}`,
    xLabel: "rollout",
    yLabel,
    series,
    width: 520,
    height: 300,
  });
  return chart(`${title}, ${control.name}`, svg);
}

/** Every control in a line: what it holds equal, and the focus against each arm at the smallest and largest k. */
function controlsTable(summary: StudySummary): string {
  const { controls, focus, ks } = summary;
  const others = [
    ...new Set(controls.flatMap(({ arms }) => arms.map(({ name }) => name).filter((name) => name !== focus))),
  ];
  const few = [...new Set([ks[0], ks[ks.length - 1]])];
  const heads = ["control", ...others.flatMap((name) => few.map((k) => `${focus} − ${name}, k = ${k}`))];
  return table(
    heads,
    controls.map(({ name, comparisons }) => [
      escapeHtml(name),
      ...others.flatMap((other) => {
        const found = comparisons.find(({ a, b }) => a === focus && b === other);
        return few.map((k) => (found ? differenceCell(found.passAtK[k]) : "<td>–</td>"));
      }),
    ]),
  );
}

/** The report as HTML text; every name in it is escaped. */
export function renderStudyReport(summary: StudySummary): string {
  const { controls, ks } = summary;
  const style = styles(summary);
  const first = controls[0];
  const hasWay = first.arms.some(({ curve }) => curve.length > 1);
  const way = hasWay
    ? controls.flatMap((control) => [
        tradeChart(control, summary, style),
        wayChart(control, style, "Entropy", "nats per token", ({ entropy }) => entropy),
        wayChart(
          control,
          style,
          "Mode coverage",
          "share of a problem's modes",
          (point) => point.modeCoverage,
        ),
      ])
    : [];
  return reportPage(
    `naysay · ${summary.preset}`,
    `<h1>naysay · ${escapeHtml(summary.preset)}</h1>
<p>${escapeHtml(studyNotes(summary).join(" "))} Bold: the interval leaves out 0.</p>
${factList(studyFacts(summary))}
<section class="wide findings"><h2>Findings, computed from the numbers below</h2>
${findings(summary)
  .map(
    ({ about, sentences }) =>
      `<h3>${escapeHtml(about)}</h3><ul>${sentences.map((text) => `<li>${escapeHtml(text)}</li>`).join("")}</ul>`,
  )
  .join("\n")}</section>
<h2>${escapeHtml(summary.focus)} against each arm, by control</h2>
${controlsTable(summary)}
<div class="grid2">${controls.map((control) => passChart(control, summary, style)).join("\n")}</div>
${controls
  .map(
    (control) => `<h2>${escapeHtml(control.name)}</h2><p>${escapeHtml(control.about)}</p>
${armsTable(control, summary, style)}
${comparisonTable(control.comparisons, ks)}
${control.matched.length > 0 ? `<p>At matched Pass@1, in each seed the highest that both arms reach on the way:</p>${comparisonTable(control.matched, ks)}` : ""}
${control.against.length > 0 ? `<p>Less the same difference under ${escapeHtml(first.name)}:</p>${comparisonTable(control.against, ks)}` : ""}`,
  )
  .join("\n")}
<div class="grid2">${way.join("\n")}</div>`,
  );
}

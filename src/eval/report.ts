/** An experiment as one HTML file that needs nothing else: header, table of arms, charts; light and dark. */

import { COLOURS } from "./palette.ts";
import { adapterText, factList, reportPage, seconds, versionFacts } from "./reportPage.ts";
import type { ArmSummary, MetricsRow, Summary } from "./summary.ts";
import { escapeHtml, formatNumber, lineChart, type Series } from "./svg.ts";

/** The ks of all arms, ascending. */
export function passKs(arms: readonly ArmSummary[]): number[] {
  const ks = new Set(arms.flatMap(({ passAtK }) => Object.keys(passAtK).map(Number)));
  return [...ks].filter((k) => Number.isInteger(k) && k > 0).sort((a, b) => a - b);
}

function passSeries(arms: readonly ArmSummary[]): Series[] {
  return arms.map(({ name, passAtK, intervals }, style) => ({
    name,
    style: style % COLOURS.length,
    points: passKs([{ passAtK } as ArmSummary]).map((k) => {
      const [low, high] = intervals?.[k] ?? [Number.NaN, Number.NaN];
      return { x: k, y: passAtK[k], low, high };
    }),
  }));
}

function metricSeries(arms: readonly ArmSummary[], rows: readonly MetricsRow[], key: string): Series[] {
  return arms
    .map(({ name }, style) => ({
      name,
      style: style % COLOURS.length,
      points: rows
        .filter((row) => row.arm === name && typeof row[key] === "number")
        .map((row) => ({ x: row.update, y: row[key] as number })),
    }))
    .filter(({ points }) => points.length > 0);
}

/** Whether an arm's interval at `k` lies above that of every other arm. */
function isAbove(arms: readonly ArmSummary[], at: number, k: number): boolean {
  const low = arms[at].intervals?.[k]?.[0] ?? Number.NaN;
  const others = arms.filter((_, i) => i !== at);
  return others.length > 0 && others.every(({ intervals }) => low > (intervals?.[k]?.[1] ?? Number.NaN));
}

function table(arms: readonly ArmSummary[]): string {
  const all = passKs(arms);
  const ks = all.length <= 6 ? all : all.filter((k, i) => i % 2 === 0 || k === all[all.length - 1]);
  const heads = [
    "arm",
    ...ks.map((k) => `Pass@${k}`),
    "entropy",
    "updates",
    "tokens",
    "train",
    "rollouts",
    "weights",
  ];
  const rows = arms.map((arm, i) => {
    const cells = ks.map((k) => {
      const value = arm.passAtK[k];
      if (!Number.isFinite(value)) return "<td>–</td>";
      const range = arm.intervals?.[k];
      const small = range ? `<small>${range.map((end) => (end * 100).toFixed(1)).join(" – ")}</small>` : "";
      return `<td${isAbove(arms, i, k) ? ' class="above"' : ""}>${(value * 100).toFixed(1)}${small}</td>`;
    });
    const rest = [
      Number.isFinite(arm.entropy) ? arm.entropy.toFixed(3) : "–",
      formatNumber(arm.updates),
      arm.rolloutTokens.toLocaleString("en-US"),
      seconds(arm.trainSeconds),
      seconds(arm.rolloutSeconds),
      `<code>${escapeHtml(String(arm.weightsSha256).slice(0, 8))}</code>`,
    ];
    return `<tr><td><span class="key s${i % COLOURS.length}"></span>${escapeHtml(arm.name)}</td>${cells.join("")}${rest.map((cell) => `<td>${cell}</td>`).join("")}</tr>`;
  });
  return `<div class="scroll"><table><thead><tr>${heads.map((head) => `<th>${head}</th>`).join("")}</tr></thead>
<tbody>${rows.join("\n")}</tbody></table></div>`;
}

/** The report as HTML text; every name in it is escaped. `rows` are the lines of `metrics.jsonl`. */
export function renderReport(summary: Summary, rows: readonly MetricsRow[]): string {
  const { adapter, arms } = summary;
  const level = Math.round((summary.level ?? 0.95) * 100);
  const facts: [string, string][] = [
    ["command", summary.command],
    ["adapter", adapterText(adapter)],
    ["preset, seed", `${summary.preset}, ${summary.seed}`],
    ["time", seconds(summary.seconds)],
    ...versionFacts(summary.versions),
  ];
  const training = [
    { key: "reward", title: "Training reward", yLabel: "mean reward" },
    { key: "entropy", title: "Entropy of the policy", yLabel: "nats per token" },
    { key: "grad_norm", title: "Gradient norm", yLabel: "before clipping" },
  ];
  const charts = training.map(({ key, title, yLabel }) => {
    const series = metricSeries(arms, rows, key);
    const chart = lineChart({ title, xLabel: "update", yLabel, series, width: 520, height: 300 });
    return `<section><h2>${title}</h2>${chart}</section>`;
  });
  const bootstrapped = arms.some(({ intervals }) => intervals !== undefined)
    ? `; ${level} % intervals of each arm by bootstrap over prompts. They hold for the weights of this one seed: what another seed would give, a study of several tells. Bold: the interval lies above those of all other arms. One of no width says that these prompts all gave the same, and no more`
    : "";
  return reportPage(
    `naysay · ${summary.preset}`,
    `<h1>naysay · ${escapeHtml(summary.preset)}</h1>
<p>Pass@k on held-out prompts, unbiased${bootstrapped}.</p>
${factList(facts)}
${table(arms)}
<section class="wide"><h2>Pass@k</h2>${lineChart({ title: "Pass@k by k", xLabel: "k (samples per prompt)", yLabel: "Pass@k", series: passSeries(arms), logX: true, percent: true, yMax: 1, width: 560, height: 330 })}</section>
<div class="grid2">${charts.join("\n")}</div>`,
  );
}

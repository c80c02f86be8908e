/** An experiment as one HTML file that needs nothing else: header, table of arms, charts; light and dark. */

import { COLOURS, DASHES } from "./palette.ts";
import type { ArmSummary, MetricsRow, Summary } from "./summary.ts";
import { escapeHtml, formatNumber, lineChart, type Series } from "./svg.ts";

function css(): string {
  const variables = (mode: 0 | 1) => COLOURS.map((pair, i) => `--s${i}:${pair[mode]}`).join(";");
  const styles = COLOURS.map((_, i) => `.s${i}{--c:var(--s${i});--d:${DASHES[i]}}`).join("");
  return `
:root{color-scheme:light dark;--bg:#fff;--ink:#1b1f24;--soft:#57606a;--line:#d8dee4;--panel:#f6f8fa;${variables(0)}}
@media(prefers-color-scheme:dark){:root{--bg:#12161b;--ink:#e6edf3;--soft:#9aa5b1;--line:#30363d;--panel:#1a2027;${variables(1)}}}
*{box-sizing:border-box}
body{margin:0 auto;padding:20px 16px 48px;max-width:1180px;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
h1{font-size:1.5rem;margin:0 0 4px}h2{font-size:1.05rem;margin:0 0 6px}
p{margin:4px 0 14px;color:var(--soft);max-width:72ch}
dl{display:grid;grid-template-columns:max-content 1fr;gap:2px 14px;margin:12px 0 24px}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
code{font:13px/1.4 ui-monospace,monospace}
.scroll{overflow-x:auto;margin-bottom:26px}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;white-space:nowrap}
th,td{padding:5px 9px;text-align:right;border-bottom:1px solid var(--line)}
th{color:var(--soft);font-weight:600}th:first-child,td:first-child{text-align:left;position:sticky;left:0;background:var(--bg)}
td.best{font-weight:700}td small{display:block;font-weight:400;color:var(--soft);font-size:11px}
.key{display:inline-block;width:22px;border-top:3px solid var(--c);vertical-align:middle;margin-right:8px}
.grid2{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,440px),1fr));gap:18px}
section{background:var(--panel);border:1px solid var(--line);border-radius:8px;padding:14px 12px 8px;min-width:0}
section.wide{margin-bottom:18px}section.wide .chart{max-width:900px;margin:0 auto}
.chart{width:100%;height:auto;display:block}
.grid{stroke:var(--line);stroke-width:1;fill:none}.axis{stroke:var(--soft);fill:none}
.tick,.label{fill:var(--soft);font-size:12px}.end{fill:var(--c);font-size:12.5px;font-weight:600}
.line{stroke:var(--c);stroke-dasharray:var(--d);stroke-width:2.2;fill:none;stroke-linejoin:round}
.band{fill:var(--c);opacity:.13;stroke:none}.dot{fill:var(--c)}
@media(max-width:560px){.tick,.label{font-size:15px}.end{font-size:14px}dl{grid-template-columns:1fr}dt{margin-top:6px}}
${styles}`;
}

/** The ks of all arms, ascending. */
export function passKs(arms: readonly ArmSummary[]): number[] {
  const ks = new Set(arms.flatMap(({ passAtK }) => Object.keys(passAtK).map(Number)));
  return [...ks].filter((k) => Number.isInteger(k) && k > 0).sort((a, b) => a - b);
}

function seconds(value: number): string {
  if (value < 120) return `${formatNumber(Number(value.toFixed(1)))} s`;
  return `${Math.floor(value / 60)} min ${Math.round(value % 60)} s`;
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

function table(arms: readonly ArmSummary[]): string {
  const all = passKs(arms);
  const ks = all.length <= 6 ? all : all.filter((k, i) => i % 2 === 0 || k === all[all.length - 1]);
  const best = new Map(
    ks.map((k) => [k, arms.reduce((most, { passAtK }) => Math.max(most, passAtK[k] ?? 0), 0)]),
  );
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
      return `<td${value === best.get(k) ? ' class="best"' : ""}>${(value * 100).toFixed(1)}${small}</td>`;
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
    [
      "adapter",
      `${adapter.vendor} · ${adapter.description} · ${adapter.backend} · ${adapter.tier}${adapter.software ? " · software" : ""}`,
    ],
    ["preset, seed", `${summary.preset}, ${summary.seed}`],
    ["time", seconds(summary.seconds)],
  ];
  const versions = Object.entries(summary.versions ?? {});
  if (versions.length > 0)
    facts.push(["versions", versions.map(([name, version]) => `${name} ${version}`).join(", ")]);
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
  const withIntervals = arms.some(({ intervals }) => intervals !== undefined);
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>naysay · ${escapeHtml(summary.preset)}</title><style>${css()}</style></head><body>
<h1>naysay · ${escapeHtml(summary.preset)}</h1>
<p>Pass@k on held-out prompts, unbiased${withIntervals ? `; ${level} % intervals of each arm by bootstrap over prompts` : ""}.</p>
<dl>${facts.map(([name, value]) => `<dt>${name}</dt><dd><code>${escapeHtml(value)}</code></dd>`).join("\n")}</dl>
${table(arms)}
<section class="wide"><h2>Pass@k</h2>${lineChart({ title: "Pass@k by k", xLabel: "k (samples per prompt)", yLabel: "Pass@k", series: passSeries(arms), logX: true, percent: true, yMax: 1, width: 560, height: 330 })}</section>
<div class="grid2">${charts.join("\n")}</div>
</body></html>
`;
}

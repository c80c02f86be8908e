/** What reports share: one HTML file that needs nothing else, light and dark; every text in it is escaped by its writer. */

import { COLOURS, DASHES } from "./palette.ts";
import type { AdapterSummary } from "./summary.ts";
import { escapeHtml, formatNumber } from "./svg.ts";

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
td.above,td.clear{font-weight:700}td small{display:block;font-weight:400;color:var(--soft);font-size:11px}
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
.grid2 section{max-width:760px}h3{font-size:.95rem;margin:12px 0 2px}.findings ul{margin:2px 0 8px;padding-left:20px;max-width:100ch}
${styles}`;
}

/** A whole page; `title` is text, `body` is HTML. */
export function reportPage(title: string, body: string): string {
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>${escapeHtml(title)}</title><style>${css()}</style></head><body>
${body}
</body></html>
`;
}

/** Names with what they are, both as text. */
export function factList(facts: readonly (readonly [string, string])[]): string {
  const rows = facts.map(
    ([name, value]) => `<dt>${escapeHtml(name)}</dt><dd><code>${escapeHtml(value)}</code></dd>`,
  );
  return `<dl>${rows.join("\n")}</dl>`;
}

export function adapterText({
  vendor,
  description,
  backend,
  tier,
  software,
  determinism,
}: AdapterSummary): string {
  const more = [software ? "software" : "", determinism ?? ""].filter((word) => word !== "");
  return [vendor, description, backend, tier, ...more].join(" · ");
}

export function versionFacts(versions: Record<string, string> | undefined): [string, string][] {
  const all = Object.entries(versions ?? {});
  if (all.length === 0) return [];
  return [["versions", all.map(([name, version]) => `${name} ${version}`).join(", ")]];
}

export function seconds(value: number): string {
  if (value < 120) return `${formatNumber(Number(value.toFixed(1)))} s`;
  return `${Math.floor(value / 60)} min ${Math.round(value % 60)} s`;
}

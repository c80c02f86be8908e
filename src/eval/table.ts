/** The experiment in a terminal: aligned columns, and Pass@k as bars. */

import { passKs } from "./report.ts";
import type { ArmSummary } from "./summary.ts";

/** A name without what could steer a terminal (escape sequences, line breaks). */
function plain(text: string): string {
  return text.replace(/\p{C}/gu, "?");
}

/** Columns of text, the first flush left, the others flush right; width counts code points. */
export function alignColumns(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows)
    for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, [...cell].length);
  const line = (row: readonly string[]) =>
    row.map((cell, i) => {
      const space = " ".repeat(widths[i] - [...cell].length);
      return i === 0 ? cell + space : space + cell;
    });
  return rows.map((row) => line(row).join("  ").trimEnd()).join("\n");
}

const EIGHTHS = [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];
const ASCII = [" ", ".", ":", "-", "=", "+", "*", "#", "@"];

/** Values in [0, 1] as one character each, eight heights. */
export function sparkline(values: readonly number[], { ascii = false } = {}): string {
  const levels = ascii ? ASCII : EIGHTHS;
  return values
    .map((value) => (Number.isFinite(value) ? levels[Math.round(Math.min(Math.max(value, 0), 1) * 8)] : "?"))
    .join("");
}

/** The table of arms: Pass@k in per cent, a bar for each k, entropy, updates, seconds. */
export function renderTable(arms: readonly ArmSummary[], { ascii = false } = {}): string {
  const ks = passKs(arms);
  const shown = ks.filter((k, i) => i % 2 === 0 || k === ks[ks.length - 1]);
  const number = (value: number, digits: number) => (Number.isFinite(value) ? value.toFixed(digits) : "-");
  const head = [
    "arm",
    ...shown.map((k) => `pass@${k}`),
    `k=1..${ks[ks.length - 1] ?? 1}`,
    "entropy",
    "updates",
    "train s",
    "rollout s",
  ];
  const rows = arms.map((arm) => [
    plain(arm.name),
    ...shown.map((k) => number(arm.passAtK[k] * 100, 1)),
    sparkline(
      ks.map((k) => arm.passAtK[k]),
      { ascii },
    ),
    number(arm.entropy, 3),
    String(arm.updates),
    number(arm.trainSeconds, 1),
    number(arm.rolloutSeconds, 1),
  ]);
  const text = alignColumns([head, ...rows]).split("\n");
  const rule = (ascii ? "-" : "─").repeat(Math.max(...text.map((line) => [...line].length)));
  return [text[0], rule, ...text.slice(1)].join("\n");
}

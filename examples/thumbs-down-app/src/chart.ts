/** The line chart and the columns under it, as SVG text: drawn anew for each width, so that letters keep their size. */
import { percent } from "./format.ts";
import type { Point } from "./journal.ts";

const MARGIN = { top: 14, right: 16, left: 58 };
const LINES = 170;
const GAP = 46;
const COLUMNS = 42;
const BOTTOM = 34;
const HEIGHT = MARGIN.top + LINES + GAP + COLUMNS + BOTTOM;

/** The least round number, and round when halved, that is not below `value`. */
function roundUp(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((m) => m * power).find((top) => top >= value * 0.999) ?? value;
}

/** Total probability of the rejected names over updates, and the thumbs down that made each. `width` in pixels. */
export function chart(points: readonly Point[], width: number, most: number): string {
  const inner = width - MARGIN.left - MARGIN.right;
  const last = Math.max(points.length, 1);
  const x = (update: number): number => MARGIN.left + (inner * (update + 0.5)) / (last + 1);
  const top = roundUp(Math.max(...points.map((p) => Math.max(p.atStart, p.now)), 1e-9));
  const y = (share: number): number => MARGIN.top + LINES * (1 - share / top);
  const floor = MARGIN.top + LINES + GAP + COLUMNS;
  const path = (value: (point: Point) => number): string =>
    [`M${at(x(0))} ${at(y(0))}`, ...points.map((p, i) => `L${at(x(i + 1))} ${at(y(value(p)))}`)].join(" ");
  const back = points
    .map((p, i) => `L${at(x(i + 1))} ${at(y(p.now))} `)
    .reverse()
    .join("");
  const ticks = [0, 0.5, 1].map((share) => {
    const height = at(y(share * top));
    return `<line class="grid" x1="${MARGIN.left}" x2="${width - MARGIN.right}" y1="${height}" y2="${height}"/>
      <text class="tick" x="${MARGIN.left - 8}" y="${height + 4}" text-anchor="end">${percent(share * top)}</text>`;
  });
  const every = Math.ceil(last / Math.max(1, Math.floor(inner / 44)));
  const columns = points.map((p, i) => {
    const height = (COLUMNS * p.thumbs) / most;
    const wide = Math.min(18, (inner / (last + 1)) * 0.6);
    const label =
      (i + 1) % every === 0 || last === 1
        ? `<text class="tick" x="${at(x(i + 1))}" y="${floor + 16}" text-anchor="middle">${p.update}</text>`
        : "";
    return `<rect class="column" x="${at(x(i + 1) - wide / 2)}" y="${at(floor - height)}" width="${at(wide)}"
      height="${at(height)}" rx="2"><title>Update ${p.update}: ${p.thumbs} of ${most} names rejected</title></rect>${label}`;
  });
  const dots = points.map(
    (p, i) =>
      `<circle class="now" cx="${at(x(i + 1))}" cy="${at(y(p.now))}" r="3"><title>Update ${p.update}: ${percent(p.now)} now, ${percent(p.atStart)} at the start</title></circle>`,
  );
  return `<svg viewBox="0 0 ${width} ${HEIGHT}" width="${width}" height="${HEIGHT}" role="img" aria-labelledby="chart-words">
    ${ticks.join("")}
    <path class="gap" d="${path((p) => p.atStart)} ${back}Z"/>
    <path class="line start" d="${path((p) => p.atStart)}"/>
    <path class="line now" d="${path((p) => p.now)}"/>
    ${points.length <= 60 ? dots.join("") : ""}
    <text class="label" x="${MARGIN.left}" y="${MARGIN.top + LINES + GAP - 14}">Thumbs down that made each update, of ${most}</text>
    <line class="axis" x1="${MARGIN.left}" x2="${width - MARGIN.right}" y1="${floor}" y2="${floor}"/>
    ${columns.join("")}
    <text class="tick" x="${MARGIN.left + inner / 2}" y="${HEIGHT - 2}" text-anchor="middle">update</text>
  </svg>`;
}

const at = (value: number): number => Math.round(value * 10) / 10;

/** Line charts as SVG text: no DOM, no library; colours come from CSS classes of the page that holds them. */

import { EstimatorError } from "./estimators.ts";

/** Text as HTML and SVG content or attribute, harmless whatever it holds. */
export function escapeHtml(text: string): string {
  const entities: Record<string, string> = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
    "'": "&#39;",
  };
  return text.replace(/[&<>"']/g, (character) => entities[character]);
}

export interface Series {
  name: string;
  /** Which colour and dash of the page: `s0` to `s7`. */
  style: number;
  points: readonly { x: number; y: number; low?: number; high?: number }[];
}

export interface ChartOptions {
  title: string;
  xLabel: string;
  yLabel: string;
  series: readonly Series[];
  /** Powers of two at equal distances. */
  logX?: boolean;
  /** Fixed limits of y; else they follow the data. */
  yMin?: number;
  yMax?: number;
  percent?: boolean;
  width?: number;
  height?: number;
}

/** A number as a label: at most four digits that matter. */
export function formatNumber(value: number): string {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-3) return value.toExponential(1).replace("e+", "e");
  return String(Number(value.toPrecision(4)));
}

/** Round values that span [low, high] in 3 to 7 steps of 1, 2 or 5 times a power of ten. */
export function ticks(low: number, high: number): number[] {
  if (!(high > low)) return [low];
  let unit = 1;
  while (unit > (high - low) / 4) unit /= 10;
  while (unit * 10 <= (high - low) / 4) unit *= 10;
  const step = [5, 2, 1].map((m) => m * unit).find((candidate) => candidate <= (high - low) / 3) ?? unit;
  const found: number[] = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++)
    found.push(Number((i * step).toPrecision(12)));
  return found;
}

/** The position of x on a base-2 axis, by halving: exact for powers of two, straight between them. */
function log2(x: number): number {
  let exponent = 0;
  let left = x;
  while (left >= 2) {
    left /= 2;
    exponent++;
  }
  while (left < 1) {
    left *= 2;
    exponent--;
  }
  return exponent + left - 1;
}

/** Labels moved apart to at least `gap`, kept within [low, high] as far as they fit; the order stays. */
export function spread(wanted: readonly number[], gap: number, low: number, high: number): number[] {
  const order = wanted.map((_, i) => i).sort((a, b) => wanted[a] - wanted[b] || a - b);
  const placed = [...wanted];
  let floor = low;
  for (const i of order) {
    placed[i] = Math.max(placed[i], floor);
    floor = placed[i] + gap;
  }
  let ceiling = high;
  for (const i of order.reverse()) {
    placed[i] = Math.min(placed[i], ceiling);
    ceiling = placed[i] - gap;
  }
  return placed;
}

/** The chart as one `<svg>`; non-finite points break the line. Throws EstimatorError where log x has x <= 0. */
export function lineChart(options: ChartOptions): string {
  const { title, xLabel, yLabel, series, logX = false, percent = false, width = 560, height = 320 } = options;
  const longest = Math.max(0, ...series.map(({ name }) => Math.min(name.length, 22)));
  const margin = { left: 62, right: 16 + 9.5 * longest, top: 14, bottom: 42 };
  const points = series
    .flatMap((one) => one.points)
    .filter(({ x, y }) => Number.isFinite(x) && Number.isFinite(y));
  if (points.length === 0) {
    return `<svg class="chart" viewBox="0 0 ${width} 60" role="img"><title>${escapeHtml(title)}</title><text class="label" x="12" y="34">No data.</text></svg>`;
  }
  if (logX && points.some(({ x }) => x <= 0)) {
    throw new EstimatorError("lineChart: x > 0 expected on a log axis, got less. Use a linear axis.");
  }
  const scaleX = logX ? log2 : (x: number) => x;
  const least = (values: number[]) => values.reduce((a, b) => Math.min(a, b));
  const most = (values: number[]) => values.reduce((a, b) => Math.max(a, b));
  const xs = points.map(({ x }) => scaleX(x));
  const ys = points.flatMap(({ y, low = y, high = y }) => [y, low, high]).filter(Number.isFinite);
  const [xLow, xHigh] = [least(xs), most(xs)];
  let yLow = options.yMin ?? least(ys);
  let yHigh = options.yMax ?? most(ys);
  if (!(yHigh > yLow)) {
    const pad = Math.abs(yHigh) * 0.1 || 1; // a flat line lies in the middle
    yLow -= pad;
    yHigh += pad;
  } else {
    if (options.yMin === undefined) yLow -= (yHigh - yLow) * 0.05;
    if (options.yMax === undefined) yHigh += (yHigh - yLow) * 0.05;
  }
  const right = width - margin.right;
  const bottom = height - margin.bottom;
  const px = (x: number) => margin.left + ((scaleX(x) - xLow) / (xHigh - xLow || 1)) * (right - margin.left);
  const py = (y: number) =>
    bottom - ((Math.min(Math.max(y, yLow), yHigh) - yLow) / (yHigh - yLow)) * (bottom - margin.top);
  const at = (x: number, y: number) => `${px(x).toFixed(1)} ${py(y).toFixed(1)}`;
  const yText = (y: number) => (percent ? `${formatNumber(y * 100)}%` : formatNumber(y));

  const parts: string[] = [
    `<svg class="chart" viewBox="0 0 ${width} ${height}" role="img"><title>${escapeHtml(title)}</title>`,
  ];
  for (const y of ticks(yLow, yHigh)) {
    const line = py(y).toFixed(1);
    parts.push(`<path class="grid" d="M${margin.left} ${line}H${right}"/>`);
    parts.push(
      `<text class="tick" x="${margin.left - 7}" y="${line}" dy="0.32em" text-anchor="end">${yText(y)}</text>`,
    );
  }
  const xTicks = logX ? [...new Set(points.map(({ x }) => x))].sort((a, b) => a - b) : ticks(xLow, xHigh);
  for (const x of xTicks) {
    parts.push(
      `<text class="tick" x="${px(x).toFixed(1)}" y="${bottom + 17}" text-anchor="middle">${formatNumber(x)}</text>`,
    );
  }
  parts.push(`<path class="axis" d="M${margin.left} ${bottom}H${right}"/>`);
  parts.push(
    `<text class="label" x="${(margin.left + right) / 2}" y="${height - 7}" text-anchor="middle">${escapeHtml(xLabel)}</text>`,
    `<text class="label" transform="translate(13 ${(margin.top + bottom) / 2}) rotate(-90)" text-anchor="middle">${escapeHtml(yLabel)}</text>`,
  );
  for (const { points: own, style } of series) {
    const band = own.filter(
      ({ x, low, high }) => Number.isFinite(x) && Number.isFinite(low) && Number.isFinite(high),
    );
    if (band.length < 2) continue;
    const upper = band.map(({ x, high }) => at(x, high!));
    const lower = band.map(({ x, low }) => at(x, low!)).reverse();
    parts.push(`<path class="band s${style}" d="M${[...upper, ...lower].join("L")}Z"/>`);
  }
  const ends: { name: string; style: number; y: number }[] = [];
  for (const { name, style, points: own } of series) {
    let path = "";
    let pen = "M";
    let last: number | undefined;
    for (const { x, y } of own) {
      if (!Number.isFinite(x) || !Number.isFinite(y)) {
        pen = "M";
        continue;
      }
      path += `${pen}${at(x, y)}`;
      pen = "L";
      last = y;
    }
    if (last === undefined) continue;
    parts.push(`<path class="line s${style}" d="${path}"/>`);
    if (own.length === 1)
      parts.push(`<circle class="dot s${style}" cx="${px(own[0].x)}" cy="${py(own[0].y)}" r="3"/>`);
    ends.push({ name, style, y: py(last) });
  }
  const labels = spread(
    ends.map(({ y }) => y),
    15,
    margin.top,
    bottom,
  );
  ends.forEach(({ name, style }, i) => {
    const shown = name.length > 22 ? `${name.slice(0, 21)}…` : name;
    parts.push(
      `<text class="end s${style}" x="${right + 8}" y="${labels[i].toFixed(1)}" dy="0.32em">${escapeHtml(shown)}</text>`,
    );
  });
  parts.push("</svg>");
  return parts.join("\n");
}

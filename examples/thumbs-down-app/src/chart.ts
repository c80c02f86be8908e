/** The line chart and the columns under it, as SVG: drawn anew for each width, so that letters keep their size. */
import { svg } from "./dom.ts";
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
export function chart(points: readonly Point[], width: number, most: number): SVGElement {
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
  const right = width - MARGIN.right;
  const tick = (x: number, y: number, anchor: "middle" | "end", words: string): SVGElement =>
    svg("text", { class: "tick", x, y, "text-anchor": anchor }, words);
  const ticks = [0, 0.5, 1].flatMap((share) => {
    const height = at(y(share * top));
    return [
      svg("line", { class: "grid", x1: MARGIN.left, x2: right, y1: height, y2: height }),
      tick(MARGIN.left - 8, height + 4, "end", percent(share * top)),
    ];
  });
  const every = Math.ceil(last / Math.max(1, Math.floor(inner / 44)));
  const wide = Math.min(18, (inner / (last + 1)) * 0.6);
  const columns = points.flatMap(({ update, thumbs }, i) => {
    const height = (COLUMNS * thumbs) / most;
    const column = svg(
      "rect",
      {
        class: "column",
        x: at(x(i + 1) - wide / 2),
        y: at(floor - height),
        width: at(wide),
        height: at(height),
        rx: 2,
      },
      svg("title", {}, `Update ${update}: ${thumbs} of ${most} names rejected`),
    );
    const labelled = (i + 1) % every === 0 || last === 1;
    return labelled ? [column, tick(at(x(i + 1)), floor + 16, "middle", String(update))] : [column];
  });
  const dots = points.map(({ update, now, atStart }, i) =>
    svg(
      "circle",
      { class: "now", cx: at(x(i + 1)), cy: at(y(now)), r: 3 },
      svg("title", {}, `Update ${update}: ${percent(now)} now, ${percent(atStart)} at the start`),
    ),
  );
  const startPath = path((p) => p.atStart);
  return svg(
    "svg",
    {
      viewBox: `0 0 ${width} ${HEIGHT}`,
      width,
      height: HEIGHT,
      role: "img",
      "aria-labelledby": "chart-words",
    },
    ...ticks,
    svg("path", { class: "gap", d: `${startPath} ${back}Z` }),
    svg("path", { class: "line start", d: startPath }),
    svg("path", { class: "line now", d: path((p) => p.now) }),
    ...(points.length <= 60 ? dots : []),
    svg(
      "text",
      { class: "label", x: MARGIN.left, y: MARGIN.top + LINES + GAP - 14 },
      `Thumbs down that made each update, of ${most}`,
    ),
    svg("line", { class: "axis", x1: MARGIN.left, x2: right, y1: floor, y2: floor }),
    ...columns,
    tick(MARGIN.left + inner / 2, HEIGHT - 2, "middle", "update"),
  );
}

const at = (value: number): number => Math.round(value * 10) / 10;

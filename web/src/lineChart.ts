/** A line chart of arms on a canvas (uPlot), with a readout of names and values below: what a pointer shows, readers hear. */
import uPlot from "uplot";
import { spread } from "../../src/eval/svg.ts";
import { armDash, armKey, armLook } from "./armLook.ts";
import { padded, tickLabels } from "./axis.ts";
import { element } from "./dom.ts";
import { isDark, onTheme } from "./theme.ts";

/** One arm's line; `null` where there is no value. */
export interface Line {
  arm: string;
  /** Letter of a compared run: drawn thinner, in that run's dashes. */
  run?: string;
  values: (number | null)[];
  /** Ends of intervals, for a band. */
  low?: (number | null)[];
  high?: (number | null)[];
}

export interface ChartSpec {
  title: string;
  /** What stands below the title's right end. */
  hint: string;
  /** Name of x in the readout, such as `update`. */
  xName: string;
  height: number;
  format(value: number): string;
  /** Powers of two at equal distances. */
  logX?: boolean;
  /** Charts of one key show their cursors together. */
  sync?: string;
  /** y begins no lower, so that no air is drawn where no value can be. */
  yMin?: number;
  /** Fixed top of y. */
  yMax?: number;
  /** The readout shows the first x while no pointer says another; without it the last value of each arm. */
  restAtFirst?: boolean;
  /** Names at the ends of the lines, where there is room. */
  endNames?: boolean;
  /** What to say while there is nothing to draw. */
  nothing: string;
}

const FAMILY = 'system-ui, -apple-system, "Segoe UI", Roboto, sans-serif';
const FONT = `12px ${FAMILY}`;
const LABEL_GAP = 15;
/** Least width of a chart that has names at its right. */
const NAMES_FROM = 440;
/** Largest share of it that they may take. */
const NAMES_SHARE = 0.35;
/** How much of the card an interval lets through: several lie over each other. */
const BAND = "14";

export class LineChart {
  private readonly spec: ChartSpec;
  private readonly plot: HTMLElement;
  private readonly empty: HTMLElement;
  private readonly readout: HTMLElement;
  private chart: uPlot | null = null;
  private built = "";
  private xs: number[] = [];
  private lines: Line[] = [];
  private xRange: [number, number] = [0, 1];

  constructor(figure: HTMLElement, spec: ChartSpec) {
    this.spec = spec;
    this.empty = element("p", { class: "nothing" }, spec.nothing);
    this.plot = element(
      "div",
      { class: "plot", role: "img", "aria-label": `${spec.title}: nothing yet` },
      this.empty,
    );
    this.plot.style.minHeight = `${spec.height}px`;
    this.readout = element("div", { class: "readout" });
    figure.replaceChildren(
      element("figcaption", {}, element("h2", {}, spec.title), element("span", { class: "hint" }, spec.hint)),
      this.plot,
      this.readout,
    );
    new ResizeObserver(() => this.fit()).observe(this.plot);
    onTheme(() => {
      this.built = "";
      this.draw();
    });
  }

  /** Draws these lines over these x. */
  show(xs: number[], lines: Line[], xRange: [number, number]): void {
    this.xs = xs;
    this.lines = lines;
    this.xRange = xRange;
    this.draw();
  }

  private draw(): void {
    const drawn = this.lines.filter(({ values }) => values.some((value) => value !== null));
    this.empty.hidden = drawn.length > 0;
    if (drawn.length === 0) {
      this.chart?.destroy();
      this.chart = null;
      this.built = "";
      this.readout.replaceChildren();
      this.plot.setAttribute("aria-label", `${this.spec.title}: nothing yet`);
      return;
    }
    const signature = JSON.stringify([
      drawn.map(({ arm, run, low }) => [arm, run, low !== undefined]),
      this.xRange,
      isDark(),
    ]);
    const data = [
      this.xs,
      ...drawn.flatMap(({ values, low, high }) => (low && high ? [values, low, high] : [values])),
    ] as uPlot.AlignedData;
    if (signature === this.built) this.chart?.setData(data);
    else this.build(drawn, data);
    this.built = signature;
    this.read(null);
  }

  private build(lines: Line[], data: uPlot.AlignedData): void {
    this.chart?.destroy();
    const { spec } = this;
    const colours = getComputedStyle(this.plot);
    const [ink, line] = [colours.color, colours.borderTopColor];
    const axis = { stroke: ink, font: FONT, ticks: { show: false }, border: { show: false } };
    const series: uPlot.Series[] = [{}];
    const bands: uPlot.Band[] = [];
    for (const { arm, run, low } of lines) {
      const look = armLook(arm);
      const stroke = isDark() ? look.dark : look.light;
      series.push({
        label: nameOf({ arm, run }),
        stroke,
        width: run === undefined ? 2 : 1.5,
        dash: armDash(arm, run),
        points: { show: run === undefined ? undefined : false, size: 5, width: 1, fill: stroke },
      });
      if (!low) continue;
      const at = series.length;
      series.push({ stroke: "transparent", points: { show: false } });
      series.push({ stroke: "transparent", points: { show: false } });
      bands.push({ series: [at + 1, at], fill: `${stroke}${BAND}` });
    }
    const named =
      spec.endNames === true && this.width() >= NAMES_FROM && namesWidth(lines) <= NAMES_SHARE * this.width();
    const range = this.xRange;
    this.chart = new uPlot(
      {
        ...this.size(),
        padding: [10, named ? namesWidth(lines) : 14, 0, 0],
        legend: { show: false },
        cursor: {
          points: { show: false },
          y: false,
          drag: { x: false, y: false },
          ...(spec.sync ? { sync: { key: spec.sync } } : {}),
        },
        scales: {
          x: {
            time: false,
            range: () => range,
            ...(spec.logX ? { distr: 3 as const, log: 2 as const } : {}),
          },
          y: { range: (_, low, high) => padded(low, high, spec) },
        },
        axes: [
          {
            ...axis,
            size: 26,
            gap: 4,
            grid: { show: false },
            ...(spec.logX
              ? { splits: () => data[0] as number[], filter: (_: uPlot, splits: number[]) => splits }
              : { incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000] }),
            values: (_, splits) => splits.map(String),
          },
          {
            ...axis,
            size: 46,
            gap: 6,
            space: spec.height < 200 ? 24 : 40,
            grid: { stroke: line, width: 1 },
            values: (_, splits) => tickLabels(splits, spec.format),
          },
        ],
        series,
        bands,
        hooks: {
          setCursor: [(chart) => this.read(chart.cursor.idx ?? null)],
          draw: named ? [(chart) => drawNames(chart, lines)] : [],
        },
      },
      data,
      this.plot,
    );
  }

  /** Values at an index of x; without one those of rest. */
  private read(at: number | null): void {
    const { spec, lines, xs } = this;
    const resting = at === null || xs[at] === undefined;
    const where = resting ? (spec.restAtFirst ? 0 : null) : at;
    const found = lines.flatMap(({ arm, run, values }) => {
      let i = where ?? values.length - 1;
      while (where === null && i >= 0 && values[i] === null) i--;
      const value = values[i];
      return value === null || value === undefined ? [] : [{ arm, run, name: nameOf({ arm, run }), value }];
    });
    const place = where === null ? null : `${spec.xName} ${xs[where]}`;
    this.readout.replaceChildren(
      ...(place === null ? [] : [element("span", { class: "hint" }, place)]),
      ...found.map(({ arm, run, name, value }) =>
        element("span", {}, armKey(arm, run), name, element("b", {}, spec.format(value))),
      ),
    );
    if (resting) {
      const words = found.map(({ name, value }) => `${name} ${spec.format(value)}`).join(", ");
      this.plot.setAttribute("aria-label", `${spec.title}, ${place ?? "latest"}: ${words}`);
    }
  }

  private width(): number {
    return Math.max(200, this.plot.clientWidth);
  }

  private size(): { width: number; height: number } {
    return { width: this.width(), height: Math.max(this.spec.height, this.plot.clientHeight) };
  }

  private fit(): void {
    if (!this.chart) return;
    const { width, height } = this.size();
    if (width === this.chart.width && height === this.chart.height) return;
    // Names appear and go with the width.
    this.built = "";
    requestAnimationFrame(() => this.draw());
  }
}

/** The arm's name, with the letter of its run where it is not the one on show. */
function nameOf({ arm, run }: Pick<Line, "arm" | "run">): string {
  return run === undefined ? arm : `${arm} ${run}`;
}

const nameFont = (ratio: number): string => `600 ${12 * ratio}px ${FAMILY}`;

/** Room that the longest name needs, px. */
function namesWidth(lines: readonly Line[]): number {
  const context = document.createElement("canvas").getContext("2d");
  if (!context) return 0;
  context.font = nameFont(1);
  return Math.ceil(Math.max(...lines.map((line) => context.measureText(nameOf(line)).width))) + 12;
}

/** Names of arms at the right ends of their lines, moved apart. */
function drawNames(chart: uPlot, lines: readonly Line[]): void {
  const { ctx, bbox } = chart;
  const ratio = devicePixelRatio || 1;
  const ends = lines.flatMap(({ arm, run, values }) => {
    let i = values.length - 1;
    while (i >= 0 && values[i] === null) i--;
    const value = values[i];
    return i < 0 || value === null ? [] : [{ arm, run, y: chart.valToPos(value, "y", true) }];
  });
  const places = spread(
    ends.map(({ y }) => y),
    LABEL_GAP * ratio,
    bbox.top + 6 * ratio,
    bbox.top + bbox.height - 6 * ratio,
  );
  ctx.save();
  ctx.font = nameFont(ratio);
  ctx.textBaseline = "middle";
  ctx.textAlign = "left";
  ends.forEach(({ arm, run }, i) => {
    const look = armLook(arm);
    ctx.fillStyle = isDark() ? look.dark : look.light;
    ctx.fillText(nameOf({ arm, run }), bbox.left + bbox.width + 8 * ratio, places[i]);
  });
  ctx.restore();
}

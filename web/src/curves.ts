/** The four charts: Pass@k of finished arms, and reward, entropy and gradient norm as they come. */
import { formatNumber } from "../../src/eval/svg.ts";
import type { Comparison } from "./comparison.ts";
import { byId } from "./dom.ts";
import { type Line, LineChart } from "./lineChart.ts";
import type { RunData, ShownMetrics } from "./runData.ts";

const SMALL = 104;

interface MetricChart {
  chart: LineChart;
  key: keyof ShownMetrics;
}

export interface Curves {
  /** Each draws one chart: pieces for the painter. */
  pieces: (() => void)[];
  drawPass(): void;
}

export function makeCurves(data: RunData, comparison: Comparison): Curves {
  const pass = new LineChart(byId("chart-pass", HTMLElement), {
    title: "Pass@k",
    hint: "over k samples, 95 % intervals",
    xName: "k =",
    height: 300,
    logX: true,
    endNames: true,
    yMin: 0,
    yMax: 1,
    restAtFirst: true,
    format: (value) => `${formatNumber(Number((value * 100).toFixed(1)))}%`,
    nothing: "An arm appears here when it is trained and measured.",
  });
  const metric = (id: string, title: string, hint: string, key: keyof ShownMetrics): MetricChart => ({
    key,
    chart: new LineChart(byId(id, HTMLElement), {
      title,
      hint,
      xName: "update",
      height: SMALL,
      yMin: 0,
      sync: "updates",
      format: (value) => formatNumber(Number(value.toPrecision(3))),
      nothing: "From the first update on.",
    }),
  });
  const metrics = [
    metric("chart-reward", "Reward", "share of right answers, by update", "reward"),
    metric("chart-entropy", "Entropy", "nats per token, by update", "entropy"),
    metric("chart-grad", "Gradient norm", "before clipping, by update", "grad_norm"),
  ];
  return {
    pieces: metrics.map((one) => () => drawMetric(one, data)),
    drawPass: () => drawPass(pass, data, comparison),
  };
}

function drawMetric({ chart, key }: MetricChart, data: RunData): void {
  const all = data.arms.map((arm) => ({ arm, rows: data.rows(arm) })).filter(({ rows }) => rows.length > 0);
  const last = Math.max(1, ...all.map(({ rows }) => rows[rows.length - 1].update));
  const xs = Array.from({ length: last }, (_, i) => i + 1);
  const lines: Line[] = all.map(({ arm, rows }) => {
    const values: (number | null)[] = new Array(last).fill(null);
    for (const row of rows) {
      const value = row[key];
      if (typeof value === "number" && row.update >= 1) values[row.update - 1] = value;
    }
    return { arm, values };
  });
  chart.show(xs, lines, [1, Math.max(2, data.updates, last)]);
}

function drawPass(chart: LineChart, data: RunData, { runs }: Comparison): void {
  const found = data.arms.flatMap((arm) => data.summaries.get(arm) ?? []);
  const others = runs.flatMap(({ letter, arms }) => arms.map((arm) => ({ run: letter, ...arm })));
  const ks = [
    ...new Set([...found, ...others].flatMap(({ passAtK }) => Object.keys(passAtK).map(Number))),
  ].sort((a, b) => a - b);
  const lines: Line[] = found.map(({ name, passAtK, intervals }) => ({
    arm: name,
    values: ks.map((k) => passAtK[k] ?? null),
    low: ks.map((k) => intervals?.[k]?.[0] ?? null),
    high: ks.map((k) => intervals?.[k]?.[1] ?? null),
  }));
  // Without their intervals: so many bands would hide each other.
  for (const { name, run, passAtK } of others)
    lines.push({ arm: name, run, values: ks.map((k) => passAtK[k] ?? null) });
  chart.show(ks, lines, [ks[0] ?? 1, Math.max(2, ks[ks.length - 1] ?? 2)]);
}

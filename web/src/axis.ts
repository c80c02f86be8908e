/** The y axis of a chart: where it begins and ends, and what stands at its ticks. */

/** Range of y: a little air around what is drawn, but none below `yMin`; `yMax` is the top. */
export function padded(
  low: number,
  high: number,
  { yMin, yMax }: { yMin?: number; yMax?: number },
): [number, number] {
  if (!Number.isFinite(low) || !Number.isFinite(high)) return [0, 1];
  const pad = low === high ? Math.abs(high) * 0.1 || 0.1 : (high - low) * 0.08;
  return [
    yMin === undefined ? low - pad : Math.max(low - pad, Math.min(low, yMin)),
    yMax === undefined ? high + pad : Math.max(high, yMax),
  ];
}

/** Texts of ticks: where `format` would say the same at two of them, as many digits as tell them apart. */
export function tickLabels(splits: readonly number[], format: (value: number) => string): string[] {
  const labels = splits.map(format);
  if (new Set(labels).size === labels.length) return labels;
  const largest = Math.max(...splits.map(Math.abs));
  const step = Math.min(...splits.slice(1).map((value, i) => Math.abs(value - splits[i])));
  const digits = Math.ceil(Math.log10(largest / step)) + 1;
  return splits.map((value) => String(Number(value.toPrecision(Math.min(Math.max(digits, 1), 15)))));
}

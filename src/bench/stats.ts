/** What a set of timings says: the middle, and how far its quarters lie apart. Nothing is averaged, nothing thrown away. */

/** Median and quartiles, ms. */
export interface Timing {
  ms: number;
  low: number;
  high: number;
  samples: number;
}

/** The value below which a share of the sorted values lies, between two of them in a straight line. */
function quantile(sorted: readonly number[], share: number): number {
  const at = (sorted.length - 1) * share;
  const low = Math.floor(at);
  const high = Math.ceil(at);
  return sorted[low] + (sorted[high] - sorted[low]) * (at - low);
}

/** Median and quartiles of timings in ms, and how many there are. */
export function summarize(samples: readonly number[]): Timing {
  if (samples.length === 0) throw new RangeError("bench: at least one timing expected, got none.");
  const sorted = [...samples].sort((a, b) => a - b);
  return {
    ms: quantile(sorted, 0.5),
    low: quantile(sorted, 0.25),
    high: quantile(sorted, 0.75),
    samples: sorted.length,
  };
}

/** Distance of the quartiles, ms. */
export function spread({ low, high }: Pick<Timing, "low" | "high">): number {
  return high - low;
}

/** What a set of timings says: the middle, and how far its quarters lie apart. Nothing is averaged, nothing thrown away. */

/** The value below which a share of the sorted values lies, between two of them in a straight line. */
function quantile(sorted, share) {
  const at = (sorted.length - 1) * share;
  const low = Math.floor(at);
  const high = Math.ceil(at);
  return sorted[low] + (sorted[high] - sorted[low]) * (at - low);
}

/** Median and quartiles of timings in ms, and how many there are. */
export function summarize(samples) {
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
export function spread({ low, high }) {
  return high - low;
}

/** Numbers as people read them. */

const twoDigits = new Intl.NumberFormat("en", { maximumSignificantDigits: 2 });
const short = new Intl.NumberFormat("en", { maximumSignificantDigits: 2, notation: "compact" });

/** Two significant digits: 4,100, or 410K. */
function rounded(value: number): string {
  if (!(value < 1e15)) return value.toExponential(0);
  return (value < 1e5 ? twoDigits : short).format(value);
}

/** A probability as `1 in 4,100`. */
export function oneIn(probability: number): string {
  return probability > 0 ? `1 in ${rounded(1 / probability)}` : "never";
}

/** A share with two significant digits: `0.42 %`. */
export function percent(share: number): string {
  const value = 100 * share;
  if (value === 0) return "0 %";
  const digits = Math.max(0, 1 - Math.floor(Math.log10(value)));
  return `${value.toFixed(Math.min(digits, 6))} %`;
}

/** A factor between two log-probabilities: `× 0.56`. */
export function factor(before: number, after: number): string {
  const times = Math.exp(after - before);
  return `× ${times < 0.01 ? times.toExponential(0) : times.toFixed(times < 10 ? 2 : 0)}`;
}

/** How many equally likely names have this entropy (nats): its exponential. */
export function asMany(entropy: number): string {
  return rounded(Math.exp(entropy));
}

/** A name as it is shown: its first letter large. */
export function titled(name: string): string {
  return name.slice(0, 1).toUpperCase() + name.slice(1);
}

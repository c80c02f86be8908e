/**
 * Student's t distribution, for intervals from few seeds. Host arithmetic of the project's own, the same in every engine.
 *
 *     P(T > t) = I_x(nu/2, 1/2) / 2   with x = nu/(nu + t^2),  t >= 0
 *
 * Source: Abramowitz and Stegun 1964, 26.7.1; the incomplete beta function I_x by its continued fraction, 26.5.8,
 * evaluated as in Lentz 1976 with the change of Thompson and Barnett 1986; ln Gamma by Lanczos 1964 (g = 7, 9 terms).
 */
import { exp, log } from "../tensor/math.ts";
import { EstimatorError } from "./estimators.ts";

const LANCZOS = [
  0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
  12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
];

/** ln Gamma(x) for x >= 1/2; relative error about 1e-14. */
function logGamma(x: number): number {
  let sum = LANCZOS[0];
  for (let i = 1; i < LANCZOS.length; i++) sum += LANCZOS[i] / (x - 1 + i);
  const t = x + 6.5;
  return 0.5 * log(2 * Math.PI) + (x - 0.5) * log(t) - t + log(sum);
}

/** The continued fraction of 26.5.8 for x below (a + 1)/(a + b + 2), where it converges fast. */
function betaFraction(a: number, b: number, x: number): number {
  const away = (value: number) => (Math.abs(value) < 1e-300 ? 1e-300 : value);
  let c = 1;
  let d = 1 / away(1 - ((a + b) * x) / (a + 1));
  let fraction = d;
  for (let m = 1; m < 100_000; m++) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / away(1 + even * d);
    c = away(1 + even / c);
    fraction *= d * c;
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / away(1 + odd * d);
    c = away(1 + odd / c);
    fraction *= d * c;
    if (Math.abs(d * c - 1) < 1e-15) break;
  }
  return fraction;
}

/** I_x(a, b), y = 1 - x given apart because it may be tiny. */
function incompleteBeta(a: number, b: number, x: number, y: number): number {
  if (x <= 0) return 0;
  if (y <= 0) return 1;
  const front = exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * log(x) + b * log(y));
  return x < (a + 1) / (a + b + 2)
    ? (front * betaFraction(a, b, x)) / a
    : 1 - (front * betaFraction(b, a, y)) / b;
}

/** P(T > t) with `degrees` of freedom, any positive number; accurate in the upper tail. */
export function studentTail(t: number, degrees: number): number {
  const sum = degrees + t * t;
  const half = incompleteBeta(degrees / 2, 0.5, degrees / sum, (t * t) / sum) / 2;
  return t >= 0 ? half : 1 - half;
}

/**
 * The t with P(T <= t) = p; relative error below 1e-11 up to 10^4 degrees of freedom, 1e-8 at 10^6, where it is that far
 * from the normal distribution's anyway. Throws EstimatorError for p outside (0, 1) and degrees outside (0, 10^6].
 */
export function studentQuantile(p: number, degrees: number): number {
  if (!(p > 0 && p < 1 && degrees > 0 && degrees <= 1e6)) {
    throw new EstimatorError(
      `studentQuantile: p in (0, 1) and degrees in (0, 10^6] expected, got ${p} and ${degrees}. Take 10^6 for the normal distribution.`,
    );
  }
  if (p === 0.5) return 0;
  const above = p > 0.5 ? 1 - p : p;
  let high = 1;
  while (studentTail(high, degrees) > above) high *= 2;
  let low = high === 1 ? 0 : high / 2;
  // Newton's steps, halving where one would leave the bracket; the last bits are the bracket's.
  let t = low + (high - low) / 2;
  for (let i = 0; i < 200; i++) {
    const excess = studentTail(t, degrees) - above;
    if (excess > 0) low = t;
    else high = t;
    const step = t + excess / density(t, degrees);
    const next = step > low && step < high ? step : low + (high - low) / 2;
    if (next <= low || next >= high || Math.abs(next - t) <= 1e-15 * t) break;
    t = next;
  }
  return p > 0.5 ? t : -t;
}

/** The density of t: what `studentTail` falls by. */
function density(t: number, degrees: number): number {
  const front = logGamma((degrees + 1) / 2) - logGamma(degrees / 2) - 0.5 * log(degrees * Math.PI);
  return exp(front - ((degrees + 1) / 2) * log(1 + (t * t) / degrees));
}

/**
 * P(Z > z) of the standard normal distribution, absolute error below 7.5e-8: for powers, which need no more.
 *
 * Source: Abramowitz and Stegun 1964, 26.2.17.
 */
export function normalTail(z: number): number {
  if (z < 0) return 1 - normalTail(-z);
  const t = 1 / (1 + 0.2316419 * z);
  const polynomial =
    t * (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))));
  return exp(-0.5 * z * z) * 0.3989422804014327 * polynomial;
}

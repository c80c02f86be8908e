/**
 * Time as a line over work, time = a + b flops, by least squares of relative errors: a small size counts as much as a large
 * one. A negative part has no meaning and is left out: then the line goes through 0, or is flat.
 */

export interface Point {
  flops: number;
  ms: number;
}

export interface Line {
  /** What a run costs whatever its size, ms. */
  a: number;
  /** ms for each operation; 1e-6 / b are GFLOP/s. */
  b: number;
}

export function fitLine(points: readonly Point[]): Line {
  if (points.length < 2) {
    throw new RangeError(`fit: two points or more expected, got ${points.length}. Measure more sizes.`);
  }
  // Minimize sum of ((a + b f) / t - 1)^2 over u = 1 / t and v = f / t.
  let [uu, uv, vv, u1, v1] = [0, 0, 0, 0, 0];
  for (const { flops, ms } of points) {
    const u = 1 / ms;
    const v = flops / ms;
    uu += u * u;
    uv += u * v;
    vv += v * v;
    u1 += u;
    v1 += v;
  }
  const determinant = uu * vv - uv * uv;
  const a = (u1 * vv - v1 * uv) / determinant;
  const b = (v1 * uu - u1 * uv) / determinant;
  // All of one size: a line through 0 is all that they tell.
  if (!(determinant > 0) || a < 0) return { a: 0, b: v1 / vv };
  if (b < 0) return { a: u1 / uu, b: 0 };
  return { a, b };
}

/** Measured over fitted, less 1: 0.1 is a tenth slower than the line. */
export function residual({ a, b }: Line, { flops, ms }: Point): number {
  return ms / (a + b * flops) - 1;
}

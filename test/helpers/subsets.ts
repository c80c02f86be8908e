/** Oracles for estimators: every subset of a few samples, and exact rationals for many. */

const triangle: bigint[][] = [[1n]];

/** C(n, k), from Pascal's triangle; 0 for k outside [0, n]. */
export function choose(n: number, k: number): bigint {
  for (let row = triangle.length; row <= n; row++) {
    const above = triangle[row - 1];
    triangle.push(Array.from({ length: row + 1 }, (_, i) => (above[i - 1] ?? 0n) + (above[i] ?? 0n)));
  }
  return triangle[n][k] ?? 0n;
}

/** a/b to 60 bits. */
export function ratio(a: bigint, b: bigint): number {
  return Number((a << 60n) / b) / 2 ** 60;
}

/** The mean of `value` over all subsets of k of the numbers 0 to n - 1; n up to 16 or so. */
export function meanOverSubsets(n: number, k: number, value: (chosen: readonly number[]) => number): number {
  let sum = 0;
  let count = 0;
  const chosen: number[] = [];
  const visit = (next: number): void => {
    if (chosen.length === k) {
      sum += value(chosen);
      count++;
      return;
    }
    for (let i = next; i <= n - (k - chosen.length); i++) {
      chosen.push(i);
      visit(i + 1);
      chosen.pop();
    }
  };
  visit(0);
  return sum / count;
}

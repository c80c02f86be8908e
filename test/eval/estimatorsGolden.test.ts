/** The Pass@k family against scorio, an independent implementation in Python (test/golden/scorio). */
import { expect, test } from "vitest";
import { gPassAtK, maxAtK, mean, mgPassAtK, passAtK, passHatK } from "../../src/eval/estimators.ts";
import { graded, means, random } from "../golden/scorio/estimators.golden.ts";

test("every n <= 64, c and k: the mean over c of seven measures", () => {
  const bytes = Uint8Array.from(atob(means), (character) => character.charCodeAt(0));
  const golden = new Float64Array(bytes.buffer);
  expect(golden.length).toBe(7 * ((64 * 65) / 2));
  const measures: ((n: number, c: number, k: number) => number)[] = [
    passAtK,
    passHatK,
    (n, c, k) => gPassAtK(n, c, k, 0.25),
    (n, c, k) => gPassAtK(n, c, k, 0.5),
    (n, c, k) => gPassAtK(n, c, k, 0.75),
    mgPassAtK,
    (n, c, k) => gPassAtK(n, c, k, (Math.floor(k / 2) + 1) / k), // scorio's maj_at_k: more than half are right
  ];
  let at = 0;
  let compared = 0;
  for (let n = 1; n <= 64; n++) {
    const counts = Array.from({ length: n + 1 }, (_, c) => c);
    for (let k = 1; k <= n; k++) {
      for (const [i, measure] of measures.entries()) {
        const expected = golden[at++];
        if (Number.isNaN(expected)) continue; // the script says why
        compared++;
        const off = Math.abs(mean(counts.map((c) => measure(n, c, k))) - expected);
        if (!(off < 1e-12)) expect(off, `measure ${i}, n ${n}, k ${k}`).toBeLessThan(1e-12);
      }
    }
  }
  expect(compared).toBeGreaterThan(golden.length - 100);
});

test("random n <= 512, with any tau", () => {
  expect(random.length).toBe(400);
  for (const [n, c, k, tau, pass, hat, share, meanShare] of random) {
    const where = `n ${n}, c ${c}, k ${k}, tau ${tau}`;
    expect(Math.abs(passAtK(n, c, k) - pass), where).toBeLessThan(1e-12);
    expect(Math.abs(passHatK(n, c, k) - hat), where).toBeLessThan(1e-12);
    // scipy's float64 binomials of several hundred are off by up to 1.2e-12 in these sums; exact rationals
    // (estimators.test.ts) hold ours to 5e-14.
    expect(Math.abs(gPassAtK(n, c, k, tau) - share), where).toBeLessThan(2e-12);
    expect(Math.abs(mgPassAtK(n, c, k) - meanShare), where).toBeLessThan(2e-12);
  }
});

test("max@k of graded rewards", () => {
  expect(graded.length).toBe(60);
  for (const [eighths, k, expected] of graded) {
    const value = maxAtK(
      eighths.map((x) => x / 8),
      k,
    );
    expect(Math.abs(value - expected)).toBeLessThan(1e-12);
  }
});

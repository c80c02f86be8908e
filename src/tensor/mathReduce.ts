/** Exact reduction of large angles by multiples of pi/2, in integers. */

const BITS = 1280n; // 1074 below the point, 106 kept after cancellation, and a reserve
let halfPi = 0n; // pi/2 * 2^BITS

/** arctan(1/q) * 2^BITS by its series. */
function arctanInverse(q: bigint, bits: bigint): bigint {
  let term = (1n << bits) / q;
  let sum = term;
  for (let n = 3n, sign = -1n; term > 0n; n += 2n, sign = -sign) {
    term /= q * q;
    sum += (sign * term) / n;
  }
  return sum;
}

/** An integer times 2^-bits as the nearest double, and what that left. */
function toDouble(value: bigint, bits: bigint): [number, bigint] {
  if (value === 0n) return [0, 0n];
  const negative = value < 0n;
  const magnitude = negative ? -value : value;
  const drop = magnitude.toString(2).length - 53;
  if (drop <= 0) return [scaleDown(Number(value), bits), 0n];
  const kept = magnitude >> BigInt(drop); // truncated: the rest goes into the tail
  const head = negative ? -kept : kept;
  return [scaleDown(Number(head), bits - BigInt(drop)), value - (head << BigInt(drop))];
}

/** x 2^-bits in exact halvings. */
function scaleDown(x: number, bits: bigint): number {
  let left = bits;
  while (left >= 512n) {
    x *= 7.458340731200207e-155; // 2^-512
    left -= 512n;
  }
  return x / Number(1n << left);
}

/**
 * x = n pi/2 + head + tail with |head| <= pi/4, for a finite |x| >= 2^20: [n mod 4, head, tail].
 *
 * pi by Machin's formula, 16 arctan(1/5) - 4 arctan(1/239).
 */
export function reduceLarge(x: number): [number, number, number] {
  if (halfPi === 0n) {
    const guard = BITS + 64n;
    halfPi = (8n * arctanInverse(5n, guard) - 2n * arctanInverse(239n, guard)) >> 64n;
  }
  // an integer above 2^52; between 2^20 and there, at most 32 bits after the point
  const ax = Math.abs(x);
  const fixed = ax >= 4503599627370496 ? BigInt(ax) << BITS : BigInt(ax * 4294967296) << (BITS - 32n);
  let n = fixed / halfPi;
  let rest = fixed - n * halfPi;
  if (2n * rest > halfPi) {
    n += 1n;
    rest -= halfPi;
  }
  // the error of pi/2 grows by n: BITS keeps 1280 - 1024 = 256 good bits for the largest double
  const [head, left] = toDouble(rest, BITS);
  const [tail] = toDouble(left, BITS);
  const quadrant = Number(n & 3n);
  return x < 0 ? [(4 - quadrant) % 4, -head, -tail] : [quadrant, head, tail];
}

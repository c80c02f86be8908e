/** Index algebra by brute force: random expressions, and random reshapes, evaluated before and after. */

import { expect, test } from "vitest";
import {
  type Affine,
  constantIndex,
  delinearize,
  dependsOn,
  div,
  exactQuotient,
  linearize,
  maxOf,
  mod,
  opaque,
  plus,
  reindex,
  scale,
  substitute,
  variable,
} from "../../src/tensor/affine.ts";
import { Rng, Stream } from "../../src/tensor/random.ts";
import { numel, stridesOf } from "../../src/tensor/shape.ts";
import { repeat, seed } from "../helpers/seed.ts";

type Env = Readonly<Record<string, number>>;

function evaluate(e: Affine, env: Env): number {
  let sum = e.constant;
  for (const { coef, atom } of e.terms) {
    let x: number;
    if (atom.kind === "var") x = env[atom.key];
    else if (atom.kind === "opaque") x = env[atom.names[0]];
    else {
      const inner = evaluate(atom.of, env);
      x = atom.kind === "div" ? Math.floor(inner / atom.by) : inner % atom.by;
    }
    if (x >= atom.extent) throw new Error(`an atom of ${e.key} is ${x}, beyond its extent ${atom.extent}`);
    sum += coef * x;
  }
  return sum;
}

interface Pair {
  e: Affine;
  f: (env: Env) => number;
  text: string;
}

const EXTENTS: Readonly<Record<string, number>> = { a: 6, b: 4, c: 5, d: 1, x: 7 };

function randomEnv(rng: Rng): Env {
  return Object.fromEntries(Object.entries(EXTENTS).map(([name, n]) => [name, rng.int(n)]));
}

function randomPair(rng: Rng, depth: number): Pair {
  const kind = depth === 0 ? rng.int(3) : rng.int(8);
  if (kind === 0) {
    const n = rng.int(9);
    return { e: constantIndex(n), f: () => n, text: `${n}` };
  }
  if (kind === 1) return { e: opaque(["x"], EXTENTS.x), f: (env) => env.x, text: "x" };
  if (kind === 2) {
    const name = ["a", "b", "c", "d"][rng.int(4)];
    return { e: variable(name, EXTENTS[name]), f: (env) => env[name], text: name };
  }
  const p = randomPair(rng, depth - 1);
  const c = 1 + rng.int(8);
  switch (kind) {
    case 3:
      return { e: scale(p.e, c), f: (env) => p.f(env) * c, text: `(${p.text})*${c}` };
    case 4:
      return { e: div(p.e, c), f: (env) => Math.floor(p.f(env) / c), text: `(${p.text})/${c}` };
    case 5:
      return { e: mod(p.e, c), f: (env) => p.f(env) % c, text: `(${p.text})%${c}` };
    default: {
      const q = randomPair(rng, depth - 1);
      return { e: plus(p.e, q.e), f: (env) => p.f(env) + q.f(env), text: `${p.text}+${q.text}` };
    }
  }
}

test("random expressions keep their value and their bounds", () => {
  const rng = new Rng(seed, Stream.test, 1);
  for (let i = 0; i < 4000; i++) {
    const { e, f, text } = randomPair(rng, 1 + rng.int(5));
    for (let j = 0; j < 12; j++) {
      const env = randomEnv(rng);
      const at = `${text} at ${JSON.stringify(env)} as ${e.key}; ${repeat}`;
      expect(evaluate(e, env), at).toBe(f(env));
      expect(f(env), at).toBeLessThanOrEqual(maxOf(e));
    }
  }
});

test("quotients and remainders of sums of multiples, at every point", () => {
  const rng = new Rng(seed, Stream.test, 5);
  const coefs = [1, 2, 3, 4, 6, 8, 12];
  for (let i = 0; i < 1500; i++) {
    const extents = { a: 1 + rng.int(5), b: 1 + rng.int(5), c: 1 + rng.int(3) };
    let e = constantIndex(rng.int(4));
    for (const [name, n] of Object.entries(extents))
      e = plus(e, scale(variable(name, n), coefs[rng.int(coefs.length)]));
    const by = [2, 3, 4, 6, 8, 12][rng.int(6)];
    const [quotient, remainder] = [div(e, by), mod(e, by)];
    for (let a = 0; a < extents.a; a++) {
      for (let b = 0; b < extents.b; b++) {
        for (let c = 0; c < extents.c; c++) {
          const x = evaluate(e, { a, b, c });
          const at = `${e.key} by ${by} at ${[a, b, c]}; ${repeat}`;
          expect(evaluate(quotient, { a, b, c }), at).toBe(Math.floor(x / by));
          expect(evaluate(remainder, { a, b, c }), at).toBe(x % by);
        }
      }
    }
  }
});

test("substitution is evaluation with another value", () => {
  const rng = new Rng(seed, Stream.test, 2);
  for (let i = 0; i < 2000; i++) {
    const { e, f, text } = randomPair(rng, 1 + rng.int(4));
    const value = rng.int(EXTENTS.a);
    const fixed = substitute(e, "a", constantIndex(value));
    const env = randomEnv(rng);
    expect(evaluate(fixed, { ...env, a: value }), `${text}, a = ${value}; ${repeat}`).toBe(
      f({ ...env, a: value }),
    );
    expect(dependsOn(fixed, "a"), text).toBe(false);
    // A sum of two others in place of one: b + 1 stays in a's range, as an index would.
    const moved = substitute(e, "a", plus(variable("b", EXTENTS.b), constantIndex(1)));
    expect(evaluate(moved, env), `${text}, a = b + 1; ${repeat}`).toBe(f({ ...env, a: env.b + 1 }));
  }
});

test("an exact quotient times its divisor is the expression", () => {
  const e = plus(scale(variable("a", 6), 8), constantIndex(4));
  expect(scale(exactQuotient(e, 4), 4).key).toBe(e.key);
});

/** A shape of at most 5 axes with `n` elements, sizes of 1 among them. */
function randomShape(rng: Rng, n: number): number[] {
  const shape: number[] = [];
  let left = n;
  for (let p = 2; p <= left; ) {
    if (left % p === 0) {
      left /= p;
      const last = shape.length - 1;
      if (last >= 0 && (rng.int(2) === 0 || shape.length >= 4)) shape[last] *= p;
      else shape.push(p);
    } else p++;
  }
  rng.shuffle(shape);
  while (rng.int(3) === 0 && shape.length < 6) shape.splice(rng.int(shape.length + 1), 0, 1);
  return shape;
}

test("reshapes of any kind find the same element, in chains and through permutations", () => {
  const rng = new Rng(seed, Stream.test, 3);
  const sizes = [1, 6, 12, 24, 35, 36, 48, 60, 64, 120];
  for (let i = 0; i < 400; i++) {
    const n = sizes[rng.int(sizes.length)];
    const shapes = Array.from({ length: 2 + rng.int(3) }, () => randomShape(rng, n));
    // Position in the last shape, back through every reshape and a permutation of the middle one.
    let index = delinearize(variable("i", n), shapes[shapes.length - 1]);
    const steps: ((flat: number) => number)[] = [];
    for (let s = shapes.length - 1; s > 0; s--) {
      index = reindex(index, shapes[s], shapes[s - 1]);
      const from = shapes[s - 1];
      const order = rng.shuffle(from.map((_, d) => d));
      const before = order.map((_, d) => from[order.indexOf(d)]);
      // The value in `from` is a permutation of one in `before`: from axis i is before axis order[i].
      index = order.map((_, d) => index[order.indexOf(d)]);
      const [fromStrides, beforeStrides] = [stridesOf(from), stridesOf(before)];
      steps.push((flat) => {
        let out = 0;
        from.forEach((size, d) => {
          out += (Math.floor(flat / fromStrides[d]) % size) * beforeStrides[order[d]];
        });
        return out;
      });
      shapes[s - 1] = before;
    }
    const address = linearize(index, shapes[0]);
    for (let flat = 0; flat < n; flat++) {
      const want = steps.reduce((at, step) => step(at), flat);
      expect(evaluate(address, { i: flat }), `${JSON.stringify(shapes)} at ${flat}; ${repeat}`).toBe(want);
    }
    expect(numel(shapes[0])).toBe(n);
  }
});

test("splits and merges cancel: no quotient is left where shapes only regroup axes", () => {
  const [i, j, k] = [variable("i", 4), variable("j", 6), variable("k", 8)];
  const merged = reindex([i, j, k], [4, 6, 8], [24, 8]);
  expect(linearize(reindex(merged, [24, 8], [4, 2, 3, 8]), [4, 2, 3, 8]).key).toBe(
    linearize([i, j, k], [4, 6, 8]).key,
  );
  const flat = variable("n", 192);
  expect(linearize(delinearize(flat, [4, 6, 8]), [4, 6, 8]).key).toBe(flat.key);
});

test("a number in [0, 1) is 0, so that an axis of one element has one index", () => {
  // As one of columns that come in fours: the same element through [4, 1] and [1, 4], by the same key.
  const r = plus(scale(opaque(["c"], 1), 4), variable("lane", 4));
  const [row, column] = delinearize(r, [1, 4]);
  expect(row.terms).toEqual([]);
  expect(linearize([column, row], [4, 1]).key).toBe(linearize(delinearize(r, [4, 1]), [4, 1]).key);
});

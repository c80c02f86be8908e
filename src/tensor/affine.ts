/**
 * Index algebra: sums of coefficient times atom, where an atom is a loop variable, a quotient, a remainder or a
 * number read at run time. All quantities are natural numbers with known bounds, so that quotients and remainders
 * that reshapes introduce cancel where the sizes allow it. Sizes stay data: the emitter prints every coefficient
 * as a parameter, and two sizes with the same structure share one kernel.
 */

export type Atom =
  | { readonly kind: "var"; readonly key: string; readonly extent: number }
  | {
      readonly kind: "div" | "mod";
      readonly key: string;
      readonly extent: number;
      readonly of: Affine;
      readonly by: number;
    }
  /** Read at run time; `names` has one expression, or one for each of four lanes. */
  | {
      readonly kind: "opaque";
      readonly key: string;
      readonly extent: number;
      readonly names: readonly string[];
    };

export interface Term {
  readonly coef: number;
  readonly atom: Atom;
}

export interface Affine {
  readonly constant: number;
  /** Sorted by key; no coefficient is 0. */
  readonly terms: readonly Term[];
  readonly key: string;
}

class Sum implements Affine {
  readonly constant: number;
  readonly terms: readonly Term[];
  private text: string | null = null;

  constructor(constant: number, terms: readonly Term[]) {
    this.constant = constant;
    this.terms = terms;
  }

  /** Made when asked for: most sums are steps on the way to another. */
  get key(): string {
    this.text ??= this.terms.reduce((s, t) => `${s}+${t.coef}*${t.atom.key}`, String(this.constant));
    return this.text;
  }
}

function make(constant: number, terms: Term[]): Affine {
  if (terms.length > 1)
    terms.sort((a, b) => (a.atom.key < b.atom.key ? -1 : a.atom.key > b.atom.key ? 1 : 0));
  return new Sum(constant, terms);
}

export const ZERO: Affine = make(0, []);

export function constantIndex(n: number): Affine {
  return make(n, []);
}

/** A loop variable in [0, extent). One of extent 1 is the constant 0. */
export function variable(name: string, extent: number): Affine {
  return extent <= 1 ? ZERO : make(0, [{ coef: 1, atom: { kind: "var", key: name, extent } }]);
}

/** A number read at run time, in [0, extent): 0 where that is all it can be. */
export function opaque(names: readonly string[], extent: number): Affine {
  if (extent === 1) return ZERO;
  return make(0, [{ coef: 1, atom: { kind: "opaque", key: `$${names.join("|")}`, extent, names } }]);
}

/** Largest value. */
export function maxOf(e: Affine): number {
  let m = e.constant;
  for (const t of e.terms) m += t.coef * (t.atom.extent - 1);
  return m;
}

export function scale(e: Affine, c: number): Affine {
  if (c === 0) return ZERO;
  if (c === 1) return e;
  return make(
    e.constant * c,
    e.terms.map((t) => ({ coef: t.coef * c, atom: t.atom })),
  );
}

export function plus(a: Affine, b: Affine): Affine {
  if (b.terms.length === 0 && b.constant === 0) return a;
  if (a.terms.length === 0 && a.constant === 0) return b;
  const byKey = new Map<string, Term>();
  for (const t of [...a.terms, ...b.terms]) {
    const old = byKey.get(t.atom.key);
    byKey.set(t.atom.key, old ? { coef: old.coef + t.coef, atom: t.atom } : t);
  }
  return recombine(a.constant + b.constant, byKey);
}

/** c*b*(X div b) + c*(X mod b) = c*X, wherever both halves are present. */
function recombine(constant: number, byKey: Map<string, Term>): Affine {
  for (const [key, t] of byKey) {
    if (t.atom.kind !== "mod") continue;
    const quotient = div(t.atom.of, t.atom.by);
    if (quotient.terms.length !== 1 || quotient.constant !== 0 || quotient.terms[0].coef !== 1) continue;
    const other = byKey.get(quotient.terms[0].atom.key);
    if (!other || other.coef !== t.coef * t.atom.by) continue;
    byKey.delete(key);
    byKey.delete(quotient.terms[0].atom.key);
    return plus(make(constant, [...byKey.values()]), scale(t.atom.of, t.coef));
  }
  return make(constant, [...byKey.values()]);
}

function gcd(a: number, b: number): number {
  while (b > 0) [a, b] = [b, a % b];
  return a;
}

interface Split {
  /** Part divisible by the divisor. */
  whole: Affine;
  rest: Affine;
}

function splitBy(e: Affine, c: number): Split {
  const whole: Term[] = [];
  const rest: Term[] = [];
  for (const t of e.terms) (t.coef % c === 0 ? whole : rest).push(t);
  const r = e.constant % c;
  return { whole: make(e.constant - r, whole), rest: make(r, rest) };
}

/** e / c where every coefficient and the constant are multiples of c. */
export function exactQuotient(e: Affine, c: number): Affine {
  return make(
    e.constant / c,
    e.terms.map((t) => ({ coef: t.coef / c, atom: t.atom })),
  );
}

/** A g > 1 dividing c such that e = g*high + low with low < g, or null. */
function commonFactor(e: Affine, c: number): { g: number; high: Affine; low: Affine } | null {
  const sorted = [...e.terms].sort((a, b) => b.coef - a.coef);
  for (let p = sorted.length; p >= 1; p--) {
    let g = c;
    for (let i = 0; i < p; i++) g = gcd(g, sorted[i].coef);
    if (g <= 1) continue;
    const low = make(e.constant % g, sorted.slice(p));
    if (maxOf(low) < g) {
      return { g, high: exactQuotient(make(e.constant - (e.constant % g), sorted.slice(0, p)), g), low };
    }
  }
  return null;
}

/** floor(e / c). */
export function div(e: Affine, c: number): Affine {
  if (c === 1) return e;
  if (maxOf(e) < c) return ZERO;
  const { whole, rest } = splitBy(e, c);
  const front = exactQuotient(whole, c);
  if (maxOf(rest) < c) return front;
  const f = commonFactor(rest, c);
  if (f && f.g === c) return plus(front, f.high);
  if (f) return plus(front, div(f.high, c / f.g));
  if (rest.terms.length === 1 && rest.constant === 0 && rest.terms[0].coef === 1) {
    const inner = rest.terms[0].atom;
    if (inner.kind === "div") return plus(front, div(inner.of, inner.by * c));
  }
  const extent = Math.floor(maxOf(rest) / c) + 1;
  const atom: Atom = { kind: "div", key: `(${rest.key}/${c})`, extent, of: rest, by: c };
  return plus(front, make(0, [{ coef: 1, atom }]));
}

/** e mod c. */
export function mod(e: Affine, c: number): Affine {
  if (c <= 1) return ZERO;
  const { rest } = splitBy(e, c);
  if (maxOf(rest) < c) return rest;
  const f = commonFactor(rest, c);
  if (f) return plus(scale(mod(f.high, c / f.g), f.g), f.low);
  const atom: Atom = { kind: "mod", key: `(${rest.key}%${c})`, extent: c, of: rest, by: c };
  return make(0, [{ coef: 1, atom }]);
}

/** The index of flat position `e` in a row-major shape. */
export function delinearize(e: Affine, shape: readonly number[]): Affine[] {
  const index = new Array<Affine>(shape.length);
  let q = e;
  for (let d = shape.length - 1; d >= 0; d--) {
    index[d] = d === 0 ? (shape[0] === 1 ? ZERO : q) : mod(q, shape[d]);
    q = div(q, Math.max(shape[d], 1));
  }
  return index;
}

/** The flat position of an index in a row-major shape. */
export function linearize(index: readonly Affine[], shape: readonly number[]): Affine {
  let e = ZERO;
  let stride = 1;
  for (let d = shape.length - 1; d >= 0; d--) {
    if (shape[d] !== 1) e = plus(e, scale(index[d], stride));
    stride *= shape[d];
  }
  return e;
}

/** Index in `from` of the element at `index` in `to`, two shapes of the same size. Sizes of 1 cost nothing. */
export function reindex(index: readonly Affine[], to: readonly number[], from: readonly number[]): Affine[] {
  // Runs of axes with equal products map on their own: most reshapes only split or merge.
  const out = new Array<Affine>(from.length).fill(ZERO);
  if (to.includes(0)) return out;
  let a = 0;
  let b = 0;
  while (a < to.length || b < from.length) {
    let pa = a < to.length ? to[a] : 1;
    let pb = b < from.length ? from[b] : 1;
    let ea = a + 1;
    let eb = b + 1;
    while (pa !== pb) {
      if (pa < pb) pa *= to[ea++];
      else pb *= from[eb++];
    }
    const part = linearize(index.slice(a, ea), to.slice(a, ea));
    const sub = delinearize(part, from.slice(b, eb));
    for (let i = b; i < Math.min(eb, from.length); i++) out[i] = sub[i - b];
    a = ea;
    b = eb;
  }
  return out;
}

/** Replaces a variable (by name) throughout. */
export function substitute(e: Affine, name: string, by: Affine): Affine {
  let out = constantIndex(e.constant);
  for (const t of e.terms) {
    const { atom } = t;
    let part: Affine;
    if (atom.kind === "var") part = atom.key === name ? by : make(0, [{ coef: 1, atom }]);
    else if (atom.kind === "div") part = div(substitute(atom.of, name, by), atom.by);
    else if (atom.kind === "mod") part = mod(substitute(atom.of, name, by), atom.by);
    else part = make(0, [{ coef: 1, atom }]);
    out = plus(out, scale(part, t.coef));
  }
  return out;
}

/** Whether a variable, or an opaque with a value for each lane, occurs anywhere. */
export function dependsOn(e: Affine, name: string): boolean {
  return e.terms.some(({ atom }) => {
    if (atom.kind === "var") return atom.key === name;
    if (atom.kind === "opaque") return name === "lane" && atom.names.length > 1;
    return dependsOn(atom.of, name);
  });
}

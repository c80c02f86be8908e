/**
 * Bodies of the attention kernels. One thread has a few rows of its own (queries, or keys in dK and dV) and walks the
 * keys (or queries) that they may see, a block at a time: every element loaded takes part in several products, and
 * scores live in registers alone. `unit` counts tiles of such rows within a head of keys. From T2 on the four threads of a quad have
 * tiles side by side, load a quarter of each block and hand it round.
 *
 * Layouts: queries [B, T, KV, G, D], keys and values [B, S, KV, D], visible [B, T, 2]; a row is (t, g) of one head of
 * keys, and `p.width` is D. Queries, keys and values may be parts of another tensor: `p.qAt` is where they begin there, `p.q0`,
 * `p.q1`, ... the steps along the axes before D. Numbers are loaded one by one whatever D: with vectors of four in the same tiles, lavapipe took
 * three times as long to compile the texts, for kernels that ran 15 to 20 % faster at T = 1024 and no faster at T = 128.
 */

import { addressed, each, load, loadMine, mine, nth, type QuadRead, unite } from "./quads.ts";

/** Sizes that are part of the text. */
export interface AttentionSizes {
  /** Rows of a thread. */
  readonly own: number;
  /** Rows of the other kind in a block; a multiple of 4. */
  readonly block: number;
  /** Numbers that the arrays of a thread hold; at least `p.width`. */
  readonly slots: number;
  /** Threads that share the keys of a row. */
  readonly parts: number;
  /** Shares of a row's keys, each with a sum of its own. */
  readonly shares: number;
  /** The tiles of a quad's four threads are side by side in one head, and walk the same blocks. */
  readonly quads: boolean;
  /** The same of the threads that have keys of their own, in the gradient. */
  readonly keys?: { readonly own: number; readonly block: number };
}

/** Where a kernel finds what a tile of queries reads. */
interface Operands {
  /** Reads from the thread at a place of the quad; null: every thread loads for itself. */
  readonly quad: QuadRead | null;
  /** Element c of key and value j of the block. */
  key(j: number): string;
  value(j: number): string;
  /** Addresses of query i, and of a block's keys. */
  query(i: number): string;
  keys(j: number): string;
  /** The first key that query i sees, and the one after the last. */
  from(i: number): string;
  to(i: number): string;
  /** Lines before the first key. */
  readonly before: string;
}

/** The same of a forward kernel, and where it writes. */
interface Bound extends Operands {
  readonly out: string;
  readonly logSumExp: string | null;
}

const LOG2_E = "1.4426950408889634";
const LN_2 = "0.6931471805599453";

/** Scores of keys that a query does not see, and the least that the largest seen so far is taken for. */
const HIDDEN = "vec4<f32>(-2e30)";
const LEAST = "-1e30";

/** Threads side by side that walk the same queries in dK and dV. */
const LANES = 8;

/**
 * How many blocks of `step` there are from `from` on. Loops count by one up to a number that is named before them: where a
 * compiler sees so that a loop ends, it adds no counter of its own to each turn (Tint does to all others).
 */
function turns(from: string, end: string, step: string): string {
  return `let turns = select(0u, (${end} - (${from}) + ${step} - 1u) / ${step}, ${end} > ${from});`;
}

/** Products of `a` with four others. */
function products(a: string, names: readonly string[]): string {
  return `${a} * vec4<f32>(${names.join(", ")})`;
}

/** Names of the four of a block from 4 m on. */
const four = (name: string, m: number): string[] => [0, 1, 2, 3].map((j) => `${name}${4 * m + j}`);

/** `target += sum over the block, in order, of weight * element`. */
function weighted(target: string, weights: string, name: string, { block }: AttentionSizes): string {
  const sum = each(block, (j) => `a = fma(${name}${j}, ${weights}${Math.floor(j / 4)}[${j % 4}], a);`);
  return `a = ${target};\n${sum}\n${target} = a;`;
}

/** Numbers of a row that the threads which share it join at a time. */
const PIECE = 32;

/**
 * What the bodies name: `pow2` is 2^n for whole n up to 0, exactly, and 0 below the normal numbers. Where n is a difference, compilers
 * may add 127 before they subtract, which rounds beyond 2^24: `max` comes first.
 */
export function attentionHelpers({ parts }: AttentionSizes): string {
  const shared = /* wgsl */ `
var<workgroup> tops: array<f32, 64>;
var<workgroup> sums: array<f32, 64>;
var<workgroup> pieces: array<f32, ${64 * PIECE}>;`;
  return /* wgsl */ `
const STEPS = vec4<u32>(0u, 1u, 2u, 3u);
fn pow2(n: vec4<f32>) -> vec4<f32> {
  return bitcast<vec4<f32>>(vec4<u32>(max(n, vec4<f32>(-127.0)) + 127.0) << vec4<u32>(23u));
}${parts > 1 ? shared : ""}`;
}

/** Batch and head of a unit, and the first of its rows. */
function placeOf({ own, quads }: AttentionSizes, unit: string, tiles: string): string {
  const [tile, among] = quads ? [`(${unit}) / 4u`, ` * 4u + (${unit}) % 4u`] : [`(${unit})`, ""];
  return /* wgsl */ `let width = p.width;
let tile = ${tile};
let rest = tile / p.side;
let head = rest / ${tiles} * p.side + tile % p.side;
let b = head / p.heads;
let h = head % p.heads;
let first = (rest % ${tiles}${among}) * ${own}u;`;
}

/** The tile's place, and for each query of a thread its row in [B, T, KV, G] and the keys it sees. */
function ownQueries(sizes: AttentionSizes, { query, from, to, before, quad }: Operands): string {
  const { own } = sizes;
  return /* wgsl */ `
${placeOf(sizes, "unit", "p.tiles")}
let rows = p.queries * p.groups;
${each(
  own,
  (i) => `let r${i} = min(first + ${i}u, rows - 1u);
let t${i} = b * p.queries + r${i} / p.groups;
let row${i} = (t${i} * p.heads + h) * p.groups + r${i} % p.groups;
let query${i} = ${query(i)};
let from${i} = ${from(i)};
let to${i} = min(${to(i)}, p.keys);`,
)}
var begin = from0;
var end = to0;
${each(own - 1, (i) => `begin = min(begin, from${i + 1});\nend = max(end, to${i + 1});`)}
${unite(quad)}
${before}
var a = 0.0;`;
}

/** Most numbers of a row that a thread keeps of each of its own: all it has stays within the 8 KiB that every adapter gives it. */
const MOST_KEPT = 64;

/** Where a thread's own rows of `name` are read, and the lines before that. */
function ownRows(
  { own, slots }: Pick<AttentionSizes, "own" | "slots">,
  name: string,
  at: (i: number, c: string) => string,
): { keep: string; load: string } {
  const kept = slots <= MOST_KEPT;
  return {
    keep: kept
      ? `${each(own, (i) => `var ${name}Kept${i}: array<f32, ${slots}>;`)}
for (var c = 0u; c < width; c++) {
${each(own, (i) => `${name}Kept${i}[c] = ${at(i, "c")};`)}
}`
      : "",
    load: each(own, (i) => `let ${name}${i} = ${kept ? `${name}Kept${i}[c]` : at(i, "c")};`),
  };
}

/** Addresses of a block of keys from `s` on. Beyond the last that anybody here sees, it is that one again. */
function blockOfKeys({ block }: AttentionSizes, { keys, quad }: Operands): string {
  return `${each(addressed(block, quad), (j) => `let s${j} = min(s + ${nth(j, quad)}, end - 1u);\n${keys(j)}`)}
${mine(block, quad, (j) => `s + ${j}u`)}
${columnsOf(block)}`;
}

function columnsOf(block: number): string {
  return each(block / 4, (m) => `let at${m} = vec4<u32>(s + ${4 * m}u) + STEPS;`);
}

const seen = (i: number, m: number): string =>
  `(at${m} >= vec4<u32>(from${i})) & (at${m} < vec4<u32>(to${i}))`;

/** Lines for every row of the thread and every four of the block. */
function pairs({ own, block }: AttentionSizes, line: (i: number, m: number) => string): string {
  return each(own, (i) => each(block / 4, (m) => line(i, m)));
}

/** b0 q, b1 k, b2 v as they lie, intervals in `visible`. */
const strided = (visible: string, quad: QuadRead | null = null): Operands => ({
  quad,
  key: (j) => `b1[key${j} + c]`,
  value: (j) => `b2[value${j} + c]`,
  query: (i) => `p.qAt + b * p.q0 + r${i} / p.groups * p.q1 + h * p.q2 + r${i} % p.groups * p.q3`,
  keys: (j) => `let key${j} = keys + s${j} * p.k1;\nlet value${j} = values + s${j} * p.v1;`,
  from: (i) => `${visible}[t${i} * 2u]`,
  to: (i) => `${visible}[t${i} * 2u + 1u]`,
  before: `let keys = p.kAt + b * p.k0 + h * p.k2;
let values = p.vAt + b * p.v0 + h * p.v2;`,
});

/** b0 q, b1 k, b2 v, b3 visible -> b4 out, b5 logSumExp. */
const PLAIN: Bound = { ...strided("b3"), out: "b4", logSumExp: "b5" };

/**
 * b0 q, b1 cache [C, 2, KV, D], b2 rows [B, 4] in steps of `p.r0`, b3 end [1] -> b4 out. Key s of a row stands at row s + before
 * of the cache where it is of the beginning that the row shares, and at s + after where it is its own.
 */
const CACHED: Bound = {
  quad: null,
  key: (j) => `b1[key${j} + c]`,
  value: (j) => `b1[value${j} + c]`,
  query: (i) => `p.qAt + b * p.q0 + h * p.q1 + r${i} * p.q2`,
  keys: (j) => `let key${j} = ((s${j} + select(after, before, s${j} < split)) * 2u * p.heads + h) * p.width;
let value${j} = key${j} + p.heads * p.width;`,
  from: () => "b2[p.rAt + b * p.r0]",
  to: () => "b3[0]",
  before: `let row = p.rAt + b * p.r0;
let split = b2[row + 1u];
let before = b2[row + 2u];
let after = b2[row + 3u];`,
  out: "b4",
  logSumExp: null,
};

/**
 * Scores are in base 2, and weights are kept relative to a power of two: rescaling is exact, so that no bit depends on
 * where blocks begin, nor on keys that are not seen. Except for what is 2^126 times (87 nats) smaller than what a row walks
 * later: that is 0, at once or in two steps.
 */
export function attentionForward(sizes: AttentionSizes, quad: QuadRead | null): string {
  return forward(sizes, { ...PLAIN, quad });
}

/** The same bits, of keys and values in a cache. */
export function cachedAttention(sizes: AttentionSizes): string {
  return forward(sizes, CACHED);
}

function forward(sizes: AttentionSizes, bound: Bound): string {
  if (sizes.parts > 1) return splitForward(sizes, bound);
  return sizes.shares > 1 ? sharesForward(sizes, bound) : wholeForward(sizes, bound);
}

/** What a row has of the keys walked so far: the largest score's power of two, and sums relative to it. */
const state = (i: number): string => `var top${i} = ${LEAST};\nvar sum${i} = 0.0;`;

/** Takes the keys from `from` on, every `step`-th of them a block, into `top`, `sum` and `acc` of each row; there from `at` on. */
function walkKeys(sizes: AttentionSizes, bound: Bound, from: string, step: string, at = ""): string {
  const { own, block } = sizes;
  const quads = block / 4;
  return /* wgsl */ `${turns(from, "end", step)}
for (var turn = 0u; turn < turns; turn++) {
let s = ${from} + turn * ${step};
${blockOfKeys(sizes, bound)}
${pairs(sizes, (i, m) => `var x${i}${m} = vec4<f32>(0.0);`)}
for (var c = 0u; c < width; c++) {
${loadMine("k", block, bound.quad, bound.key)}
${each(own, (i) => `let q${i} = b0[query${i} + c];`)}
${pairs(sizes, (i, m) => `x${i}${m} += ${products(`q${i}`, four("k", m))};`)}
}
${pairs(sizes, (i, m) => `x${i}${m} = select(${HIDDEN}, x${i}${m} * p.scale, ${seen(i, m)});`)}
${each(own, (i) => {
  const all = Array.from({ length: quads }, (_, m) => `x${i}${m}`).reduce((x, y) => `max(${x}, ${y})`);
  return `let m${i} = ${all};
let best${i} = max(top${i}, floor(max(max(m${i}.x, m${i}.y), max(m${i}.z, m${i}.w))));
let keep${i} = pow2(vec4<f32>(top${i} - best${i})).x;
top${i} = best${i};
sum${i} *= keep${i};
${each(
  quads,
  (m) => `let f${i}${m} = floor(x${i}${m});
let w${i}${m} = exp2(x${i}${m} - f${i}${m}) * pow2(f${i}${m} - best${i});
sum${i} = sum${i} + w${i}${m}.x + w${i}${m}.y + w${i}${m}.z + w${i}${m}.w;`,
)}`;
})}
for (var c = 0u; c < width; c++) {
${loadMine("v", block, bound.quad, bound.value)}
${each(own, (i) => `acc${i}[${at}c] *= keep${i};\n${weighted(`acc${i}[${at}c]`, `w${i}`, "v", sizes)}`)}
}
}`;
}

/**
 * 0 for -0, whose sign would say what was walked and not seen; gradients promise it (`plainZeros`). Compilers take "x + 0.0" for x.
 */
const plainZero = (x: string): string => `select(${x}, 0.0, ${x} == 0.0)`;

const logSumExp = (top: string, sum: string): string =>
  `select(${LEAST}, ${top} * ${LN_2} + log(${sum}), ${sum} > 0.0)`;

function wholeForward(sizes: AttentionSizes, bound: Bound): string {
  return /* wgsl */ `${ownQueries(sizes, bound)}
${each(sizes.own, (i) => `${state(i)}\nvar acc${i}: array<f32, ${sizes.slots}>;`)}
${walkKeys(sizes, bound, "begin", `${sizes.block}u`)}
${each(
  sizes.own,
  (i) => `if (first + ${i}u < rows) {
  let scale${i} = select(0.0, 1.0 / sum${i}, sum${i} > 0.0);
  for (var c = 0u; c < width; c++) { ${bound.out}[row${i} * p.width + c] = ${plainZero(`acc${i}[c] * scale${i}`)}; }
  ${bound.logSumExp ? `${bound.logSumExp}[row${i}] = ${logSumExp(`top${i}`, `sum${i}`)};` : ""}
}`,
)}`;
}

/**
 * A row's keys split over `parts` threads, which join what they have in order: for one query and a long cache. Blocks are
 * counted from the first key that is seen, so only how many are seen decides a bit.
 */
function splitForward(sizes: AttentionSizes, bound: Bound): string {
  const { parts, block } = sizes;
  return /* wgsl */ `${ownQueries(sizes, bound)}
${state(0)}
var acc0: array<f32, ${sizes.slots}>;
${walkKeys(sizes, bound, `begin + part * ${block}u`, `${parts * block}u`)}
tops[lane] = top0;
sums[lane] = sum0;
workgroupBarrier();
let base = lane - part;
var best = ${LEAST};
for (var j = 0u; j < ${parts}u; j++) { best = max(best, tops[base + j]); }
var total = 0.0;
for (var j = 0u; j < ${parts}u; j++) { total += sums[base + j] * pow2(vec4<f32>(tops[base + j] - best)).x; }
let keep = pow2(vec4<f32>(top0 - best)).x;
let scale = select(0.0, 1.0 / total, total > 0.0);
for (var d = 0u; d < p.width; d += ${PIECE}u) {
  let length = min(${PIECE}u, p.width - d);
  for (var c = 0u; c < length; c++) { pieces[lane * ${PIECE}u + c] = acc0[d + c] * keep; }
  workgroupBarrier();
  for (var c = part; c < length; c += ${parts}u) {
    var x = 0.0;
    for (var j = 0u; j < ${parts}u; j++) { x += pieces[(base + j) * ${PIECE}u + c]; }
    if (inside) { ${bound.out}[row0 * p.width + d + c] = ${plainZero("x * scale")}; }
  }
  workgroupBarrier();
}
${bound.logSumExp ? `if (inside && part == 0u) { ${bound.logSumExp}[row0] = ${logSumExp("best", "total")}; }` : ""}`;
}

/**
 * The same bits of one thread, which takes the shares one after another. Its arrays may pass the 8 KiB that every adapter has for
 * a function's variables: a text for adapters that are known to take it.
 */
function sharesForward(sizes: AttentionSizes, bound: Bound): string {
  const { own, block, slots, shares } = sizes;
  return /* wgsl */ `${ownQueries(sizes, bound)}
${each(own, (i) => `var tops${i}: array<f32, ${shares}>;\nvar sums${i}: array<f32, ${shares}>;\nvar acc${i}: array<f32, ${shares * slots}>;`)}
for (var share = 0u; share < ${shares}u; share++) {
let at = share * ${slots}u;
${each(own, state)}
${walkKeys(sizes, bound, `begin + share * ${block}u`, `${shares * block}u`, "at + ")}
${each(own, (i) => `tops${i}[share] = top${i};\nsums${i}[share] = sum${i};`)}
}
${each(
  own,
  (i) => `if (first + ${i}u < rows) {
  var best = ${LEAST};
  for (var j = 0u; j < ${shares}u; j++) { best = max(best, tops${i}[j]); }
  var total = 0.0;
  for (var j = 0u; j < ${shares}u; j++) {
    tops${i}[j] = pow2(vec4<f32>(tops${i}[j] - best)).x;
    total += sums${i}[j] * tops${i}[j];
  }
  let scale = select(0.0, 1.0 / total, total > 0.0);
  for (var c = 0u; c < width; c++) {
    var x = 0.0;
    for (var j = 0u; j < ${shares}u; j++) { x += acc${i}[j * ${slots}u + c] * tops${i}[j]; }
    ${bound.out}[row${i} * p.width + c] = ${plainZero("x * scale")};
  }
  ${bound.logSumExp ? `${bound.logSumExp}[row${i}] = ${logSumExp("best", "total")};` : ""}
}`,
)}`;
}

/**
 * b0 q, b1 k, b2 v, b3 dOut, b4 logSumExp, b5 delta, b6 visible -> b7, which holds dQ, dK and dV: a row of heads each, at
 * `p.dq0`, `p.dq1` (and so on) along batch and time. Whole workgroups do the one or the other: tiles of queries before
 * `p.split`, tiles of keys from there on.
 */
export function attentionGradient(sizes: AttentionSizes, quad: QuadRead | null): string {
  const keys = { ...sizes, ...sizes.keys };
  return /* wgsl */ `if (unit < p.split) {
if (unit >= p.ownQueries) { return; }
${queryGradient(sizes, strided("b6", quad))}
} else {
${keyGradient(keys, quad)}
}`;
}

function queryGradient(sizes: AttentionSizes, bound: Operands): string {
  const { own, block } = sizes;
  const q = ownRows(sizes, "q", (i, c) => `b0[query${i} + ${c}]`);
  const g = ownRows(sizes, "g", (i, c) => `b3[row${i} * p.width + ${c}]`);
  return /* wgsl */ `${ownQueries(sizes, bound)}
${each(own, (i) => `let lse${i} = b4[row${i}] * ${LOG2_E};\nlet delta${i} = b5[row${i}];\nvar acc${i}: array<f32, ${sizes.slots}>;`)}
${q.keep}
${g.keep}
${turns("begin", "end", `${block}u`)}
for (var turn = 0u; turn < turns; turn++) {
let s = begin + turn * ${block}u;
${blockOfKeys(sizes, bound)}
${pairs(sizes, (i, m) => `var x${i}${m} = vec4<f32>(0.0);\nvar y${i}${m} = vec4<f32>(0.0);`)}
for (var c = 0u; c < width; c++) {
${loadMine("k", block, bound.quad, bound.key)}
${loadMine("v", block, bound.quad, bound.value)}
${q.load}
${g.load}
${pairs(
  sizes,
  (i, m) => `x${i}${m} += ${products(`q${i}`, four("k", m))};
y${i}${m} += ${products(`g${i}`, four("v", m))};`,
)}
}
${pairs(
  sizes,
  (i, m) =>
    `let w${i}${m} = select(vec4<f32>(0.0), exp2(x${i}${m} * p.scale - lse${i}) * (y${i}${m} - delta${i}), ${seen(i, m)});`,
)}
for (var c = 0u; c < width; c++) {
${loadMine("k", block, bound.quad, bound.key)}
${each(own, (i) => weighted(`acc${i}[c]`, `w${i}`, "k", sizes))}
}
}
${each(
  own,
  (i) => `if (first + ${i}u < rows) {
  let out${i} = b * p.dq0 + r${i} / p.groups * p.dq1 + (h * p.groups + r${i} % p.groups) * p.width;
  for (var c = 0u; c < width; c++) { b7[out${i} + c] = ${plainZero(`acc${i}[c] * p.unit`)}; }
}`,
)}`;
}

/**
 * Walks the queries from the first to the last that sees a key of this thread or of those beside it, so that lanes that run
 * together read the same rows: a block is the next rows (t, g) in order.
 */
function keyGradient(sizes: AttentionSizes, quad: QuadRead | null): string {
  const { own, block } = sizes;
  const quads = block / 4;
  /** What each row of a block has, by fours. */
  const gather = (name: string, type: "f32" | "u32", of: (j: number) => string): string =>
    `${(type === "f32" ? loadMine : load)(`${name}Of`, block, quad, of)}
${each(quads, (m) => `let ${name}${m} = vec4(${four(`${name}Of`, m).join(", ")});`)}`;
  const k = ownRows(sizes, "k", (i, c) => `b1[key${i} + ${c}]`);
  const v = ownRows(sizes, "v", (i, c) => `b2[value${i} + ${c}]`);
  return /* wgsl */ `
${placeOf(sizes, "unit - p.split", "p.keyTiles")}
${each(
  own,
  (i) => `let s${i} = min(first + ${i}u, p.keys - 1u);
let key${i} = p.kAt + b * p.k0 + s${i} * p.k1 + h * p.k2;
let value${i} = p.vAt + b * p.v0 + s${i} * p.v1 + h * p.v2;
var dk${i}: array<f32, ${sizes.slots}>;
var dv${i}: array<f32, ${sizes.slots}>;`,
)}
${k.keep}
${v.keep}
let span = ${own * LANES}u / p.side;
let base = first / span * span;
var begin = p.queries;
var end = 0u;
let queryCount = p.queries;
for (var i = 0u; i < queryCount; i++) {
  let low = b6[(b * p.queries + i) * 2u];
  let high = b6[(b * p.queries + i) * 2u + 1u];
  let sees = low < high && low < base + span && high > base;
  begin = select(begin, min(begin, i), sees);
  end = select(end, i + 1u, sees);
}
${unite(quad)}
let queries = p.qAt + b * p.q0 + h * p.q2;
var a = 0.0;
let rows = select(0u, (end - begin) * p.groups, end > begin);
let turns = (rows + ${block - 1}u) / ${block}u;
for (var turn = 0u; turn < turns; turn++) {
${each(
  addressed(block, quad),
  (j) => `let turn${j} = turn * ${block}u + ${nth(j, quad)};
let t${j} = begin + turn${j} / p.groups;
let among${j} = turn${j} % p.groups;
let at${j} = b * p.queries + min(t${j}, end - 1u);
let n${j} = (at${j} * p.heads + h) * p.groups + among${j};
let row${j} = n${j} * p.width;
let query${j} = queries + min(t${j}, end - 1u) * p.q1 + among${j} * p.q3;`,
)}
${
  quad
    ? `${load("tOf", block, quad, (j) => `t${j}`)}
${mine(block, quad, (j) => `tOf${j}`)}`
    : ""
}
${gather("from", "u32", (j) => `b6[at${j} * 2u]`)}
${gather("to", "u32", (j) => `select(b6[at${j} * 2u + 1u], 0u, t${j} >= end)`)}
${gather("lse", "f32", (j) => `b4[n${j}]`)}
${gather("delta", "f32", (j) => `b5[n${j}]`)}
${pairs(sizes, (i, m) => `var x${i}${m} = vec4<f32>(0.0);\nvar y${i}${m} = vec4<f32>(0.0);`)}
for (var c = 0u; c < width; c++) {
${loadMine("q", block, quad, (j) => `b0[query${j} + c]`)}
${loadMine("g", block, quad, (j) => `b3[row${j} + c]`)}
${k.load}
${v.load}
${pairs(
  sizes,
  (i, m) => `x${i}${m} += ${products(`k${i}`, four("q", m))};
y${i}${m} += ${products(`v${i}`, four("g", m))};`,
)}
}
${pairs(
  sizes,
  (i, m) => `let sees${i}${m} = (from${m} <= vec4<u32>(s${i})) & (to${m} > vec4<u32>(s${i}));
let w${i}${m} = select(vec4<f32>(0.0), exp2(x${i}${m} * p.scale - lse${m} * ${LOG2_E}), sees${i}${m});
let z${i}${m} = select(vec4<f32>(0.0), w${i}${m} * (y${i}${m} - delta${m}), sees${i}${m});`,
)}
for (var c = 0u; c < width; c++) {
${loadMine("q", block, quad, (j) => `b0[query${j} + c]`)}
${loadMine("g", block, quad, (j) => `b3[row${j} + c]`)}
${each(own, (i) => `${weighted(`dk${i}[c]`, `z${i}`, "q", sizes)}\n${weighted(`dv${i}[c]`, `w${i}`, "g", sizes)}`)}
}
}
${each(
  own,
  (i) => `if (first + ${i}u < p.keys) {
  let out${i} = b * p.dk0 + s${i} * p.dk1 + h * p.width;
  for (var c = 0u; c < width; c++) {
    b7[p.dkAt + out${i} + c] = ${plainZero(`dk${i}[c] * p.unit`)};
    b7[p.dvAt + out${i} + c] = ${plainZero(`dv${i}[c]`)};
  }
}`,
)}`;
}

/** What the four threads of a quad hand round (from T2 on), and the text that a device shows that it does so in. */

/** The value that the thread at `place` (0 to 3) of the quad has under `name`; every thread of the quad must ask. */
export type QuadRead = (name: string, place: number) => string;

/** Lines for 0 to n - 1. */
export function each(n: number, line: (i: number) => string): string {
  return Array.from({ length: n }, (_, i) => line(i)).join("\n");
}

/** Rows of a block whose addresses a thread has: of four, in a quad, its own one. */
export const addressed = (block: number, quad: QuadRead | null): number => (quad ? block / 4 : block);

/** The j-th of those; `place` is the thread's own in the quad. */
export const nth = (j: number, quad: QuadRead | null): string => (quad ? `${4 * j}u + place` : `${j}u`);

/** Loads what each row of a block has under `name`; `taken` is what a thread makes of it. */
export function load(
  name: string,
  block: number,
  quad: QuadRead | null,
  at: (j: number) => string,
  taken = (x: string, _j: number): string => x,
): string {
  if (!quad) return each(block, (j) => `let ${name}${j} = ${at(j)};`);
  return `${each(block / 4, (m) => `let ${name}Own${m} = ${at(m)};`)}
${each(block, (j) => `let ${name}${j} = ${taken(quad(`${name}Own${Math.floor(j / 4)}`, j % 4), j)};`)}`;
}

/** Numbers, but 0 for rows that are not the thread's (`mine<j>`): a quad's others may not bring it their NaN. */
export const loadMine = (
  name: string,
  block: number,
  quad: QuadRead | null,
  at: (j: number) => string,
): string => load(name, block, quad, at, (x, j) => `select(0.0, ${x}, mine${j})`);

/**
 * A quad walks what any of its threads sees, `begin` to `end`: what it hands round, all of it have to reach. The thread's own is
 * `mineFrom` to `mineTo` from here on.
 */
export function unite(quad: QuadRead | null): string {
  if (!quad) return "";
  const of = (name: string, pick: string): string =>
    `${name} = ${pick}(${pick}(${quad(name, 0)}, ${quad(name, 1)}), ${pick}(${quad(name, 2)}, ${quad(name, 3)}));`;
  return `let mineFrom = begin;\nlet mineTo = end;\n${of("begin", "min")}\n${of("end", "max")}`;
}

/** Which rows of a block are the thread's own, `at(j)` being their places. */
export function mine(block: number, quad: QuadRead | null, at: (j: number) => string): string {
  if (!quad) return "";
  return each(block, (j) => `let mine${j} = ${at(j)} >= mineFrom && ${at(j)} < mineTo;`);
}

/** Above the struct of parameters: loops over what data says are not uniform to a compiler; those of a quad are. */
const HEAD = "enable subgroups;\ndiagnostic(off, subgroup_uniformity);\n";
/** After the parameters of the entry point, and its first line. */
const PARAMETER = ", @builtin(subgroup_invocation_id) subgroupLane: u32";
const PLACE = "\n  let place = subgroupLane & 3u;";

/** What a text that hands round is written with; nothing where it does not. */
export const quadText = (quad: QuadRead | null): { head: string; parameter: string; place: string } =>
  quad ? { head: HEAD, parameter: PARAMETER, place: PLACE } : { head: "", parameter: "", place: "" };

const BLOCK = 8;

/**
 * b0 walked[2 N], b1 intervals[N, 2] -> b2 out[N]: what each thread of `p.count` (N) makes of the numbers in its interval, in order.
 * Quads of one subgroup walk other blocks, the last thread of each sees nothing, and whole quads have no thread at all: as attention
 * has it. So has it that a quad is four threads side by side: which numbers it walks depends on it.
 */
export function quadWalk(quad: QuadRead | null, threads: number): string {
  const { head, parameter, place } = quadText(quad);
  return /* wgsl */ `${head}struct Params {
  count: u32,
}
@group(0) @binding(0) var<storage, read> b0: array<f32>;
@group(0) @binding(1) var<storage, read> b1: array<u32>;
@group(0) @binding(2) var<storage, read_write> b2: array<f32>;
@group(0) @binding(3) var<uniform> p: Params;
@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) lane: u32${parameter}) {${place}
  let unit = wg.x * ${threads}u + lane;
  if (unit >= p.count) { return; }
  let from0 = b1[2u * unit] % p.count;
  let to0 = select(from0 + b1[2u * unit + 1u] % (p.count - from0), 0u, unit % 4u == 3u);
  var begin = from0;
  var end = to0;
  ${unite(quad)}
  var sum = 0.0;
  let turns = select(0u, (end - begin + ${BLOCK - 1}u) / ${BLOCK}u, end > begin);
  for (var turn = 0u; turn < turns; turn++) {
    let s = begin + turn * ${BLOCK}u;
    ${load("x", BLOCK, quad, (j) => `b0[unit / 4u + min(s + ${nth(j, quad)}, end - 1u)]`)}
    ${each(BLOCK, (j) => `sum = select(sum, sum * 0.5 + x${j}, s + ${j}u >= from0 && s + ${j}u < to0);`)}
  }
  b2[unit] = sum;
}
`;
}

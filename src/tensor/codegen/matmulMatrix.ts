/**
 * Matrix products by subgroup matrices (T4): the subgroups of a workgroup share a block of the result, of which each holds
 * several small matrices. For a few steps of k at a time all threads copy what the block needs of both operands to workgroup
 * memory, rounded to f16, with zeros beyond the edges; subgroups multiply matrices from there and add in f32. Results go
 * through workgroup memory, too: which lane holds which element is nobody's business. Operands and results are expressions, as
 * in matmul.ts.
 *
 * Every output is one sum over k, by matrices in order, whatever the block: so blocks have the same bits, and rows have the
 * same bits whatever stands beside them. They are not T0's: operands lose all but 11 bits, and are 0 below 3e-8 and infinite
 * from 65,520 on.
 */
import { type Affine, delinearize, linearize, opaque, plus, scale, variable } from "../affine.ts";
import type { Node } from "../ir.ts";
import type { KernelBuilder } from "./builder.ts";
import { type Emitter, LANE } from "./emit.ts";
import type { Body } from "./kernel.ts";
import type { Layout } from "./matmul.ts";
import { type MatmulProduct, type MatrixTiling, range } from "./matmulTiles.ts";

/** Vectors of four between the lines of a copy, so that columns of a matrix do not all lie in one bank. */
const PAD = 2;

/** A part of an operand in workgroup memory, by vectors of four. */
interface Copy {
  readonly name: string;
  /** Rows of a, or columns of b. */
  readonly places: number;
  readonly steps: number;
  /** A step's places lie side by side; else a place's steps do. */
  readonly along: boolean;
  /** Vectors from one line to the next. */
  readonly stride: number;
  /** Element type. */
  readonly type: "f16" | "f32";
}

/** Vector of a copy that begins at a place and a step, both multiples of four; numbers are parts of the text. */
function vectorAt({ along, stride }: Copy, place: string, step: string): string {
  const [line, inner] = along ? [step, place] : [place, step];
  return `(${line}) * ${stride}u + (${inner}) / 4u`;
}

/** What differs between the text with matrices and the one without. */
interface Core {
  readonly type: "f16" | "f32";
  readonly pad: number;
  /** Before the loop over k. */
  begin(): void;
  /** What a turn adds, from the copies. No numbered names: parameters are ordered by the names of what they multiply. */
  turn(left: Copy, right: Copy): void;
  end(): void;
  /** Makes part of the results readable (`part` names its number), and again writable. */
  show(part: string): void;
  hide(): void;
  /** Four results of the part: at a vector of the subgroup's strip, which is the thread's `turn`-th. */
  result(part: string, vector: string, turn: string): string;
}

/**
 * The body of a tiling; `plain` without matrices: sums of single numbers in f32, in the order of all other ways, from the same
 * bindings and parameters. That is what an adapter gets whose matrices fail their check.
 */
export function matrixBody(
  node: Node,
  product: MatmulProduct,
  layout: Layout,
  tiling: MatrixTiling,
  plain: boolean,
): Body {
  const [a, b] = node.inputs;
  const { batch, batches, m, n, k: length, transposeA: ta, transposeB: tb } = product;
  const { config, rows, columns, stepK, across: sideBySide, strip, threads } = tiling;
  const down = Math.ceil(m / rows);
  const across = Math.ceil(n / columns);
  const units = batches * down * across;
  const out = node.results[0];
  return {
    units,
    perGroup: 1,
    threads,
    emit(e, k, outputs) {
      if (!plain) {
        k.variants.add(`matrix/${tiling.name}/${layoutName(layout)}`);
        k.subgroupIds();
      }
      const [z, bm, bn] = delinearize(variable("unit", units), [batches, down, across]);
      const zn = variable(k.name("z", e.index(z)), batches);
      const mn = variable(k.name("m", e.index(bm)), down);
      const nn = variable(k.name("n", e.index(bn)), across);
      const lead = delinearize(zn, batch);
      const subgroup = k.name("sub", plain ? `lane / ${config.lanes}u` : "subgroupId");
      const own = k.name("own", plain ? `lane % ${config.lanes}u` : "subgroupLane");
      const row0 = k.name("row", `${subgroup} / ${sideBySide}u * ${tiling.ownRows}u`);
      const column0 = k.name("column", `${subgroup} % ${sideBySide}u * ${tiling.ownColumns}u`);
      const core = (plain ? plainCore : matrixCore)(k, tiling, { subgroup, own, row0, column0 });
      const left = copyOf(k, "sa", rows, stepK, layout.aByRows, core);
      const right = copyOf(k, "sb", columns, stepK, !layout.bByK, core);
      core.begin();
      k.section("loop");
      const turns = Math.ceil(length / stepK);
      const turn = k.fresh("k");
      k.loop(turn, "0u", k.namedField("turns", turns), () => {
        const from = scale(variable(turn, turns), stepK);
        k.section("a");
        fill(e, k, left, { threads, first: scale(mn, rows), size: m, from, length }, (row, step) =>
          e.value(a, [...lead, ...(ta ? [step, row] : [row, step])], 4),
        );
        k.section("b");
        fill(e, k, right, { threads, first: scale(nn, columns), size: n, from, length }, (column, step) =>
          e.value(b, [...lead, ...(tb ? [column, step] : [step, column])], 4),
        );
        k.line("workgroupBarrier();");
        core.turn(left, right);
        k.line("workgroupBarrier();");
      });
      k.section("results");
      core.end();
      const perLine = (config.n * strip) / 4;
      const strips = tiling.ownColumns / (config.n * strip);
      const part = k.fresh("part");
      k.block(`for (var ${part} = 0u; ${part} < ${(tiling.ownRows / config.m) * strips}u; ${part}++)`, () => {
        core.show(part);
        const t = k.fresh("t");
        k.block(`for (var ${t} = 0u; ${t} < ${tiling.perLane}u; ${t}++)`, () => {
          const at = k.name("at", `${t} * ${config.lanes}u + ${own}`);
          const row = k.name(
            "row",
            `${e.index(mn)} * ${rows}u + ${row0} + ${part} / ${strips}u * ${config.m}u + ${at} / ${perLine}u`,
          );
          const column = k.name(
            "column",
            `${e.index(nn)} * ${columns}u + ${column0} + (${part} % ${strips}u * ${perLine}u + ${at} % ${perLine}u) * 4u`,
          );
          const sum = k.name("sum", core.result(part, at, t));
          const width = k.namedField("columns", n);
          k.block(`if (${row} < ${k.namedField("rows", m)} && ${column} < ${width})`, () => {
            const inner = variable(row, m);
            if (n % 4 === 0) {
              const quad = k.name("column", `${column} / 4u`);
              finish(inner, plus(scale(variable(quad, n / 4), 4), LANE), 4, sum);
              return;
            }
            const l = k.fresh("l");
            k.block(`for (var ${l} = 0u; ${l} < min(4u, ${width} - ${column}); ${l}++)`, () => {
              const one = k.name("column", `${column} + ${l}`);
              finish(inner, variable(one, n), 1, k.name("sum", `${sum}[${l}]`));
            });
          });
        });
        core.hide();
      });

      function finish(row: Affine, at: Affine, by: 1 | 4, sum: string): void {
        const position = linearize([zn, row, at], [batches, m, n]);
        e.know(out, delinearize(position, out.shape), by, sum);
        e.store(outputs, (v) => delinearize(position, v.shape), by);
      }
    },
  };
}

/** How the copies of the operands lie, each n or t: a check is of one text's matrices. */
export function layoutName({ aByRows, bByK }: Layout): string {
  return `${aByRows ? "t" : "n"}${bByK ? "t" : "n"}`;
}

function copyOf(
  k: KernelBuilder,
  prefix: string,
  places: number,
  steps: number,
  along: boolean,
  { type, pad }: Core,
): Copy {
  const name = k.fresh(prefix);
  const stride = (along ? places : steps) / 4 + pad;
  k.declare(`var<workgroup> ${name}: array<vec4<${type}>, ${stride * (along ? steps : places)}>;`);
  return { name, places, steps, along, stride, type };
}

interface Reach {
  threads: number;
  /** Where the block begins among the operand's rows or columns, of which there are `size`. */
  first: Affine;
  size: number;
  /** Where the turn begins along k. */
  from: Affine;
  length: number;
}

/** The threads copy a part together; what lies beyond the operand is 0. */
function fill(
  e: Emitter,
  k: KernelBuilder,
  copy: Copy,
  { threads, first, size, from, length }: Reach,
  load: (place: Affine, step: Affine) => string,
): void {
  const { name, places, steps, along, stride, type } = copy;
  const inner = (along ? places : steps) / 4;
  const vectors = (places * steps) / 4;
  const turn = k.fresh("turn");
  k.block(`for (var ${turn} = 0u; ${turn} < ${Math.ceil(vectors / threads)}u; ${turn}++)`, () => {
    const at = k.name("at", `${turn} * ${threads}u + lane`);
    if (vectors % threads === 0) copyOne(at);
    else k.block(`if (${at} < ${vectors}u)`, () => copyOne(at));
  });

  function copyOne(at: string): void {
    const low = opaque([k.name("low", `${at} % ${inner}u`)], inner);
    const high = opaque([k.name("high", `${at} / ${inner}u`)], vectors / inner);
    const four = plus(scale(low, 4), LANE);
    const conditions: string[][] = [];
    const within = (index: Affine, extent: number, divides: boolean): Affine => {
      if (divides) return index;
      const window = e.window(index, 0, extent);
      conditions.push(window.inside);
      return window.index;
    };
    const place = within(plus(first, along ? four : high), size, size % places === 0);
    const step = within(plus(from, along ? high : four), length, length % steps === 0);
    const x = load(place, step);
    const to = `${name}[${e.index(high)} * ${stride}u + ${e.index(low)}]`;
    k.line(`${to} = vec4<${type}>(${kept(conditions, x)});`);
  }
}

/** A vector where all conditions hold, each of one name or of one a lane; else 0. */
function kept(conditions: readonly string[][], x: string): string {
  if (conditions.length === 0) return x;
  const of = (l: number): string => conditions.map((c) => c[c.length === 1 ? 0 : l]).join(" && ");
  const perLane = conditions.some((c) => c.length > 1);
  const all = perLane ? `vec4<bool>(${range(4).map(of).join(", ")})` : of(0);
  return `select(vec4<f32>(0.0), ${x}, ${all})`;
}

/** Names of a thread's place: its subgroup, its lane there, and where the subgroup's share of the block begins. */
interface Place {
  subgroup: string;
  own: string;
  row0: string;
  column0: string;
}

function matrixCore(k: KernelBuilder, tiling: MatrixTiling, { subgroup, row0, column0 }: Place): Core {
  const { m, n, k: depth } = tiling.config;
  const down = range(tiling.ownRows / m);
  const across = range(tiling.ownColumns / n);
  const { strip, stepK } = tiling;
  k.enable("f16");
  k.enable("chromium_experimental_subgroup_matrix");
  // Types give columns before rows.
  const left = `subgroup_matrix_left<f16, ${depth}, ${m}>`;
  const right = `subgroup_matrix_right<f16, ${n}, ${depth}>`;
  const result = `subgroup_matrix_result<f32, ${n}, ${m}>`;
  const vectors = (m * n * strip) / 4;
  const slab = `${subgroup} * ${vectors}u`;
  k.declare(`var<workgroup> results: array<vec4<f32>, ${vectors * tiling.subgroups}>;`);
  const load = (type: string, { name, stride }: Copy, byColumns: boolean, at: string): string =>
    `subgroupMatrixLoad<${type}, ${byColumns ? "col_major" : "row_major"}>(&${name}, ${at}, ${stride}u)`;
  return {
    type: "f16",
    pad: PAD,
    begin() {
      for (const i of down) for (const j of across) k.line(`var acc_${i}_${j} = ${result}();`);
    },
    turn(a, b) {
      const from = `step * ${depth}u`;
      k.block(`for (var step = 0u; step < ${stepK / depth}u; step++)`, () => {
        for (const j of across) {
          const at = vectorAt(b, `${column0} + ${j * n}u`, from);
          k.line(`let right_${j} = ${load(right, b, !b.along, at)};`);
        }
        for (const i of down) {
          const at = vectorAt(a, `${row0} + ${i * m}u`, from);
          k.line(`let left_${i} = ${load(left, a, a.along, at)};`);
          for (const j of across) {
            k.line(`acc_${i}_${j} = subgroupMatrixMultiplyAccumulate(left_${i}, right_${j}, acc_${i}_${j});`);
          }
        }
      });
    },
    end() {},
    show(part) {
      const parts = down.flatMap((i) => range(across.length / strip).map((s) => [i, s * strip]));
      k.block(`switch ${part}`, () => {
        parts.forEach(([i, first], p) => {
          // WGSL wants a default: the last of them.
          k.block(p === parts.length - 1 ? "default:" : `case ${p}u:`, () => {
            for (const j of range(strip)) {
              const at = `${slab} + ${(j * n) / 4}u`;
              k.line(
                `subgroupMatrixStore<row_major>(&results, ${at}, acc_${i}_${first + j}, ${(n * strip) / 4}u);`,
              );
            }
          });
        });
      });
      k.line("workgroupBarrier();");
    },
    hide() {
      k.line("workgroupBarrier();");
    },
    result: (_, vector) => `results[${slab} + ${vector}]`,
  };
}

/** The same sums one by one: each thread has the results that it will store, which lie in `parts` strips of the subgroup. */
function plainCore(k: KernelBuilder, tiling: MatrixTiling, { own, row0, column0 }: Place): Core {
  const { m, n, lanes } = tiling.config;
  const { strip, stepK, perLane } = tiling;
  const perLine = (n * strip) / 4;
  const strips = tiling.ownColumns / (n * strip);
  const parts = (tiling.ownRows / m) * strips;
  const mine = range(parts).flatMap((part) => range(perLane).map((t) => ({ part, t })));
  const name = ({ part, t }: { part: number; t: number }): string => `acc_${part}_${t}`;
  return {
    type: "f32",
    pad: 0,
    begin() {
      for (const r of mine) k.line(`var ${name(r)} = vec4<f32>(0.0);`);
    },
    turn(a, b) {
      k.block(`for (var step = 0u; step < ${stepK}u; step++)`, () => {
        const one = (copy: Copy, place: string): string => {
          const at = vectorAt(copy, place, "step");
          return `${copy.name}[${at}][${copy.along ? `(${place}) % 4u` : "step % 4u"}]`;
        };
        for (const r of mine) {
          const at = `(${r.t * lanes}u + ${own})`;
          const row = `${row0} + ${Math.floor(r.part / strips) * m}u + ${at} / ${perLine}u`;
          const column = `${column0} + (${(r.part % strips) * perLine}u + ${at} % ${perLine}u) * 4u`;
          const columns = b.along
            ? `${b.name}[${vectorAt(b, column, "step")}]`
            : `vec4<f32>(${range(4)
                .map((l) => one(b, `${column} + ${l}u`))
                .join(", ")})`;
          k.line(`${name(r)} = fma(vec4<f32>(${one(a, row)}), ${columns}, ${name(r)});`);
        }
      });
    },
    end() {
      k.line(`var all = array<vec4<f32>, ${mine.length}>(${mine.map(name).join(", ")});`);
    },
    show() {},
    hide() {},
    result: (part, _, turn) => `all[${part} * ${perLane}u + ${turn}]`,
  };
}

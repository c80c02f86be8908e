/**
 * Turns values of the graph into WGSL expressions at a given index: loads what is stored, computes what is not,
 * and follows movement by rewriting the index. At width 4 the index holds the variable `lane` (0..3), and an
 * expression is a vector; whatever does not depend on the lane is computed once and spread.
 */
import {
  type Affine,
  constantIndex,
  delinearize,
  dependsOn,
  exactQuotient,
  linearize,
  opaque,
  plus,
  scale,
  substitute,
  variable,
} from "../affine.ts";
import type { DType } from "../dtype.ts";
import { ShaderError } from "../errors.ts";
import { flags } from "../flags.ts";
import type { Node, Value } from "../ir.ts";
import type { MapContext } from "../opdef.ts";
import { opByName } from "../ops/table.ts";
import type { KernelBuilder } from "./builder.ts";
import { packHalf, unpackHalf } from "./half.ts";

export type Width = 1 | 4;

/** The variable of the four lanes. */
export const LANE: Affine = variable("lane", 4);

/** Coefficient of the lane where the rest is free of it and a multiple of 4; otherwise null. */
export function quadOf(e: Affine): Affine | null {
  let rest = e;
  const lane = e.terms.find((t) => t.atom.kind === "var" && t.atom.key === "lane");
  if (lane?.coef !== 1) return null;
  rest = substitute(e, "lane", constantIndex(0));
  if (dependsOn(rest, "lane") || rest.constant % 4 !== 0 || rest.terms.some((t) => t.coef % 4 !== 0))
    return null;
  return rest;
}

export class Emitter {
  readonly k: KernelBuilder;
  private readonly stored: (v: Value) => boolean;

  /** `stored` tells which values are read from memory rather than computed here. */
  constructor(k: KernelBuilder, stored: (v: Value) => boolean) {
    this.k = k;
    this.stored = stored;
  }

  // ------------------------------------------------------------ indices

  /** A u32 expression for an index, with the lane fixed. */
  index(e: Affine, lane = 0): string {
    const fixed = dependsOn(e, "lane") ? substitute(e, "lane", constantIndex(lane)) : e;
    const parts: string[] = [];
    for (const t of fixed.terms) {
      const atom = this.atom(t.atom, lane);
      parts.push(t.coef === 1 ? atom : `${atom} * ${this.k.size(t.coef)}`);
    }
    if (fixed.constant !== 0 || parts.length === 0) parts.push(this.k.size(fixed.constant));
    return parts.length === 1 ? parts[0] : `(${parts.join(" + ")})`;
  }

  private atom(atom: Affine["terms"][number]["atom"], lane: number): string {
    if (atom.kind === "var") return atom.key;
    if (atom.kind === "opaque") return atom.names.length === 1 ? atom.names[0] : atom.names[lane];
    const perLane = dependsOn(atom.of, "lane");
    return this.k.memo(`idx:${atom.key}:${perLane ? lane : ""}`, () =>
      this.k.name(
        "q",
        `${this.index(atom.of, lane)} ${atom.kind === "div" ? "/" : "%"} ${this.k.size(atom.by)}`,
      ),
    );
  }

  /** Numbers read at run time as one name, or one for each lane. */
  private lanes(expression: (lane: number) => string, perLane: boolean): string[] {
    if (!perLane) return [this.k.name("x", expression(0))];
    return [0, 1, 2, 3].map((l) => this.k.name("x", expression(l)));
  }

  /**
   * Where `e` falls in the window of `size` elements that starts at `start`: the index within (kept in range) and
   * whether it is inside.
   */
  window(e: Affine, start: number | string, size: number): { index: Affine; inside: string[] } {
    const perLane = dependsOn(e, "lane");
    const from = typeof start === "string" ? start : this.k.size(start);
    const shift = start === 0 ? "" : ` - ${from}`;
    const quad = perLane && typeof start === "number" && start % 4 === 0 && size % 4 === 0 ? quadOf(e) : null;
    if (quad) {
      const d = this.k.name("w", `${this.index(quad)}${shift}`);
      const inside = this.k.name("in", `${d} < ${this.k.size(size)}`);
      const q = this.k.name("w", `min(${d} / 4u, ${this.k.size(size / 4)} - 1u)`);
      return { index: plus(scale(opaque([q], size / 4), 4), LANE), inside: [inside] };
    }
    const d = this.lanes((l) => `${this.index(e, l)}${shift}`, perLane);
    const inside = d.map((x) => this.k.name("in", `${x} < ${this.k.size(size)}`));
    const names = d.map((x) => this.k.name("w", `min(${x}, ${this.k.size(size)} - 1u)`));
    return { index: opaque(names, size), inside };
  }

  private conditions(lists: readonly string[][], width: Width): string {
    const perLane = lists.some((l) => l.length > 1);
    const at = (l: number): string => lists.map((list) => list[list.length === 1 ? 0 : l]).join(" && ");
    if (width === 1) return `(${at(0)})`;
    return perLane ? `vec4<bool>(${[0, 1, 2, 3].map((l) => at(l)).join(", ")})` : `vec4<bool>(${at(0)})`;
  }

  // ------------------------------------------------------------ values

  type(dtype: DType, width: Width): string {
    return width === 1 ? dtype : `vec4<${dtype}>`;
  }

  /** Key under which a value at an index is remembered. */
  static key(v: Value, index: readonly Affine[], width: Width): string {
    return `${v.node.id}.${v.index}@${linearize(index, v.shape).key}/${width}`;
  }

  /** Name of the value at the index; `width` 4 gives a vector over the lane. */
  value(v: Value, index: readonly Affine[], width: Width): string {
    const perLane = width === 4 && index.some((e) => dependsOn(e, "lane"));
    const own: Width = perLane ? 4 : 1;
    const name = this.k.memo(Emitter.key(v, index, own), () => this.compute(v, index, own));
    if (own === width) return name;
    return this.k.memo(`${Emitter.key(v, index, 1)}~4`, () =>
      this.k.name("v", `${this.type(v.dtype, 4)}(${name})`),
    );
  }

  /** Says that a value at an index is held in a variable of the kernel. */
  know(v: Value, index: readonly Affine[], width: Width, name: string): void {
    this.k.know(Emitter.key(v, index, width), name);
  }

  private compute(v: Value, given: readonly Affine[], width: Width): string {
    const { node } = v;
    if (node.op === "input" && node.attrs.scalar) return this.k.hostScalar(v);
    if (this.stored(v)) return this.load(v, given, width);
    // Reshapes may leave quotients and remainders that add up to a plain position: taken apart anew, so that what is read
    // from here is found at the index at which fusion found it.
    const position = linearize(given, v.shape);
    const plain = position.terms.every((t) => t.atom.kind === "var");
    const index = plain ? delinearize(position, v.shape) : given;
    const op = opByName(node.op);
    const { lowering } = op;
    if (lowering.kind === "map") {
      const args = node.inputs.map((x) => this.value(x, index, width));
      if (lowering.scalarOnly && width === 4)
        throw new ShaderError(`${op.name}: emitted four wide, but has one lane only.`);
      for (const h of lowering.helpers ?? []) this.k.helper(h === "philox" ? h : `${h}/${width}`);
      const ctx: MapContext = {
        type: (d) => this.type(d, width),
        literal: (x, d) => {
          const c = this.k.constant(x, d);
          return width === 1 ? c : `${this.type(d, 4)}(${c})`;
        },
        inputTypes: node.inputs,
        outputType: v,
        attrs: node.attrs,
      };
      const write = (flags().nan && lowering.watched) || lowering.wgsl;
      return this.k.name("v", write(args, ctx));
    }
    if (lowering.kind === "view") {
      return this.value(node.inputs[0], lowering.source(index, node.inputs[0], node.attrs), width);
    }
    if (node.op === "barrier" || node.op === "alias") return this.value(node.inputs[0], index, width);
    // Named, so that no expression is constant in WGSL's sense: x % 0u and 1.0 / 0.0 would not compile.
    if (node.op === "const") return this.k.name("c", this.k.constant(Number(node.attrs.value), v.dtype));
    if (node.op === "iota") {
      const e = index[node.attrs.axis as number];
      if (width === 1) return this.k.name("v", this.index(e));
      return this.k.name("v", `vec4<u32>(${[0, 1, 2, 3].map((l) => this.index(e, l)).join(", ")})`);
    }
    return this.indexed(node, v, index, width);
  }

  /** Ops whose index is chosen or read at run time. */
  private indexed(node: Node, v: Value, index: readonly Affine[], width: Width): string {
    const zero = (): string => {
      const c = this.k.constant(0, v.dtype);
      return width === 1 ? c : `${this.type(v.dtype, 4)}(${c})`;
    };
    const [x, y] = node.inputs;
    switch (node.op) {
      case "pad": {
        if (x.shape.includes(0)) return this.k.name("v", zero());
        const before = node.attrs.before as number[];
        const tests: string[][] = [];
        const at = index.map((e, d) => {
          if (x.shape[d] === v.shape[d]) return e;
          const w = this.window(e, before[d], x.shape[d]);
          tests.push(w.inside);
          return w.index;
        });
        const inner = this.value(x, at, width);
        return tests.length === 0
          ? inner
          : this.k.name("v", `select(${zero()}, ${inner}, ${this.conditions(tests, width)})`);
      }
      case "concat": {
        const axis = node.attrs.axis as number;
        const cut = x.shape[axis];
        if (cut === 0) return this.value(y, index, width);
        if (y.shape[axis] === 0) return this.value(x, index, width);
        const a = this.window(index[axis], 0, cut);
        const b = this.window(index[axis], cut, y.shape[axis]);
        const put = (e: Affine): Affine[] => index.map((o, d) => (d === axis ? e : o));
        const left = this.value(x, put(a.index), width);
        const right = this.value(y, put(b.index), width);
        return this.k.name("v", `select(${right}, ${left}, ${this.conditions([a.inside], width)})`);
      }
      case "take": {
        const lead = y.shape.length;
        return this.value(
          x,
          [this.gathered(y, index.slice(0, lead), x.shape[0], width), ...index.slice(lead)],
          width,
        );
      }
      case "takeAlong":
        return this.value(x, [...index, this.gathered(y, index, x.shape.at(-1) as number, width)], width);
      case "sliceAt": {
        const axis = node.attrs.axis as number;
        const start = this.start(y, x.shape[axis] - v.shape[axis] + 1);
        return this.value(
          x,
          index.map((e, d) => (d === axis ? plus(e, start) : e)),
          width,
        );
      }
      case "updateAt": {
        const axis = node.attrs.axis as number;
        const start = this.start(node.inputs[2], x.shape[axis] - y.shape[axis] + 1);
        if (y.shape.includes(0))
          return node.attrs.zero ? this.k.name("v", zero()) : this.value(x, index, width);
        const w = this.window(index[axis], this.index(start), y.shape[axis]);
        const patch = this.value(
          y,
          index.map((e, d) => (d === axis ? w.index : e)),
          width,
        );
        const outside = node.attrs.zero ? zero() : this.value(x, index, width);
        return this.k.name("v", `select(${outside}, ${patch}, ${this.conditions([w.inside], width)})`);
      }
      case "packHalf":
        return packHalf(this, node, index, width);
      case "unpackHalf":
        return unpackHalf(this, node, index, width);
      default:
        throw new ShaderError(`${node.op}: no way to emit it inline. Give its op object a lowering.`);
    }
  }

  /** A start read from a scalar tensor, kept in [0, extent). */
  start(v: Value, extent: number): Affine {
    const name = this.k.memo(`start:${v.node.id}.${v.index}:${extent}`, () =>
      this.k.name("t", `min(${this.value(v, [], 1)}, ${this.k.size(extent)} - 1u)`),
    );
    return extent === 1 ? constantIndex(0) : opaque([name], extent);
  }

  private gathered(indices: Value, at: readonly Affine[], extent: number, width: Width): Affine {
    const perLane = width === 4 && at.some((e) => dependsOn(e, "lane"));
    const name = this.value(indices, at, perLane ? 4 : 1);
    const limit = this.k.size(extent);
    if (!perLane)
      return opaque(
        [this.k.memo(`row:${name}:${extent}`, () => this.k.name("r", `min(${name}, ${limit} - 1u)`))],
        extent,
      );
    const r = this.k.memo(`row:${name}:${extent}`, () =>
      this.k.name("r", `min(${name}, vec4<u32>(${limit} - 1u))`),
    );
    return opaque(
      [0, 1, 2, 3].map((l) => `${r}[${l}]`),
      extent,
    );
  }

  // ------------------------------------------------------------ memory

  private load(v: Value, index: readonly Affine[], width: Width): string {
    const address = linearize(index, v.shape);
    if (width === 1) return this.k.name("v", this.k.loadOne(v, this.index(address)));
    const quad = quadOf(address);
    if (quad) return this.k.name("v", this.k.loadFour(v, this.index(exactQuotient(quad, 4))));
    this.k.gathers++;
    const type = `vec4<${v.dtype}>`;
    return this.k.name(
      "v",
      `${type}(${[0, 1, 2, 3].map((l) => this.k.loadOne(v, this.index(address, l))).join(", ")})`,
    );
  }

  /**
   * Stores values at their own index. All are computed before the first is stored: one of them may take over the
   * memory that another still reads.
   */
  store(values: readonly Value[], indexOf: (v: Value) => readonly Affine[], width: Width): void {
    const names = values.map((v) => this.value(v, indexOf(v), width));
    values.forEach((v, i) => {
      this.storeName(v, names[i], linearize(indexOf(v), v.shape), width);
    });
  }

  storeName(v: Value, x: string, at: Affine, width: Width): void {
    if (width === 1) {
      this.k.storeOne(v, this.index(at), x);
      return;
    }
    const quad = quadOf(at);
    if (quad) this.k.storeFour(v, this.index(exactQuotient(quad, 4)), x);
    else for (let l = 0; l < 4; l++) this.k.storeOne(v, this.index(at, l), `${x}[${l}]`);
  }
}

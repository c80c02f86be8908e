/**
 * Builds the text of one kernel: parameters (sizes and constants are data), bindings, helper functions, and lines
 * in nested blocks with their memo of what is already computed there.
 */
import { HALF_HELPERS } from "../../shaders/half.ts";
import { MATH_HELPERS, resolveHelper } from "../../shaders/math.ts";
import { philoxWgsl } from "../../shaders/philox.ts";
import type { DType } from "../dtype.ts";
import type { Value } from "../ir.ts";

export type FieldType = "u32" | "f32" | "i32";

const bits = new DataView(new ArrayBuffer(4));

/** The word of a parameter block that holds a number. */
export function wordOf(value: number, type: FieldType): number {
  if (type === "f32") bits.setFloat32(0, value, true);
  else if (type === "u32") bits.setUint32(0, value, true);
  else bits.setInt32(0, value, true);
  return bits.getUint32(0, true);
}

/** One 4-byte member of the kernel's parameter block: a number, or a host scalar of the program. */
export interface Field {
  readonly name: string;
  readonly type: FieldType;
  readonly value: number | { readonly scalar: Value };
}

export interface Binding {
  readonly name: string;
  /** The value whose memory is bound. */
  readonly value: Value;
  read: boolean;
  write: boolean;
  /** Accesses by four aligned elements, and by one. */
  vector: number;
  single: number;
}

export interface KernelText {
  readonly wgsl: string;
  /** Storage bindings in order: those only read, then those written; the parameter block follows. */
  readonly bindings: readonly Binding[];
  readonly fields: readonly Field[];
}

interface Block {
  lines: string[];
  memo: Map<string, string>;
}

const WORD: Record<DType, FieldType> = { f32: "f32", i32: "i32", u32: "u32", bool: "u32" };

export class KernelBuilder {
  readonly fields: Field[] = [];
  private readonly fieldNames = new Map<string, string>();
  private part = "";
  readonly bindings = new Map<Value, Binding>();
  private readonly helpers = new Set<string>();
  private readonly declarations: string[] = [];
  private blocks: Block[] = [{ lines: [], memo: new Map() }];
  private counter = 0;
  /** Memory that is also read or written by single elements: then it is not an array of vectors. */
  private readonly singly: ReadonlySet<Value>;
  /** Memory that a stored value takes over (a state updated in place). */
  private readonly inPlace: ReadonlyMap<Value, Value>;
  /** Loads that had to pick four elements one by one: what a layout choice tries to avoid. */
  gathers = 0;
  /** Parts of the text above T0. */
  readonly variants = new Set<string>();
  private usesSubgroups = false;
  private usesSubgroupIds = false;
  private readonly extensions = new Set<string>();
  /** Workgroup arrays by what was asked for. */
  private readonly shared = new Map<string, string>();
  private turns = 0;

  constructor(singly: ReadonlySet<Value>, inPlace: ReadonlyMap<Value, Value>) {
    this.singly = singly;
    this.inPlace = inPlace;
  }

  // ------------------------------------------------------------ parameters

  /**
   * From here on equal numbers share no member with those before: two shapes whose sizes are equal by chance, one here and
   * one there, then have one text all the same. Returns the section that ends.
   */
  section(name: string): string {
    const before = this.part;
    this.part = name;
    return before;
  }

  /** A size or stride, read from the parameter block; equal numbers of a section share a member. */
  size(n: number): string {
    if (n === 0 || n === 1) return `${n}u`;
    return this.field("u32", n);
  }

  field(type: FieldType, value: number): string {
    const key = `${this.part}:${type}:${Object.is(value, -0) ? "-0" : value}`;
    let name = this.fieldNames.get(key);
    if (!name) {
      name = `${type === "u32" ? "n" : type === "f32" ? "c" : "j"}${this.fields.length}`;
      this.fields.push({ name, type, value });
      this.fieldNames.set(key, name);
    }
    return `p.${name}`;
  }

  /** A field of its own even where another has the same value: grid sizes, which tests may change. */
  namedField(name: string, value: number): string {
    if (!this.fields.some((f) => f.name === name)) this.fields.push({ name, type: "u32", value });
    return `p.${name}`;
  }

  hostScalar(v: Value): string {
    const key = `scalar:${v.node.id}`;
    let name = this.fieldNames.get(key);
    if (!name) {
      name = `s${this.fields.length}`;
      this.fields.push({ name, type: WORD[v.dtype], value: { scalar: v } });
      this.fieldNames.set(key, name);
    }
    return v.dtype === "bool" ? `(p.${name} != 0u)` : `p.${name}`;
  }

  constant(value: number, dtype: DType): string {
    if (dtype === "bool") return value ? "true" : "false";
    if (dtype === "f32") {
      if (value === 0 && !Object.is(value, -0)) return "0.0";
      if (value === 1) return "1.0";
      return this.field("f32", value);
    }
    return dtype === "u32" ? this.size(value) : this.field("i32", value);
  }

  // ------------------------------------------------------------ memory

  binding(value: Value): Binding {
    const home = this.inPlace.get(value) ?? value;
    let b = this.bindings.get(home);
    if (!b) {
      b = { name: `b${this.bindings.size}`, value: home, read: false, write: false, vector: 0, single: 0 };
      this.bindings.set(home, b);
    }
    return b;
  }

  private isVector(b: Binding): boolean {
    return b.vector > 0 && !this.singly.has(b.value);
  }

  /** One element at a scalar address. */
  loadOne(value: Value, address: string): string {
    const b = this.binding(value);
    b.read = true;
    b.single++;
    const raw = `${b.name}[${address}]`;
    return value.dtype === "bool" ? `(${raw} != 0u)` : raw;
  }

  /** Four elements from `quad * 4` on. */
  loadFour(value: Value, quad: string): string {
    const b = this.binding(value);
    b.read = true;
    b.vector++;
    if (this.isVector(b)) {
      const raw = `${b.name}[${quad}]`;
      return value.dtype === "bool" ? `(${raw} != vec4<u32>(0u))` : raw;
    }
    const at = this.name("a", `(${quad}) * 4u`);
    const parts = [0, 1, 2, 3].map((l) => (l === 0 ? `${b.name}[${at}]` : `${b.name}[${at} + ${l}u]`));
    const type = value.dtype === "bool" ? "u32" : value.dtype;
    const raw = `vec4<${type}>(${parts.join(", ")})`;
    return value.dtype === "bool" ? `(${raw} != vec4<u32>(0u))` : raw;
  }

  storeOne(value: Value, address: string, x: string): void {
    const b = this.binding(value);
    b.write = true;
    b.single++;
    this.line(`${b.name}[${address}] = ${value.dtype === "bool" ? `select(0u, 1u, ${x})` : x};`);
  }

  storeFour(value: Value, quad: string, x: string): void {
    const b = this.binding(value);
    b.write = true;
    b.vector++;
    const raw = value.dtype === "bool" ? `select(vec4<u32>(0u), vec4<u32>(1u), ${x})` : x;
    if (this.isVector(b)) {
      this.line(`${b.name}[${quad}] = ${raw};`);
      return;
    }
    const at = this.name("a", `(${quad}) * 4u`);
    const q = this.name("v", raw);
    for (let l = 0; l < 4; l++) this.line(`${b.name}[${at} + ${l}u] = ${q}[${l}];`);
  }

  // ------------------------------------------------------------ lines

  helper(name: string): void {
    this.helpers.add(name);
  }

  /**
   * Name of a place in a quad, 0 to 3: the thread's own (the last of `places` where it lies beyond), which makes the functions
   * of quads known, or a given one.
   */
  quadPlace(given?: number, places = 4): string {
    if (given === undefined) this.subgroups();
    const own = places === 4 ? "subgroupLane & 3u" : `min(subgroupLane & 3u, ${places - 1}u)`;
    return this.memo(`quadPlace:${given}:${given === undefined ? places : ""}`, () =>
      // One prefix for all: index arithmetic orders its terms by name, and parameters are numbered in that order.
      this.name("ql", given === undefined ? own : `${given}u`),
    );
  }

  /** Makes `subgroupSize` and `subgroupLane` known, and the functions of subgroups. */
  subgroups(): void {
    this.usesSubgroups = true;
    this.enable("subgroups");
  }

  /** Makes `subgroupId` known as well: which of the workgroup's subgroups it is, the same for all its lanes. */
  subgroupIds(): void {
    this.subgroups();
    this.usesSubgroupIds = true;
  }

  /** Enables an extension of WGSL. */
  enable(extension: string): void {
    this.extensions.add(extension);
  }

  /** An array in workgroup memory, the same for all who ask for the same `slot`. */
  sharedArray(type: string, length: number, slot: number | string = 0): string {
    const key = `${type}/${length}/${slot}`;
    let name = this.shared.get(key);
    if (!name) {
      name = this.fresh("sh");
      this.shared.set(key, name);
      this.declare(`var<workgroup> ${name}: array<${type}, ${length}>;`);
    }
    return name;
  }

  /** 0 and 1 in turns. */
  turn(): number {
    return this.turns++ % 2;
  }

  declare(line: string): void {
    if (!this.declarations.includes(line)) this.declarations.push(line);
  }

  line(text: string): void {
    this.blocks[this.blocks.length - 1].lines.push(text);
  }

  /** Names an expression with a `let`. */
  name(prefix: string, expression: string): string {
    const name = `${prefix}${this.counter++}`;
    this.line(`let ${name} = ${expression};`);
    return name;
  }

  fresh(prefix: string): string {
    return `${prefix}${this.counter++}`;
  }

  /** Computes once per block (and the blocks around it). */
  memo(key: string, make: () => string): string {
    for (let i = this.blocks.length - 1; i >= 0; i--) {
      const hit = this.blocks[i].memo.get(key);
      if (hit !== undefined) return hit;
    }
    const made = make();
    this.blocks[this.blocks.length - 1].memo.set(key, made);
    return made;
  }

  /** Records that `key` is already known as `name` in the current block. */
  know(key: string, name: string): void {
    this.blocks[this.blocks.length - 1].memo.set(key, name);
  }

  block(header: string, body: () => void): void {
    this.blocks.push({ lines: [], memo: new Map() });
    body();
    const inner = this.blocks.pop() as Block;
    this.line(`${header} {`);
    for (const l of inner.lines) this.line(`  ${l}`);
    this.line("}");
  }

  /**
   * A loop that counts by one from `from` up to, not including, `end`, which is named before it: where a compiler sees so
   * that it ends, it adds no counter of its own to each turn (Tint does to all other loops).
   */
  loop(counter: string, from: string, end: string, body: () => void): void {
    const last = this.name("end", end);
    this.block(`for (var ${counter} = ${from}; ${counter} < ${last}; ${counter}++)`, body);
  }

  // ------------------------------------------------------------ the whole text

  finish(workgroupSize: number): KernelText {
    const all = [...this.bindings.values()];
    const ordered = [...all.filter((b) => !b.write), ...all.filter((b) => b.write)];
    const head: string[] = [];
    if (this.fields.length > 0) {
      head.push("struct Params {", ...this.fields.map((f) => `  ${f.name}: ${f.type},`), "}");
    }
    ordered.forEach((b, i) => {
      const one = b.value.dtype === "bool" ? "u32" : b.value.dtype;
      const element = this.isVector(b) ? `vec4<${one}>` : one;
      head.push(
        `@group(0) @binding(${i}) var<storage, ${b.write ? "read_write" : "read"}> ${b.name}: array<${element}>;`,
      );
    });
    if (this.fields.length > 0) head.push(`@group(0) @binding(${ordered.length}) var<uniform> p: Params;`);
    head.push(...this.declarations);
    const helpers: string[] = [];
    for (const name of [...this.helpers].sort()) {
      if (name === "philox") helpers.push(philoxWgsl);
      else {
        const [base, width] = name.split("/");
        helpers.push(resolveHelper(MATH_HELPERS[base] ?? HALF_HELPERS[base], width === "4" ? 4 : 1));
      }
    }
    const builtins = [
      "@builtin(workgroup_id) wg: vec3<u32>",
      "@builtin(local_invocation_index) lane: u32",
      ...(this.usesSubgroups
        ? ["@builtin(subgroup_size) subgroupSize: u32", "@builtin(subgroup_invocation_id) subgroupLane: u32"]
        : []),
      ...(this.usesSubgroupIds ? ["@builtin(subgroup_id) subgroupId: u32"] : []),
    ];
    const enables = [...this.extensions].sort().map((name) => `enable ${name};\n`);
    const wgsl = `${enables.join("")}${head.join("\n")}
${helpers.join("\n")}
@compute @workgroup_size(${workgroupSize})
fn main(${builtins.join(", ")}) {
${this.blocks[0].lines.map((l) => `  ${l}`).join("\n")}
}
`;
    return { wgsl, bindings: ordered, fields: this.fields };
  }
}

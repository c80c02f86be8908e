/** Pairs of 16-bit numbers in expressions: two words give four neighbours, others are shifted out one by one. */
import { type Affine, constantIndex, dependsOn, div, exactQuotient, mod, plus, scale } from "../affine.ts";
import type { Node } from "../ir.ts";
import { type Emitter, LANE, quadOf, type Width } from "./emit.ts";

/** The last index with the lane taken out, where four neighbours along the last axis are asked for. */
function neighbours(index: readonly Affine[], width: Width): Affine | null {
  const lead = index.slice(0, -1);
  return width === 4 && !lead.some((e) => dependsOn(e, "lane")) ? quadOf(index[index.length - 1]) : null;
}

export function unpackHalf(e: Emitter, node: Node, index: readonly Affine[], width: Width): string {
  const [x] = node.inputs;
  const lead = index.slice(0, -1);
  const last = index[index.length - 1];
  const f16 = node.attrs.format === "f16";
  const quad = neighbours(index, width);
  if (quad) {
    const word = exactQuotient(quad, 2);
    const [u, v] = [0, 1].map((i) => e.value(x, [...lead, plus(word, constantIndex(i))], 1));
    return e.k.name(
      "v",
      f16
        ? `vec4<f32>(unpack2x16float(${u}), unpack2x16float(${v}))`
        : `bitcast<vec4<f32>>(vec4<u32>(${[u, v].map((w) => `${w} << 16u, ${w} & 0xffff0000u`).join(", ")}))`,
    );
  }
  const words = e.value(x, [...lead, div(last, 2)], width);
  const half = mod(last, 2);
  const places = width === 4 ? [0, 1, 2, 3] : [0];
  const type = e.type("u32", width);
  const shift = `${type}(${places.map((l) => `${e.index(half, l)} * 16u`).join(", ")})`;
  const bits = e.k.name("h", `${words} >> ${shift}`);
  if (!f16) return e.k.name("v", `bitcast<${e.type("f32", width)}>(${bits} << ${type}(16u))`);
  if (width === 1) return e.k.name("v", `unpack2x16float(${bits}).x`);
  return e.k.name("v", `vec4<f32>(${places.map((l) => `unpack2x16float(${bits}[${l}]).x`).join(", ")})`);
}

export function packHalf(e: Emitter, node: Node, index: readonly Affine[], width: Width): string {
  const [x] = node.inputs;
  const lead = index.slice(0, -1);
  const first = scale(index[index.length - 1], 2);
  const helper = `${node.attrs.format}Bits`;
  e.k.helper(`${helper}/${width}`);
  const quad = neighbours(index, width);
  let pair: string[];
  if (quad) {
    const from = scale(quad, 2);
    const [u, v] = [0, 4].map((i) => e.value(x, [...lead, plus(plus(from, constantIndex(i)), LANE)], 4));
    pair = ["xz", "yw"].map((of) => e.k.name("v", `vec4<f32>(${u}.${of}, ${v}.${of})`));
  } else {
    pair = [0, 1].map((i) => e.value(x, [...lead, plus(first, constantIndex(i))], width));
  }
  const [low, high] = pair.map((v) => `${helper}_${width}(${v})`);
  return e.k.name("v", `${low} | (${high} << ${e.type("u32", width)}(16u))`);
}

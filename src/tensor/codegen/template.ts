/** Lowers nodes with hand-built kernels: binds operands in order and supplies the sizes their text names. */
import { type QuadRead, quadText } from "../../shaders/quads.ts";
import { TEMPLATE_HELPERS, TEMPLATES, type TemplateText } from "../../shaders/templates.ts";
import { ShaderError } from "../errors.ts";
import { opByName } from "../ops/table.ts";
import { isContiguous, type Strided, stridedOf } from "../passes/access.ts";
import type { Group } from "../passes/fuse.ts";
import type { Field } from "./builder.ts";
import { flopsOf, gridOf, type Kernel, type LowerContext, labelOf, threadsFor } from "./kernel.ts";
import { WALK_VARIANT } from "./lanes.ts";

const ownUnit = (threads: number): string => `  let unit = (wg.y * p.grid + wg.x) * ${threads}u + lane;
  if (unit >= p.count) { return; }`;

/** Threads of no unit stay, for the barriers, with the last. */
function sharedUnit(parts: number, threads: number): string {
  return `  let thread = (wg.y * p.grid + wg.x) * ${threads}u + lane;
  let part = thread % ${parts}u;
  let inside = thread / ${parts}u < p.count;
  let unit = min(thread / ${parts}u, p.count - 1u);`;
}

/** Where operands that are read by strides lie, under the names that the text has for it. */
function placesOf(
  operands: readonly Strided[],
  names: Readonly<Record<number, string>>,
): Record<string, number> {
  const fields: Record<string, number> = {};
  for (const [i, name] of Object.entries(names)) {
    const { offset, strides } = operands[Number(i)];
    fields[`${name}At`] = offset;
    strides.slice(0, -1).forEach((step, d) => {
      fields[`${name}${d}`] = step;
    });
  }
  return fields;
}

export function templateKernel(group: Group, ctx: LowerContext): Kernel {
  const [node] = group.nodes;
  const { lowering } = opByName(node.op);
  if (lowering.kind !== "template")
    throw new ShaderError(`${node.op}: a template was expected. Check its lowering.`);
  const sizes = lowering.sizes(node.inputs, node.results, node.attrs, {
    together: ctx.lanes.together,
    quads: ctx.lanes.quad !== null,
  });
  const parts = sizes.text?.parts ?? 1;
  const operands = node.inputs.map((v, i) => {
    const at = stridedOf(v);
    const byStrides = lowering.strided?.[i] !== undefined;
    if (at && (byStrides || (at.offset === 0 && isContiguous(at, v.shape, 0)))) return at;
    throw new ShaderError(`${node.op}: operands in memory were expected, got ${v}. Copy it before.`);
  });
  const threads = threadsFor(sizes.units * parts);
  const grid = gridOf(Math.ceil((sizes.units * parts) / threads), ctx.maxGroups);
  const fields: Field[] = [
    { name: "grid", type: "u32", value: grid[0] },
    { name: "count", type: "u32", value: sizes.units },
    ...Object.entries({ ...sizes.fields, ...placesOf(operands, lowering.strided ?? {}) }).map(
      ([name, value]) => ({ name, type: "u32" as const, value }),
    ),
    ...Object.entries(sizes.scalars ?? {}).map(([name, value]) => ({ name, type: "f32" as const, value })),
  ];
  const quad = sizes.text?.quads ? ctx.lanes.quad : null;
  const resolve = (text: TemplateText = "", own: QuadRead | null): string => {
    if (typeof text === "string") return text;
    if (sizes.text) return text(sizes.text, own);
    throw new ShaderError(`${node.op}: sizes of the text were expected, got none. Check its lowering.`);
  };
  const bindings = [
    // An operand that took over a state's memory is read there.
    ...operands.map(({ value: v }) => ({ value: ctx.inPlace.get(v) ?? v, write: false })),
    ...node.results.map((value) => ({ value, write: true })),
  ].map((b, i) => ({ name: `b${i}`, value: b.value, read: !b.write, write: b.write, vector: 0, single: 1 }));
  const write = (quad: QuadRead | null): string => {
    const { head, parameter, place } = quadText(quad);
    return `${head}struct Params {
${fields.map((f) => `  ${f.name}: ${f.type},`).join("\n")}
}
${bindings
  .map((b, i) => {
    const type = b.value.dtype === "bool" ? "u32" : b.value.dtype;
    return `@group(0) @binding(${i}) var<storage, ${b.write ? "read_write" : "read"}> ${b.name}: array<${type}>;`;
  })
  .join("\n")}
@group(0) @binding(${bindings.length}) var<uniform> p: Params;
${resolve(TEMPLATE_HELPERS[lowering.template], quad)}
@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) lane: u32${parameter}) {${place}
${parts === 1 ? ownUnit(threads) : sharedUnit(parts, threads)}
${resolve(TEMPLATES[lowering.template], quad)}
}
`;
  };
  return {
    wgsl: write(quad),
    bindings,
    fields,
    label: labelOf(group, ctx),
    grid,
    group,
    flops: flopsOf(group),
    mostFlops: opByName(node.op).cost?.(node.inputs, node.results, node.attrs).mostFlops,
    gathers: 0,
    variants: quad ? [WALK_VARIANT + threads] : [],
    portable: quad && (() => ({ wgsl: write(null), bindings, fields })),
  };
}

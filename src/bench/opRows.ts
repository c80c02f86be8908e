/** Rows of single ops: the op table's perf sizes, and whatever else is one op at one size. */

import { compile } from "../tensor/compile.ts";
import { tensor } from "../tensor/create.ts";
import type { OpCase, OpDef } from "../tensor/opdef.ts";
import { Rng } from "../tensor/random.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { apply } from "../tensor/trace.ts";
import type { WebGpuBackend } from "../tensor/webgpu.ts";
import { measure } from "./measure.ts";
import type { MeasuredRow, MeasureOptions } from "./result.ts";

/** An op's inputs and attributes: what of a case counts here. */
export type OpSize = Pick<OpCase, "inputs" | "attrs">;

/** Random numbers drawn; longer inputs repeat them. */
const DRAWN = 4099;

/** Elements of an input within its range; whole numbers where it is no float. */
function draw(rng: Rng, { shape, dtype = "f32", range, values }: OpCase["inputs"][number]): Tensor {
  if (values) return tensor(values, { shape, dtype });
  const [low, high] = range ?? (dtype === "bool" ? [0, 1] : [-2, 2]);
  const n = shape.reduce((a, b) => a * b, 1);
  const drawn = Float64Array.from({ length: Math.min(n, DRAWN) }, () => {
    const x = low + rng.uniform() * (high - low);
    return dtype === "f32" ? x : Math.max(dtype === "i32" ? -Infinity : 0, Math.round(x));
  });
  return tensor(
    Float64Array.from({ length: n }, (_, i) => drawn[i % DRAWN]),
    { shape, dtype },
  );
}

/** The op, its shapes and whatever attributes are not the plain ones, as a row's name. */
export function rowName(op: OpDef, test: OpSize): string {
  const shapes = test.inputs
    .map(({ shape, dtype = "f32" }) => `${dtype === "f32" ? "" : dtype}[${shape.join(",")}]`)
    .join(" ");
  const attrs = Object.entries(test.attrs ?? {}).filter(([, value]) => value !== false);
  return `${op.name} ${shapes}${attrs.length > 0 ? ` ${JSON.stringify(Object.fromEntries(attrs))}` : ""}`;
}

/** One op at one size; flops and bytes are what its object says. */
export async function opRow(
  backend: WebGpuBackend,
  op: OpDef,
  test: OpSize,
  { time, signal }: Pick<MeasureOptions, "time" | "signal">,
  { name = rowName(op, test), group = "op" } = {},
): Promise<MeasuredRow> {
  const rng = new Rng(7, 0);
  const inputs = test.inputs.map((x) => draw(rng, x));
  const attrs = test.attrs ?? {};
  const f = compile((...xs: Tensor[]) => apply(op, xs, attrs), { label: op.name });
  const run = async () => {
    for (const t of f(...inputs)) t.dispose();
    await backend.sync();
  };
  try {
    const { wall, gpu } = await measure(backend, run, { time, signal });
    const types = test.inputs.map(({ shape, dtype = "f32" }) => ({ shape, dtype }));
    const cost = op.cost?.(types, op.infer(types, attrs), attrs) ?? null;
    return { group, name, time: "gpu", wall, gpu, flops: cost?.flops ?? null, bytes: cost?.bytes ?? null };
  } finally {
    for (const t of inputs) t.dispose();
    f.dispose();
  }
}

/**
 * Subgroup matrices on any adapter: rewrites the text of a kernel so that the first lane of a subgroup multiplies operands where they
 * lie in workgroup memory, rounded to f16, and adds in f32 to sums that lie there, too. The last lane stores
 * results, so that a barrier that is missing shows. Slow, and right by construction: what
 * the code generator makes of T4 is tested with it where no adapter has the feature. Which matrices are loaded, multiplied and
 * stored is read from the kernel's text, and put into tables: unrolled loops would take a driver minutes.
 */
import type { MatrixConfig } from "../../src/tensor/tiers.ts";

/** A fault that an adapter might have: changes the emulation's text. */
export type Fault = (wgsl: string) => string;

const BUILTINS =
  ", @builtin(subgroup_size) subgroupSize: u32, @builtin(subgroup_invocation_id) subgroupLane: u32, @builtin(subgroup_id) subgroupId: u32";

/** To nearest even: `quantizeToF16` and `pack2x16float` may cut off, and do so on SwiftShader. */
const HALVES = /* wgsl */ `fn toHalf(x: vec4<f32>) -> vec2<u32> {
  let u = bitcast<vec4<u32>>(x);
  let r = bitcast<vec4<f32>>((u + 0xfffu + ((u >> vec4<u32>(13u)) & vec4<u32>(1u))) & vec4<u32>(0xffffe000u));
  return vec2<u32>(pack2x16float(r.xy), pack2x16float(r.zw));
}
fn halfOf(x: vec2<u32>, at: u32) -> f32 { return unpack2x16float(x[at / 2u])[at % 2u]; }
@compute`;

const STEPS = /\n *(for \(var step = .*\{)\n([\s\S]*?)\n {4}\}\n/;
const LOAD =
  /let (left|right)_(\d+) = subgroupMatrixLoad<subgroup_matrix_\1<f16, (\d+), (\d+)>, (row|col)_major>\(&(\w+), (.*), (\d+)u\);/;
const MULTIPLY = /acc_(\d+_\d+) = subgroupMatrixMultiplyAccumulate\(left_(\d+), right_(\d+), acc_\1\);/;
const STORE = /subgroupMatrixStore<row_major>\(&results, (.*), acc_(\d+_\d+), (\d+)u\);/;

function must<T>(found: T | null | undefined, what: string): T {
  if (found === null || found === undefined) throw new Error(`emulateMatrices: ${what} expected`);
  return found;
}

/** The text of a kernel with subgroup matrices, without them; other texts as they are. */
export function emulateMatrices(
  code: string,
  { m, n, k, lanes }: MatrixConfig,
  fault: Fault = (x) => x,
): string {
  if (!code.includes("chromium_experimental_subgroup_matrix")) return code;
  if (!code.includes(BUILTINS)) throw new Error("emulateMatrices: other builtins");
  const threads = Number(must(code.match(/@workgroup_size\((\d+)\)/), "a size")[1]);
  const results: string[] = [];
  let text = code.replace(
    / *var acc_(\d+_\d+) = subgroup_matrix_result<f32, (\d+), (\d+)>\(\);\n/g,
    (_, name, c, r) => {
      if (Number(c) !== n || Number(r) !== m) throw new Error("emulateMatrices: other results");
      results.push(name);
      return "";
    },
  );
  text = text.replace(STEPS, (_, header, body) => `\n${header}\n${steps(body.split("\n"))}\n}\n`);
  let most = 0;
  text = text.replace(/( *switch .*\{)\n([\s\S]*?)(\n {4}\}\n)/, (_, header, body, end) => {
    let stride = "";
    const cases = body.replaceAll(/\{\n([\s\S]*?)\}/g, (_: string, lines: string) => {
      const stores = lines
        .trim()
        .split("\n")
        .map((line) => must(line.match(STORE), "a store"));
      most = Math.max(most, stores.length);
      stride = stores[0][3];
      return `{ ${stores.map(([, at, name], s) => `at[${s}] = ${at}; of[${s}] = ${results.indexOf(name)}u;`).join(" ")} }`;
    });
    return `var at: array<u32, ${most}>;\nvar of: array<u32, ${most}>;\n${header}\n${cases}${end}if (subgroupLane == ${lanes - 1}u) {
  for (var s = 0u; s < ${most}u; s++) { for (var r = 0u; r < ${m}u; r++) { for (var c = 0u; c < ${n}u; c++) {
    results[at[s] + r * ${stride}u + c / 4u][c % 4u] = sums[mine + of[s] * ${m * n}u + r * ${n}u + c];
  } } }
}
`.replaceAll(/\bof\b/g, "shown");
  });
  text = text
    .replace(/^enable .*;\n/gm, "")
    .replace(BUILTINS, "")
    .replace(
      /(\nfn main\(.*\{\n)/,
      `$1let subgroupLane = lane % ${lanes}u;\nlet subgroupId = lane / ${lanes}u;\nlet mine = subgroupId * ${results.length * m * n}u;\n`,
    )
    .replaceAll("array<vec4<f16>", "array<vec2<u32>")
    .replaceAll("vec4<f16>(", "toHalf(")
    .replace(
      "@compute",
      `var<workgroup> sums: array<f32, ${(threads / lanes) * results.length * m * n}>;\n${HALVES}`,
    );
  if (/subgroup_matrix|subgroupMatrix|f16>/.test(text))
    throw new Error(`emulateMatrices: left over in\n${text}`);
  return fault(text);

  /** What is done in a step: every multiplication the text has, in its order. */
  function steps(lines: readonly string[]): string {
    const loads = { left: new Map<string, string>(), right: new Map<string, string>() };
    const read = { left: "", right: "" };
    const products: string[] = [];
    for (const line of lines) {
      const load = line.match(LOAD);
      if (load) {
        const [, side, index, columns, rows, order, name, at, stride] = load;
        const sizes = side === "left" ? [k, m] : [n, k];
        if (Number(columns) !== sizes[0] || Number(rows) !== sizes[1])
          throw new Error(`emulateMatrices: ${line}`);
        const [down, along] = side === "left" ? ["r", "q"] : ["q", "c"];
        const [far, near] = order === "row" ? [down, along] : [along, down];
        loads[side as "left"].set(index, at);
        read[side as "left"] =
          `halfOf(${name}[${side}At + ${far} * ${stride}u + ${near} / 4u], ${near} % 4u)`;
        continue;
      }
      const [, name, left, right] = must(line.match(MULTIPLY), `a load or a multiplication, not ${line},`);
      const at = (side: "left" | "right", index: string): number => [...loads[side].keys()].indexOf(index);
      products.push(`vec3<u32>(${at("left", left)}u, ${at("right", right)}u, ${results.indexOf(name)}u)`);
    }
    const table = (side: "left" | "right"): string =>
      `var ${side}s = array<u32, ${loads[side].size}>(${[...loads[side].values()].join(", ")});`;
    return `${table("left")}
${table("right")}
var products = array<vec3<u32>, ${products.length}>(${products.join(", ")});
for (var p = select(${products.length}u, 0u, subgroupLane == 0u); p < ${products.length}u; p++) {
  let leftAt = lefts[products[p].x];
  let rightAt = rights[products[p].y];
  for (var r = 0u; r < ${m}u; r++) { for (var c = 0u; c < ${n}u; c++) {
    let place = mine + products[p].z * ${m * n}u + r * ${n}u + c;
    var sum = sums[place];
    for (var q = 0u; q < ${k}u; q++) { sum = fma(${read.left}, ${read.right}, sum); }
    sums[place] = sum;
  } }
}`;
  }
}

/** Makes a device take kernels with subgroup matrices. */
export function emulateOn(gpu: GPUDevice, config: MatrixConfig, fault?: Fault): void {
  const create = gpu.createShaderModule.bind(gpu);
  gpu.createShaderModule = (descriptor) =>
    create({ ...descriptor, code: emulateMatrices(descriptor.code, config, fault) });
}

/**
 * The check of first use: before a kernel above T0 runs on an adapter, the part that needs the higher tier is run on
 * a small random input against its T0 text, and must give the same bits. (A peer that took every subgroup for 32
 * lanes trained silently wrong on an adapter of 8.) Subgroup matrices have bits of their own: they are held to the float64
 * product of the operands rounded to f16.
 */
import { type Binding, type KernelText, wordOf } from "./codegen/builder.ts";
import { type Lanes, lanesOn, QUAD_VARIANT, SMALL_QUAD_VARIANT } from "./codegen/lanes.ts";
import { matrixBlock } from "./codegen/matmulTiles.ts";
import type { Device } from "./device.ts";
import type { DType } from "./dtype.ts";
import { BufferUsage, MapMode } from "./gpuConstants.ts";
import { fromHalf, toHalf } from "./halfBits.ts";
import { type Graph, Node, type Value, type ValueType } from "./ir.ts";
import { lowerGraph } from "./passes/pipeline.ts";
import type { Pipeline } from "./pipelines.ts";
import { type Probe, quadProbe } from "./quadProbe.ts";
import { philox } from "./random.ts";
import { numel } from "./shape.ts";

/** Rows of the small input, and their lengths where the kernel takes four elements at a time or one. */
const ROWS = 3;
const LENGTHS = { 4: 516, 1: 517 } as const;
/** Columns of the matrix products that quads are checked by, and steps along k: a quad's four vectors, four steps twice. */
const PRODUCT = { columns: 16, steps: 8 };
/** Their rows, of which a quad has eight: as many quads as come in small workgroups, and as come in whole ones. */
const PRODUCT_ROWS: Readonly<Record<string, number>> = { [SMALL_QUAD_VARIANT]: 32, [QUAD_VARIANT]: 512 };

const f32 = (shape: readonly number[]): ValueType => ({ shape, dtype: "f32" });

/** The product that checks a text of subgroup matrices: how it is computed, its sizes, and how its operands lie. */
interface MatrixProbe {
  way: string;
  m: number;
  n: number;
  k: number;
  transposeA: boolean;
  transposeB: boolean;
}

/**
 * More than a block each way, so that several workgroups, all subgroups and both edges take part, and three turns of k, the
 * last not full. Null for other variants.
 */
function matrixProbe(variant: string): MatrixProbe | null {
  const [kind, way, layout] = variant.split("/");
  if (kind !== "matrix") return null;
  const { rows, columns, stepK } = matrixBlock(way);
  const [a, b] = layout;
  const sizes = { m: rows + 12, n: columns + 20, k: 2 * stepK + 12 };
  return { way, ...sizes, transposeA: a === "t", transposeB: b === "t" };
}

/** A whole kernel around a variant: a matrix product, or one reduction of rows. */
function probeGraph(variant: string): Graph {
  const input = (type: ValueType): Value => new Node("input", [], {}, [type]).results[0];
  const matrix = matrixProbe(variant);
  if (matrix) {
    const { m, n, k, transposeA, transposeB } = matrix;
    const inputs = [f32(transposeA ? [k, m] : [m, k]), f32(transposeB ? [n, k] : [k, n])].map(input);
    const { results } = new Node("matmul", inputs, { transposeA, transposeB }, [f32([m, n])]);
    return { inputs, outputs: results, updates: [] };
  }
  const rows = PRODUCT_ROWS[variant];
  if (rows !== undefined) {
    const { columns, steps } = PRODUCT;
    const inputs = [input(f32([rows, steps])), input(f32([steps, columns]))];
    const attrs = { transposeA: false, transposeB: false };
    const { results } = new Node("matmul", inputs, attrs, [f32([rows, columns])]);
    return { inputs, outputs: results, updates: [] };
  }
  const [, op, dtype, width] = variant.split("/");
  const type = { shape: [ROWS, LENGTHS[width === "4" ? 4 : 1]], dtype: dtype as DType };
  const x = input(type);
  const outputs = new Node(op, [x], { axes: [1] }, [{ shape: [ROWS], dtype: type.dtype }]).results;
  return { inputs: [x], outputs, updates: [] };
}

/** Makes a pipeline of one of a kernel's texts. */
export type CompileText = (kernel: Probe, wgsl: string) => Promise<Pipeline>;

export class TierCheck {
  private readonly device: Device;
  private readonly lanes: Lanes | undefined;
  private readonly compile: CompileText;
  private readonly verdicts = new Map<string, Promise<string | null>>();

  constructor(device: Device, lanes: Lanes | undefined, compile: CompileText) {
    this.device = device;
    this.lanes = lanes;
    this.compile = compile;
  }

  /** Why the first of `variants` that fails its check does; null where all pass. Each is checked once. */
  async refusal(variants: readonly string[]): Promise<string | null> {
    const verdicts = await Promise.all(variants.map((v) => this.verdict(v)));
    return verdicts.find((why) => why !== null) ?? null;
  }

  private verdict(variant: string): Promise<string | null> {
    let verdict = this.verdicts.get(variant);
    if (!verdict) {
      verdict = this.check(variant);
      this.verdicts.set(variant, verdict);
    }
    return verdict;
  }

  private async check(variant: string): Promise<string | null> {
    const kernel = this.probe(variant);
    const matrix = matrixProbe(variant);
    if (matrix) return this.checkMatrix(variant, matrix, kernel);
    const portable = this.compile(kernel, (kernel.portable as () => KernelText)().wgsl);
    const own = this.compile(kernel, kernel.wgsl);
    own.catch(() => {});
    const fixed = await this.run(kernel, await portable);
    let tried: Uint32Array;
    try {
      tried = await this.run(kernel, await own);
    } catch (error) {
      if (this.device.failure) throw error;
      return (error as Error).message;
    }
    const wrong = fixed.findIndex((word, i) => word !== tried[i]);
    if (wrong < 0) return null;
    return `${variant}: the bits of T0 were expected, got others: 0x${tried[wrong].toString(16)} for 0x${fixed[wrong].toString(16)} at ${wrong}`;
  }

  private async checkMatrix(variant: string, probe: MatrixProbe, kernel: Probe): Promise<string | null> {
    let words: Uint32Array;
    try {
      words = await this.run(kernel, await this.compile(kernel, kernel.wgsl));
    } catch (error) {
      if (this.device.failure) throw error;
      return (error as Error).message;
    }
    return matrixComplaint(variant, probe, new Float32Array(words.buffer));
  }

  private probe(variant: string): Probe {
    const lanes = this.lanes ?? lanesOn(this.device);
    const walk = quadProbe(variant, lanes.quad);
    if (walk) return walk;
    const { kernels } = lowerGraph(probeGraph(variant), {
      label: "check",
      passesOff: [],
      bindingLimit: 1 << 20,
      budget: 1 << 20,
      maxGroups: 65535,
      tier: this.device.tier,
      lanes,
      tuning: () => matrixProbe(variant)?.way,
    });
    return kernels[0];
  }

  private async run(kernel: Probe, { pipeline, layout }: Pipeline): Promise<Uint32Array> {
    const { gpu, queue } = this.device;
    const { STORAGE, COPY_DST, COPY_SRC, UNIFORM, MAP_READ } = BufferUsage;
    const make = (size: number, usage: number): GPUBuffer =>
      gpu.createBuffer({ label: "naysay.check", size: Math.ceil(size / 16) * 16, usage });
    const memory = kernel.bindings.map(({ value, write }, i) => {
      const size = 4 * numel(value.shape);
      const buffer = make(size, STORAGE | COPY_DST | COPY_SRC);
      if (!write) queue.writeBuffer(buffer, 0, smallInput(numel(value.shape), value.dtype, i));
      return buffer;
    });
    const words = numel((kernel.bindings.at(-1) as Binding).value.shape);
    const params = make(kernel.fields.length * 4, UNIFORM | COPY_DST);
    const staging = make(words * 4, MAP_READ | COPY_DST);
    queue.writeBuffer(
      params,
      0,
      Uint32Array.from(kernel.fields, (f) => wordOf(f.value as number, f.type)),
    );
    const entries = [...memory, params].map((buffer, binding) => ({ binding, resource: { buffer } }));
    const encoder = gpu.createCommandEncoder({ label: "naysay.check" });
    const pass = encoder.beginComputePass({ label: "naysay.check" });
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, gpu.createBindGroup({ label: "naysay.check", layout, entries }));
    pass.dispatchWorkgroups(kernel.grid[0], kernel.grid[1]);
    pass.end();
    encoder.copyBufferToBuffer(memory.at(-1) as GPUBuffer, 0, staging, 0, staging.size);
    queue.submit([encoder.finish()]);
    await staging.mapAsync(MapMode.READ);
    const got = new Uint32Array(staging.getMappedRange().slice(0)).slice(0, words);
    for (const buffer of [...memory, params, staging]) buffer.destroy();
    return got;
  }
}

/**
 * What is wrong with the product of two small inputs whose elements were rounded to f16; null for nothing. Each of the k sums in
 * f32 may lose a unit in the last place, 2^-23, of what the magnitudes add up to: matrices that cut off instead of rounding
 * lose that much. A sum in f16 would lose 2^-11.
 */
function matrixComplaint(variant: string, probe: MatrixProbe, got: Float32Array): string | null {
  const { m, n, k, transposeA, transposeB } = probe;
  const rounded = [m * k, k * n].map((length, operand) =>
    Float64Array.from(new Float32Array(smallInput(length, "f32", operand).buffer), (x) =>
      fromHalf(toHalf(x, "f16"), "f16"),
    ),
  );
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) {
      let [sum, size] = [0, 0];
      for (let q = 0; q < k; q++) {
        const x = rounded[0][transposeA ? q * m + i : i * k + q];
        const term = x * rounded[1][transposeB ? j * k + q : q * n + j];
        sum += term;
        size += Math.abs(term);
      }
      const accepted = k * 2 ** -23 * size;
      const error = Math.abs(got[i * n + j] - sum);
      if (!(error <= accepted)) {
        return `${variant}: ${sum} within ${accepted.toExponential(1)} was expected of row ${i}, column ${j}, got ${got[i * n + j]}. Take tier T3, whose products are faster than what replaces these.`;
      }
    }
  }
  return null;
}

/** Numbers in [-2, 2), or words, the same on every machine. */
function smallInput(length: number, dtype: DType, operand: number): Uint32Array<ArrayBuffer> {
  const words = Uint32Array.from({ length }, (_, i) => philox([i, operand, 0, 0], [0x6e617973, 0x6179])[0]);
  if (dtype !== "f32") return words;
  return new Uint32Array(Float32Array.from(words, (w) => (w >>> 8) / 2 ** 22 - 2).buffer);
}

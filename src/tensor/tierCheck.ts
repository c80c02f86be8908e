/**
 * The check of first use: before a kernel above T0 runs on an adapter, the part that needs the higher tier is run on
 * a small random input against its T0 text, and must give the same bits. (A peer that took every subgroup for 32
 * lanes trained silently wrong on an adapter of 8.)
 */
import { wordOf } from "./codegen/builder.ts";
import type { JoinLanes } from "./codegen/joinLanes.ts";
import type { Kernel } from "./codegen/kernel.ts";
import type { Device } from "./device.ts";
import type { DType } from "./dtype.ts";
import { BufferUsage, MapMode } from "./gpuConstants.ts";
import { Node } from "./ir.ts";
import { lowerGraph } from "./passes/pipeline.ts";
import type { Pipeline } from "./pipelines.ts";
import { philox } from "./random.ts";

/** Rows of the small input, and their lengths where the kernel takes four elements at a time or one. */
const ROWS = 3;
const LENGTHS = { 4: 516, 1: 517 } as const;

/** Makes a pipeline of one of a kernel's texts. */
export type CompileText = (kernel: Kernel, wgsl: string) => Promise<Pipeline>;

export class TierCheck {
  private readonly device: Device;
  private readonly join: JoinLanes | undefined;
  private readonly compile: CompileText;
  private readonly verdicts = new Map<string, Promise<string | null>>();

  constructor(device: Device, join: JoinLanes | undefined, compile: CompileText) {
    this.device = device;
    this.join = join;
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
    const portable = this.compile(kernel, kernel.portable as string);
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
    return `${variant}: the bits of T0 were expected, got others: 0x${tried[wrong].toString(16)} for 0x${fixed[wrong].toString(16)} in row ${wrong}`;
  }

  /** A whole kernel around the variant: one reduction of rows. */
  private probe(variant: string): Kernel {
    const [, op, dtype, width] = variant.split("/");
    const type = { shape: [ROWS, LENGTHS[width === "4" ? 4 : 1]], dtype: dtype as DType };
    const [x] = new Node("input", [], {}, [type]).results;
    const result = new Node(op, [x], { axes: [1] }, [{ shape: [ROWS], dtype: type.dtype }]).results;
    const { kernels } = lowerGraph(
      { inputs: [x], outputs: result, updates: [] },
      {
        label: "check",
        passesOff: [],
        bindingLimit: 1 << 20,
        budget: 1 << 20,
        maxGroups: 65535,
        tier: this.device.tier,
        join: this.join,
      },
    );
    return kernels[0];
  }

  private async run(kernel: Kernel, { pipeline, layout }: Pipeline): Promise<Uint32Array> {
    const { gpu, queue } = this.device;
    const [input, output] = kernel.bindings;
    const length = ROWS * input.value.shape[1];
    const { STORAGE, COPY_DST, COPY_SRC, UNIFORM, MAP_READ } = BufferUsage;
    const make = (size: number, usage: number): GPUBuffer =>
      gpu.createBuffer({ label: "naysay.check", size: Math.ceil(size / 16) * 16, usage });
    const x = make(length * 4, STORAGE | COPY_DST);
    const y = make(ROWS * 4, STORAGE | COPY_SRC);
    const params = make(kernel.fields.length * 4, UNIFORM | COPY_DST);
    const staging = make(ROWS * 4, MAP_READ | COPY_DST);
    queue.writeBuffer(x, 0, smallInput(length, output.value.dtype));
    queue.writeBuffer(
      params,
      0,
      Uint32Array.from(kernel.fields, (f) => wordOf(f.value as number, f.type)),
    );
    const entries = [x, y, params].map((buffer, binding) => ({ binding, resource: { buffer } }));
    const encoder = gpu.createCommandEncoder({ label: "naysay.check" });
    const pass = encoder.beginComputePass({ label: "naysay.check" });
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, gpu.createBindGroup({ label: "naysay.check", layout, entries }));
    pass.dispatchWorkgroups(kernel.grid[0], kernel.grid[1]);
    pass.end();
    encoder.copyBufferToBuffer(y, 0, staging, 0, staging.size);
    queue.submit([encoder.finish()]);
    await staging.mapAsync(MapMode.READ);
    const words = new Uint32Array(staging.getMappedRange().slice(0)).slice(0, ROWS);
    for (const buffer of [x, y, params, staging]) buffer.destroy();
    return words;
  }
}

/** Numbers in [-2, 2), or words, the same on every machine. */
function smallInput(length: number, dtype: DType): Uint32Array<ArrayBuffer> {
  const words = Uint32Array.from({ length }, (_, i) => philox([i, 0, 0, 0], [0x6e617973, 0x6179])[0]);
  if (dtype !== "f32") return words;
  return new Uint32Array(Float32Array.from(words, (w) => (w >>> 8) / 2 ** 22 - 2).buffer);
}

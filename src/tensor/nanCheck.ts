/**
 * NAN=1: looks at every f32 result of every kernel on the GPU, in the order of execution, and names the first that is
 * not finite. A bit test over u32 words: shaders may assume that floats are finite, integers say what is there.
 */
import type { Kernel } from "./codegen/kernel.ts";
import type { Device } from "./device.ts";
import { NonFiniteError } from "./errors.ts";
import { BufferUsage, MapMode } from "./gpuConstants.ts";
import type { ValueType } from "./ir.ts";
import { ALIGN } from "./passes/memory.ts";
import { show } from "./shape.ts";

/** One workgroup finds the first word whose exponent is all ones: out = [position or 2^32 - 1, its bits]. */
const FIRST_NON_FINITE = /* wgsl */ `
@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> out: array<u32>;
var<workgroup> first: array<u32, 64>;
@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32) {
  let n = arrayLength(&x);
  var at = 0xffffffffu;
  for (var i = lane; i < n; i += 64u) {
    if ((x[i] & 0x7f800000u) == 0x7f800000u) { at = i; break; }
  }
  first[lane] = at;
  workgroupBarrier();
  if (lane == 0u) {
    for (var l = 1u; l < 64u; l++) { at = min(at, first[l]); }
    out[0] = at;
    out[1] = x[min(at, n - 1u)];
  }
}`;

const NOTHING = 0xffffffff;
const pipelines = new WeakMap<Device, GPUComputePipeline>();

function pipelineOf(device: Device): GPUComputePipeline {
  let pipeline = pipelines.get(device);
  if (!pipeline) {
    const module = device.gpu.createShaderModule({ label: "naysay.nan", code: FIRST_NON_FINITE });
    pipeline = device.gpu.createComputePipeline({
      label: "naysay.nan",
      layout: "auto",
      compute: { module, entryPoint: "main" },
    });
    pipelines.set(device, pipeline);
  }
  return pipeline;
}

interface Look {
  readonly type: ValueType;
  readonly range: GPUBufferBinding;
  /** The kernel that wrote it and its place in the program; null for an argument. */
  readonly kernel: Kernel | null;
  readonly step: number;
}

/** The looks of one run of one program. */
export class NanCheck {
  private readonly device: Device;
  private readonly label: string;
  private readonly looks: Look[] = [];
  private readonly found: GPUBuffer;

  /** `most` is the number of looks to come. */
  constructor(device: Device, label: string, most: number) {
    this.device = device;
    this.label = label;
    const usage = BufferUsage.STORAGE | BufferUsage.COPY_SRC;
    this.found = device.gpu.createBuffer({ label: "naysay.nan", size: Math.max(1, most) * ALIGN, usage });
  }

  /** Adds a look at a value to the pass, at this point of the execution. `step` counts kernels from 1. */
  look(
    pass: GPUComputePassEncoder,
    type: ValueType,
    range: GPUBufferBinding,
    kernel: Kernel | null,
    step: number,
  ): void {
    if (type.dtype !== "f32" || range.size === 0) return;
    const pipeline = pipelineOf(this.device);
    const offset = this.looks.length * ALIGN;
    this.looks.push({ type, range, kernel, step });
    pass.setPipeline(pipeline);
    pass.setBindGroup(
      0,
      this.device.gpu.createBindGroup({
        label: "naysay.nan",
        layout: pipeline.getBindGroupLayout(0),
        entries: [
          { binding: 0, resource: range },
          { binding: 1, resource: { buffer: this.found, offset, size: 8 } },
        ],
      }),
    );
    pass.dispatchWorkgroups(1);
  }

  /** Adds the read-back; throws `NonFiniteError` once it is here. The encoder is submitted in the same turn. */
  verdict(encoder: GPUCommandEncoder, steps: number): Promise<void> {
    const size = this.found.size;
    const usage = BufferUsage.MAP_READ | BufferUsage.COPY_DST;
    const staging = this.device.gpu.createBuffer({ label: "naysay.nan.read", size, usage });
    encoder.copyBufferToBuffer(this.found, 0, staging, 0, size);
    return (async () => {
      await Promise.resolve();
      await staging.mapAsync(MapMode.READ);
      const words = new Uint32Array(staging.getMappedRange().slice(0));
      staging.destroy();
      this.found.destroy();
      this.looks.forEach((l, i) => {
        const at = words[(i * ALIGN) / 4];
        if (at !== NOTHING) throw this.error(l, at, words[(i * ALIGN) / 4 + 1], steps);
      });
    })();
  }

  private error(l: Look, at: number, bits: number, steps: number): NonFiniteError {
    const what = (bits & 0x7fffff) !== 0 ? "NaN" : bits >>> 31 ? "-Infinity" : "Infinity";
    const where = `${what} at element ${at} of ${l.type.dtype}${show(l.type.shape)}`;
    if (!l.kernel) {
      return new NonFiniteError(
        `${this.label}: finite arguments were expected, got ${where}. Check what was written to that tensor.`,
      );
    }
    const names = l.kernel.group.nodes.map((n) => n.op).join(", ");
    return new NonFiniteError(
      `${l.kernel.label}: finite results were expected, got ${where} (kernel ${l.step} of ${steps} in ${this.label}; ops ${names}), from finite inputs. ` +
        "NAYSAY_PASSES_OFF=fuse narrows it to one op.",
    );
  }
}

/** Compute pipelines by the text of their kernel: created asynchronously, in parallel, once a device. */

import type { KernelText } from "./codegen/builder.ts";
import type { Kernel } from "./codegen/kernel.ts";
import type { Lanes } from "./codegen/lanes.ts";
import type { Device } from "./device.ts";
import { ShaderError } from "./errors.ts";
import { flags } from "./flags.ts";
import { ShaderStage } from "./gpuConstants.ts";
import type { Probe } from "./quadProbe.ts";
import { TierCheck } from "./tierCheck.ts";

export interface Pipeline {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
}

export class PipelineCache {
  compiled = 0;
  private readonly device: Device;
  private readonly pipelines = new Map<string, Promise<Pipeline>>();
  private readonly layouts = new Map<string, { group: GPUBindGroupLayout; pipeline: GPUPipelineLayout }>();

  /** Parts of kernels above T0 that this adapter does wrong, and why. */
  readonly fallbacks = new Map<string, string>();
  private readonly tierCheck: TierCheck;

  /** `lanes` is a seam for tests, see `WebGpuOptions`. */
  constructor(device: Device, lanes?: Lanes) {
    this.device = device;
    this.tierCheck = new TierCheck(device, lanes, (kernel, wgsl) => this.compile(kernel, wgsl));
  }

  private layoutOf(kernel: Probe): { group: GPUBindGroupLayout; pipeline: GPUPipelineLayout } {
    // The size of the parameters stands in the layout: wgpu 29 takes that of a pass's first pipeline for all of its
    // pipelines with an equal layout, where the layout leaves it open.
    const paramBytes = Math.ceil((kernel.fields.length * 4) / 16) * 16;
    const key =
      kernel.bindings.map((b) => (b.write ? "w" : "r")).join("") + (paramBytes > 0 ? `u${paramBytes}` : "");
    let hit = this.layouts.get(key);
    if (!hit) {
      const entries: GPUBindGroupLayoutEntry[] = kernel.bindings.map((b, binding) => ({
        binding,
        visibility: ShaderStage.COMPUTE,
        buffer: { type: b.write ? "storage" : "read-only-storage" },
      }));
      if (paramBytes > 0) {
        entries.push({
          binding: entries.length,
          visibility: ShaderStage.COMPUTE,
          buffer: { type: "uniform", minBindingSize: paramBytes },
        });
      }
      const group = this.device.gpu.createBindGroupLayout({ label: `naysay.${key}`, entries });
      hit = {
        group,
        pipeline: this.device.gpu.createPipelineLayout({ label: `naysay.${key}`, bindGroupLayouts: [group] }),
      };
      this.layouts.set(key, hit);
    }
    return hit;
  }

  /** The pipeline of a kernel. Rejects with a `ShaderError` that names the kernel. */
  get(kernel: Kernel): Promise<Pipeline> {
    let hit = this.pipelines.get(kernel.wgsl);
    if (!hit) {
      this.compiled++;
      hit =
        kernel.portable === null ? this.compile(kernel, kernel.wgsl) : this.checked(kernel, kernel.portable);
      this.pipelines.set(kernel.wgsl, hit);
    }
    return hit;
  }

  /** A kernel above T0: its own text where that passed its check on this adapter and compiles, else the T0 text. */
  private async checked(kernel: Kernel, portable: () => KernelText): Promise<Pipeline> {
    // The driver compiles while the check runs.
    const own = this.compile(kernel, kernel.wgsl);
    own.catch(() => {});
    let why = await this.tierCheck.refusal(kernel.variants);
    if (why === null) {
      try {
        return await own;
      } catch (error) {
        if (!(error instanceof ShaderError)) throw error;
        why = error.message;
      }
    }
    for (const variant of kernel.variants) {
      if (this.fallbacks.has(variant)) continue;
      this.fallbacks.set(variant, why);
      console.error(`${this.device.label}: ${variant} of tier ${this.device.tier} falls back to T0. ${why}`);
    }
    return this.compile(kernel, portable().wgsl);
  }

  private async compile(kernel: Probe, wgsl: string): Promise<Pipeline> {
    if (flags().debug >= 3) console.error(`--- ${kernel.label}\n${wgsl}`);
    const layout = this.layoutOf(kernel);
    const { gpu } = this.device;
    // A scope, or the error would also arrive as uncaptured and take the whole device for failed.
    gpu.pushErrorScope("validation");
    const module = gpu.createShaderModule({ label: kernel.label, code: wgsl });
    const invalid = gpu.popErrorScope();
    try {
      const pipeline = await gpu.createComputePipelineAsync({
        label: kernel.label,
        layout: layout.pipeline,
        compute: { module, entryPoint: "main" },
      });
      await invalid;
      return { pipeline, layout: layout.group };
    } catch (error) {
      if (this.device.failure?.name === "DeviceLostError") throw this.device.failure;
      const said = (await invalid.catch(() => null))?.message ?? (error as Error).message;
      throw new ShaderError(
        `${kernel.label}: a kernel that compiles was expected, got ${String(said).trim()}. DEBUG=3 prints its text.`,
        { cause: error },
      );
    }
  }
}

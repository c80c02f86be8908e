/** Compute pipelines by the text of their kernel: created asynchronously, in parallel, once a device. */
import type { Kernel } from "./codegen/kernel.ts";
import type { Device } from "./device.ts";
import { ShaderError } from "./errors.ts";
import { flags } from "./flags.ts";
import { ShaderStage } from "./gpuConstants.ts";

export interface Pipeline {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
}

export class PipelineCache {
  compiled = 0;
  private readonly device: Device;
  private readonly pipelines = new Map<string, Promise<Pipeline>>();
  private readonly layouts = new Map<string, { group: GPUBindGroupLayout; pipeline: GPUPipelineLayout }>();

  constructor(device: Device) {
    this.device = device;
  }

  private layoutOf(kernel: Kernel): { group: GPUBindGroupLayout; pipeline: GPUPipelineLayout } {
    const key =
      kernel.bindings.map((b) => (b.write ? "w" : "r")).join("") + (kernel.fields.length > 0 ? "u" : "");
    let hit = this.layouts.get(key);
    if (!hit) {
      const entries: GPUBindGroupLayoutEntry[] = kernel.bindings.map((b, binding) => ({
        binding,
        visibility: ShaderStage.COMPUTE,
        buffer: { type: b.write ? "storage" : "read-only-storage" },
      }));
      if (kernel.fields.length > 0) {
        entries.push({
          binding: entries.length,
          visibility: ShaderStage.COMPUTE,
          buffer: { type: "uniform" },
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
      hit = this.compile(kernel);
      this.pipelines.set(kernel.wgsl, hit);
    }
    return hit;
  }

  private async compile(kernel: Kernel): Promise<Pipeline> {
    this.compiled++;
    if (flags().debug >= 3) console.error(`--- ${kernel.label}\n${kernel.wgsl}`);
    const layout = this.layoutOf(kernel);
    try {
      const module = this.device.gpu.createShaderModule({ label: kernel.label, code: kernel.wgsl });
      const pipeline = await this.device.gpu.createComputePipelineAsync({
        label: kernel.label,
        layout: layout.pipeline,
        compute: { module, entryPoint: "main" },
      });
      return { pipeline, layout: layout.group };
    } catch (error) {
      if (this.device.failure?.name === "DeviceLostError") throw this.device.failure;
      throw new ShaderError(
        `${kernel.label}: a kernel that compiles was expected, got ${String((error as Error).message).trim()}. DEBUG=3 prints its text.`,
        { cause: error },
      );
    }
  }
}

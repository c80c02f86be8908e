/** The worker's one device: opened once, opened again after a loss. Who holds tensors asks whether theirs is still it. */
import type { AdapterSummary } from "../eval/summary.ts";
import { DeviceLostError } from "../tensor/errors.ts";
import { init } from "../tensor/init.ts";
import type { WebGpuBackend } from "../tensor/webgpu.ts";
import type { WorkerOptions } from "./protocol.ts";

export class DeviceKeeper {
  private options: WorkerOptions = {};
  private opening: Promise<WebGpuBackend> | null = null;

  /** Opens the device; a later call with other options opens another. */
  async open(options: WorkerOptions): Promise<WebGpuBackend> {
    if (this.opening && options.tier !== this.options.tier) {
      const old = await this.opening;
      this.opening = null;
      old.destroy();
    }
    this.options = options;
    return this.current();
  }

  /** The device to use: another one where the last has failed, by a loss or by an error of its own. */
  async current(): Promise<WebGpuBackend> {
    const known = this.opening ? await this.opening : null;
    if (known && known.device.failure !== null) {
      this.opening = null;
      known.destroy();
    }
    this.opening ??= init({ tier: this.options.tier, timestamps: false }).catch((error) => {
      this.opening = null;
      throw error;
    });
    return this.opening;
  }
}

export function adapterOf(backend: WebGpuBackend): AdapterSummary {
  const { vendor, description, backend: kind, tier, software } = backend.device.info;
  return { vendor, description, backend: kind, tier, software };
}

/** Whether the device that work ran on is gone, whatever the error said that the work ended with. */
export function isLost({ device }: WebGpuBackend): boolean {
  return device.failure instanceof DeviceLostError;
}

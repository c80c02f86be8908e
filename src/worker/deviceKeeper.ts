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

  current(): Promise<WebGpuBackend> {
    this.opening ??= init({ tier: this.options.tier, timestamps: false }).catch((error) => {
      this.opening = null;
      throw error;
    });
    return this.opening;
  }

  /** A fresh device in place of `lost`; the current one where somebody was faster. */
  async renew(lost: WebGpuBackend): Promise<WebGpuBackend> {
    if ((await this.current()) === lost) this.opening = null;
    return this.current();
  }
}

export function adapterOf(backend: WebGpuBackend): AdapterSummary {
  const { vendor, description, backend: kind, tier, software } = backend.device.info;
  return { vendor, description, backend: kind, tier, software };
}

/** Whether an error says that the device is gone, however deep. */
export function isLoss(error: unknown): boolean {
  for (let e = error; e instanceof Error; e = e.cause) if (e instanceof DeviceLostError) return true;
  return false;
}

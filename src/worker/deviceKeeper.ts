/** The worker's one device: opened once, opened again after a loss. Who holds tensors asks whether theirs is still it. */
import { type AdapterSummary, adapterSummary } from "../eval/summary.ts";
import { DeviceLostError } from "../tensor/errors.ts";
import { init } from "../tensor/init.ts";
import type { WebGpuBackend } from "../tensor/webgpu.ts";
import type { WorkerOptions } from "./protocol.ts";

export class DeviceKeeper {
  private options: WorkerOptions = {};
  private opening: Promise<WebGpuBackend> | null = null;

  /** Opens the device; a later call with other options opens another. */
  async open(options: WorkerOptions): Promise<WebGpuBackend> {
    const { tier, timestamps = false } = options;
    const same = tier === this.options.tier && timestamps === (this.options.timestamps ?? false);
    const old = same ? null : this.opening;
    if (old) this.opening = null;
    this.options = options;
    // One that could not be opened was refused to whoever asked for it.
    await old?.then((backend) => backend.destroy()).catch(() => {});
    return this.current();
  }

  /** The device to use: another one where the last has failed, by a loss or by an error of its own. */
  async current(): Promise<WebGpuBackend> {
    for (;;) {
      this.opening ??= this.start();
      const opening = this.opening;
      const known = await opening;
      // Others may have waited with this call: the first to come back gives up the old device, all wait for one new.
      if (this.opening !== opening) continue;
      if (known.device.failure === null) return known;
      this.opening = null;
      known.destroy();
    }
  }

  private start(): Promise<WebGpuBackend> {
    const opening = init({ tier: this.options.tier, timestamps: this.options.timestamps ?? false });
    opening.catch(() => {
      if (this.opening === opening) this.opening = null;
    });
    return opening;
  }
}

export function adapterOf(backend: WebGpuBackend): AdapterSummary {
  return adapterSummary(backend.device.info);
}

/** Whether the device that work ran on is gone, whatever the error said that the work ended with. */
export function isLost({ device }: WebGpuBackend): boolean {
  return device.failure instanceof DeviceLostError;
}

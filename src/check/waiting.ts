/** Waiting for a device that may never answer, under a signal that may end it. */

import { DeviceError } from "../tensor/errors.ts";

/** A device that gave no answer for as long as one waits. */
export class SilentDevice extends DeviceError {}

export class Waiting {
  private readonly patienceMs: number;
  private readonly signal: AbortSignal | undefined;

  constructor(patienceMs: number, signal?: AbortSignal) {
    this.patienceMs = patienceMs;
    this.signal = signal;
  }

  get aborted(): boolean {
    return this.signal?.aborted ?? false;
  }

  /** `promise`, but rejects with the signal's reason, and with `SilentDevice` when patience runs out. */
  async until<T>(what: string, promise: Promise<T>): Promise<T> {
    const { signal, patienceMs } = this;
    // Whoever waits no longer still takes the rejection.
    promise.catch(() => {});
    signal?.throwIfAborted();
    let timer: ReturnType<typeof setTimeout> | undefined;
    let stop = (): void => {};
    const interrupted = new Promise<never>((_, reject) => {
      const text = `check: an answer from the device was expected within ${patienceMs / 1000} s, got none, at ${what}. Update the driver, or report it.`;
      timer = setTimeout(() => reject(new SilentDevice(text)), patienceMs);
      stop = () => reject(signal?.reason);
      signal?.addEventListener("abort", stop);
    });
    try {
      return await Promise.race([promise, interrupted]);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", stop);
    }
  }
}

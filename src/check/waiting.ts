/** Waiting for a device that may never answer, under a signal that may end it. */

import { DeviceError } from "../tensor/errors.ts";

/** A device that gave no answer for as long as one waits. */
export class SilentDevice extends DeviceError {}

export class Waiting {
  private readonly patienceMs: number;
  private readonly signal: AbortSignal | undefined;
  /** Ends the waits that are on. */
  private readonly stops = new Set<(reason: unknown) => void>();

  constructor(patienceMs: number, signal?: AbortSignal) {
    this.patienceMs = patienceMs;
    this.signal = signal;
    const stop = (): void => {
      for (const reject of this.stops) reject(signal?.reason);
    };
    signal?.addEventListener("abort", stop, { once: true });
  }

  get aborted(): boolean {
    return this.signal?.aborted ?? false;
  }

  /** `promise`, but rejects with the signal's reason, and with `SilentDevice` when patience runs out. */
  until<T>(what: string, promise: Promise<T>): Promise<T> {
    if (this.aborted) {
      promise.catch(() => {});
      return Promise.reject(this.signal?.reason);
    }
    return new Promise<T>((resolve, reject) => {
      const text = `check: an answer from the device was expected within ${this.patienceMs / 1000} s, got none, at ${what}. Update the driver, or report it.`;
      const timer = setTimeout(() => end(() => reject(new SilentDevice(text))), this.patienceMs);
      const stop = (reason: unknown): void => end(() => reject(reason));
      const end = (settle: () => void): void => {
        clearTimeout(timer);
        this.stops.delete(stop);
        settle();
      };
      this.stops.add(stop);
      promise.then(
        (value) => end(() => resolve(value)),
        (error) => end(() => reject(error)),
      );
    });
  }
}

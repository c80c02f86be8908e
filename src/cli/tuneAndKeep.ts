/** Measuring and storing together, as `naysay tune` and `npm run bench -- --tune` do. */

import { type TunedClass, type TuneOptions, tune } from "../tensor/tune.ts";
import type { WebGpuBackend } from "../tensor/webgpu.ts";

/**
 * Measures what is missing and stores each class as it is known: a driver that hangs or a process that is killed shall not take
 * along what was measured. Where nothing can be stored all is measured all the same, and `keep` says why.
 */
export async function tuneAndKeep(
  backend: WebGpuBackend,
  options: Pick<TuneOptions, "time" | "signal"> & { onClass(tuned: TunedClass): void },
): Promise<{
  measured: TunedClass[];
  /** Stores what could not be stored before; rejects with `ConfigError` where it still cannot. */
  keep(): Promise<void>;
}> {
  let unsaved = false;
  const measured = await tune(backend, {
    ...options,
    onClass: async (tuned) => {
      options.onClass(tuned);
      unsaved = await backend.tuning.save().then(
        () => false,
        () => true,
      );
    },
  });
  return {
    measured,
    keep: async () => {
      if (unsaved) await backend.tuning.save();
    },
  };
}

/** How many times as fast the chosen way is as the one that is taken without a table. */
export function gainOf({ untuned, chosen, ms }: TunedClass): number {
  return ms[untuned] / ms[chosen ?? untuned];
}

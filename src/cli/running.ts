/** What a command that computes needs around it: the device, and an end when it is told to stop. */
import { ConfigError } from "../tensor/errors.ts";
import { init } from "../tensor/init.ts";

/** The adapter's device; `destroy` ends it. */
export async function open() {
  const backend = await init();
  return { device: backend.device, destroy: () => backend.destroy() };
}

/** Ctrl-C ends the run between steps; what is finished stays. `message` is the error's. */
export function abortOnSignals(message = "experiment: stopped. Run the same command again to go on."): {
  signal: AbortSignal;
  off(): void;
} {
  const controller = new AbortController();
  const stop = () => controller.abort(new ConfigError(message));
  process.once("SIGINT", stop);
  process.once("SIGTERM", stop);
  return {
    signal: controller.signal,
    off: () => {
      process.off("SIGINT", stop).off("SIGTERM", stop);
    },
  };
}

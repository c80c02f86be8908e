/** What a command that computes needs around it: the device, and an end when it is told to stop. */
import { init } from "../tensor/init.ts";
import { files } from "./files.ts";
import { lockFolder } from "./folderLock.ts";
import { Stopped } from "./stopped.ts";

/** The adapter's device and what was measured on it; `destroy` ends it. */
export async function open() {
  const backend = await init();
  return { device: backend.device, tuning: backend.tuning, destroy: () => backend.destroy() };
}

/** The same for a run in a folder, which is marked as this process's until `destroy`. Where there is no adapter none is made. */
export async function openIn(folder: string) {
  const { device, tuning, destroy } = await open();
  try {
    await files.mkdirp(folder);
    const unlock = lockFolder(folder);
    return {
      device,
      tuning,
      destroy: () => {
        destroy();
        unlock();
      },
    };
  } catch (error) {
    destroy();
    throw error;
  }
}

/**
 * Ctrl-C and SIGTERM end the run between steps; what is finished stays. `message` is what is said then. A second signal
 * ends the process at once.
 */
export function abortOnSignals(message = "experiment: stopped. Run the same command again to go on."): {
  signal: AbortSignal;
  off(): void;
} {
  const controller = new AbortController();
  const stop = (signal: "SIGINT" | "SIGTERM"): void => {
    // Without a listener a signal does what it does by itself.
    off();
    controller.abort(new Stopped(message, signal));
  };
  const off = (): void => {
    process.off("SIGINT", stop).off("SIGTERM", stop);
  };
  process.on("SIGINT", stop).on("SIGTERM", stop);
  return { signal: controller.signal, off };
}

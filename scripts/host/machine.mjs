/** Facts of the host that timings depend on, read and not asked of anything that may be missing. */

import { existsSync, readFileSync } from "node:fs";
import { cpus, loadavg, release, totalmem } from "node:os";
import { runLimited } from "./processes.mjs";

function text(path) {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return null;
  }
}

/** System, processor, memory, load, and what NVIDIA's driver says of itself. */
export async function machineFacts() {
  const smi = await runLimited(
    ["nvidia-smi", "--query-gpu=name,driver_version,memory.total,power.limit,clocks.max.sm", "--format=csv"],
    { seconds: 30 },
  );
  return {
    kernel: release(),
    system: /^PRETTY_NAME="?([^"\n]*)/m.exec(text("/etc/os-release") ?? "")?.[1] ?? null,
    processors: cpus().length,
    model: cpus()[0]?.model ?? null,
    memoryBytes: totalmem(),
    load: loadavg(),
    nvidia: {
      driver: text("/proc/driver/nvidia/version"),
      device: existsSync("/dev/nvidiactl"),
      smi: smi.code === 0 ? smi.stdout.trim() : null,
    },
  };
}

/** The benchmark in a worker: what the page asks for, on the worker's device. */
import { runBench } from "../bench/index.ts";
import type { BenchResult } from "../bench/result.ts";
import { adapterFacts } from "../check/adapterFacts.ts";
import { requestAdapter } from "../tensor/device.ts";
import { ConfigError } from "../tensor/errors.ts";
import type { WebGpuBackend } from "../tensor/webgpu.ts";
import type { BenchEvent, BenchRequest } from "./protocol.ts";
import type { CallContext } from "./rpc.ts";

/** Cores, as far as a browser tells; what they are it does not. */
function machine(): BenchResult["machine"] {
  return { processors: globalThis.navigator?.hardwareConcurrency ?? 0, model: "" };
}

export async function benchOn(
  backend: WebGpuBackend,
  { words, quick = false, time = 300, base }: BenchRequest,
  { emit, signal }: CallContext,
): Promise<BenchResult> {
  if (!(time > 0 && Number.isFinite(time))) {
    throw new ConfigError(`bench: time: milliseconds above 0 expected, got ${time}. Leave it out.`);
  }
  const tell = (event: BenchEvent): void => emit(event);
  const { info } = backend.device;
  // The adapter's own tier may be above the one that is measured.
  const facts = { ...adapterFacts(await requestAdapter()), adapter: info };
  tell({ kind: "adapter", facts, timestamps: backend.profiler !== null });
  return runBench(backend, {
    words,
    quick,
    time,
    signal,
    machine: machine(),
    ...(base ? { loadBase: async () => base } : {}),
    onCeilings: (ceilings) => tell({ kind: "ceilings", ceilings }),
    onRow: (row) => tell({ kind: "row", row }),
    onFailure: (failure) => tell({ kind: "failure", failure }),
  });
}

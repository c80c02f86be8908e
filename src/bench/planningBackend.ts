/**
 * A backend without a device: it counts the bytes that would be allocated, lowers every program that is built, and runs none.
 * What it tells of memory is what a device would be asked for.
 */

import type { Backend, BuildOptions, Executable, MemoryUse } from "../tensor/backend.ts";
import type { Choose } from "../tensor/codegen/kernel.ts";
import type { DType } from "../tensor/dtype.ts";
import { DeviceError, MemoryBudgetError } from "../tensor/errors.ts";
import type { Graph } from "../tensor/ir.ts";
import { bytesFor, storageBytes } from "../tensor/passes/memory.ts";
import { type Lowered, lowerGraph } from "../tensor/passes/pipeline.ts";
import type { Storage } from "../tensor/tensor.ts";
import type { Tier } from "../tensor/tiers.ts";
import { BINDING_LIMIT } from "../tensor/webgpu.ts";

/** A range of memory that does not exist. */
class PlannedStorage implements Storage {
  readonly backend: PlanningBackend;
  readonly bytes: number;
  readonly offset: number;
  private readonly base: PlannedStorage | null;
  private count = 1;

  constructor(backend: PlanningBackend, bytes: number, offset = 0, base: PlannedStorage | null = null) {
    this.backend = backend;
    this.bytes = bytes;
    this.offset = offset;
    this.base = base;
    if (base) base.retain();
    else backend.live += bytes;
  }

  get root(): object {
    return this.base?.root ?? this;
  }

  retain(): void {
    this.count++;
  }

  release(): void {
    if (--this.count !== 0) return;
    if (this.base) this.base.release();
    else this.backend.live -= this.bytes;
  }
}

/** A program as it was lowered, or what keeps it from being one. */
export interface PlannedProgram {
  readonly label: string;
  readonly lowered: Lowered | null;
  readonly refusal: MemoryBudgetError | null;
}

export class PlanningBackend implements Backend {
  readonly kind = "reference";
  /** Bytes of tensors that are alive. */
  live = 0;
  readonly built: PlannedProgram[] = [];
  private readonly tier: Tier;
  private readonly tuning?: Choose;

  /** `tuning`: how products are computed where not by default, as a device's table tells. */
  constructor(tier: Tier, tuning?: Choose) {
    this.tier = tier;
    this.tuning = tuning;
  }

  allocate(_dtype: DType, count: number): Storage {
    return new PlannedStorage(this, storageBytes(count));
  }

  view(storage: Storage, offset: number, count: number): Storage {
    const s = storage as PlannedStorage;
    return new PlannedStorage(this, storageBytes(count), s.offset + 4 * offset, s);
  }

  write(): void {}

  clear(): void {}

  async read(): Promise<never> {
    throw new DeviceError("plan: results of a device were expected, got none. Nothing is computed here.");
  }

  build(graph: Graph, { label, passesOff }: BuildOptions): Executable {
    const lowered = this.lower(graph, label, passesOff ?? []);
    return {
      plannedBytes: lowered?.memory.totalBytes ?? 0,
      ready: async () => {},
      describe: () => label,
      dispose: () => {},
      run: () => graph.outputs.map((v) => new PlannedStorage(this, bytesFor(v))),
    };
  }

  private lower(graph: Graph, label: string, passesOff: readonly string[]): Lowered | null {
    // Without a budget: what is too much is to be seen as well.
    const limits = { bindingLimit: BINDING_LIMIT, budget: Number.POSITIVE_INFINITY, maxGroups: 65535 };
    try {
      const lowered = lowerGraph(graph, {
        label,
        passesOff,
        ...limits,
        tier: this.tier,
        tuning: this.tuning,
      });
      this.built.push({ label, lowered, refusal: null });
      return lowered;
    } catch (error) {
      if (!(error instanceof MemoryBudgetError)) throw error;
      this.built.push({ label, lowered: null, refusal: error });
      return null;
    }
  }

  async sync(): Promise<void> {}

  memory(): MemoryUse {
    return { liveBytes: this.live, allocatedBytes: this.live };
  }

  counters(): { programs: number; pipelines: number; dispatches: number; submits: number } {
    return { programs: this.built.length, pipelines: 0, dispatches: 0, submits: 0 };
  }

  destroy(): void {}
}

/** The reference backend: plain JavaScript in float64. An oracle, never a silent fallback. */
import type { Backend, BuildOptions, Executable, MemoryUse } from "./backend.ts";
import type { DType, HostArray } from "./dtype.ts";
import { interpret } from "./interpreter.ts";
import { type Graph, roots } from "./ir.ts";
import { type NDArray, ndarray } from "./ndarray.ts";
import type { Storage } from "./tensor.ts";

class ReferenceStorage implements Storage {
  readonly backend: ReferenceBackend;
  readonly data: Float64Array;
  private count = 1;
  private readonly base: ReferenceStorage | null;

  constructor(backend: ReferenceBackend, data: Float64Array, base: ReferenceStorage | null = null) {
    this.backend = backend;
    this.data = data;
    this.base = base;
    base?.retain();
    if (!base) backend.live += this.bytes;
  }

  get bytes(): number {
    return this.data.length * 4;
  }

  get root(): object {
    return this.data.buffer;
  }

  get offset(): number {
    return this.data.byteOffset / 2;
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

export class ReferenceBackend implements Backend {
  readonly kind = "reference";
  live = 0;
  private programs = 0;

  allocate(_dtype: DType, count: number): Storage {
    return new ReferenceStorage(this, new Float64Array(count));
  }

  view(storage: Storage, offset: number, count: number): Storage {
    const s = storage as ReferenceStorage;
    return new ReferenceStorage(this, s.data.subarray(offset, offset + count), s);
  }

  async read(storage: Storage): Promise<HostArray | Float64Array> {
    return (storage as ReferenceStorage).data.slice();
  }

  write(storage: Storage, dtype: DType, data: ArrayLike<number>): void {
    const out = (storage as ReferenceStorage).data;
    for (let i = 0; i < out.length; i++) out[i] = dtype === "bool" ? (data[i] ? 1 : 0) : data[i];
  }

  clear(storage: Storage): void {
    (storage as ReferenceStorage).data.fill(0);
  }

  build(graph: Graph, options: BuildOptions): Executable {
    this.programs++;
    const wanted = roots(graph);
    const once = (args: readonly (Storage | number)[]): Storage[] => {
      const inputs: NDArray[] = graph.inputs.map((v, i) => {
        const a = args[i];
        return ndarray(v.shape, v.dtype, typeof a === "number" ? [a] : (a as ReferenceStorage).data);
      });
      const results = interpret(graph, inputs, wanted);
      graph.updates.forEach((u, i) => {
        const state = args[graph.inputs.indexOf(u.input)] as ReferenceStorage;
        state.data.set(results[graph.outputs.length + i].data);
      });
      return graph.outputs.map((_, i) => new ReferenceStorage(this, results[i].data));
    };
    return {
      plannedBytes: 0,
      ready: async () => {},
      describe: () => `${options.label}: float64 reference`,
      dispose: () => {},
      run: (args, times = 1) => {
        for (let i = 1; i < times; i++) for (const s of once(args)) s.release();
        return once(args);
      },
    };
  }

  async sync(): Promise<void> {}

  memory(): MemoryUse {
    return { liveBytes: this.live, allocatedBytes: this.live };
  }

  counters(): { programs: number; pipelines: number; dispatches: number; submits: number } {
    return { programs: this.programs, pipelines: 0, dispatches: 0, submits: 0 };
  }

  destroy(): void {}
}

/**
 * Runs many small graphs on a WebGPU backend: they are built first, so that pipelines are created side by side. With
 * guard words around its tensors, stray writes are found by `backend.checkGuards()`.
 */

import type { Executable } from "../tensor/backend.ts";
import type { HostArray } from "../tensor/dtype.ts";
import type { Graph } from "../tensor/ir.ts";
import type { NDArray } from "../tensor/ndarray.ts";
import { numel } from "../tensor/shape.ts";
import type { Storage } from "../tensor/tensor.ts";
import type { WebGpuBackend } from "../tensor/webgpu.ts";

export interface Prepared {
  readonly name: string;
  readonly graph: Graph;
  readonly inputs: readonly NDArray[];
  readonly executable: Executable;
  args: (Storage | number)[];
  results: Storage[];
}

export class Bench {
  readonly backend: WebGpuBackend;
  private readonly building: Promise<void>[] = [];

  constructor(backend: WebGpuBackend) {
    this.backend = backend;
  }

  prepare(
    name: string,
    graph: Graph,
    inputs: readonly NDArray[],
    passesOff: readonly string[] = [],
  ): Prepared {
    const executable = this.backend.build(graph, { label: name, passesOff });
    const ready = executable.ready();
    // Reported to whoever awaits it; where something failed before, nobody does.
    ready.catch(() => {});
    this.building.push(ready);
    return { name, graph, inputs, executable, args: [], results: [] };
  }

  /** Resolves when everything prepared so far can run. */
  async ready(): Promise<void> {
    await Promise.all(this.building.splice(0));
  }

  /** Uploads the inputs and runs; scalars declared as host numbers go as numbers. */
  run(p: Prepared): void {
    p.args = p.graph.inputs.map((v, i) => {
      if (v.node.attrs.scalar) return p.inputs[i].data[0];
      const storage = this.backend.allocate(v.dtype, numel(v.shape));
      this.backend.write(storage, v.dtype, p.inputs[i].data);
      return storage;
    });
    p.results = p.executable.run(p.args);
  }

  /** Results of the latest run. */
  read(p: Prepared): Promise<HostArray[]> {
    return Promise.all(
      p.results.map((s, i) =>
        this.backend.read(s, p.graph.outputs[i].dtype, numel(p.graph.outputs[i].shape)),
      ),
    );
  }

  /** Values of the states among the inputs after the latest run, in the order of the graph's updates. */
  readStates(p: Prepared): Promise<HostArray[]> {
    return Promise.all(
      p.graph.updates.map((u) => {
        const storage = p.args[p.graph.inputs.indexOf(u.input)] as Storage;
        return this.backend.read(storage, u.input.dtype, numel(u.input.shape));
      }),
    );
  }

  /** Releases the tensors of the latest run. */
  release(p: Prepared): void {
    for (const s of [...p.args, ...p.results]) if (typeof s !== "number") s.release();
    p.args = [];
    p.results = [];
  }

  dispose(p: Prepared): void {
    this.release(p);
    p.executable.dispose();
  }
}

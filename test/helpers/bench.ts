/** Runs many small graphs on a WebGPU backend: all are built first, so that pipelines are created side by side. */

import type { Executable } from "../../src/tensor/backend.ts";
import type { HostArray } from "../../src/tensor/dtype.ts";
import type { Graph } from "../../src/tensor/ir.ts";
import type { NDArray } from "../../src/tensor/ndarray.ts";
import { numel } from "../../src/tensor/shape.ts";
import type { Storage } from "../../src/tensor/tensor.ts";
import type { WebGpuBackend } from "../../src/tensor/webgpu.ts";

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
    // Reported by ready(); a test that failed before never asks.
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

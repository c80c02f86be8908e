/** What a piece of work is made of: the programs that it builds, and what one run of it hands to the device. */

/** Notes the programs that a backend builds until `stop()`. */
export function recordPrograms(backend) {
  const built = [];
  const { build } = backend;
  backend.build = (graph, options) => {
    const program = build.call(backend, graph, options);
    built.push(program);
    return program;
  };
  return {
    built,
    stop() {
      delete backend.build;
    },
  };
}

/**
 * Programs that live side by side: `plannedBytes` of temporaries, `lowerBound` the sum of what each program has alive at
 * its fullest step (no plan can take less), and pipelines by the text of their kernels.
 */
export function programFacts(programs) {
  const kernels = programs.flatMap((p) => p.lowered.kernels);
  const sum = (of) => programs.reduce((n, p) => n + of(p.lowered.memory), 0);
  return {
    programs: programs.length,
    pipelines: new Set(kernels.map((k) => k.wgsl)).size,
    plannedBytes: sum((memory) => memory.totalBytes),
    lowerBound: sum((memory) => memory.lowerBound),
  };
}

/** Dispatches and submissions of one run. */
export async function countWork(backend, run) {
  const before = backend.counters();
  await run();
  const after = backend.counters();
  return {
    dispatches: after.dispatches - before.dispatches,
    submits: after.submits - before.submits,
    compiled: after.pipelines - before.pipelines,
  };
}

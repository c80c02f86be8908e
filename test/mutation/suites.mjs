/** Tests that find faults, and where the faults are put. */

export const AFFINE = "test/tensor/affine.test.ts";
export const MEMORY = "test/tensor/memory.test.ts";
export const REFERENCE = "test/tensor/randomGraphs.node.test.ts";
/** Forward cases of these ops, and of one with a derivative: a file may not be left without its vjp tests. */
export const ops = (...names) => ({
  file: "test/tensor/ops.test.ts",
  only: "forward:",
  env: { NAYSAY_OPS: [...names, "neg"].join() },
});
export const TIERS = {
  file: "test/tensor/ops.test.ts",
  only: "tiers above T0",
  env: { NAYSAY_OPS: "sum,max,min" },
};
export const GRAPHS = "test/tensor/randomGraphs.test.ts";
export const REFLECTION = "test/tensor/reflection.node.test.ts";
export const AUTODIFF = "test/tensor/autodiff.test.ts";
export const STATES = "test/tensor/states.test.ts";
export const FUSION = "test/tensor/fusion.test.ts";
export const REPLAY = "test/tensor/replay.test.ts";

export const TUNING = "test/tensor/tuning.test.ts";
export const EDGES = "test/tensor/matmulEdges.test.ts";
export const SPLIT = "test/tensor/matmulSplit.node.test.ts";
export const THREADS = "test/tensor/attentionThreads.node.test.ts";
export const FAST = "test/tensor/determinism.test.ts";
export const LANES = "test/tensor/tierCheck.test.ts";
export const MATRICES = { file: "test/tensor/matmulMatrix.node.test.ts", only: "emulated|wrong" };
export const MATRIX_TEXTS = "test/tensor/matmulMatrixText.node.test.ts";
export const SUBMISSIONS = "test/tensor/submissions.test.ts";

export const codegen = (file) => `src/tensor/codegen/${file}.ts`;
export const pass = (file) => `src/tensor/passes/${file}.ts`;

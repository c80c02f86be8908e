/** The engine: tensors, ops, compile, gradients, optimizers: `naysay/tensor`. */
export { checkpoint, customVjp, type GradResult, grad, valueAndGrad } from "./autodiff.ts";
export { type Backend, backend, type MemoryUse } from "./backend.ts";
export {
  assign,
  type Compiled,
  type CompiledInfo,
  type CompileOptions,
  compile,
  type HostScalar,
  i32,
  u32,
} from "./compile.ts";
export { type FlatLayout, FlatTensors, flatLayout, tensor, zeros } from "./create.ts";
export type { Determinism } from "./determinism.ts";
export { type AdapterInfo, Device, type DeviceOptions, requestAdapter, requestDevice } from "./device.ts";
export type { DType } from "./dtype.ts";
export {
  CheckpointError,
  ConfigError,
  DeviceError,
  DeviceLostError,
  DTypeError,
  MemoryBudgetError,
  NaysayError,
  NonFiniteError,
  ShaderError,
  ShapeError,
  TensorError,
} from "./errors.ts";
export { type InitOptions, init } from "./init.ts";
export { ops } from "./ops/index.ts";
export { AdamW, type AdamWOptions, type AdamWStep, accumulate, accumulateGrad, globalNorm } from "./optim.ts";
export { Rng, type RngState, type Seed, Stream, seedWords } from "./random.ts";
export { profileTrace } from "./report.ts";
export { Sgd } from "./sgd.ts";
export type { Shape } from "./shape.ts";
export { isTensor, scope, Tensor } from "./tensor.ts";
export { TIERS, type Tier } from "./tiers.ts";
export type { TensorLike } from "./trace.ts";
export { type TunedClass, type TuneOptions, tune } from "./tune.ts";
export { parseTuning, type TuningOption, type TuningTable } from "./tuning.ts";

/** Models: configuration, transformer, scoring, generation, tokenizers, checkpoints. */
export {
  type CheckpointContents,
  type DecodedCheckpoint,
  decodeCheckpoint,
  encodeCheckpoint,
  loadCheckpoint,
  loadHuggingFace,
  parametersFrom,
  readWeights,
  saveCheckpoint,
  type Weights,
  weightsSha256,
  writeWeights,
} from "./checkpoint.ts";
export {
  fromHuggingFace,
  MODEL_TYPES,
  type ModelConfig,
  type ModelOptions,
  type ModelType,
  modelConfig,
  toHuggingFace,
} from "./config.ts";
export { Distributions } from "./distributions.ts";
export type { Files } from "./files.ts";
export { type Generated, Generator, type GeneratorOptions } from "./generate.ts";
export type { GeneratedChunk, GenerateOptions } from "./generateOptions.ts";
export {
  allocateParameters,
  countParameters,
  type InitOptions,
  initializeParameters,
  type ParameterSpec,
  parameterSpecs,
} from "./parameters.ts";
export {
  readSafetensors,
  type SafetensorsEntry,
  type SafetensorsFile,
  toFloat32,
  type WrittenEntry,
  writeSafetensors,
} from "./safetensors.ts";
export {
  type HostScores,
  type Scored,
  type ScoreOptions,
  Scorer,
  scoreLogits,
  tokenLogProbs,
} from "./scoring.ts";
export { bucketLength, type PackOptions, packRows, type TokenRows, takeRows } from "./sequences.ts";
export { Tokenizer, type TokenizerJson, type TokenizerKind } from "./tokenizer.ts";
export { type HiddenOptions, type Parameters, type Pass, Transformer } from "./transformer.ts";

/** A page's side of naysay in a worker: `naysay/worker`. The worker's own side is `naysay/worker/serve`. */
export {
  type CallOptions,
  connect,
  type ExperimentRun,
  type Generation,
  NaysayWorker,
  type Port,
  WorkerPolicy,
} from "./client.ts";
export type {
  Completion,
  DistributionRequest,
  ExperimentControl,
  ExperimentEvent,
  ExperimentRequest,
  FinishedArm,
  GenerateRequest,
  LearnRequest,
  LearnResult,
  PolicyInfo,
  PolicyRequest,
  ShownRow,
  StoredRun,
  TextOrTokens,
  TokensEvent,
  WorkerInfo,
  WorkerOptions,
} from "./protocol.ts";

/** The page's side: talks to a worker that serves naysay. Loads none of the engine. */
import type { BenchResult } from "../bench/result.ts";
import type { CheckProgress } from "../check/run.ts";
import type { Summary } from "../eval/summary.ts";
import type { Verdict } from "../rl/task.ts";
import { DeviceError } from "../tensor/errors.ts";
import type {
  BenchEvent,
  BenchRequest,
  CallName,
  Calls,
  CheckRequest,
  CheckResult,
  Completion,
  DistributionRequest,
  ExperimentControl,
  ExperimentEvent,
  ExperimentRequest,
  GenerateRequest,
  JudgeRequest,
  LearnRequest,
  LearnResult,
  PolicyInfo,
  PolicyRequest,
  PosedProblem,
  ProblemsRequest,
  ScoreRequest,
  StoredRun,
  TokensEvent,
  WorkerInfo,
  WorkerOptions,
} from "./protocol.ts";
import { type Call, Caller, type CallOptions, type Port, sendEnd } from "./rpc.ts";

export type { CallOptions, Port } from "./rpc.ts";

/** An experiment under way: `for await` gives its events, `result` its summary. */
export interface ExperimentRun extends AsyncIterable<ExperimentEvent> {
  readonly result: Promise<Summary>;
  /** Rests before the next step. */
  pause(): void;
  resume(): void;
  /** One step, then rests. */
  step(): void;
}

/** Tokens under way: `for await` gives them as they come, `result` the completions. */
export interface Generation extends AsyncIterable<TokensEvent> {
  readonly result: Promise<Completion[]>;
}

/**
 * Opens the device of a worker that runs `serve()`, such as
 *
 *     new Worker(new URL("./worker.ts", import.meta.url), { type: "module" })   // worker.ts: serve();
 *
 * Throws `DeviceError` with this platform's remedy where there is no
 * WebGPU, and where the worker's script cannot be loaded.
 */
export async function connect(
  worker: Worker | Port | NodeWorker,
  options: WorkerOptions = {},
): Promise<NaysayWorker> {
  const port = "addEventListener" in worker ? (worker as Port) : portOf(worker as NodeWorker);
  const caller = new Caller(port);
  const failed = (event: Event): void => {
    const said = (event as ErrorEvent).message || "its script could not be loaded";
    caller.fail(
      new DeviceError(
        `worker: a running worker was expected, got: ${said}. Check the worker's URL and the console.`,
      ),
    );
  };
  const errors = port as unknown as EventTarget;
  errors.addEventListener("error", failed);
  const close = (): void => {
    caller.close();
    errors.removeEventListener("error", failed);
    if (port === worker && "terminate" in worker) worker.terminate();
    else port.close?.();
  };
  try {
    const info = await caller.call<WorkerInfo, never>("open", options).result;
    return new NaysayWorker(caller, info, close);
  } catch (error) {
    close();
    throw error;
  }
}

/** What is used of a worker of Node's `worker_threads`; its own side is `naysay/worker/entry`, or `serve(parentPort)`. */
export interface NodeWorker {
  /** `never`: whatever type Node's own declarations have for what is moved, theirs fits. */
  postMessage(message: unknown, transfer: readonly never[]): void;
  on(kind: string, listener: (value: unknown) => void): unknown;
  off(kind: string, listener: (value: unknown) => void): unknown;
}

/**
 * Node's workers speak of values where a page's speak of events. Closed, the thread ends by itself when its step is done:
 * Dawn ends the whole process where a thread is terminated with work of the device under way.
 */
function portOf(worker: NodeWorker): Port {
  const wrapped = new Map<unknown, (value: unknown) => void>();
  const port: Port = {
    postMessage: (message, transfer) => worker.postMessage(message, transfer as unknown as readonly never[]),
    addEventListener(kind: string, listener) {
      const own = (value: unknown): void =>
        listener((kind === "message" ? { data: value } : value) as MessageEvent);
      wrapped.set(listener, own);
      worker.on(kind, own);
    },
    removeEventListener(kind, listener) {
      const own = wrapped.get(listener);
      if (own) worker.off(kind, own);
      wrapped.delete(listener);
    },
    close: () => sendEnd(port),
  };
  return port;
}

export class NaysayWorker {
  readonly info: WorkerInfo;
  private readonly caller: Caller;
  private readonly end: () => void;

  /** Use `connect`. */
  constructor(caller: Caller, info: WorkerInfo, end: () => void) {
    this.caller = caller;
    this.info = info;
    this.end = end;
  }

  /** Trains and measures every arm of an experiment. Aborting keeps what is done; the same request goes on from there. */
  experiment(request: ExperimentRequest, options: CallOptions<ExperimentEvent> = {}): ExperimentRun {
    const call = this.call("experiment", request, options);
    const tell = (word: ExperimentControl) => (): void => call.tell(word);
    return {
      result: call.result,
      pause: tell("pause"),
      resume: tell("resume"),
      step: tell("step"),
      [Symbol.asyncIterator]: () => call[Symbol.asyncIterator](),
    };
  }

  /** Experiments in the worker's files, finished or not. */
  runs(): Promise<StoredRun[]> {
    return this.call("runs", null).result;
  }

  /** Opens a policy from a checkpoint's bytes. Throws `CheckpointError` for a damaged or foreign file. */
  async policy(request: PolicyRequest): Promise<WorkerPolicy> {
    const { policy, info } = await this.call("policyOpen", request).result;
    return new WorkerPolicy(this, policy, info);
  }

  /** Problems of a task, the same for the same seed. */
  problems(request: ProblemsRequest): Promise<PosedProblem[]> {
    return this.call("taskProblems", request).result;
  }

  /** The task's verdict on each answer, in their order. */
  judge(request: JudgeRequest): Promise<Verdict[]> {
    return this.call("taskJudge", request).result;
  }

  /**
   * Measures the adapter's ceilings, workloads and ops, as `npm run bench` does. Give it a worker of its own, opened with
   * `timestamps`: other work beside it is in its times.
   */
  bench(request: BenchRequest = {}, options: CallOptions<BenchEvent> = {}): Promise<BenchResult> {
    return this.call("bench", request, options).result;
  }

  /** Checks naysay on this adapter, as `naysay check` does. */
  check(request: CheckRequest = {}, options: CallOptions<CheckProgress> = {}): Promise<CheckResult> {
    return this.call("check", request, options).result;
  }

  /** The bytes of a file of the worker, such as `runs/quick/report.html`. Throws `CheckpointError` where there is none. */
  readFile(path: string): Promise<Uint8Array> {
    return this.call("readFile", { path }).result;
  }

  async writeFile(path: string, bytes: Uint8Array): Promise<void> {
    await this.call("writeFile", { path, bytes }).result;
  }

  listFiles(path: string): Promise<string[]> {
    return this.call("listFiles", { path }).result;
  }

  /** Removes a file or folder of the worker. */
  async removeFile(path: string): Promise<void> {
    await this.call("removeFile", { path }).result;
  }

  /** Loses the device on purpose, as a driver's reset would: for tests of what comes after. */
  async loseDevice(): Promise<void> {
    await this.call("loseDevice", null).result;
  }

  /** Any call of the protocol by name. */
  call<K extends CallName>(
    name: K,
    args: Calls[K]["args"],
    options: CallOptions<Calls[K]["event"]> = {},
  ): Call<Calls[K]["result"], Calls[K]["event"]> {
    return this.caller.call(name, args, options);
  }

  /** Aborts and rejects what is under way, and ends the worker (Node's once it has stopped), or closes the port. */
  close(): void {
    this.end();
  }
}

/** A policy in the worker. Calls are answered one after another; a lost device is replaced and no update is lost. */
export class WorkerPolicy {
  /** As the policy was opened. */
  readonly info: PolicyInfo;
  private readonly worker: NaysayWorker;
  private readonly policy: number;

  /** Use `NaysayWorker.policy`. */
  constructor(worker: NaysayWorker, policy: number, info: PolicyInfo) {
    this.worker = worker;
    this.policy = policy;
    this.info = info;
  }

  /** Samples completions, tokens as they come. */
  generate(request: GenerateRequest, options: CallOptions<TokensEvent> = {}): Generation {
    return this.worker.call("policyGenerate", { policy: this.policy, request }, options);
  }

  /** One update from judged completions; rejections alone are enough under `nsr`. */
  learn(request: LearnRequest): Promise<LearnResult> {
    return this.worker.call("policyLearn", { policy: this.policy, request }).result;
  }

  /** Log-probability of each token of each completion, EOS included, nats: their sum is the completion's own. */
  score(request: ScoreRequest): Promise<number[][]> {
    return this.worker.call("policyScore", { policy: this.policy, request }).result;
  }

  /** Probability of each token of the vocabulary [V] after `context`. */
  distribution(request: DistributionRequest): Promise<Float32Array> {
    return this.worker.call("policyDistribution", { policy: this.policy, request }).result;
  }

  /** A checkpoint's bytes: weights, moments, tokenizer. */
  checkpoint(): Promise<Uint8Array> {
    return this.worker.call("policyCheckpoint", { policy: this.policy }).result;
  }

  /**
   * Back to a checkpoint of this policy, or of another of the same model: weights, moments and counters, bit for bit. Throws
   * `CheckpointError` for one of another model.
   */
  restore(checkpoint: Uint8Array): Promise<PolicyInfo> {
    return this.worker.call("policyRestore", { policy: this.policy, checkpoint }).result;
  }

  /** The policy as it is now. */
  current(): Promise<PolicyInfo> {
    return this.worker.call("policyInfo", { policy: this.policy }).result;
  }

  async close(): Promise<void> {
    await this.worker.call("policyClose", { policy: this.policy }).result;
  }
}

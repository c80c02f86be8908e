/**
 * The worker's side: answers a page's calls with the engine. A worker script of one line is enough:
 *
 *     import { serve } from "naysay/worker/serve";
 *     serve();
 */
import * as platformFiles from "#fs";
import type { Files } from "../model/files.ts";
import { ConfigError } from "../tensor/errors.ts";
import { VERSION } from "../tensor/version.ts";
import { adapterOf, DeviceKeeper } from "./deviceKeeper.ts";
import { ExperimentService } from "./experimentService.ts";
import { Policy } from "./policyService.ts";
import type { CallName, Calls } from "./protocol.ts";
import { type CallContext, type Port, serveCalls } from "./rpc.ts";
import { posedProblems, verdicts } from "./taskService.ts";

type Table = {
  [K in CallName]: (args: Calls[K]["args"], context: CallContext) => Promise<Calls[K]["result"]>;
};

export interface ServeOptions {
  /** Where runs are kept. Default: the origin's private file system, or memory where it may not be used. */
  files?: Files;
}

/** Answers calls on `port`, by default the worker's own; returns a function that stops. */
export function serve(port: Port = globalThis as unknown as Port, options: ServeOptions = {}): () => void {
  if (typeof port?.addEventListener !== "function") {
    throw new ConfigError(
      "serve: a port with addEventListener expected, got none. In Node pass `parentPort` of worker_threads, or a MessagePort.",
    );
  }
  const files = options.files ?? platformFiles;
  const keeper = new DeviceKeeper();
  const experiments = new ExperimentService(keeper, files, VERSION);
  const policies = new Map<number, Policy>();
  let next = 1;
  const policy = (id: number): Policy => {
    const found = policies.get(id);
    if (found) return found;
    throw new ConfigError(`policy: an open policy expected, got number ${id}. Open it first.`);
  };
  const table: Table = {
    async open(device) {
      const adapter = adapterOf(await keeper.open(device));
      return {
        adapter,
        version: VERSION,
        storage: options.files ? "custom" : await platformFiles.storageKind(),
      };
    },
    experiment: (request, context) => experiments.run(request, context),
    runs: () => experiments.stored(),
    async policyOpen(request) {
      const opened = new Policy(keeper, request);
      const info = await opened.info();
      policies.set(next, opened);
      return { policy: next++, info };
    },
    policyInfo: ({ policy: id }) => policy(id).info(),
    policyGenerate: ({ policy: id, request }, context) => policy(id).generate(request, context),
    policyLearn: ({ policy: id, request }) => policy(id).learn(request),
    policyScore: ({ policy: id, request }) => policy(id).score(request),
    policyDistribution: ({ policy: id, request }) => policy(id).distribution(request),
    policyRestore: ({ policy: id, checkpoint }) => policy(id).restore(checkpoint),
    policyCheckpoint: ({ policy: id }) => policy(id).checkpoint(),
    async policyClose({ policy: id }) {
      const closing = policy(id);
      policies.delete(id);
      return closing.close();
    },
    taskProblems: async (request) => posedProblems(request),
    taskJudge: async (request) => verdicts(request),
    async check(request, { emit, signal }) {
      // On demand: a third of the engine's size again, and few ask for it.
      const { formatCheck, runCheck } = await import("../check/index.ts");
      const report = await runCheck({ ...request, signal, onProgress: emit });
      return { report, text: formatCheck(report) };
    },
    async bench(request, context) {
      const { benchOn } = await import("./benchService.ts");
      return benchOn(await keeper.current(), request, context);
    },
    async benchNames() {
      const { benchNames } = await import("../bench/index.ts");
      return benchNames();
    },
    // A copy: files that are handed in may keep the bytes they give, and what is answered is moved away.
    readFile: async ({ path }) => (await files.readFile(path)).slice(),
    async writeFile({ path, bytes }) {
      await files.writeFileAtomic(path, bytes);
      return null;
    },
    listFiles: ({ path }) => files.list(path),
    async removeFile({ path }) {
      await files.remove(path);
      return null;
    },
    async loseDevice() {
      (await keeper.current()).device.gpu.destroy();
      return null;
    },
  };
  const stop = serveCalls(port, table);
  return () => {
    stop();
    for (const open of policies.values()) void open.close();
    policies.clear();
  };
}

/** Held by the type check alone: `connect` takes a worker as Node declares it. */
import type { Worker } from "node:worker_threads";
import type { NodeWorker } from "../../src/worker/client.ts";

declare const worker: Worker;
export const taken: NodeWorker = worker;

/**
 * `naysay/worker/entry` in Node: a script ready to start in a thread of `node:worker_threads`, as in
 *
 *     const worker = new Worker(new URL(import.meta.resolve("naysay/worker/entry")));
 *     const naysay = await connect(worker);
 *
 * In the main thread it has nobody to serve: it may be imported there, and does nothing.
 */
import { parentPort } from "node:worker_threads";
import type { Port } from "./rpc.ts";
import { serve } from "./serve.ts";

if (parentPort) serve(parentPort as unknown as Port);
// Node's own threads have none of a web worker's functions; a runtime that takes Node's files may have them.
else if ("addEventListener" in globalThis) serve();

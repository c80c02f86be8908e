/**
 * `node --import naysay/adapter app.js`: a program of one's own on the adapter that NAYSAY_ADAPTER names, as the command line
 * chooses it (launch.ts), without a GPU on SwiftShader or what the system has. Where that takes variables of Vulkan's, which are
 * read when a process is loaded, Node is started once more with them and this process ends with its exit code. Where there is
 * no adapter, `init()` says so. Throws `ConfigError` for a choice that is none, or is not installed.
 */
import { isMainThread } from "node:worker_threads";
import { DeviceError } from "../tensor/errors.ts";
import { goOn, planLaunch } from "./launch.ts";

// A thread has its process's variables, and is preloaded as well.
if (isMainThread) {
  const plan = await planLaunch().catch((error) => {
    if (error instanceof DeviceError) return null;
    throw error;
  });
  if (plan?.line) console.error(plan.line);
  const code = plan && (await goOn(plan.env));
  if (code !== null) process.exit(code);
}

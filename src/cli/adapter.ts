/**
 * `node --import naysay/adapter app.js`: a program of one's own on the adapter that NAYSAY_ADAPTER names, as the command line
 * chooses it (launch.ts), without a GPU on SwiftShader or what the system has. Where that takes variables of Vulkan's, which are
 * read when a process is loaded, Node is started once more with them and this process ends with its exit code. Where there is
 * no adapter, `init()` says so. Throws `ConfigError` for a choice that is none, or is not installed, and where Node would be
 * started once more for a program from stdin.
 */
import { isMainThread } from "node:worker_threads";
import { ConfigError, DeviceError } from "../tensor/errors.ts";
import { goOn, planLaunch } from "./launch.ts";

// A thread has its process's variables, and is preloaded as well.
if (isMainThread) {
  const plan = await planLaunch().catch((error) => {
    if (error instanceof DeviceError) return null;
    throw error;
  });
  if (plan && Object.keys(plan.env).length > 0 && isFromStdin()) {
    throw new ConfigError(
      "adapter: a program in a file expected, got one on stdin, which Node started once more would find empty. " +
        "Write it to a file: node --import naysay/adapter app.js.",
    );
  }
  if (plan?.line) console.error(plan.line);
  const code = plan && (await goOn(plan.env));
  if (code !== null) process.exit(code);
}

/** Whether the program comes from stdin: Node has read it by the time it preloads, and keeps it where it keeps that of --eval. */
function isFromStdin(): boolean {
  const { _eval } = process as { _eval?: unknown };
  return typeof _eval === "string" && !process.execArgv.some((arg) => /^(-e|-p|--eval|--print)/.test(arg));
}

/**
 * `node --import naysay/adapter app.js`: a program of one's own on the adapter that NAYSAY_ADAPTER names, as the command line
 * chooses it (launch.ts), without a GPU on SwiftShader or what the system has. Where that takes variables of Vulkan's, which are
 * read when a process is loaded, Node is started once more with them and this process ends with its exit code. Where there is
 * no adapter, `init()` says so. Throws `ConfigError` for a choice that is none, or is not installed, and for a program from
 * standard input that would have to be started once more.
 */
import { isMainThread } from "node:worker_threads";
import { ConfigError, DeviceError } from "../tensor/errors.ts";
import { goOn, planLaunch } from "./launch.ts";

/** Whether Node has read the program from standard input: where none is named, it does so before it loads what is preloaded. */
function isFromStdin(): boolean {
  const { _eval: code } = process as { _eval?: string };
  return code !== undefined && !process.execArgv.some((arg) => /^(-e|-p|-pe|--eval|--print)(=|$)/.test(arg));
}

// A thread has its process's variables, and is preloaded as well.
if (isMainThread) {
  const plan = await planLaunch().catch((error) => {
    if (error instanceof DeviceError) return null;
    throw error;
  });
  if (plan?.line) console.error(plan.line);
  // The second process would find nothing there, and end as if all were well.
  if (plan && Object.keys(plan.env).length > 0 && isFromStdin()) {
    throw new ConfigError(
      "naysay/adapter: a program in a file expected, got one from standard input. Write it to a file, or set NAYSAY_ADAPTER=default.",
    );
  }
  const code = plan && (await goOn(plan.env));
  if (code !== null) process.exit(code);
}

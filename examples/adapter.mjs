/**
 * For machines without a GPU: `node --import ./examples/adapter.mjs <script>` starts the script on the software adapter that
 * `npm ci` brings (Linux x64). Vulkan reads its variables when a process is loaded, so Node is started once more with them.
 */
import { planLaunch, relaunch } from "../dist/cli/launch.js";

const plan = await planLaunch();
if (plan.line) console.error(plan.line);
if (Object.keys(plan.env).length > 0) process.exit(await relaunch(plan.env));

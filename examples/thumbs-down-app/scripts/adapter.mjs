/** On a machine without a GPU: starts this very script once more on the repository's software adapter. */
import { planLaunch, relaunch } from "../../../dist/cli/launch.js";

export async function withAdapter() {
  const plan = await planLaunch();
  if (plan.line) console.error(plan.line);
  if (Object.keys(plan.env).length > 0) process.exit(await relaunch(plan.env));
}

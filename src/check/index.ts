/** `naysay/check`: checks naysay on the adapter at hand, in a page, a worker, Node or Deno. */
export type { AdapterFacts } from "./adapterFacts.ts";
export { formatCheck } from "./format.ts";
export type { Checked, CheckReport, Count, Fallback, TierReport } from "./report.ts";
export { type CheckOptions, type CheckProgress, runCheck } from "./run.ts";

/** Hands the debug flags of the runner's process to a page, which has no environment of its own. */

(globalThis as { NAYSAY_FLAGS?: unknown }).NAYSAY_FLAGS = (import.meta as { env?: unknown }).env;

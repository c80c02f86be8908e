/** A worker script ready to start: `naysay/worker/entry`, or `dist/browser/worker.js` for pages without a bundler. */
import { serve } from "./serve.ts";

// Node's main thread has nobody to serve: the module may be imported there, and does nothing.
if ("addEventListener" in globalThis) serve();
